"""Strategies whose weights are made of another's: copies of its channels, or a function of its values."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from . import _checks, _kernels, _parts
from ._fans import Fans
from .coordinates import log, pieces
from .distributions import Distribution, Finish, Uniform, _computed, _greatest, _least
from .strategies import Strategy, as_strategy
from .structured import _array, _OverZeros


class Source:
    """A law's draw of a tensor of that shape and dtype, any box of it; made where a fill is planned."""

    def __init__(self, law: Distribution, shape: tuple[int, ...], dtype: np.dtype) -> None:
        kernel, self.parameters = law.kernel(dtype)
        self.kind = _kernels.KINDS[kernel, dtype.name]
        self.finish = law.finish(dtype)
        self.shape, self.dtype = shape, dtype

    def draw(self, ranges: tuple[range, ...], seed: int, stream: int) -> np.ndarray:
        """The elements at these coordinates, none of whose ranges is empty."""
        out = np.empty([len(coordinates) for coordinates in ranges], self.dtype)
        start, steps = _parts.place(ranges, self.shape)
        _kernels.fill(out, self.kind, self.parameters, seed, stream, start, 1, None, steps)
        if self.finish is not None:
            self.finish(out, ranges, seed, stream)
        return out


# ---- laws ----


@dataclass(frozen=True)
class Copies(_OverZeros):
    """`copies` consecutive coordinates along `axis` hold the same as one of a smaller tensor drawn from `law`."""

    law: Distribution
    axis: int
    copies: int

    def moments(self) -> tuple[float, float]:
        return self.law.moments()

    def finish(self, dtype: np.dtype) -> Finish:
        shape = list(self.shape)
        shape[self.axis] //= self.copies
        return functools.partial(self._write, Source(self.law, tuple(shape), dtype))

    def _write(self, source: Source, box: np.ndarray, ranges: tuple[range, ...], seed: int, stream: int) -> None:
        axis, copies = self.axis, self.copies
        for piece, at in pieces(box, ranges):
            along = at[axis]
            # where a step is longer than the copies, what lies between would be drawn in vain
            some = [slice(None)] if abs(along.step) <= copies else [slice(k, k + 1) for k in range(len(along))]
            for these in some:
                channels = _array(along[these]) // copies
                first, last = int(channels.min()), int(channels.max())
                drawn = source.draw((*at[:axis], range(first, last + 1), *at[axis + 1 :]), seed, stream)
                piece[(slice(None),) * axis + (these,)] = drawn.take(channels - first, axis)


@dataclass(frozen=True)
class InverseSoftplus(_OverZeros):
    """log(exp(t) - 1) of t = max(exp(x), floor), x ~ U[log(low), log(high)): softplus gives t back."""

    low: float
    high: float
    floor: float

    def moments(self) -> tuple[float, float]:
        """By the midpoint rule at 64 points."""
        x = np.linspace(math.log(self.low), math.log(self.high), 129)[1::2]
        if self.floor:
            x = np.maximum(x, math.log(self.floor))
        y = _inverse_softplus(x)
        return float(y.mean()), float(y.std())

    def finish(self, dtype: np.dtype) -> Finish:
        least, most = (float(_inverse_softplus(np.array(log(max(t, self.floor))))) for t in (self.low, self.high))
        bounds = _least(least, dtype), _greatest(most, dtype)
        if bounds[0] > bounds[1]:
            raise ValueError(f"[dt_min, dt_max) must hold the softplus of a {dtype}; got {self.low!r}, {self.high!r}")
        source = Source(Uniform(log(self.low), log(self.high)), self.shape, _computed(dtype))
        floor = log(self.floor) if self.floor else -math.inf
        return functools.partial(self._write, source, floor, bounds)

    def _write(
        self,
        source: Source,
        floor: float,
        bounds: tuple[float, float],
        box: np.ndarray,
        ranges: tuple[range, ...],
        seed: int,
        stream: int,
    ) -> None:
        for piece, at in pieces(box, ranges):
            x = source.draw(at, seed, stream)
            with _kernels.default_float_environment():
                values = _inverse_softplus(np.maximum(x.astype(np.float64), floor))
                piece[...] = np.clip(values, *bounds).astype(source.dtype)


#: B_2k / (2k (2k)!), k = 1 .. 9, B the Bernoulli numbers: the series of log((e^t - 1) / t) - t / 2 in powers of t^2.
#: What is left out is less than 10^-17 for t up to 1.
_SERIES = [
    float(bernoulli / (2 * k * math.factorial(2 * k)))
    for k, bernoulli in enumerate(
        map(Fraction, ("1/6", "-1/30", "1/42", "-1/30", "5/66", "-691/2730", "7/6", "-3617/510", "43867/798")), start=1
    )
]


def _inverse_softplus(x: np.ndarray) -> np.ndarray:
    """log(exp(t) - 1), t = exp(x) at most 1, by operations that IEEE 754 rounds exactly, within 4e-16 max(1, |x|)."""
    t = _exp(x)
    square, sum_ = t * t, np.zeros_like(t)
    for coefficient in reversed(_SERIES):
        sum_ = (sum_ + coefficient) * square
    return np.asarray(x + (t / 2 + sum_))


def _exp(x: np.ndarray) -> np.ndarray:
    """exp(x) = 2^k exp(r), abs(r) <= log(2) / 2, by Taylor's series; x in [-700, 0]."""
    high, low = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")  # log(2); k * high is exact
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * high) - k * low
    power = np.ones_like(r)
    for n in range(14, 0, -1):
        power = 1 + r * power / n
    return np.asarray(np.ldexp(power, k.astype(np.int32)))


# ---- strategies ----


@dataclass(frozen=True)
class ICNR:
    """Copies of a smaller convolution's output channels, for sub-pixel convolution; see `icnr`.

    Parameters
    ----------
    initialization : str or Strategy
        What the smaller weight is drawn from.
    scale : int
        The factor by which the pixels are shuffled up, 1 or more.

    Examples
    --------
    >>> import fastinit as fi
    >>> w = fi.initialize((8, 3, 3, 3), fi.ICNR("he"), seed=0, stream="up.weight")
    >>> bool((w[0] == w[3]).all())
    True
    """

    initialization: Strategy | str = "he_normal"
    scale: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "initialization", as_strategy(self.initialization))
        object.__setattr__(self, "scale", _checks.integer("scale", self.scale, least=1))

    def resolve(self, fans: Fans) -> Copies:
        """The law of a weight of this shape and layout."""
        shape, copies = list(fans.shape), self.scale**2
        axis = fans.letters_with("o", self).index("o")
        shape[axis], rest = divmod(shape[axis], copies)
        if rest:
            where = f"{fans.shape} in layout {fans.layout!r}"
            raise ValueError(f"shape must have a multiple of {copies} outputs for {self!r}; got {where}")
        law = as_strategy(self.initialization).resolve(dataclasses.replace(fans, shape=tuple(shape)))
        return Copies(fans.shape, law, axis, copies)


@dataclass(frozen=True)
class MambaDtBias:
    """Steps in [dt_min, dt_max), log-uniform, by way of softplus; see `mamba_dt_bias`.

    Parameters
    ----------
    dt_min, dt_max : float
        The range of the steps, 1e-300 <= dt_min < dt_max <= 1.
    dt_floor : float
        The least step, less than dt_max; 0 for none.

    Examples
    --------
    >>> import numpy as np, fastinit as fi
    >>> dt = np.log1p(np.exp(fi.initialize(64, fi.MambaDtBias(), seed=0, stream="dt_proj.bias")))
    >>> bool((dt > 0.000999).all() and (dt < 0.10001).all())
    True
    """

    dt_min: float = 1e-3
    dt_max: float = 0.1
    dt_floor: float = 1e-4

    def __post_init__(self) -> None:
        low, high = _checks.real("dt_min", self.dt_min), _checks.real("dt_max", self.dt_max)
        floor = _checks.real("dt_floor", self.dt_floor, least=0)
        with _kernels.default_float_environment():
            if not 1e-300 <= low < high <= 1:  # where _exp and _SERIES serve
                raise ValueError(f"dt_min and dt_max must be 1e-300 <= dt_min < dt_max <= 1; got {low!r}, {high!r}")
            if floor >= high:
                raise ValueError(f"dt_floor must be less than dt_max; got {floor!r}, {high!r}")
        for name, value in (("dt_min", low), ("dt_max", high), ("dt_floor", floor)):
            object.__setattr__(self, name, value)

    def resolve(self, fans: Fans) -> InverseSoftplus:
        """The law of a bias of this shape."""
        return InverseSoftplus(fans.shape, self.dt_min, self.dt_max, self.dt_floor)


def icnr(initialization: str | Strategy = "he_normal", scale: int = 2) -> ICNR:
    """ICNR, for a convolution whose outputs are shuffled into pixels: no checkerboard at the start.

    Output channels c, c + 1, ..., c + scale^2 - 1, c a multiple of scale^2, are copies of one: the weight of shape
    (outputs, inputs, ...) at channel c is that of ``initialization``, drawn for outputs / scale^2 channels with the
    same seed and stream, at channel c // scale^2. Its fans are those of the smaller weight, unless they are given.

    Parameters
    ----------
    initialization : str or Strategy
        What the smaller weight is drawn from: a name of `available()` or a strategy.
    scale : int
        The factor by which the pixels are shuffled up along both axes (PyTorch's PixelShuffle), 1 or more.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when drawn, if the layout names no `o`, or the outputs are not a multiple of
        scale^2.

    References
    ----------
    Aitken, Ledig, Theis, Caballero, Wang, Shi, "Checkerboard artifact free sub-pixel convolution", 2017.

    Examples
    --------
    >>> icnr("he", scale=3)
    ICNR(initialization=VarianceScaling(scale=2.0, mode='fan_in', distribution='normal'), scale=3)
    """
    return ICNR(initialization, scale)


def mamba_dt_bias(dt_min: float = 1e-3, dt_max: float = 0.1, dt_floor: float = 1e-4) -> MambaDtBias:
    """Mamba's bias of the step's projection: steps softplus(bias) that are log-uniform in [dt_min, dt_max).

    dt = max(exp(x), dt_floor), x ~ U[log(dt_min), log(dt_max)), and bias = log(exp(dt) - 1), softplus's inverse. x is
    what ``uniform(log(dt_min), log(dt_max))`` draws; no bias lies beyond those of the bounds.

    Parameters
    ----------
    dt_min, dt_max : float
        The range of the steps, 1e-300 <= dt_min < dt_max <= 1.
    dt_floor : float
        The least step, less than dt_max; 0 for none.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Gu, Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023, section 3.6, and its program.

    Examples
    --------
    >>> mamba_dt_bias()
    MambaDtBias(dt_min=0.001, dt_max=0.1, dt_floor=0.0001)
    """
    return MambaDtBias(dt_min, dt_max, dt_floor)
