"""The initializers of `jax.nn.initializers`, name by name and call by call; a key gives the seed and the stream."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, SupportsIndex

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from jax.nn.initializers import Initializer
    from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
except ImportError as error:
    raise ImportError('fastinit.jax needs JAX: pip install "fastinit[jax]"') from error

from . import _parts
from ._fill import Plan, _draw, as_dtype, as_shape, as_threads, checked_plan
from .distributions import Constant, Normal, TruncatedNormal, Uniform
from .orthogonal import DeltaOrthogonal, Orthogonal
from .strategies import Strategy, VarianceScaling

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initializer",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "seed_and_stream",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

#: What a shape is drawn from: an initialization, and the layout, fan_in, fan_out and groups that it is resolved with.
_Law = Callable[[tuple[int, ...]], tuple[str | Strategy, str, int | None, int | None, int]]
_Axes = int | Sequence[int]

# ---- the one initializer ----


def initializer(
    initialization: str | Strategy,
    *,
    layout: str = "...io",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
) -> Initializer:
    """An initializer for JAX that draws whatever `fastinit.initialize` does, to the bit.

    ``init(key, shape, dtype=None, out_sharding=None)`` is what `jax.nn.initializers` and all builders here return:

    - `key` is one key, typed or raw; `seed_and_stream` gives the seed and the stream that are drawn with. No two
      weights may have the same key, as ever in JAX. It is never differentiated.
    - `shape` may have axes of length 0, also where JAX's own cannot divide by them.
    - `dtype` is float32, float64, float16, bfloat16, complex64 or complex128. Without ``jax_enable_x64``, 64-bit parts
      become 32-bit ones, with JAX's warning. None is JAX's default float.
    - With `out_sharding`, a `NamedSharding`, or a `PartitionSpec` under `jax.set_mesh`, each device gets its shard,
      and draws no more (but orthogonal matrices can only be drawn whole). The mesh's axes may be explicit or
      automatic. Without it, the array is on the default device, or on all devices of the mesh that is set.

    Where it is traced (`jit`, `vmap`, `lax.scan`, ...), the host draws when the compiled program runs, by
    `jax.pure_callback`: the same numbers. What `jit` is to shard by its own ``out_shardings`` is drawn as a whole
    before; `out_sharding` here avoids that.

    Parameters
    ----------
    initialization : str or Strategy
        A name of `fastinit.available()`, such as "small_init", or a strategy, such as ``fastinit.siren(first=True)``.
    layout, fan_in, fan_out, groups
        As for `fastinit.fill`; "...io" is JAX's order of axes.

    Returns
    -------
    Initializer
        The function ``init``.

    Raises
    ------
    TypeError, ValueError
        When it is called: if an argument is not what it must be, of the types that JAX's own initializers raise.

    Examples
    --------
    >>> import jax, fastinit as fi
    >>> init = initializer("small_init")
    >>> w = init(jax.random.key(7), (512, 64))
    >>> bool((w == fi.initialize((512, 64), "small_init", seed=7, layout="...io")).all())
    True
    """
    return _initializer(lambda shape: (initialization, layout, fan_in, fan_out, groups))


def _initializer(law: _Law, dtype: Any = None, *, real: bool = False) -> Initializer:
    """The initializer that draws a weight of some shape from `law`, in real dtypes only if it has to be."""

    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> jax.Array:
        shape, clean = as_shape(shape), _clean_dtype(dtype, real)
        initialization, *fans = law(shape)
        planned = checked_plan(initialization, shape, clean, *fans)
        words = _words(key)
        sharding = _as_sharding(out_sharding, shape)
        draw = functools.partial(_drawn, planned, shape, clean)
        if isinstance(words, jax.core.Tracer):
            return _traced(draw, shape, clean, sharding, words)
        words = np.asarray(words)
        if sharding is None:
            return jax.device_put(draw(words))
        sharding = _on_devices(sharding)
        if planned is not None and planned.whole is not None:
            return jax.make_array_from_callback(shape, sharding, draw(words).__getitem__, clean)
        return jax.make_array_from_callback(shape, sharding, functools.partial(draw, words), clean)

    return init


def _clean_dtype(dtype: Any, real: bool) -> np.dtype:
    """`dtype` as the one that JAX makes of it; a ValueError, as JAX's, if it cannot be drawn."""
    clean = jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
    if dtype is not None and clean != np.dtype(dtype):
        clean = jnp.zeros((), dtype).dtype  # which warns of what is lost, or refuses
    try:
        return as_dtype(clean, real=real)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _drawn(
    planned: Plan | None, shape: tuple[int, ...], dtype: np.dtype, words: Any, index: tuple[slice, ...] | None = None
) -> np.ndarray:
    """A weight, or a part of it, in fresh memory that JAX may keep; only NumPy runs here, for a callback may deadlock.

    On a CPU, `jax.device_put` does not copy what begins at a multiple of 64 bytes.
    """
    part = None if index is None else _parts.part(index, shape)
    out_shape = shape if part is None else part.shape
    size = math.prod(out_shape)
    memory = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    out = memory[start : start + size * dtype.itemsize].view(dtype).reshape(out_shape)
    _draw(out, planned, part, *_seed_and_stream(np.asarray(words)), as_threads(None, size))
    return out


# ---- keys ----


def seed_and_stream(key: Any) -> tuple[int, int]:
    """The seed and the stream that weights are drawn with for a key, so that NumPy or another framework can, too.

    The first two words of the key's data are the seed, the high one first: ``jax.random.key(7)`` has the seed 7. If
    there are two more (as in the "rbg" generators), they are the stream, likewise; else it is 0.

    Parameters
    ----------
    key : jax.Array
        One key: typed, of `jax.random.key`, or the uint32 words of `jax.random.PRNGKey`.

    Returns
    -------
    tuple of int
        The seed and the stream, in [0, 2^64).

    Raises
    ------
    TypeError, ValueError
        If `key` is no key, or is an array of keys; under `jit`, JAX's error for values that are not known yet.

    Examples
    --------
    >>> import jax, fastinit as fi
    >>> seed_and_stream(jax.random.key(7))
    (7, 0)
    >>> key = jax.random.fold_in(jax.random.key(7), 1)
    >>> seed, stream = seed_and_stream(key)
    >>> w = fi.initialize((3, 5), "he_truncated_normal", seed=seed, stream=stream, layout="...io")
    >>> bool((w == he_normal()(key, (3, 5))).all())
    True
    """
    return _seed_and_stream(np.asarray(_words(key)))


def _words(key: Any) -> jax.Array:
    """The data of a single key; JAX raises where it is no key. A tracer wherever a computation is traced."""
    words = jax.random.key_data(key)
    if words.ndim != 1:
        raise ValueError(f"key must be a single key; got keys of shape {words.shape[:-1]}: use jax.vmap")
    return words


def _seed_and_stream(words: np.ndarray) -> tuple[int, int]:
    data = words.astype(">u4").tobytes()
    return int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")


# ---- shards and traces ----


def _as_sharding(out_sharding: Any, shape: tuple[int, ...]) -> NamedSharding | None:
    """The sharding that is asked for; if none is, that of a mesh that is set; None where arrays are on one device."""
    mesh = jax.sharding.get_abstract_mesh()
    if out_sharding is None:
        if mesh.empty or AxisType.Manual in mesh.axis_types:  # no mesh, or within shard_map, each device on its own
            return None
        out_sharding = PartitionSpec()
    if isinstance(out_sharding, PartitionSpec):
        if mesh.empty:
            raise ValueError(f"out_sharding must be a NamedSharding unless under jax.set_mesh; got {out_sharding}")
        out_sharding = NamedSharding(mesh, out_sharding)
    if not isinstance(out_sharding, NamedSharding):
        raise TypeError(f"out_sharding must be a NamedSharding or a PartitionSpec; got {out_sharding!r}")
    if len(out_sharding.spec) > len(shape):
        raise ValueError(f"out_sharding must have at most an entry for each axis of {shape}; got {out_sharding.spec}")
    out_sharding.shard_shape(shape)  # a ValueError where an axis cannot be divided so
    return out_sharding


def _on_devices(sharding: NamedSharding) -> NamedSharding:
    """`sharding` over real devices: those of the mesh that is set, where it does not say. Not for a trace."""
    if isinstance(sharding.mesh, AbstractMesh):
        return NamedSharding(jax.sharding.get_mesh(), sharding.spec)
    return sharding


def _traced(
    draw: Callable[..., np.ndarray], shape: tuple[int, ...], dtype: np.dtype, sharding: NamedSharding | None, words: Any
) -> jax.Array:
    """The weight that the host draws when the traced computation runs: once, or each device its shard."""
    if sharding is None:
        drawn: jax.Array = jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words, vmap_method="sequential")
        return drawn
    local = sharding.shard_shape(shape)
    names = (*sharding.spec, *[None] * (len(shape) - len(sharding.spec)))

    def shard(words: Any, *places: Any) -> np.ndarray:
        index = [slice(int(place) * n, (int(place) + 1) * n) for place, n in zip(places, local, strict=True)]
        return draw(words, tuple(index))

    def on_each_device(words: Any) -> jax.Array:
        places = [jax.lax.axis_index(name) if name else 0 for name in names]
        return jax.pure_callback(shard, jax.ShapeDtypeStruct(local, dtype), words, *places, vmap_method="sequential")

    return _over(sharding, on_each_device, PartitionSpec())(words)


def _over(sharding: NamedSharding, function: Callable[..., Any], in_specs: Any) -> Callable[..., jax.Array]:
    """`function` of a shard, run on each device, its results put together as `sharding` says."""
    mapped: Callable[..., jax.Array] = jax.shard_map(
        function,
        mesh=sharding.mesh,
        in_specs=in_specs,
        out_specs=sharding.spec,
        check_vma=False,  # that replicas are equal, JAX cannot prove of a callback
    )
    return mapped


# ---- builders ----


def constant(value: Any, dtype: Any = None) -> Initializer:
    """The same `value` everywhere: `jax.numpy.full`, in any dtype of JAX, and sharded. The key is not looked at.

    Parameters
    ----------
    value : array_like
        A number, or what broadcasts to the shape.
    dtype : dtype-like, optional
        The default dtype of the initializer.

    Examples
    --------
    >>> import jax
    >>> constant(-7)(jax.random.key(0), (3,))
    Array([-7., -7., -7.], dtype=float32)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> jax.Array:
        shape = as_shape(shape)
        sharding = _as_sharding(out_sharding, shape)
        dtype = float if dtype is None else dtype
        if sharding is None:
            return jnp.full(shape, value, dtype)
        if isinstance(jnp.zeros(()), jax.core.Tracer):  # within a trace
            whole = jax.device_put(jnp.full(shape, value, dtype), sharding)
            return _over(sharding, lambda shard: shard, sharding.spec)(whole)
        everywhere = np.broadcast_to(np.asarray(jnp.asarray(value, dtype)), shape)
        return jax.make_array_from_callback(shape, _on_devices(sharding), everywhere.__getitem__, everywhere.dtype)

    return init


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> jax.Array:
    """Zeros, in any dtype of JAX. The key is not looked at.

    Examples
    --------
    >>> import jax
    >>> zeros(jax.random.key(0), (3,))
    Array([0., 0., 0.], dtype=float32)
    """
    return constant(0)(key, shape, dtype, out_sharding)


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> jax.Array:
    """Ones, in any dtype of JAX. The key is not looked at.

    Examples
    --------
    >>> import jax
    >>> ones(jax.random.key(0), (3,))
    Array([1., 1., 1.], dtype=float32)
    """
    return constant(1)(key, shape, dtype, out_sharding)


def _of_any_shape(strategy: Strategy, dtype: Any, *, real: bool = False) -> Initializer:
    return _initializer(lambda shape: (strategy, "...", None, None, 1), dtype, real=real)


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """U[0, scale), in real dtypes.

    Parameters
    ----------
    scale : float
        The upper bound, finite, 0 or more.
    dtype : dtype-like, optional
        The default dtype of the initializer.

    Examples
    --------
    >>> import jax
    >>> bool((uniform(10.0)(jax.random.key(0), (2, 3)) < 10).all())
    True
    """
    return _of_any_shape(Constant() if scale == 0 else Uniform(0.0, scale), dtype, real=True)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """N(0, stddev^2).

    Parameters
    ----------
    stddev : float
        The standard deviation, finite, 0 or more.
    dtype : dtype-like, optional
        The default dtype of the initializer.

    Examples
    --------
    >>> import jax
    >>> normal(5.0)(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return _of_any_shape(Normal(0.0, stddev), dtype)


def truncated_normal(stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0) -> Initializer:
    """N(0, stddev^2) within [lower * stddev, upper * stddev], in real dtypes.

    Parameters
    ----------
    stddev : float
        The standard deviation before the cut, finite, 0 or more.
    dtype : dtype-like, optional
        The default dtype of the initializer.
    lower, upper : float
        The bounds, in standard deviations.

    Examples
    --------
    >>> import jax
    >>> bool((abs(truncated_normal(5.0)(jax.random.key(0), (2, 3))) <= 10).all())
    True
    """
    law = TruncatedNormal(0.0, 1.0 if stddev == 0 else stddev, lower, upper)
    return _of_any_shape(Constant() if stddev == 0 else law, dtype, real=True)


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: _Axes = -2,
    out_axis: _Axes = -1,
    batch_axis: _Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Zero mean and variance scale / n: `fastinit.VarianceScaling`, with the fans of these axes.

    All axes together have fan_in times the lengths of `out_axis` and `batch_axis`, and likewise fan_out.

    Complex weights have real and imaginary parts that are independent, each of the law with half the variance. JAX's
    own are uniform on a disk, or cut off at a modulus; of the same variance.

    Parameters
    ----------
    scale : float
        The factor above n, finite; 0 gives zeros.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        What n is.
    distribution : {"truncated_normal", "normal", "uniform"}
        The law's form; a truncated normal is cut off at 2 standard deviations.
    in_axis, out_axis, batch_axis : int or sequence of int
        Axes of inputs, of outputs, and of separate matrices; all others are the receptive field. An axis may be named
        twice, as by Flax's embeddings.
    dtype : dtype-like, optional
        The default dtype of the initializer.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be; when called, if the shape has one axis and `in_axis` is -2.
    IndexError
        When called, if an axis is not one of the shape's.

    Examples
    --------
    >>> import jax, fastinit as fi
    >>> init = variance_scaling(1.0, "fan_avg", "uniform", in_axis=(0, 1), out_axis=2)
    >>> w = init(jax.random.key(7), (4, 8, 16))
    >>> same = fi.initialize((4, 8, 16), "xavier_uniform", seed=7, fan_in=32, fan_out=16)
    >>> bool((w == same).all())
    True
    """
    nothing = scale == 0
    strategy = VarianceScaling(1.0 if nothing else scale, mode, distribution)

    def law(shape: tuple[int, ...]) -> tuple[Strategy, str, int | None, int | None, int]:
        if len(shape) < 2 and isinstance(in_axis, int) and in_axis == -2:
            raise ValueError(f"shape must have at least 2 axes, or in_axis be given; got shape {shape}")
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        if nothing or 0 in shape:
            return Constant(), "...", None, None, 1
        # Where an axis is named twice, a fan may be a fraction; only scale / n matters, so both by their denominators.
        common = math.lcm(fan_in.denominator, fan_out.denominator)
        scaled = strategy if common == 1 else dataclasses.replace(strategy, scale=strategy.scale * common)
        return scaled, "...", int(fan_in * common), int(fan_out * common), 1

    return _initializer(law, dtype)


def _fans(shape: tuple[int, ...], in_axis: Any, out_axis: Any, batch_axis: Any) -> tuple[Fraction, Fraction]:
    """The fan_in and fan_out of these axes, exactly; 0 where the shape has no elements."""
    inputs = _length("in_axis", in_axis, shape)
    outputs = _length("out_axis", out_axis, shape)
    batch = _length("batch_axis", batch_axis, shape)
    if 0 in shape:
        return Fraction(0), Fraction(0)
    elements = math.prod(shape)
    return Fraction(elements, outputs * batch), Fraction(elements, inputs * batch)


def _length(argument: str, axes: Any, shape: tuple[int, ...]) -> int:
    """The product of the lengths of these axes of `shape`."""
    try:
        each = [operator.index(axis) for axis in ((axes,) if isinstance(axes, SupportsIndex) else axes)]
    except TypeError:
        raise TypeError(f"{argument} must be an integer or a sequence of integers; got {axes!r}") from None
    if not all(-len(shape) <= axis < len(shape) for axis in each):
        raise IndexError(f"{argument} must lie within the axes of shape {shape}; got {axes!r}")
    return math.prod(shape[axis] for axis in each)


def glorot_uniform(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """Glorot's (Xavier's) U[-b, b), b = sqrt(6 / (fan_in + fan_out)); see `variance_scaling`.

    Examples
    --------
    >>> import jax
    >>> glorot_uniform()(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """Glorot's (Xavier's) variance, 2 / (fan_in + fan_out), from a normal cut off at 2 std; see `variance_scaling`.

    The core calls it "glorot_truncated_normal".

    Examples
    --------
    >>> import jax
    >>> glorot_normal()(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return variance_scaling(1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def lecun_uniform(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """LeCun's U[-b, b), b = sqrt(3 / fan_in); see `variance_scaling`.

    Examples
    --------
    >>> import jax
    >>> lecun_uniform()(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """LeCun's variance, 1 / fan_in, from a normal cut off at 2 std; see `variance_scaling`.

    The core calls it "lecun_truncated_normal".

    Examples
    --------
    >>> import jax
    >>> lecun_normal()(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """He's (Kaiming's) U[-b, b), b = sqrt(6 / fan_in); see `variance_scaling`.

    Examples
    --------
    >>> import jax
    >>> he_uniform()(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None) -> Initializer:
    """He's (Kaiming's) variance, 2 / fan_in, from a normal cut off at 2 std; see `variance_scaling`.

    The core calls it "he_truncated_normal".

    Examples
    --------
    >>> import jax, fastinit as fi
    >>> w = he_normal()(jax.random.key(7), (3, 3, 64, 128))
    >>> same = fi.initialize((3, 3, 64, 128), "he_truncated_normal", seed=7, layout="...io")
    >>> bool((w == same).all())
    True
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """A random orthogonal matrix times `scale`: `fastinit.orthogonal`, its outputs along `column_axis`.

    It is drawn whole on the host, under `jit` by each device of a sharding.

    Parameters
    ----------
    scale : float
        The factor, finite.
    column_axis : int
        The axis of the columns, which are orthonormal where the other axes have as many elements or more; else the
        rows are.
    dtype : dtype-like, optional
        The default dtype of the initializer; also float16 and bfloat16, unlike JAX's own.

    Raises
    ------
    ValueError
        When called, if the shape has fewer than 2 axes.
    IndexError
        When called, if `column_axis` is not one of them.

    Examples
    --------
    >>> import jax
    >>> w = orthogonal()(jax.random.key(0), (3, 8))
    >>> bool(jax.numpy.allclose(w @ w.T, jax.numpy.eye(3), atol=1e-6))
    True
    """
    strategy = Orthogonal(scale)

    def law(shape: tuple[int, ...]) -> tuple[Strategy, str, int | None, int | None, int]:
        if len(shape) < 2:
            raise ValueError(f"shape must have at least 2 axes; got {shape}")
        _length("column_axis", column_axis, shape)
        letters = ["r"] * len(shape)
        letters[column_axis] = "o"
        return strategy, "".join(letters), None, None, 1

    return _initializer(law, dtype)


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """A random orthogonal matrix times `scale` at the centre of a convolution: `fastinit.delta_orthogonal`.

    Parameters
    ----------
    scale : float
        The factor, finite.
    column_axis : int
        -2, -1, 0 or 1, an axis of the matrix (in, out), as in JAX; its law is the same for each, and so is what is
        drawn.
    dtype : dtype-like, optional
        The default dtype of the initializer.

    Raises
    ------
    ValueError
        When called, if the shape has not 3 to 5 axes, or more inputs (the axis -2) than outputs (-1).
    IndexError
        When called, if `column_axis` is another axis.

    Examples
    --------
    >>> import jax
    >>> w = delta_orthogonal()(jax.random.key(0), (3, 2, 4))
    >>> bool((w[0] == 0).all() and jax.numpy.allclose(w[1] @ w[1].T, jax.numpy.eye(2), atol=1e-6))
    True
    """
    strategy = DeltaOrthogonal(scale)

    def law(shape: tuple[int, ...]) -> tuple[Strategy, str, int | None, int | None, int]:
        if len(shape) not in (3, 4, 5):
            raise ValueError(f"shape must have 3 to 5 axes; got {shape}")
        _length("column_axis", column_axis, shape[-2:])
        return strategy, "...io", None, None, 1

    return _initializer(law, dtype)
