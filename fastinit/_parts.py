"""Which elements of a tensor a NumPy index asks for, and where in the tensor they are."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

_RULE = "integers, slices and at most one ellipsis"


class Part(NamedTuple):
    """A part of a tensor: along axis k of `shape`, elements lie `steps[k]` apart in the whole's C order.

    `ranges` has the whole's coordinates, an axis each, also for those that the index took away.
    """

    shape: tuple[int, ...]
    start: int
    steps: tuple[int, ...]
    ranges: tuple[range, ...]

    def boxes(self, out: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[range, ...]]]:
        """The part in memory `out`, an axis for each of the whole's, and its coordinates."""
        yield out.reshape([len(coordinates) for coordinates in self.ranges]), self.ranges


class Span(NamedTuple):
    """Consecutive elements, in C order, of a tensor of `shape`, from `start` on."""

    shape: tuple[int, ...]
    start: int
    steps: None = None

    def boxes(self, out: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[range, ...]]]:
        """The boxes that the span in contiguous memory `out` falls into, in order, and their coordinates."""
        flat, done = out.reshape(-1), 0
        for ranges in _boxes(self.start, self.start + out.size, self.shape):
            lengths = [len(coordinates) for coordinates in ranges]
            count = math.prod(lengths)
            yield flat[done : done + count].reshape(lengths), ranges
            done += count


def _boxes(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[tuple[range, ...]]:
    """The elements from `start` up to `stop` in C order as the fewest boxes: at most two an axis, less one."""
    if not shape:
        yield ()
        return
    inner = shape[1:]
    row = math.prod(inner)
    first, last = -(-start // row), stop // row  # the rows that the span has all of
    head = min(stop, first * row)
    tail = max(head, last * row)
    for begin, end, rows in ((start, head, range(first, last)), (tail, stop, range(0))):
        if begin < end:  # within a row
            i = begin // row
            for ranges in _boxes(begin - i * row, end - i * row, inner):
                yield (range(i, i + 1), *ranges)
        if rows:
            yield (rows, *map(range, inner))


def part(index: Any, shape: tuple[int, ...]) -> Part:
    """The part of a tensor of `shape` that a basic NumPy index gives.

    Raises
    ------
    TypeError, ValueError
        If the index is not basic, has a new axis, or does not fit the shape.
    """
    if math.prod(shape) >= 2**63:
        raise ValueError(f"shape must have fewer than 2^63 elements; got {shape}")
    entries = list(index) if isinstance(index, tuple) else [index]
    if sum(isinstance(entry, EllipsisType) for entry in entries) > 1:
        raise ValueError(f"index must be made of {_RULE}; got {index!r}")
    given = sum(not isinstance(entry, EllipsisType) for entry in entries)
    if given > len(shape):
        raise ValueError(f"index must have at most {len(shape)} entries for shape {shape}; got {given}")
    if given == len(entries):
        entries.append(...)
    at = next(i for i, entry in enumerate(entries) if isinstance(entry, EllipsisType))
    entries[at : at + 1] = [slice(None)] * (len(shape) - given)

    ranges, kept = [], []
    for axis, (entry, n) in enumerate(zip(entries, shape, strict=True)):
        if isinstance(entry, slice):
            try:
                coordinates = range(*entry.indices(n))
            except (TypeError, ValueError) as error:
                raise type(error)(f"index must be made of {_RULE}; got {index!r}: {error}") from None
            kept.append(axis)
        else:
            k = _position(entry, n, axis, index)
            coordinates = range(k, k + 1)
        ranges.append(coordinates)
    start, steps = place(tuple(ranges), shape)
    return Part(tuple(len(ranges[axis]) for axis in kept), start, tuple(steps[axis] for axis in kept), tuple(ranges))


def place(ranges: tuple[range, ...], shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Where the elements at these coordinates are: the number of the first, and how far apart they lie on each axis."""
    if not all(ranges):  # none
        return 0, (1,) * len(ranges)
    start, stride, steps = 0, math.prod(shape), []
    for coordinates, n in zip(ranges, shape, strict=True):
        stride //= n
        start += coordinates[0] * stride
        steps.append(coordinates.step * stride if len(coordinates) > 1 else 1)
    return start, tuple(steps)


def _position(entry: Any, n: int, axis: int, index: Any) -> int:
    """An integer entry of an index, counted from the front of its axis of length n."""
    try:
        if isinstance(entry, bool):
            raise TypeError
        k = operator.index(entry)
    except TypeError:
        raise TypeError(f"index must be made of {_RULE}; got {index!r}") from None
    if not -n <= k < n:
        raise ValueError(f"index must lie within axis {axis} of length {n}; got {k}")
    return k % n
