"""What the kernels can draw: a distribution and a dtype give a kernel and its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from . import _checks

if TYPE_CHECKING:
    from ._fans import Fans


class Distribution:
    """A law that does not depend on the shape; also a strategy, which resolves to itself."""

    #: The name under which the kernels know it.
    kernel: ClassVar[str]

    @property
    def mean(self) -> float:
        """The mean of what is drawn."""
        raise NotImplementedError

    @property
    def std(self) -> float:
        """The standard deviation of what is drawn."""
        raise NotImplementedError

    def resolve(self, fans: Fans) -> Distribution:
        """This distribution itself: nothing about it depends on the weight's fans."""
        return self

    def parameters(self, dtype: np.dtype) -> tuple[float, ...]:
        """The kernel's parameters for arrays of `dtype`, in the order of fastinit.h."""
        raise NotImplementedError


def _representable(argument: str, value: float, dtype: np.dtype) -> float:
    """`value`, an error where the nearest number of `dtype` is infinite."""
    greatest = float(np.finfo(dtype).max)
    if abs(value) > greatest:
        raise ValueError(f"{argument} must be at most {greatest:g} in magnitude for {dtype}; got {value!r}")
    return value


@dataclass(frozen=True)
class Constant(Distribution):
    """The same value everywhere.

    Parameters
    ----------
    value : float
        The value, rounded once to the array's dtype.
    """

    value: float = 0.0
    kernel: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checks.real("value", self.value))

    @property
    def mean(self) -> float:
        return self.value

    @property
    def std(self) -> float:
        return 0.0

    def parameters(self, dtype: np.dtype) -> tuple[float, ...]:
        return (_representable("value", self.value, dtype),)


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
    kernel: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        low, high = _checks.real("low", self.low), _checks.real("high", self.high)
        if not low < high:
            raise ValueError(f"low must be less than high; got low={low!r}, high={high!r}")
        if math.isinf(high - low):
            raise ValueError(f"high - low must be finite; got low={low!r}, high={high!r}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def mean(self) -> float:
        return self.low + (self.high - self.low) / 2

    @property
    def std(self) -> float:
        return (self.high - self.low) / math.sqrt(12)

    def parameters(self, dtype: np.dtype) -> tuple[float, ...]:
        number = dtype.type
        _representable("low", self.low, dtype)
        _representable("high", self.high, dtype)
        least, most = number(self.low), number(self.high)
        if float(least) < self.low:
            least = np.nextafter(least, number(np.inf))
        if float(most) >= self.high:
            most = np.nextafter(most, number(-np.inf))
        if most < least:
            raise ValueError(f"[low, high) must hold a {dtype}; got low={self.low!r}, high={self.high!r}")
        scale = _representable("high - low", self.high - self.low, dtype)
        return float(least), scale, float(most)


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
    kernel: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _checks.real("mean", self.mean))
        object.__setattr__(self, "std", _checks.real("std", self.std, least=0))

    def parameters(self, dtype: np.dtype) -> tuple[float, ...]:
        _representable("abs(mean) + 9 std", abs(self.mean) + 9 * self.std, dtype)
        return self.mean, self.std
