"""What the kernels can draw: a distribution and a dtype give a kernel and its parameters."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from . import _checks, _gauss, _kernels

if TYPE_CHECKING:
    from ._fans import Fans

#: Writes what a kernel does not: into an array of a box of the tensor, whose coordinates the ranges give, an axis each;
#: the seed and the stream come last.
Finish: TypeAlias = Callable[[np.ndarray, tuple[range, ...], int, int], None]

_SQRT_HALF = 0.7071067811865476


class Whole(NamedTuple):
    """A tensor each of whose elements depends on all others: `made` of an array that the kernel draws."""

    shape: tuple[int, ...]
    dtype: np.dtype
    made: Callable[[np.ndarray], np.ndarray]


class Distribution:
    """A law that does not depend on the shape; also a strategy, which resolves to itself."""

    def moments(self) -> tuple[float, float]:
        """The mean and the standard deviation of what is drawn."""
        raise NotImplementedError

    def resolve(self, fans: Fans) -> Distribution:
        """This distribution itself: nothing about it depends on the weight's fans."""
        return self

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        """The kernel that draws it into arrays of `dtype`, and its parameters in the order of the C."""
        raise NotImplementedError

    def finish(self, dtype: np.dtype) -> Finish | None:
        """What is left to do where the kernel has drawn; None, as for most, if nothing is."""
        return None

    def halved(self) -> Distribution | None:
        """The law of the real and of the imaginary part of a complex weight: half the variance; None if it has none.

        What is not random is its own, and stays real.
        """
        return None

    def whole(self, dtype: np.dtype) -> Whole | None:
        """What the tensor is made of, if it can only be made as a whole; None for most."""
        return None


def _largest(dtype: np.dtype) -> float:
    """The greatest finite number of `dtype`."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).max)
    import ml_dtypes  # bfloat16 is its dtype

    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


def _computed(dtype: np.dtype) -> np.dtype:
    """The dtype in which the kernels compute a weight: 16-bit numbers are float32 ones, rounded last."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def _representable(argument: str, value: float, dtype: np.dtype, *, computed: bool = False) -> float:
    """`value`, an error where it is beyond `dtype`, or beyond what numbers of `dtype` are computed in."""
    greatest = _largest(_computed(dtype) if computed else dtype)
    if abs(value) > greatest:
        raise ValueError(f"{argument} must be at most {greatest:g} in magnitude for {dtype}; got {value!r}")
    return value


def _least(bound: float | Fraction, dtype: np.dtype) -> float:
    """The least number of `dtype` that is not below `bound`."""
    least_of_all = -_largest(dtype)
    if bound <= least_of_all:
        return least_of_all
    number = dtype.type(float(bound))
    return float(number if Fraction(float(number)) >= bound else np.nextafter(number, dtype.type(np.inf)))


def _greatest(bound: float | Fraction, dtype: np.dtype) -> float:
    """The greatest number of `dtype` that is not above `bound`."""
    return -_least(-bound, dtype)


def _nearest(value: float, dtype: np.dtype) -> float:
    """`value` rounded to `dtype` once: some conversions to 16 bits go by way of float32."""
    below, above = _greatest(value, dtype), _least(value, dtype)
    excess = 2 * Fraction(value) - Fraction(below) - Fraction(above)
    if excess:
        return above if excess > 0 else below
    return float(dtype.type(value))  # the number itself, or a tie, which float32 holds


def _below(number: float, dtype: np.dtype) -> float:
    """The greatest number of `dtype` below `number`, which is one of them."""
    return float(np.nextafter(dtype.type(number), dtype.type(-np.inf)))


@dataclass(frozen=True)
class Constant(Distribution):
    """The same value everywhere.

    Parameters
    ----------
    value : float
        The value, rounded once to the array's dtype.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checks.real("value", self.value))

    def halved(self) -> Distribution | None:
        return self

    def moments(self) -> tuple[float, float]:
        return self.value, 0.0

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        return "constant", (_nearest(_representable("value", self.value, dtype), dtype),)


@dataclass(frozen=True)
class Uniform(Distribution):
    """The uniform distribution U[low, high).

    Parameters
    ----------
    low, high : float
        The bounds, low < high. No value lies outside [low, high) in any dtype: a bound that the dtype cannot hold
        gives way to the nearest number inside.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        low, high = _checks.real("low", self.low), _checks.real("high", self.high)
        with _kernels.default_float_environment():
            if not low < high:
                raise ValueError(f"low must be less than high; got low={low!r}, high={high!r}")
            if math.isinf(high - low):
                raise ValueError(f"high - low must be finite; got low={low!r}, high={high!r}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def halved(self) -> Distribution | None:
        return Uniform(self.low * _SQRT_HALF, self.high * _SQRT_HALF) if self.low == -self.high else None

    def moments(self) -> tuple[float, float]:
        return self.low + (self.high - self.low) / 2, (self.high - self.low) / math.sqrt(12)

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        least = _least(_representable("low", self.low, dtype), dtype)
        most = _greatest(_representable("high", self.high, dtype), dtype)
        if most == self.high:
            most = _below(most, dtype)
        if most < least:
            raise ValueError(f"[low, high) must hold a {dtype}; got low={self.low!r}, high={self.high!r}")
        scale = _representable("high - low", self.high - self.low, dtype, computed=True)
        return "uniform", (_least(self.low, _computed(dtype)), scale, most, least)


@dataclass(frozen=True)
class Normal(Distribution):
    """The normal (Gaussian) distribution N(mean, std^2), by Box-Muller.

    Parameters
    ----------
    mean : float
        The mean.
    std : float
        The standard deviation, 0 or more. The tails reach 6.66 std in float32 and 8.57 std in float64.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _checks.real("mean", self.mean))
        object.__setattr__(self, "std", _checks.real("std", self.std, least=0))

    def halved(self) -> Distribution | None:
        return Normal(0.0, self.std * _SQRT_HALF) if self.mean == 0 else None

    def moments(self) -> tuple[float, float]:
        return self.mean, self.std

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        _representable("abs(mean) + 9 std", abs(self.mean) + 9 * self.std, dtype)
        return "normal", (self.mean, self.std)


#: How many standard deviations out an interval may begin; there, doubles still tell its values apart.
_FARTHEST = 1e8


@dataclass(frozen=True)
class TruncatedNormal(Distribution):
    """The normal distribution N(mean, std^2) without what lies outside [mean + low std, mean + high std].

    Drawn by inversion, with no rejection: one word, or two for float64, an element.

    Parameters
    ----------
    mean, std : float
        The mean and the standard deviation, positive, of the normal distribution before the cut.
    low, high : float
        The bounds, low < high; either may be infinite. No value lies outside them in any dtype. Bounds within 3
        standard deviations are fast; others cost several times as much.
    bounds : {"std", "absolute"}
        Whether the bounds count standard deviations from the mean, or are values: [low, high] itself.
    """

    mean: float = 0.0
    std: float = 1.0
    low: float = -2.0
    high: float = 2.0
    bounds: str = "std"

    def __post_init__(self) -> None:
        _checks.choice("bounds", self.bounds, ("std", "absolute"))
        mean, std = _checks.real("mean", self.mean), _checks.real("std", self.std)
        low, high = _checks.real("low", self.low, finite=False), _checks.real("high", self.high, finite=False)
        if std <= 0:
            raise ValueError(f"std must be positive; got {std!r}")
        if not low < high:
            raise ValueError(f"low must be less than high; got low={low!r}, high={high!r}")
        for name, value in (("mean", mean), ("std", std), ("low", low), ("high", high)):
            object.__setattr__(self, name, value)
        with _kernels.default_float_environment():
            low, high = self._in_std()
        if low > _FARTHEST or high < -_FARTHEST:
            origin = "0" if self.bounds == "std" else "the mean, in std"
            raise ValueError(f"[low, high] must reach within {_FARTHEST:g} of {origin}; got {self._got()}")
        if low == high:
            raise ValueError(f"[low, high] must be wide enough to tell its ends apart in std; got {self._got()}")

    def __repr__(self) -> str:
        bounds = "" if self.bounds == "std" else f", bounds={self.bounds!r}"
        return f"TruncatedNormal(mean={self.mean!r}, std={self.std!r}, low={self.low!r}, high={self.high!r}{bounds})"

    def _got(self) -> str:
        of = "" if self.bounds == "std" else f", mean={self.mean!r}, std={self.std!r}"
        return f"low={self.low!r}, high={self.high!r}{of}"

    def _in_std(self) -> tuple[float, float]:
        """The bounds in standard deviations from the mean, rounded once."""
        if self.bounds == "std":
            return self.low, self.high
        return self._standardized(self.low), self._standardized(self.high)

    def _standardized(self, bound: float) -> float:
        if math.isinf(bound):
            return bound
        try:
            return float((Fraction(bound) - Fraction(self.mean)) / Fraction(self.std))
        except OverflowError:
            return math.copysign(math.inf, bound - self.mean)

    def _cut(self) -> _gauss.Cut:
        low, high = self._in_std()
        return _cut(max(low, -2 * _FARTHEST), min(high, 2 * _FARTHEST))

    def halved(self) -> Distribution | None:
        if self.mean != 0 or self.low != -self.high:
            return None
        high = self.high if self.bounds == "std" else self.high * _SQRT_HALF
        return TruncatedNormal(0.0, self.std * _SQRT_HALF, -high, high, self.bounds)

    def moments(self) -> tuple[float, float]:
        cut = self._cut()
        return self.mean + self.std * cut.mean, self.std * cut.std

    def kernel(self, dtype: np.dtype) -> tuple[str, tuple[float, ...]]:
        low, high = self._in_std()
        near, far = max(low, -high), max(-low, high)
        reach = min(max(near, 0) + 40, far)  # no draw is farther out
        _representable(f"abs(mean) + {reach:g} std", abs(self.mean) + reach * self.std, dtype)
        least, greatest = _least(self._bound(self.low), dtype), _greatest(self._bound(self.high), dtype)
        if greatest < least:
            interval = "[mean + low std, mean + high std]" if self.bounds == "std" else "[low, high]"
            raise ValueError(f"{interval} must hold a {dtype}; got {self!r}")
        name = "truncated" if far <= 3 else "truncated_far" if near > 4 and far > 9 else "truncated_wide"
        return name, (self.mean, self.std, *_gauss.tail_parameters(self._cut(), low, high), least, greatest)

    def _bound(self, bound: float) -> float | Fraction:
        """What no value may pass, exactly."""
        if self.bounds == "absolute" or math.isinf(bound):
            return bound
        return Fraction(self.mean) + Fraction(bound) * Fraction(self.std)


@functools.lru_cache(maxsize=256)
def _cut(low: float, high: float) -> _gauss.Cut:
    return _gauss.cut(low, high)
