"""`initialize` and `fill`: validate, resolve, hand spans to the kernels."""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np

from . import _checks, _config, _kernels
from ._fans import Fans
from .distributions import Distribution
from .strategies import Strategy, as_strategy

Seed: TypeAlias = int | np.integer | np.random.Generator | np.random.SeedSequence | None

_GREATEST_WORD = 2**64 - 1
_DTYPES = {np.dtype(name): name for name in ("float32", "float64")}
_DTYPE_RULE = " or ".join(_DTYPES.values())


class Plan(NamedTuple):
    """What one weight is drawn from, ready for the kernels."""

    distribution: Distribution
    kind: int
    parameters: tuple[float, ...]


@functools.lru_cache(maxsize=4096, typed=True)
def plan(
    initialization: str | Strategy,
    shape: tuple[int, ...],
    dtype: np.dtype,
    layout: str = "oi...",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
) -> Plan | None:
    """Resolve an initialization for a whole tensor of `shape`; None where the tensor has no elements.

    The arithmetic runs in the default floating-point environment, for it decides bits as the kernels do.
    """
    with _kernels.default_float_environment(), np.errstate(all="ignore"):
        strategy = as_strategy(initialization)
        fans = Fans(shape, layout, fan_in, fan_out, groups)
        if 0 in shape:
            return None
        distribution = strategy.resolve(fans)
        kernel, parameters = distribution.kernel(dtype)
        return Plan(distribution, _kernels.KINDS[kernel, _DTYPES[dtype]], parameters)


def as_dtype(dtype: Any) -> np.dtype:
    """`dtype` as one that the kernels can draw."""
    try:
        clean: np.dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be {_DTYPE_RULE}; got {dtype!r}") from None
    if clean not in _DTYPES:
        raise TypeError(f"dtype must be {_DTYPE_RULE}; got {_dtype_name(clean)}")
    return clean


def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"


def as_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of ints, none negative."""
    if isinstance(shape, np.ndarray) and shape.ndim:
        shape = tuple(shape)
    elif isinstance(shape, SupportsIndex):
        shape = (shape,)
    elif isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):
        raise TypeError(f"shape must be an integer or a sequence of integers; got {shape!r}")
    return tuple(_checks.integer("each dimension of shape", n, least=0) for n in shape)


def as_seed(seed: Seed) -> int:
    """`seed` as a 64-bit word; None draws one from the operating system."""
    if type(seed) is int and 0 <= seed <= _GREATEST_WORD:
        return seed
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(_GREATEST_WORD, dtype=np.uint64, endpoint=True))
    if isinstance(seed, np.random.SeedSequence):
        return int(seed.generate_state(1, np.uint64)[0])
    return _checks.integer("seed", seed, least=0, most=_GREATEST_WORD)


def as_stream(stream: int | str) -> int:
    """`stream` as a 64-bit word; a name gives the first 8 bytes of its BLAKE2b hash, little-endian."""
    if type(stream) is int and 0 <= stream <= _GREATEST_WORD:
        return stream
    if isinstance(stream, str):
        return _stream_of_name(stream)
    return _checks.integer("stream", stream, least=0, most=_GREATEST_WORD)


@functools.lru_cache(maxsize=4096)
def _stream_of_name(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def as_threads(threads: int | None, size: int) -> int:
    """The most threads to use for a fill of `size` elements."""
    if threads is None:
        if size < 2 * _kernels.THREAD_ELEMENTS:
            return 1  # the kernels would use no more: do not ask how many there are
        threads = _config.default_threads()
    elif type(threads) is not int or threads < 1:
        threads = _checks.integer("threads", threads, least=1)
    return min(threads, _kernels.MAX_THREADS)


def checked_plan(*arguments: Any) -> Plan | None:
    """`plan`, for arguments that may turn out not to be hashable."""
    try:
        return plan(*arguments)
    except TypeError:
        pass
    return plan.__wrapped__(*arguments)  # a strategy that is not hashable, or the error that says what is wrong


def initialize(
    shape: SupportsIndex | Sequence[SupportsIndex],
    initialization: str | Strategy,
    *,
    seed: Seed = None,
    stream: int | str = 0,
    dtype: Any = "float32",
    layout: str = "oi...",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
    threads: int | None = None,
) -> np.ndarray:
    """A new array of initialized weights.

    Parameters
    ----------
    shape : int or sequence of int
        The array's shape.
    initialization : str or Strategy
        What to draw, as for `fill`.
    dtype : dtype-like
        float32 or float64.
    seed, stream, layout, fan_in, fan_out, groups, threads
        As for `fill`.

    Returns
    -------
    numpy.ndarray
        A C-contiguous array of that shape and dtype.

    Raises
    ------
    TypeError, ValueError
        As for `fill`, and if `shape` or `dtype` is not one; nothing is allocated then.

    Examples
    --------
    >>> import fastinit as fi
    >>> w = fi.initialize((512, 784), "he", seed=0, stream="fc1.weight")
    >>> w.shape, w.dtype
    ((512, 784), dtype('float32'))
    """
    shape, dtype = as_shape(shape), as_dtype(dtype)
    planned = checked_plan(initialization, shape, dtype, layout, fan_in, fan_out, groups)
    threads = as_threads(threads, math.prod(shape))
    stream, seed = as_stream(stream), as_seed(seed)  # the seed last: a generator gives nothing away on an error
    out = np.empty(shape, dtype)
    if planned is not None:
        _kernels.fill(out, planned.kind, planned.parameters, seed, stream, 0, threads)
    return out


def fill(
    out: np.ndarray,
    initialization: str | Strategy,
    *,
    seed: Seed = None,
    stream: int | str = 0,
    layout: str = "oi...",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
    threads: int | None = None,
) -> np.ndarray:
    """Fill an array with initialized weights, in place.

    Each element is a pure function of (seed, stream, its C-order position, what is drawn): the same on every machine,
    with any number of threads.

    Parameters
    ----------
    out : numpy.ndarray
        A writable C-contiguous array of float32 or float64.
    initialization : str or Strategy
        What to draw: a name of `available()`, such as "he", or a strategy, such as ``he_normal(negative_slope=0.1)``.
    seed : int, numpy.random.Generator, numpy.random.SeedSequence or None
        One seed a model: an integer in [0, 2^64). A Generator or SeedSequence gives one 64-bit word, None draws one
        from the operating system.
    stream : int or str
        One stream a tensor: an integer in [0, 2^64), or the tensor's name. The same seed and stream give the same
        numbers again, so two layers filled alike would be copies of each other.
    layout : str
        A letter for each axis: `o` output, `i` input, `b` a batch of separate matrices (experts, heads), any other
        letter or `...` the receptive field. "oi..." is PyTorch's, "...io" Keras's and JAX's, "io..." a transposed
        convolution's. Only strategies that depend on fan look at it.
    fan_in, fan_out : int, optional
        Overrule what layout and shape say.
    groups : int
        The groups of a grouped convolution.
    threads : int, optional
        The most threads to use; by default FASTINIT_NUM_THREADS, else OMP_NUM_THREADS, else the processors that this
        process may use. A small fill uses one.

    Returns
    -------
    numpy.ndarray
        `out`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be; `out` is untouched then.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = np.empty((64, 3, 7, 7), np.float32)
    >>> fi.fill(w, "he_normal", seed=0, stream="conv1.weight") is w
    True
    >>> bool(abs(w.std() / np.sqrt(2 / (3 * 7 * 7)) - 1) < 0.02)
    True
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array; got {type(out).__name__}")
    dtype = out.dtype
    if dtype not in _DTYPES:
        raise TypeError(f"out must be an array of {_DTYPE_RULE}; got {_dtype_name(dtype)}")
    flags = out.flags
    if not flags.writeable:
        raise ValueError("out must be writable; got a read-only array")
    if not flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous; got shape {out.shape} with strides {out.strides}")
    planned = checked_plan(initialization, out.shape, dtype, layout, fan_in, fan_out, groups)
    threads = as_threads(threads, out.size)
    stream, seed = as_stream(stream), as_seed(seed)
    if planned is not None:
        _kernels.fill(out, planned.kind, planned.parameters, seed, stream, 0, threads)
    return out
