"""Strategies whose weights are orthogonal matrices: every element depends on all others, so they are drawn whole."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from . import _checks
from ._fans import Fans
from .distributions import Normal, Whole, _computed, _representable
from .structured import _OfShape

#: Reflections that are applied at a time, by products of matrices; of 64, 128 and 256 the fastest from 1024 rows on.
_BLOCK = 128
#: Rows that they are applied to at a time, so that what is in between stays small.
_STRIP = 256
#: Elements of small matrices that are worked on together.
_STACK = 2**20

# ---- the law, which knows the shape ----


@dataclass(frozen=True)
class Haar(_OfShape):
    """`gain` times a random matrix with orthonormal rows, or columns if it has fewer, one a coordinate of `batch`.

    Its rows lie along the axis `row`, its columns along the others in C order. `centre` has pairs (axis, coordinate):
    the matrix is there along these axes, and anywhere else there are zeros.
    """

    row: int
    batch: tuple[int, ...]
    centre: tuple[tuple[int, int], ...]
    gain: float
    unitary: bool = False

    def halved(self) -> Haar:
        """The law of complex matrices, unitary ones, which are made of complex normals of any variance."""
        return dataclasses.replace(self, unitary=True)

    def _matrix(self) -> tuple[int, int]:
        """The number of rows and of columns."""
        rows = self.shape[self.row]
        apart = {self.row, *self.batch, *dict(self.centre)}
        return rows, math.prod(n for axis, n in enumerate(self.shape) if axis not in apart)

    def moments(self) -> tuple[float, float]:
        elements = max(self._matrix()) * math.prod(self.shape[axis] for axis, _ in self.centre)
        return 0.0, abs(self.gain) / math.sqrt(elements)

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        _representable("gain", self.gain, dtype)
        return Normal().kernel(dtype)

    def whole(self, dtype: np.dtype) -> Whole:
        drawn = tuple(n for axis, n in enumerate(self.shape) if axis not in dict(self.centre))
        computed = _computed(dtype)
        return Whole(drawn, np.result_type(computed, np.complex64) if self.unitary else computed, self._made)

    def _made(self, normals: np.ndarray) -> np.ndarray:
        """The weight made of as many normals as the matrices have elements, whose memory it may take."""
        centre = dict(self.centre)
        kept = [axis for axis in range(len(self.shape)) if axis not in centre]
        first = [kept.index(axis) for axis in (*self.batch, self.row)]
        order = [*first, *(axis for axis in range(len(kept)) if axis not in first)]
        turned = normals.transpose(order)
        rows, columns = self._matrix()
        matrices = turned.reshape(-1, rows, columns)
        together = max(1, _STACK // (rows * columns))
        for start in range(0, len(matrices), together):
            some = matrices[start : start + together]
            q = _haar(some)
            q *= self.gain
            some[...] = q
        weight: np.ndarray = matrices.reshape(turned.shape).transpose(np.argsort(order))
        if not centre:
            return weight
        around = np.zeros(self.shape, normals.dtype)
        around[tuple(centre.get(axis, slice(None)) for axis in range(len(self.shape)))] = weight
        return around


def _haar(normals: np.ndarray) -> np.ndarray:
    """Matrices with orthonormal rows, or columns if they have fewer, made of matrices of independent normals.

    In float64, or in complex128 of complex normals; ' is the conjugate transpose.

    What the QR decomposition of normals gives, if the diagonal of R is made positive (Mezzadri 2007), but without
    decomposing: each of Householder's reflections acts on a column that those before it have left normal and
    independent, so the normals may stand for the columns (Stewart 1980). It halves the work, and what is left is
    products of matrices. The reflections I - v'v, v a row with vv' = 2, are applied in blocks: their product is
    I - V'TV, T the inverse of the upper triangle of VV' with halved diagonal (Puglisi 1992).
    """
    tall = normals.shape[1] > normals.shape[2]
    double = np.result_type(normals, np.float64)
    q = np.array(normals.swapaxes(1, 2) if tall else normals, double, order="C")  # orthonormal rows are to come
    n = q.shape[1]
    for k in reversed(range(0, n, _BLOCK)):
        v = q[:, k : k + _BLOCK, k:].copy()
        i = np.arange(v.shape[1])
        v[..., : len(i)] = np.triu(v[..., : len(i)])
        norm = np.sqrt(np.einsum("...ij,...ij->...i", v, v.conj()).real)
        nothing = norm == 0  # a single normal may be 0: take 1, as for any other positive number
        v[:, i, i] += nothing
        norm += nothing
        sign = _sign(v[:, i, i])
        v[:, i, i] += sign * norm
        v /= np.sqrt(norm * np.abs(v[:, i, i]))[..., None]
        t = np.triu(v @ v.swapaxes(1, 2).conj())
        t[:, i, i] /= 2
        w = (np.linalg.inv(t) @ v).swapaxes(1, 2).conj()
        q[:, k : k + _BLOCK] = 0
        q[:, k + i, k + i] = -sign  # R's diagonal would have these signs
        for start in range(k, n, _STRIP):
            strip = q[:, start : start + _STRIP, k:]
            strip -= (strip @ w) @ v
    reals = q.view(np.float64)
    np.clip(reals, -1, 1, out=reals)  # rounding may step past
    return q.swapaxes(1, 2) if tall else q


def _sign(numbers: np.ndarray) -> np.ndarray:
    """Of real numbers, also that of a zero; of complex ones the phase, 1 for a zero."""
    some = numbers + (numbers == 0)
    sign: np.ndarray = some / np.abs(some) if np.iscomplexobj(numbers) else np.copysign(1.0, numbers)
    return sign


# ---- strategies ----


@dataclass(frozen=True)
class _Scaled:
    """A strategy that multiplies an orthogonal matrix by `gain`."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", _checks.real("gain", self.gain))


def _batch(letters: str) -> tuple[int, ...]:
    return tuple(axis for axis, letter in enumerate(letters) if letter == "b")


@dataclass(frozen=True)
class Orthogonal(_Scaled):
    """A random matrix with orthonormal rows, or columns if it has fewer, times `gain`; see `orthogonal`.

    Parameters
    ----------
    gain : float
        The factor, finite: every singular value is its magnitude.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = fi.initialize((3, 8), fi.Orthogonal(gain=2.0), seed=0, stream="w")
    >>> bool(np.allclose(w @ w.T, 4 * np.eye(3), atol=1e-5))
    True
    """

    def resolve(self, fans: Fans) -> Haar:
        """The law of a weight of this shape and layout."""
        letters = fans.letters_with("o", self)
        if not letters.replace("b", "").replace("o", "", 1):
            raise ValueError(
                f"shape must have at least 2 axes, 'b' aside, for {self!r}; "
                f"got shape {fans.shape} in layout {fans.layout!r}"
            )
        return Haar(fans.shape, letters.index("o"), _batch(letters), (), self.gain)


@dataclass(frozen=True)
class DeltaOrthogonal(_Scaled):
    """A random matrix with orthonormal columns, times `gain`, at the centre of a convolution; see `delta_orthogonal`.

    Parameters
    ----------
    gain : float
        The factor, finite.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> w = fi.initialize((8, 4, 3, 3), fi.DeltaOrthogonal(), seed=0, stream="w")
    >>> bool(np.allclose(w[:, :, 1, 1].T @ w[:, :, 1, 1], np.eye(4), atol=1e-6)), int((w != 0).sum())
    (True, 32)
    """

    def resolve(self, fans: Fans) -> Haar:
        """The law of a weight of this shape and layout."""
        letters = fans.letters_with("o", self)
        where = f"shape {fans.shape} in layout {fans.layout!r}"
        fans.letters_with("i", self)
        centre = tuple((axis, (fans.shape[axis] - 1) // 2) for axis, x in enumerate(letters) if x not in "oib")
        if not 1 <= len(centre) <= 3:
            raise ValueError(f"shape must have 1 to 3 receptive axes for {self!r}; got {where}")
        row = letters.index("o")
        if fans.shape[letters.index("i")] > fans.shape[row]:
            raise ValueError(
                f"shape must have no more inputs than outputs (fan_in <= fan_out) for {self!r}; got {where}"
            )
        return Haar(fans.shape, row, _batch(letters), centre, self.gain)


def orthogonal(gain: float = 1.0) -> Orthogonal:
    """A random orthogonal matrix times `gain`: signals and gradients keep their length in any direction.

    The rows of the matrix lie along the axis `o`, its columns along all other axes in C order, but there is one
    independent matrix for each coordinate of `b`. If it has as many columns as rows or more, its rows are orthonormal,
    W W' = gain^2 I; else its columns, W' W = gain^2 I. (In complex dtypes it is unitary, W' the conjugate transpose.)
    It is Haar distributed: no direction is preferred. Groups are not looked at, and `i` is an axis like others. In
    layout "oi..." this is PyTorch's `orthogonal_`, in "...io" JAX's `orthogonal` and Keras's `Orthogonal`.

    Each element depends on all others. So `index` cannot ask for a part, and drawing takes memory for a float32 tensor
    some five times over. The normals that a matrix is made of are a pure function of (seed, stream) on every machine,
    but what is made of them comes from NumPy's matrix products, and these may round otherwise on another processor or
    with another BLAS. So weights repeat bit for bit on one machine with one NumPy and one number of BLAS threads;
    elsewhere they are equal to rounding. All is computed in float64 and rounded once, to float32 (and from there to 16
    bits), which leaves few float32 weights that differ at all. `threads` is for drawing the normals only; the matrix
    products take the threads of NumPy's BLAS.

    Parameters
    ----------
    gain : float
        The factor, finite, such as ``gain("relu")``: every singular value is its magnitude.

    Raises
    ------
    TypeError, ValueError
        If `gain` is not a finite number; when drawn, if the layout does not name `o`, the shape has no other axis but
        `b`, or `index` asks for a part.

    References
    ----------
    Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    ICLR 2014. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54,
    2007. Stewart, "The efficient generation of random orthogonal matrices with an application to condition
    estimators", SIAM Journal on Numerical Analysis 17, 1980. Puglisi, "Modification of the Householder method based on
    the compact WY representation", SIAM Journal on Scientific and Statistical Computing 13, 1992.

    Examples
    --------
    >>> orthogonal()
    Orthogonal(gain=1.0)
    >>> import numpy as np, fastinit as fi
    >>> w = fi.initialize((4, 2, 3, 3), "orthogonal", seed=0, stream="conv.weight").reshape(4, 18)
    >>> bool(np.allclose(w @ w.T, np.eye(4), atol=1e-6))
    True
    """
    return Orthogonal(gain)


def delta_orthogonal(gain: float = 1.0) -> DeltaOrthogonal:
    """A random orthogonal matrix times `gain` at the centre of a convolution, zeros elsewhere.

    ``weight[:, :, *r]``, in layout "oi...", is the matrix where r = (n - 1) // 2 along every receptive axis, of length
    n. It has orthonormal columns, W' W = gain^2 I, and is Haar distributed, so there may be no more inputs than
    outputs: a convolution then multiplies a signal's length by the gain at every point. There is one independent matrix
    for each coordinate of `b`; groups are not looked at. As for `orthogonal`, there are no parts, and bits may differ
    between machines.

    Parameters
    ----------
    gain : float
        The factor, finite.

    Raises
    ------
    TypeError, ValueError
        If `gain` is not a finite number; when drawn, if the layout does not name `o` and `i`, there are not 1 to 3
        receptive axes, there are more inputs than outputs, or `index` asks for a part.

    References
    ----------
    As JAX's `delta_orthogonal`. Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington, "Dynamical isometry and a mean
    field theory of CNNs", ICML 2018.

    Examples
    --------
    >>> delta_orthogonal()
    DeltaOrthogonal(gain=1.0)
    >>> import fastinit as fi
    >>> fi.initialize((2, 1, 3), "delta_orthogonal", seed=0)[:, 0, [0, 2]]
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    return DeltaOrthogonal(gain)
