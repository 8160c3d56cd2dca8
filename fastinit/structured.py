"""Strategies whose weights have a structure: the identity, and columns with a number of zeros."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from . import _checks, _kernels
from ._fans import Fans
from .distributions import Distribution, Finish, Normal, _nearest, _representable

# ---- laws, which know the shape ----


@dataclass(frozen=True)
class _OfShape(Distribution):
    """A law for the tensors of one shape."""

    shape: tuple[int, ...]

    def resolve(self, fans: Fans) -> Distribution:
        """This law itself, for its own shape."""
        if fans.shape != self.shape:
            raise ValueError(f"shape must be {self.shape}, that of {self!r}; got {fans.shape}")
        return self


class _OverZeros(_OfShape):
    """A law that `finish` writes, where the kernel has drawn zeros."""

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        return "constant", (0.0,)


@dataclass(frozen=True)
class Diagonal(_OverZeros):
    """`value` where the coordinate along `column` is that along `row` modulo `period`, else 0.

    `centre` has pairs (axis, coordinate): anywhere else along these axes there are zeros alone.
    """

    row: int
    column: int
    period: int
    centre: tuple[tuple[int, int], ...]
    value: float

    def halved(self) -> Diagonal:
        return self

    def moments(self) -> tuple[float, float]:
        rows, columns = self.shape[self.row], self.shape[self.column]
        elements = rows * columns * math.prod(self.shape[axis] for axis, _ in self.centre)
        filled = rows // self.period * min(self.period, columns)
        share = filled / elements
        return self.value * share, abs(self.value) * math.sqrt(share * ((elements - filled) / elements))

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        _representable("gain", self.value, dtype)
        return super().kernel(dtype)

    def finish(self, dtype: np.dtype) -> Finish:
        return functools.partial(self._write, dtype.type(_nearest(self.value, dtype)))

    def _write(self, value: np.generic, box: np.ndarray, ranges: tuple[range, ...], seed: int, stream: int) -> None:
        index: list[int | slice | np.ndarray] = [slice(None)] * len(ranges)
        for axis, coordinate in self.centre:
            if coordinate not in ranges[axis]:
                return
            index[axis] = ranges[axis].index(coordinate)
        index[self.row], index[self.column] = _crossings(ranges[self.row], ranges[self.column], self.period)
        box[tuple(index)] = value


def _crossings(rows: range, columns: range, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (i, j) with ``columns[j] == rows[i] % period``, in time and memory of the shorter way to look for them."""
    if not rows or not columns:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, last = min(rows[0], rows[-1]) // period, max(rows[0], rows[-1]) // period
    if len(rows) <= (last - first + 1) * len(columns):
        row = _array(rows)
        column = row % period
    else:
        column = _array(columns)
        column = column[column < period]
        row = (np.arange(first, last + 1)[:, None] * period + column).ravel()
        column = row % period
    i, j = _position(row, rows), _position(column, columns)
    both = (i >= 0) & (j >= 0)
    return i[both], j[both]


def _array(coordinates: range) -> np.ndarray:
    return np.arange(coordinates.start, coordinates.stop, coordinates.step, dtype=np.int64)


def _position(numbers: np.ndarray, coordinates: range) -> np.ndarray:
    """Where in `coordinates` each number is, -1 where it is not there."""
    position, rest = np.divmod(numbers - coordinates.start, coordinates.step)
    position[(rest != 0) | (position < 0) | (position >= len(coordinates))] = -1
    return position


@dataclass(frozen=True)
class SparseNormal(_OfShape):
    """N(0, std^2), but for `zeros` elements of every column of a matrix, which are 0."""

    zeros: int
    std: float

    def moments(self) -> tuple[float, float]:
        rows = self.shape[0]
        return 0.0, self.std * math.sqrt((rows - self.zeros) / rows)

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        rows, columns = self.shape
        _, parameters = Normal(0.0, self.std).kernel(dtype)
        a = math.isqrt(rows - 1) + 1
        b = -(-rows // a)  # a or a - 1
        return "sparse", (*parameters, *map(float, (rows, columns, self.zeros, a, b, _rounds(b))))


def _rounds(b: int) -> int:
    """The rounds of a Feistel network on pairs in [0, a) x [0, b), b <= a.

    If the rounds were random functions, the chance of where two elements go would be uniform but for a part that two
    rounds divide by b: as many as divide it by 2^24, and never fewer than 8.
    """
    rounds = 8
    while 1 < b ** (rounds // 2) < 2**24:
        rounds += 2
    return rounds


# ---- strategies ----


@dataclass(frozen=True)
class Identity:
    """A weight that passes its input channels through.

    ``weight[o, i, *r] = gain`` where i = o mod (O / groups) and r = n // 2 along every receptive axis, of length n,
    else 0; one such weight along each `b` axis. The axes may come in any order: the layout names them. Where the
    axis `i` is the one that spans all groups, as in a transposed convolution, it is o = i mod (I / groups).

    Parameters
    ----------
    gain : float
        The value on the diagonal, finite.
    receptive : bool
        Whether there may be receptive axes.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.initialize((2, 3), fi.Identity(gain=2.0))
    array([[2., 0., 0.],
           [0., 2., 0.]], dtype=float32)
    """

    gain: float = 1.0
    receptive: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", _checks.real("gain", self.gain))
        if not isinstance(self.receptive, bool):
            raise TypeError(f"receptive must be True or False; got {self.receptive!r}")

    def resolve(self, fans: Fans) -> Diagonal:
        """The law of a weight of this shape, layout and number of groups."""
        letters, where = fans.letters_with("oi", self), f"shape {fans.shape} in layout {fans.layout!r}"
        centre = tuple((axis, fans.shape[axis] // 2) for axis, letter in enumerate(letters) if letter not in "oib")
        if centre and not self.receptive:
            raise ValueError(f"shape must have no axes but 'o', 'i' and 'b' for eye: use dirac; got {where}")
        spanning = fans.spanning_axis(letters)
        row, column = letters.index(spanning), letters.index("i" if spanning == "o" else "o")
        period, rest = divmod(fans.shape[row], fans.groups)
        if rest:
            raise ValueError(f"groups must divide the {spanning!r} axis of {where}; got {fans.groups}")
        return Diagonal(fans.shape, row, column, period, centre, self.gain)


@dataclass(frozen=True)
class Sparse:
    """N(0, std^2), but for exactly ``ceil(sparsity * rows)`` elements of every column of a matrix, which are 0.

    Columns lie along the second axis, whatever the layout. Which elements of a column are 0 is as random as their
    values, and a pure function of the same numbers; the others are those of ``normal(std=std)``.

    Parameters
    ----------
    sparsity : float
        The share of zeros, in [0, 1].
    std : float
        The standard deviation of the other elements, finite, 0 or more.

    Examples
    --------
    >>> import fastinit as fi
    >>> w = fi.initialize((10, 3), fi.Sparse(0.25), seed=0, stream="w")
    >>> (w == 0).sum(axis=0).tolist()
    [3, 3, 3]
    """

    sparsity: float
    std: float = 0.01

    def __post_init__(self) -> None:
        sparsity = _checks.real("sparsity", self.sparsity)
        with _kernels.default_float_environment():
            if not 0 <= sparsity <= 1:
                raise ValueError(f"sparsity must be in [0, 1]; got {sparsity!r}")
        object.__setattr__(self, "sparsity", sparsity)
        object.__setattr__(self, "std", _checks.real("std", self.std, least=0))

    def resolve(self, fans: Fans) -> SparseNormal:
        """The law of a matrix of this shape."""
        shape = fans.shape
        if len(shape) != 2:
            raise ValueError(f"shape must have 2 axes for {self!r}; got {shape}")
        if shape[0] >= 2**32:
            raise ValueError(f"shape must have fewer than 2^32 rows for {self!r}; got {shape}")
        if shape[1] > 2**53:
            raise ValueError(f"shape must have at most 2^53 columns for {self!r}; got {shape}")
        return SparseNormal(shape, math.ceil(self.sparsity * shape[0]), self.std)


def eye(gain: float = 1.0) -> Identity:
    """The identity: ``weight[o, i] = gain`` where o = i, else 0; one such matrix along each `b` axis.

    Parameters
    ----------
    gain : float
        The value on the diagonal, finite.

    Raises
    ------
    TypeError, ValueError
        If `gain` is not a finite number; when drawn, if the layout does not name `o` and `i`, or names or implies a
        receptive axis.

    References
    ----------
    As PyTorch's `torch.nn.init.eye_`. Le, Jaitly, Hinton, "A simple way to initialize recurrent networks of rectified
    linear units", 2015.

    Examples
    --------
    >>> eye()
    Identity(gain=1.0, receptive=False)
    >>> import fastinit as fi
    >>> fi.initialize((3, 2), "eye")
    array([[1., 0.],
           [0., 1.],
           [0., 0.]], dtype=float32)
    """
    return Identity(gain, receptive=False)


identity = eye


def dirac(gain: float = 1.0) -> Identity:
    """Dirac's delta: ``weight[o, i, *r] = gain`` at the centre r = n // 2 where i = o mod (O / groups), else 0.

    A convolution with this weight and gain 1 passes its input channels through, in each group.

    Parameters
    ----------
    gain : float
        The value at the centre, finite.

    Raises
    ------
    TypeError, ValueError
        If `gain` is not a finite number; when drawn, if the layout does not name `o` and `i`, or the groups do not
        divide the channels.

    References
    ----------
    As PyTorch's `torch.nn.init.dirac_`. Zagoruyko, Komodakis, "DiracNets: training very deep neural networks without
    skip-connections", 2017.

    Examples
    --------
    >>> dirac()
    Identity(gain=1.0, receptive=True)
    >>> import fastinit as fi
    >>> fi.initialize((2, 1, 3), "dirac", groups=2)
    array([[[0., 1., 0.]],
    <BLANKLINE>
           [[0., 1., 0.]]], dtype=float32)
    """
    return Identity(gain)


def sparse(sparsity: float, std: float = 0.01) -> Sparse:
    """N(0, std^2), but for exactly ``ceil(sparsity * rows)`` elements of every column of a matrix, which are 0.

    Parameters
    ----------
    sparsity : float
        The share of zeros, in [0, 1].
    std : float
        The standard deviation of the other elements, finite, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or out of range; when drawn, if the shape does not have 2 axes.

    References
    ----------
    As PyTorch's `torch.nn.init.sparse_`. Martens, "Deep learning via Hessian-free optimization", ICML 2010.

    Examples
    --------
    >>> sparse(0.9)
    Sparse(sparsity=0.9, std=0.01)
    """
    return Sparse(sparsity, std)
