"""Dask's idiom: weights as a lazy `dask.array.Array`, whose blocks are drawn each by itself, where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

try:
    import dask.array
    from dask.base import tokenize
except ImportError as error:
    raise ImportError('fastinit.dask needs dask.array: pip install "fastinit[dask]"') from error

from . import _fill
from ._fans import Fans
from .strategies import Strategy, as_strategy

__all__ = ["initialize"]


@dataclass(frozen=True)
class _Weight:
    """A tensor that is not drawn yet: all that its elements are a function of."""

    dtype: np.dtype
    strategy: Strategy
    fans: Fans
    seed: int
    stream: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.fans.shape


def _draw(weight: _Weight, index: tuple[slice, ...]) -> np.ndarray:
    """A block, on one thread: Dask draws other blocks at the same time."""
    fans = weight.fans
    return _fill.initialize(
        fans.shape,
        weight.strategy,
        seed=weight.seed,
        stream=weight.stream,
        dtype=weight.dtype,
        layout=fans.layout,
        fan_in=fans.given_fan_in,
        fan_out=fans.given_fan_out,
        groups=fans.groups,
        index=index,
        threads=1,
    )


def _as_chunks(chunks: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[tuple[int, ...], ...]:
    """`chunks` as the lengths of the blocks along each axis of `shape`."""
    try:
        clean = dask.array.core.normalize_chunks(chunks, shape, dtype=dtype)
        if tuple(map(sum, clean)) != shape:  # Dask does not say so of negative lengths, nor of unknown ones, nan
            raise ValueError(f"chunks {clean} do not add up to shape {shape}")
        return tuple(map(_fill.as_shape, clean))
    except (ArithmeticError, TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"chunks must be what dask.array takes for shape {shape}; got {chunks!r}") from error


def initialize(
    shape: SupportsIndex | Sequence[SupportsIndex],
    initialization: str | Strategy,
    *,
    seed: _fill.Seed = None,
    stream: int | str = 0,
    dtype: Any = "float32",
    layout: str = "oi...",
    fan_in: int | None = None,
    fan_out: int | None = None,
    groups: int = 1,
    chunks: Any = "auto",
) -> Any:
    """A lazy array of initialized weights: computed, it is what `fastinit.initialize` gives, to the bit.

    Chunks and scheduler change nothing about the numbers. A block is drawn by itself, on one thread, and only where a
    computation needs it. (What is `orthogonal` can only be drawn whole: one task draws it, others slice it. From
    another machine, or a worker with another number of BLAS threads, it is the same to rounding.)

    Parameters
    ----------
    shape, initialization, seed, stream, dtype, layout, fan_in, fan_out, groups
        As for `fastinit.initialize`. A seed of None, or a Generator, gives its word at this call: whatever is computed
        from the array has the same numbers each time.
    chunks : int, tuple, dict, str
        The blocks, as all of `dask.array` takes them: "auto" by default.

    Returns
    -------
    dask.array.Array
        An array of that shape and dtype, of NumPy blocks. Its name is a function of the arguments.

    Raises
    ------
    TypeError, ValueError
        As for `fastinit.initialize`, and if the chunks do not fit the shape; at this call, not when it is computed.

    Examples
    --------
    >>> import fastinit as fi, fastinit.dask
    >>> w = fi.dask.initialize((512, 784), "he", seed=0, stream="fc1.weight", chunks=(128, -1))
    >>> w.chunksize, w.dtype
    ((128, 784), dtype('float32'))
    >>> rows = w[128:256].compute(scheduler="synchronous")  # draws one block of four
    >>> bool((rows == fi.initialize((512, 784), "he", seed=0, stream="fc1.weight")[128:256]).all())
    True
    """
    shape, dtype = _fill.as_shape(shape), _fill.as_dtype(dtype)
    blocks = _as_chunks(chunks, shape, dtype)
    planned = _fill.checked_plan(initialization, shape, dtype, layout, fan_in, fan_out, groups)
    fans, stream = Fans(shape, layout, fan_in, fan_out, groups), _fill.as_stream(stream)
    weight = _Weight(dtype, as_strategy(initialization), fans, _fill.as_seed(seed), stream)
    drawn_whole = planned is not None and planned.whole is not None
    drawn = tuple((n,) for n in shape) if drawn_whole else blocks
    array = dask.array.from_array(
        weight,
        drawn,
        name=f"fastinit-{tokenize(weight, drawn)}",
        getitem=_draw,
        inline_array=True,
        meta=np.empty((0,) * len(shape), dtype),
    )
    return array.rechunk(blocks, method="tasks") if drawn_whole else array
