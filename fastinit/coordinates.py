"""Strategies that draw nothing: each weight is a function of where it stands."""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import _checks, _kernels
from ._fans import Fans
from .distributions import Distribution, Finish, _representable
from .structured import Identity, _array, _OverZeros

#: How many elements are computed at once.
PIECE = 2**16

# ---- the law ----


@dataclass(frozen=True)
class OfCoordinates(_OverZeros):
    """`scale` times a function of the coordinates.

    `function` takes an array of int64 for each axis, which broadcast against each other, and gives float64 that
    broadcasts to the same shape, by operations that IEEE 754 rounds exactly. `mean` and `std` are those of its values.
    """

    function: Callable[..., np.ndarray]
    scale: float
    mean: float
    std: float

    def moments(self) -> tuple[float, float]:
        return self.scale * self.mean, abs(self.scale) * self.std

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        _representable("value", self.scale, dtype)
        return super().kernel(dtype)

    def finish(self, dtype: np.dtype) -> Finish:
        return self._write

    def _write(self, box: np.ndarray, ranges: tuple[range, ...], seed: int, stream: int) -> None:
        for piece, at in pieces(box, ranges):
            with _kernels.default_float_environment():
                values = self.scale * self.function(*mesh(at)) + 0.0  # no zero is negative
                piece[...] = rounded(values, box.dtype)


def pieces(box: np.ndarray, ranges: tuple[range, ...]) -> Iterator[tuple[np.ndarray, tuple[range, ...]]]:
    """A box in boxes of at most `PIECE` elements, each with its coordinates."""
    if box.size <= PIECE:
        if box.size:
            yield box, ranges
        return
    axis = next(axis for axis, n in enumerate(box.shape) if n > 1)
    count = max(1, PIECE * box.shape[axis] // box.size)
    for start in range(0, box.shape[axis], count):
        some = slice(start, start + count)
        yield from pieces(
            box[(slice(None),) * axis + (some,)], (*ranges[:axis], ranges[axis][some], *ranges[axis + 1 :])
        )


def mesh(ranges: tuple[range, ...]) -> list[np.ndarray]:
    """The coordinates of a box, an array for each axis, which broadcast to the box's shape."""
    axes = len(ranges)
    return [_array(r).reshape([-1 if axis == k else 1 for axis in range(axes)]) for k, r in enumerate(ranges)]


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """float64 `values` in `dtype`, rounded once: on the way to bfloat16, float32 is rounded to odd, not to even."""
    if dtype.kind in "fc":
        return values.astype(dtype)
    narrow = np.asarray(values, np.float32)
    bits = narrow.view(np.uint32) - (np.abs(narrow.astype(np.float64)) > np.abs(values))  # towards 0
    bits = bits.astype(np.uint32)
    bits |= bits.view(np.float32).astype(np.float64) != values
    return np.asarray(bits.view(np.float32).astype(dtype))


# ---- the functions ----


def _delta(n: np.ndarray, centre: int) -> np.ndarray:
    return np.asarray(n == centre, np.float64)


def _hat(n: np.ndarray, length: int) -> np.ndarray:
    """The linear interpolation's kernel of that length: a triangle about its centre, whose tips are just outside."""
    factor = (length + 1) // 2
    centre = factor - 1 if length % 2 else factor - 0.5
    return np.asarray((factor - np.abs(n - centre)) / factor)  # the numerator is exact


def _on_diagonal(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    return np.asarray(row == column, np.float64)


def _hadamard(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Sylvester's Hadamard matrix: (-1)^(the number of bits that `row` and `column` share)."""
    parity = row & column
    for shift in (32, 16, 8, 4, 2, 1):
        parity = parity ^ (parity >> shift)
    return np.asarray(1.0 - 2.0 * (parity & 1))


@dataclass(frozen=True)
class _OfChannels:
    """`between` of the channels within a group, times `along` of the coordinate on each receptive axis."""

    between: Callable[[np.ndarray, np.ndarray], np.ndarray]
    row: int
    column: int
    period: int
    along: tuple[tuple[int, Callable[[np.ndarray], np.ndarray]], ...]

    def __call__(self, *coordinates: np.ndarray) -> np.ndarray:
        values = self.between(coordinates[self.row] % self.period, coordinates[self.column])
        for axis, function in self.along:
            values = values * function(coordinates[axis])
        return values


def _within(axis: int, start: int, stop: int, *coordinates: np.ndarray) -> np.ndarray:
    at = coordinates[axis]
    return np.asarray((at >= start) & (at < stop), np.float64)


def _log_next(axis: int, *coordinates: np.ndarray) -> np.ndarray:
    at = coordinates[axis]
    return np.array([log(n + 1) for n in at.ravel().tolist()]).reshape(at.shape)


@functools.lru_cache(maxsize=2**16)
def log(x: float) -> float:
    """The double nearest to log(x), on any machine: libraries' own logarithms differ in the last bit."""
    return float(decimal.Context(prec=40).ln(decimal.Decimal(x)))


# ---- strategies ----


@dataclass(frozen=True)
class Hadamard:
    """ZerO: identities, and Hadamard's matrix where the width grows; see `hadamard`.

    Parameters
    ----------
    orthonormal : bool
        Whether the columns of a whole Hadamard matrix have length 1, rather than sqrt(2).

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.initialize((4, 2), fi.Hadamard(orthonormal=True))
    array([[ 0.5,  0.5],
           [ 0.5, -0.5],
           [ 0.5,  0.5],
           [ 0.5, -0.5]], dtype=float32)
    """

    orthonormal: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.orthonormal, bool):
            raise TypeError(f"orthonormal must be True or False; got {self.orthonormal!r}")

    def resolve(self, fans: Fans) -> Distribution:
        """The law of a weight of this shape, layout and number of groups."""
        diagonal = Identity().resolve(fans)
        shape, row, column, period = fans.shape, diagonal.row, diagonal.column, diagonal.period
        rows_are_outputs = fans.letters is not None and fans.letters[row] == "o"
        outputs, inputs = (period, shape[column]) if rows_are_outputs else (shape[column], period)
        if outputs <= inputs:
            return diagonal
        halvings = (outputs - 1).bit_length() - (not self.orthonormal)
        scale = math.ldexp(1.0 if halvings % 2 == 0 else math.sqrt(0.5), -(halvings // 2))
        along = tuple((axis, functools.partial(_delta, centre=centre)) for axis, centre in diagonal.centre)
        share = 1 / math.prod(shape[axis] for axis, _ in along)
        mean = share * _sum_of_signs(outputs, inputs) / (outputs * inputs)
        function = _OfChannels(_hadamard, row, column, period, along)
        return OfCoordinates(shape, function, scale, mean, math.sqrt(share - mean * mean))


def _sum_of_signs(rows: int, columns: int) -> int:
    """The sum of the first rows and columns of Hadamard's matrix, whose quadrants are H, H, H and -H."""
    if not rows or not columns:
        return 0
    if rows == columns == 1:
        return 1
    half = 1 << (max(rows, columns) - 1).bit_length() - 1
    if rows <= half or columns <= half:  # the first half of the longer side adds up to `half`, in its first line
        return half + _sum_of_signs(*((rows - half, columns) if rows > half else (rows, columns - half)))
    return 3 * half - _sum_of_signs(rows - half, columns - half)


@dataclass(frozen=True)
class Bilinear:
    """Linear interpolation along every receptive axis, from each channel to itself; see `bilinear`.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.initialize((1, 1, 4), fi.Bilinear(), layout="io...")
    array([[[0.25, 0.75, 0.75, 0.25]]], dtype=float32)
    """

    def resolve(self, fans: Fans) -> OfCoordinates:
        """The law of a weight of this shape, layout and number of groups."""
        diagonal = Identity().resolve(fans)
        shape, row, column, period = fans.shape, diagonal.row, diagonal.column, diagonal.period
        along = tuple((axis, functools.partial(_hat, length=shape[axis])) for axis, _ in diagonal.centre)
        share = min(period, shape[column]) / (period * shape[column])
        mean, square = share, share
        for axis, hat in along:
            values = hat(np.arange(shape[axis]))
            mean, square = mean * float(values.mean()), square * float((values * values).mean())
        function = _OfChannels(_on_diagonal, row, column, period, along)
        return OfCoordinates(shape, function, 1.0, mean, math.sqrt(max(square - mean * mean, 0.0)))


@dataclass(frozen=True)
class LSTMBias:
    """`forget` for the forget gate, 0 for the others; see `lstm_bias`.

    Parameters
    ----------
    forget : float
        The forget gate's bias, finite.
    gates : str
        A letter for each gate, in the order in which they lie; `f` is the forget gate.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.initialize(8, fi.LSTMBias(forget=2.0))
    array([0., 0., 2., 2., 0., 0., 0., 0.], dtype=float32)
    """

    forget: float = 1.0
    gates: str = "ifgo"

    def __post_init__(self) -> None:
        object.__setattr__(self, "forget", _checks.real("forget", self.forget))
        rule = "a letter for each gate, with one 'f', the forget gate"
        if not isinstance(self.gates, str):
            raise TypeError(f"gates must be {rule}; got {self.gates!r}")
        if not self.gates.isalpha() or self.gates.count("f") != 1:
            raise ValueError(f"gates must be {rule}; got {self.gates!r}")

    def resolve(self, fans: Fans) -> OfCoordinates:
        """The law of a bias of this shape."""
        shape, count = fans.shape, len(self.gates)
        if not shape or shape[-1] % count:
            raise ValueError(f"shape must end in a multiple of {count}, the gates of {self!r}; got {shape}")
        size = shape[-1] // count
        start = self.gates.index("f") * size
        function = functools.partial(_within, len(shape) - 1, start, start + size)
        return OfCoordinates(shape, function, self.forget, 1 / count, math.sqrt(count - 1) / count)


@dataclass(frozen=True)
class MambaALog:
    """log(n + 1) at coordinate n of the last axis; see `mamba_a_log`.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.initialize((2, 3), fi.MambaALog())
    array([[0.       , 0.6931472, 1.0986123],
           [0.       , 0.6931472, 1.0986123]], dtype=float32)
    """

    def resolve(self, fans: Fans) -> OfCoordinates:
        """The law of a parameter of this shape."""
        shape = fans.shape
        if not shape:
            raise ValueError(f"shape must have at least 1 axis for {self!r}; got {shape}")
        n, summed = shape[-1], min(shape[-1], 1024)
        logs = [math.log(k) for k in range(1, summed + 1)]
        low, high = summed + 0.5, n + 0.5  # the rest by the midpoint rule, to 7 digits
        total = sum(logs) + _integral(high, 1) - _integral(low, 1)
        squares = sum(x * x for x in logs) + _integral(high, 2) - _integral(low, 2)
        mean = total / n
        function = functools.partial(_log_next, len(shape) - 1)
        return OfCoordinates(shape, function, 1.0, mean, math.sqrt(max(squares / n - mean * mean, 0.0)))


def _integral(x: float, power: int) -> float:
    """The integral of log(x)^power, power 1 or 2."""
    log = math.log(x)
    return x * (log - 1) if power == 1 else x * (log * log - 2 * log + 2)


def hadamard(orthonormal: bool = False) -> Hadamard:
    """ZerO, an initialization without chance: identities, and Hadamard's matrix where the width grows.

    With P outputs and Q inputs (of a group), ``weight[o, i] = 1`` where o = i, else 0, if P <= Q; if P > Q,
    ``weight[o, i] = c (-1)^popcount(o & i)``: the first P rows and Q columns of Hadamard's matrix of order 2^m, times
    c = 2^(-(m - 1) / 2), m = ceil(log2(P)). In a convolution this stands at the centre r = n // 2 of every receptive
    axis, of length n, and there are zeros elsewhere. The axes may come in any order: the layout names them.

    Parameters
    ----------
    orthonormal : bool
        Whether c is 2^(-m / 2), as in the authors' program, and not 2^(-(m - 1) / 2), as in the paper's algorithm 1.

    Raises
    ------
    TypeError, ValueError
        If `orthonormal` is not True or False; when drawn, if the layout does not name `o` and `i`, or the groups do
        not divide the channels.

    References
    ----------
    Zhao, Schaefer, Anandkumar, "ZerO initialization: initializing neural networks with only zeros and ones", TMLR
    2022, algorithms 1 and 2.

    Examples
    --------
    >>> hadamard()
    Hadamard(orthonormal=False)
    >>> import fastinit as fi
    >>> fi.initialize((2, 1), "hadamard")
    array([[1.],
           [1.]], dtype=float32)
    """
    return Hadamard(orthonormal)


def bilinear() -> Bilinear:
    """The kernel of a transposed convolution that upsamples by linear interpolation, each channel to itself.

    ``weight[c, c, *r]`` is the product over the receptive axes, of length k, of 1 - abs(r - centre) / f with
    f = (k + 1) // 2 and centre = f - 1 where k is odd, f - 1/2 where it is even; other channels get 0. A kernel of
    length 2 s - s % 2 upsamples by s. In a depthwise convolution, c counts the channels of a group.

    Raises
    ------
    ValueError
        When drawn, if the layout does not name `o` and `i`, or the groups do not divide the channels.

    References
    ----------
    Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015.

    Examples
    --------
    >>> bilinear()
    Bilinear()
    >>> import fastinit as fi
    >>> fi.initialize((1, 1, 3, 3), "bilinear", layout="io...")
    array([[[[0.25, 0.5 , 0.25],
             [0.5 , 1.  , 0.5 ],
             [0.25, 0.5 , 0.25]]]], dtype=float32)
    """
    return Bilinear()


def lstm_bias(forget: float = 1.0, gates: str = "ifgo") -> LSTMBias:
    """An LSTM's bias: `forget` for the forget gate, 0 for the others, so that the cell remembers at first.

    The bias of all gates, of length 4 h, lies along the last axis. Where a framework adds two biases, as PyTorch does
    (`bias_ih` and `bias_hh`), the other is zeros. The recurrent weight of all gates, (4 h, h), is better drawn as an
    array of shape (4, h, h) in layout "boi", the same memory: each gate then has a square matrix of its own.

    Parameters
    ----------
    forget : float
        The forget gate's bias, finite.
    gates : str
        A letter for each gate, in the order in which they lie; `f` is the forget gate. "ifgo" is that of PyTorch
        (and of Keras, which calls its third gate c); "ifog" and "icfo" are found elsewhere.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when drawn, if the last axis is not a multiple of the number of gates.

    References
    ----------
    Jozefowicz, Zaremba, Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015; Gers,
    Schmidhuber, Cummins, "Learning to forget", 2000.

    Examples
    --------
    >>> lstm_bias()
    LSTMBias(forget=1.0, gates='ifgo')
    >>> import fastinit as fi
    >>> fi.initialize(8, fi.lstm_bias(gates="icfo"))
    array([0., 0., 0., 0., 1., 1., 0., 0.], dtype=float32)
    """
    return LSTMBias(forget, gates)


def mamba_a_log() -> MambaALog:
    """Mamba's A_log: ``weight[d, n] = log(n + 1)``, so that A = -exp(A_log) is -1, -2, ... (S4D-Real).

    n counts along the last axis. The value is the double nearest to log(n + 1), rounded to the array's dtype.

    Raises
    ------
    ValueError
        When drawn, if the shape has no axes.

    References
    ----------
    Gu, Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023, section 3.6; Gu, Gupta, Goel,
    Re, "On the parameterization and initialization of diagonal state space models", NeurIPS 2022.

    Examples
    --------
    >>> mamba_a_log()
    MambaALog()
    """
    return MambaALog()
