"""Keras's initializers, under the names and arguments of `keras.initializers`, drawn here: the same on any backend.

An integer seed draws what ``fastinit.initialize(shape, ..., seed=seed, layout="...io")`` does, at every call, so no two
layers should have the same one. A `keras.random.SeedGenerator` gives new weights at every call: those of its seed and
the streams 0, 1, 2 and so on. Without a seed, each initializer takes one of its own when it is made.

`STFT` is not here: nothing about it is a start to learn from.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import keras
except ImportError as error:
    raise ImportError('fastinit.keras needs Keras and a backend of it: pip install "fastinit[keras]"') from error

import fastinit

from . import _checks
from ._fans import Fans
from ._fill import as_dtype, as_seed, as_shape, checked_plan, initialize
from .strategies import Strategy, as_strategy

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

_DTYPES = ("float32", "float64", "float16", "bfloat16")
_registered = keras.saving.register_keras_serializable(package="fastinit")

# ---- the one that draws ----


class _Drawn(keras.initializers.Initializer):
    """Draws what `_strategy` says, ahead of the class of Keras that reads the arguments and the seed."""

    seed: Any = 0

    def _strategy(self) -> Strategy:
        raise NotImplementedError

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """What else the core resolves a strategy with, in the order in which it takes it."""
        return {"layout": "...io", "fan_in": None, "fan_out": None, "groups": 1}

    def __call__(self, shape: Sequence[int], dtype: Any = None, layout: Any = None) -> Any:
        """A tensor of initialized weights.

        Parameters
        ----------
        shape : sequence of int
            Its shape.
        dtype : str, optional
            float32, float64, float16 or bfloat16 (where nothing is random, any of Keras's); `keras.config.floatx()` by
            default.
        layout : keras.distribution.TensorLayout or jax.sharding.NamedSharding, optional
            How the tensor lies on the devices; each draws its part alone.

        Returns
        -------
        tensor
            What `keras.ops.convert_to_tensor` gives.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.
        """
        shape, name = as_shape(shape), keras.backend.standardize_dtype(dtype)
        if name not in _DTYPES:
            raise ValueError(f"dtype must be {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}; got {name}")
        strategy, options = self._strategy(), self._options(shape)
        checked_plan(strategy, shape, as_dtype(name), *options.values())  # an error leaves a generator as it is
        if keras.backend.backend() == "jax":
            return _on_jax(self.seed, shape, strategy, name, options, layout)
        if keras.backend.backend() == "torch" and keras.ops.zeros(()).is_meta:
            return keras.ops.zeros(shape, name)  # no memory, so nothing to draw
        seed, stream = _seed_and_stream(self.seed)
        return _as_tensor(initialize(shape, strategy, seed=seed, stream=stream, dtype=name, **options))


def _seed_and_stream(seed: Any) -> tuple[int, int]:
    """An integer is the seed of stream 0; a generator's state is its seed and how many calls there were before."""
    if isinstance(seed, int):
        return int(seed), 0
    first, calls = (int(word) & 0xFFFFFFFF for word in seed.next())  # 32 bits, which PyTorch's has in signed numbers
    return first, calls


def _as_tensor(array: np.ndarray) -> Any:
    """A tensor of the backend, over the same memory where the backend can."""
    if keras.backend.backend() == "torch":  # Keras would copy an array, and go through float32 for bfloat16
        import torch

        narrow = array.dtype.name == "bfloat16"
        tensor = torch.from_numpy(array.view(np.int16) if narrow else array)
        return keras.ops.convert_to_tensor(tensor.view(torch.bfloat16) if narrow else tensor)
    return keras.ops.convert_to_tensor(array, dtype=array.dtype.name)


def _on_jax(
    seed: Any, shape: tuple[int, ...], strategy: Strategy, dtype: str, options: dict[str, Any], layout: Any
) -> Any:
    """The weight that `fastinit.jax` draws, wherever on the devices, and also where a generator's state is traced."""
    import jax

    from .jax import initializer

    if isinstance(seed, int):
        number = as_seed(int(seed))
        words = jax.numpy.asarray([number >> 32, number & 0xFFFFFFFF, 0, 0], "uint32")
    else:
        first, calls = seed.next()
        words = jax.numpy.stack([0 * first, first, 0 * calls, calls])
    key = jax.random.wrap_key_data(words, impl="rbg")  # two words of a seed, two of a stream
    return initializer(strategy, **options)(key, shape, dtype, _sharding(layout))


def _sharding(layout: Any) -> Any:
    """What JAX calls a layout of Keras; JAX's own as it is."""
    return getattr(layout, "backend_layout", layout)


class _Fixed(_Drawn):
    """Draws what is not random; what the core does not, such as integers, is Keras's own."""

    def __call__(self, shape: Sequence[int], dtype: Any = None, layout: Any = None) -> Any:
        if keras.backend.standardize_dtype(dtype) in _DTYPES and self._is_drawn():
            return super().__call__(shape, dtype, layout)
        tensor = super(_Drawn, self).__call__(shape, dtype=dtype)
        if layout is None:
            return tensor
        from .jax import constant

        return constant(tensor)(None, shape, tensor.dtype, _sharding(layout))

    def _is_drawn(self) -> bool:
        return True


# ---- Keras's classes ----


@_registered
class Zeros(_Fixed, keras.initializers.Zeros):
    """Zeros.

    Examples
    --------
    >>> Zeros()((2,)).tolist()
    [0.0, 0.0]
    """

    def _strategy(self) -> Strategy:
        return fastinit.Constant(0.0)


@_registered
class Ones(_Fixed, keras.initializers.Ones):
    """Ones.

    Examples
    --------
    >>> Ones()((2,)).tolist()
    [1.0, 1.0]
    """

    def _strategy(self) -> Strategy:
        return fastinit.Constant(1.0)


@_registered
class Constant(_Fixed, keras.initializers.Constant):
    """The same `value` everywhere, rounded once; an array broadcasts to the shape, as with Keras.

    Examples
    --------
    >>> Constant(0.5)((2,)).tolist()
    [0.5, 0.5]
    """

    def _is_drawn(self) -> bool:
        return type(self.value) in (int, float) and math.isfinite(self.value)

    def _strategy(self) -> Strategy:
        return fastinit.Constant(self.value)


@_registered
class Identity(_Fixed, keras.initializers.Identity):
    """The identity matrix times `gain`.

    Examples
    --------
    >>> Identity(2.0)((2, 2)).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def _strategy(self) -> Strategy:
        return fastinit.eye(self.gain)

    def get_config(self) -> dict[str, Any]:
        """The arguments; not all versions of Keras have the gain among them."""
        return {**super().get_config(), "gain": self.gain}


@_registered
class RandomNormal(_Drawn, keras.initializers.RandomNormal):
    """N(mean, stddev^2).

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = RandomNormal(stddev=0.02, seed=7)((784, 512))
    >>> bool((np.asarray(w) == fi.initialize((784, 512), fi.normal(std=0.02), seed=7)).all())
    True
    """

    def _strategy(self) -> Strategy:
        return fastinit.Normal(self.mean, self.stddev)


@_registered
class RandomUniform(_Drawn, keras.initializers.RandomUniform):
    """U[minval, maxval).

    Examples
    --------
    >>> RandomUniform(0.0, 1.0, seed=7)((2, 3)).shape == (2, 3)
    True
    """

    def _strategy(self) -> Strategy:
        return fastinit.Uniform(self.minval, self.maxval)


@_registered
class TruncatedNormal(_Drawn, keras.initializers.TruncatedNormal):
    """N(mean, stddev^2) without what lies more than 2 stddev from the mean.

    Examples
    --------
    >>> bool((abs(TruncatedNormal(stddev=0.5, seed=7)((20, 30))) <= 1).all())
    True
    """

    def _strategy(self) -> Strategy:
        return fastinit.TruncatedNormal(self.mean, self.stddev)


@_registered
class VarianceScaling(_Drawn, keras.initializers.VarianceScaling):
    """Zero mean and variance ``scale / n``, n counted from the shape by `mode`.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=7)((3, 3, 64, 128))
    >>> same = fi.initialize((3, 3, 64, 128), fi.he_normal(mode="fan_out"), seed=7, layout="...io")
    >>> bool((np.asarray(w) == same).all())
    True
    """

    def _strategy(self) -> Strategy:
        form = "normal" if self.distribution == "untruncated_normal" else self.distribution
        return fastinit.VarianceScaling(self.scale, self.mode, form)

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        options = super()._options(shape)
        inputs, outputs = getattr(self, "input_axes", None), getattr(self, "output_axes", None)
        if inputs is None or outputs is None:
            if len(shape) > 1:
                return options
            inputs = outputs = range(len(shape))  # a vector has as many inputs as outputs, as with Keras
        fan_in, fan_out = (max(1, math.prod(shape[axis] for axis in axes)) for axes in (inputs, outputs))
        return options | {"fan_in": fan_in, "fan_out": fan_out}


@_registered
class GlorotUniform(VarianceScaling, keras.initializers.GlorotUniform):
    """Glorot's (Xavier's) U[-b, b), b = sqrt(6 / (fan_in + fan_out)).

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = GlorotUniform(seed=7)((784, 512))
    >>> bool((np.asarray(w) == fi.initialize((784, 512), "glorot_uniform", seed=7, layout="...io")).all())
    True
    """


@_registered
class GlorotNormal(VarianceScaling, keras.initializers.GlorotNormal):
    """Glorot's (Xavier's) variance, 2 / (fan_in + fan_out), from a normal cut off at 2 std.

    The core calls it "glorot_truncated_normal".
    """


@_registered
class HeUniform(VarianceScaling, keras.initializers.HeUniform):
    """He's U[-b, b), b = sqrt(6 / fan_in)."""


@_registered
class HeNormal(VarianceScaling, keras.initializers.HeNormal):
    """He's variance, 2 / fan_in, from a normal cut off at 2 std: "he_truncated_normal" of the core."""


@_registered
class LecunUniform(VarianceScaling, keras.initializers.LecunUniform):
    """LeCun's U[-b, b), b = sqrt(3 / fan_in)."""


@_registered
class LecunNormal(VarianceScaling, keras.initializers.LecunNormal):
    """LeCun's variance, 1 / fan_in, from a normal cut off at 2 std: "lecun_truncated_normal" of the core."""


@_registered
class Orthogonal(_Drawn, keras.initializers.Orthogonal):
    """A random matrix with orthonormal columns, or rows if it has fewer, times `gain`; all axes but the last are rows.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.asarray(Orthogonal(seed=7)((3, 3, 4, 8))).reshape(36, 8)
    >>> bool(np.allclose(w.T @ w, np.eye(8), atol=1e-6))
    True
    """

    def _strategy(self) -> Strategy:
        return fastinit.Orthogonal(self.gain)


# ---- all else that can be drawn ----


@_registered
class Initializer(_Drawn):
    """Draws whatever `fastinit.initialize` does.

    Parameters
    ----------
    initialization : str or Strategy
        A name of `fastinit.available()`, or a strategy, such as ``fastinit.siren(first=True)``. One that is not the
        package's own is saved as Keras saves objects: its class must be registered and have a `get_config`.
    seed : int or keras.random.SeedGenerator, optional
        As for Keras's initializers.
    layout, fan_in, fan_out, groups
        As for `fastinit.fill`: "...io" is Keras's order of axes, "...bo" a depthwise kernel's. (What the inputs and
        outputs of an EinsumDense are, Keras tells `VarianceScaling` and its subclasses alone.)

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = Initializer("small_init", seed=7)((512, 64))
    >>> bool((np.asarray(w) == fi.initialize((512, 64), "small_init", seed=7, layout="...io")).all())
    True
    """

    def __init__(
        self,
        initialization: str | Strategy | dict[str, Any],
        seed: Any = None,
        layout: str = "...io",
        fan_in: int | None = None,
        fan_out: int | None = None,
        groups: int = 1,
    ) -> None:
        self.initialization = _decoded(initialization)
        as_strategy(self.initialization)
        self._fans = Fans((), layout, fan_in, fan_out, groups)
        self._seeded = keras.initializers.RandomNormal(seed=seed)  # reads a seed, and writes it, as Keras does
        self.seed = self._seeded.seed

    def _strategy(self) -> Strategy:
        return as_strategy(self.initialization)

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        fans = self._fans
        return {
            "layout": fans.layout,
            "fan_in": fans.given_fan_in,
            "fan_out": fans.given_fan_out,
            "groups": fans.groups,
        }

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON can hold them."""
        seed = self._seeded.get_config()["seed"]
        return {"initialization": _encoded(self.initialization), "seed": seed, **self._options(())}


#: By name, the strategies of which a value is a class and its fields.
_STRATEGIES = {
    name: value
    for name, value in vars(fastinit).items()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and issubclass(value, Strategy)
}


def _encoded(value: Any) -> Any:
    """A strategy as its name and fields; a number or a string as it is."""
    if not isinstance(value, Strategy):
        return value
    name = type(value).__name__
    if _STRATEGIES.get(name) is not type(value):
        return keras.saving.serialize_keras_object(value)
    fields = {field.name: _encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return {"strategy": name, "parameters": fields}


def _decoded(value: Any) -> Any:
    """What `_encoded` was given."""
    if not isinstance(value, dict):
        return value
    if "strategy" not in value:
        return keras.saving.deserialize_keras_object(value)
    name = _checks.choice("strategy", value["strategy"], _STRATEGIES)
    return _STRATEGIES[name](**{field: _decoded(each) for field, each in value["parameters"].items()})


IdentityInitializer = identity = Identity
OrthogonalInitializer = orthogonal = Orthogonal
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros
