"""`initialize` and `fill`: validate, resolve, hand spans to the kernels."""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex, TypeAlias, TypeVar

import numpy as np

from . import _checks, _config, _kernels, _parts
from ._fans import Fans
from .distributions import Constant, Distribution, Finish, Whole
from .strategies import Strategy, as_strategy

Array = TypeVar("Array")
Seed: TypeAlias = int | np.integer | np.random.Generator | np.random.SeedSequence | None

_GREATEST_WORD = 2**64 - 1
#: The dtypes that the kernels draw. bfloat16 is added when it is first seen: its package takes time to import.
_DTYPES = {np.dtype(name): name for name in ("float32", "float64", "float16", "complex64", "complex128")}
_DTYPE_RULE = "float32, float64, float16, bfloat16, complex64 or complex128"
_REAL_RULE = "float32, float64, float16 or bfloat16"


class Plan(NamedTuple):
    """What one weight is drawn from, ready for the kernels."""

    distribution: Distribution
    kind: int
    parameters: tuple[float, ...]
    finish: Finish | None = None
    whole: Whole | None = None


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
        law, drawn = distribution, dtype
        if dtype.kind == "c":
            law, drawn = _law_of_parts(distribution, shape, dtype), _real_dtype(dtype)
        kernel, parameters = law.kernel(drawn)
        finish, whole = law.finish(drawn), law.whole(drawn)
        if dtype.kind == "c" and isinstance(law, Constant) and law.value:
            finish = _make_real
        kind = _kernels.KINDS[kernel, _DTYPES[drawn if whole is None else _real_dtype(whole.dtype)]]
        return Plan(distribution, kind, parameters, finish, whole)


def _law_of_parts(distribution: Distribution, shape: tuple[int, ...], dtype: np.dtype) -> Distribution:
    """What the real and the imaginary part of complex weights are drawn from; what is not random stays real."""
    if math.prod(shape) >= 2**62 or len(shape) > 63:
        raise ValueError(f"shape must have at most 63 axes and fewer than 2^62 elements for {dtype}; got {shape}")
    half = distribution.halved()
    if half is None:
        raise TypeError(f"dtype must be real for {distribution!r}; got {dtype}")
    return half


def _real_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the real and of the imaginary part of numbers of a complex `dtype`; a real one itself."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def _real_view(array: np.ndarray) -> np.ndarray:
    """A complex array as the real one of one more axis, of length 2; a real one itself."""
    return np.asarray(array)[..., None].view(_real_dtype(array.dtype)) if array.dtype.kind == "c" else array


def _make_real(box: np.ndarray, ranges: tuple[range, ...], seed: int, stream: int) -> None:
    box.imag = 0


def as_dtype(dtype: Any, *, real: bool = False) -> np.dtype:
    """`dtype` as one that can be drawn, and that is real if it has to be."""
    rule = _REAL_RULE if real else _DTYPE_RULE
    if isinstance(dtype, str) and dtype == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise TypeError("dtype bfloat16 must come from the package ml_dtypes: pip install ml_dtypes") from None
        dtype = ml_dtypes.bfloat16
    try:
        clean: np.dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be {rule}; got {dtype!r}") from None
    if not _is_drawn(clean) or (real and clean.kind == "c"):
        raise TypeError(f"dtype must be {rule}; got {_dtype_name(clean)}")
    return clean


def _is_drawn(dtype: np.dtype) -> bool:
    if dtype in _DTYPES:
        return True
    if dtype.name == "bfloat16" and dtype.isnative:
        _DTYPES[dtype] = "bfloat16"
        return True
    return False


def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"


def as_array(out: Any) -> np.ndarray:
    """`out` as a writable array over the same memory, of a dtype that the kernels can draw."""
    array = out if isinstance(out, np.ndarray) else _view(out)
    dtype = array.dtype
    if dtype not in _DTYPES and not _is_drawn(dtype):
        raise TypeError(f"out must be an array of {_DTYPE_RULE}; got {_dtype_name(dtype)}")
    flags = array.flags
    if not flags.writeable:
        raise ValueError("out must be writable; got a read-only array")
    if not flags.c_contiguous and _overlaps(array):
        raise ValueError(f"out must not overlap itself; got shape {array.shape} with strides {array.strides}")
    return array


def _view(out: Any) -> np.ndarray:
    """The memory of another library's array, by the buffer protocol or by DLPack."""
    rule = "a NumPy array, or an array in main memory with the buffer protocol or __dlpack__"
    try:
        memory = memoryview(out)
    except (BufferError, TypeError, ValueError):
        memory = None
    try:
        return np.from_dlpack(out) if memory is None else np.asarray(memory)
    except AttributeError:
        raise TypeError(f"out must be {rule}; got {type(out).__name__}") from None
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"out must be {rule}; got {type(out).__name__}: {error}") from error


def _overlaps(array: np.ndarray) -> bool:
    """Whether two elements may share memory: some axis takes shorter steps than what is nearer in memory is long."""
    reach = array.itemsize
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True) if n != 1):
        if stride < reach and array.size:
            return True
        reach += stride * (n - 1)
    return False


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


def _draw(
    out: np.ndarray, planned: Plan | None, part: _parts.Part | _parts.Span | None, seed: int, stream: int, threads: int
) -> None:
    """Draw the whole or, where it is given, a part or a span of a tensor into `out`."""
    if planned is None:
        return
    if planned.whole is not None:
        _draw_whole(out, planned, planned.whole, part, seed, stream, threads)
        return
    start, steps = (0, None) if part is None else (part.start, part.steps)
    if out.dtype.kind == "c":  # the real tensor of one more axis: real parts first
        start, steps = 2 * start, None if steps is None else (*(2 * step for step in steps), 1)
    _kernels.fill(_real_view(out), planned.kind, planned.parameters, seed, stream, start, threads, None, steps)
    if planned.finish is not None:
        part = _parts.part(..., out.shape) if part is None else part
        for box, ranges in part.boxes(np.asarray(out)):
            planned.finish(box, ranges, seed, stream)


def _draw_whole(
    out: np.ndarray,
    planned: Plan,
    whole: Whole,
    part: _parts.Part | _parts.Span | None,
    seed: int,
    stream: int,
    threads: int,
) -> None:
    """Make a whole tensor, and only then write what is asked for into `out`."""
    drawn = np.empty(whole.shape, whole.dtype)
    _kernels.fill(_real_view(drawn), planned.kind, planned.parameters, seed, stream, 0, threads)
    with _kernels.default_float_environment(), np.errstate(all="ignore"):
        made = whole.made(drawn)
        part = _parts.part(..., out.shape) if part is None else part
        for box, ranges in part.boxes(np.asarray(out)):
            box[...] = made[tuple(slice(coordinates[0], coordinates[-1] + 1) for coordinates in ranges)]


def _check_part(
    planned: Plan | None, part: _parts.Part, shape: tuple[int, ...], index: Any, initialization: Any
) -> None:
    """Refuse a part of what can only be drawn whole."""
    if planned is not None and planned.whole is not None and part.ranges != tuple(map(range, shape)):
        raise ValueError(
            f"index must be None for {as_strategy(initialization)!r}: every element depends on all others, so draw the "
            f"whole and slice it; got {index!r}"
        )


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
    index: Any = None,
    threads: int | None = None,
) -> np.ndarray:
    """A new array of initialized weights.

    Parameters
    ----------
    shape : int or sequence of int
        The tensor's shape.
    initialization : str or Strategy
        What to draw, as for `fill`.
    dtype : dtype-like
        float32, float64, float16, bfloat16 (which the package ml_dtypes gives NumPy), complex64 or complex128.
    index : int, slice, ellipsis or tuple of these, optional
        Draw only this part of the tensor: the result is ``initialize(shape, ...)[index]``, byte for byte, at the cost
        of the part alone. Steps may be negative.
    seed, stream, layout, fan_in, fan_out, groups, threads
        As for `fill`.

    Returns
    -------
    numpy.ndarray
        A C-contiguous array of that dtype, and of that shape or of the part's.

    Raises
    ------
    TypeError, ValueError
        As for `fill`, and if `shape` or `dtype` is not one; nothing is allocated then.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = fi.initialize((512, 784), "he", seed=0, stream="fc1.weight")
    >>> w.shape, w.dtype
    ((512, 784), dtype('float32'))
    >>> rows = fi.initialize((512, 784), "he", seed=0, stream="fc1.weight", index=np.s_[128:256])
    >>> bool((rows == w[128:256]).all())
    True
    """
    shape, dtype = as_shape(shape), as_dtype(dtype)
    part = None if index is None else _parts.part(index, shape)
    planned = checked_plan(initialization, shape, dtype, layout, fan_in, fan_out, groups)
    if part is not None:
        _check_part(planned, part, shape, index, initialization)
    out_shape = shape if part is None else part.shape
    threads = as_threads(threads, math.prod(out_shape))
    stream, seed = as_stream(stream), as_seed(seed)  # the seed last: a generator gives nothing away on an error
    out = np.empty(out_shape, dtype)
    _draw(out, planned, part, seed, stream, threads)
    return out


def fill(
    out: Array,
    initialization: str | Strategy,
    *,
    seed: Seed = None,
    stream: int | str = 0,
    layout: str = "oi...",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
    shape: SupportsIndex | Sequence[SupportsIndex] | None = None,
    index: Any = None,
    threads: int | None = None,
) -> Array:
    """Fill an array with initialized weights, in place.

    Each element is a pure function of (seed, stream, its C-order position in the tensor, what is drawn): the same on
    every machine, with any number of threads, in memory of any layout. (Only what is `orthogonal` is drawn whole or
    not at all, and is the same on another machine to rounding.)

    Complex weights of a shape are the real ones of that shape and a last axis of 2, the real part first. Each part has
    half the variance that is asked for, so that E|w|^2 is the variance of a real weight; bounds are narrowed by sqrt(2)
    likewise. The law must be one of mean 0, and its bounds symmetric. Constants and identities are real,
    orthogonal matrices unitary.

    Parameters
    ----------
    out : numpy.ndarray, or any array with the buffer protocol or ``__dlpack__`` in main memory
        A writable array of float32, float64, float16, bfloat16, complex64 or complex128, in native byte order; strided,
        Fortran-ordered or misaligned, too.
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
        convolution's, "...bo" a depthwise kernel's (h, w, channels, multiplier). Only strategies that depend on fan,
        identities and orthogonal matrices look at it.
    fan_in, fan_out : int, optional
        Overrule what layout and shape say, as where a transposed convolution's stride keeps inputs from an output.
    groups : int
        The groups of a grouped convolution, which divide the axis that spans them: the channels of a depthwise one
        whose weight is (channels * multiplier, 1, h, w).
    shape : int or sequence of int, optional
        With `index`, the whole tensor's shape, which fans are counted from; `out` holds the part.
    index : int, slice, ellipsis or tuple of these, optional
        Draw only this part of the tensor: `out` becomes ``initialize(shape, ...)[index]``, at the cost of the part
        alone. Steps may be negative.
    threads : int, optional
        The most threads to use; by default FASTINIT_NUM_THREADS, else OMP_NUM_THREADS, else the processors that this
        process may use. A small fill uses one.

    Returns
    -------
    numpy.ndarray, or whatever `out` is
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
    >>> shard = np.empty((16, 3, 7, 7), np.float32)
    >>> whole, rows = (64, 3, 7, 7), np.s_[16:32]
    >>> shard = fi.fill(shard, "he_normal", seed=0, stream="conv1.weight", shape=whole, index=rows)
    >>> bool((shard == w[rows]).all())
    True
    """
    array = as_array(out)
    part, whole = None, array.shape
    if shape is not None or index is not None:
        part, whole = _part_of(shape, index, whole)
    planned = checked_plan(initialization, whole, array.dtype, layout, fan_in, fan_out, groups)
    if part is not None:
        _check_part(planned, part, whole, index, initialization)
    threads = as_threads(threads, array.size)
    stream, seed = as_stream(stream), as_seed(seed)
    _draw(array, planned, part, seed, stream, threads)
    return out


def _part_of(shape: Any, index: Any, out_shape: tuple[int, ...]) -> tuple[_parts.Part, tuple[int, ...]]:
    """The part of a tensor that an array holds, and the tensor's shape."""
    if shape is None:
        raise ValueError(f"shape must be the whole tensor's where index is given; got None with index {index!r}")
    shape = as_shape(shape)
    part = _parts.part(... if index is None else index, shape)
    if part.shape != out_shape:
        raise ValueError(f"out must have shape {part.shape}, that of index {index!r} of {shape}; got {out_shape}")
    return part, shape
