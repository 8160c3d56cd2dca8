"""What to draw: strategies by name, and the one variance rule behind Xavier, He and LeCun."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from . import _checks, _kernels
from ._fans import Fans, Nonlinearity, squared_gain
from .distributions import Constant, Distribution, Normal, TruncatedNormal, Uniform
from .orthogonal import delta_orthogonal, orthogonal
from .structured import dirac, eye, identity, sparse


@runtime_checkable
class Strategy(Protocol):
    """Anything that turns a weight's fans into a distribution."""

    def resolve(self, fans: Fans) -> Distribution:
        """The distribution that a weight with these fans is drawn from."""


#: The standard deviation of N(0, 1) within [-2, 2].
_STD_WITHIN_2 = 0.87962566103423978


@dataclass(frozen=True)
class VarianceScaling:
    """Zero mean and variance ``scale / n``, n counted from the weight's shape.

    Parameters
    ----------
    scale : float
        The factor above n, positive.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        What n is: the inputs that each output sums over, the outputs that each input feeds, or the arithmetic or the
        geometric mean of both.
    distribution : {"normal", "uniform", "truncated_normal"}
        N(0, scale / n); or one of the same variance: U[-b, b) with b = sqrt(3 scale / n), or N(0, s^2) within [-2s, 2s]
        with s = sqrt(scale / n) / 0.87962566103423978.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.VarianceScaling(scale=2.0, mode="fan_in", distribution="normal") == fi.he_normal()
    True
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _checks.positive("scale", self.scale))
        _checks.choice("mode", self.mode, ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"))
        _checks.choice("distribution", self.distribution, ("normal", "uniform", "truncated_normal"))

    def resolve(self, fans: Fans) -> Distribution:
        """The distribution that a weight with these fans is drawn from."""
        if self.mode == "fan_in":
            n: float = fans.fan_in
        elif self.mode == "fan_out":
            n = fans.fan_out
        elif self.mode == "fan_avg":
            n = (fans.fan_in + fans.fan_out) / 2
        else:
            n = math.sqrt(fans.fan_in * fans.fan_out)
        if self.distribution == "uniform":
            bound = math.sqrt(3 * self.scale / n)
            return Uniform(-bound, bound)
        std = math.sqrt(self.scale / n)
        return Normal(0.0, std) if self.distribution == "normal" else TruncatedNormal(0.0, std / _STD_WITHIN_2)


def _scale(gain: float | None, nonlinearity: Nonlinearity | None, negative_slope: float | None) -> float:
    """The squared gain that a maker's arguments ask for; 1 where they ask for nothing."""
    if gain is not None:
        if nonlinearity is not None or negative_slope is not None:
            raise ValueError(f"gain must be None where nonlinearity or negative_slope is given; got {gain!r}")
        number = _checks.positive("gain", gain)
        with _kernels.default_float_environment():
            return number * number
    if nonlinearity is None and negative_slope is not None:
        nonlinearity = "leaky_relu"
    if nonlinearity is None:
        return 1.0
    if negative_slope is not None and nonlinearity != "leaky_relu":
        raise ValueError(f"negative_slope must be None for {nonlinearity!r}; got {negative_slope!r}")
    return squared_gain(nonlinearity, negative_slope)


def zeros() -> Constant:
    """Zeros: right for biases, wrong for weights, whose units would stay copies of each other.

    Examples
    --------
    >>> zeros()
    Constant(value=0.0)
    """
    return Constant(0.0)


def ones() -> Constant:
    """Ones, as for the scale of a normalization layer.

    Examples
    --------
    >>> ones()
    Constant(value=1.0)
    """
    return Constant(1.0)


def constant(value: float = 0.0) -> Constant:
    """The same `value` everywhere.

    Examples
    --------
    >>> constant(0.5)
    Constant(value=0.5)
    """
    return Constant(value)


def uniform(low: float = 0.0, high: float = 1.0) -> Uniform:
    """U[low, high): mean (low + high) / 2, variance (high - low)^2 / 12.

    Parameters
    ----------
    low, high : float
        The bounds, finite, low < high.

    Raises
    ------
    TypeError, ValueError
        If a bound is not a finite number, or low >= high.

    Examples
    --------
    >>> uniform(-0.1, 0.1)
    Uniform(low=-0.1, high=0.1)
    """
    return Uniform(low, high)


def normal(mean: float = 0.0, std: float = 1.0) -> Normal:
    """N(mean, std^2).

    Parameters
    ----------
    mean : float
        The mean, finite.
    std : float
        The standard deviation, finite, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite number, or std is negative.

    Examples
    --------
    >>> normal(std=0.02)
    Normal(mean=0.0, std=0.02)
    """
    return Normal(mean, std)


def random(std: float = 0.01) -> Normal:
    """N(0, std^2), a small Gaussian: enough to make units differ, too little to keep a deep network's signal.

    Parameters
    ----------
    std : float
        The standard deviation, finite, 0 or more.

    Examples
    --------
    >>> random()
    Normal(mean=0.0, std=0.01)
    """
    return Normal(0.0, std)


def truncated_normal(
    mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0, *, bounds: str = "std"
) -> TruncatedNormal:
    """N(mean, std^2) cut off outside [mean + low std, mean + high std], by the inverse distribution function.

    Parameters
    ----------
    mean : float
        The mean before the cut, finite.
    std : float
        The standard deviation before the cut, finite, positive; that of what is drawn is 0.8796 std with the default
        bounds.
    low, high : float
        The bounds, low < high; -inf and inf for none.
    bounds : {"std", "absolute"}
        Whether `low` and `high` count standard deviations from the mean, as in JAX, or are the least and the greatest
        value themselves, as a and b of PyTorch's `torch.nn.init.trunc_normal_`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, std is not positive, low >= high, both bounds lie more than 10^8 std out, or
        absolute ones are too close for their number of std.

    Examples
    --------
    >>> truncated_normal(std=0.02)
    TruncatedNormal(mean=0.0, std=0.02, low=-2.0, high=2.0)
    >>> truncated_normal(std=0.02, low=-0.05, high=0.05, bounds="absolute")
    TruncatedNormal(mean=0.0, std=0.02, low=-0.05, high=0.05, bounds='absolute')
    """
    return TruncatedNormal(mean, std, low, high, bounds)


def variance_scaling(scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal") -> VarianceScaling:
    """Zero mean and variance scale / n: `VarianceScaling` under the name that JAX gives it.

    Examples
    --------
    >>> variance_scaling(2.0, "fan_out")
    VarianceScaling(scale=2.0, mode='fan_out', distribution='normal')
    """
    return VarianceScaling(scale, mode, distribution)


def xavier_normal(
    *,
    gain: float | None = None,
    nonlinearity: Nonlinearity | None = None,
    negative_slope: float | None = None,
    mode: str = "fan_avg",
) -> VarianceScaling:
    """Xavier's (Glorot's) N(0, gain^2 * 2 / (fan_in + fan_out)).

    Parameters
    ----------
    gain : float, optional
        A factor for the std; 1 by default. Or name the layer's nonlinearity:
    nonlinearity : str or callable, optional
        What `gain` knows; its gain is used.
    negative_slope : float, optional
        The slope of leaky_relu.
    mode : {"fan_avg", "fan_in", "fan_out", "fan_geo_avg"}
        With "fan_in" the variance is gain^2 / n, n the inputs of a unit: 1/n for sigmoid and tanh as often taught,
        and 2/n with ``nonlinearity="relu"``.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown, not finite or not positive, or both `gain` and `nonlinearity` are given.

    References
    ----------
    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> xavier_normal()
    VarianceScaling(scale=1.0, mode='fan_avg', distribution='normal')
    >>> xavier_normal(mode="fan_in", nonlinearity="relu")
    VarianceScaling(scale=2.0, mode='fan_in', distribution='normal')
    """
    return VarianceScaling(_scale(gain, nonlinearity, negative_slope), mode, "normal")


def xavier_uniform(
    *,
    gain: float | None = None,
    nonlinearity: Nonlinearity | None = None,
    negative_slope: float | None = None,
    mode: str = "fan_avg",
) -> VarianceScaling:
    """Xavier's (Glorot's) U[-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)); see `xavier_normal`.

    Examples
    --------
    >>> xavier_uniform()
    VarianceScaling(scale=1.0, mode='fan_avg', distribution='uniform')
    """
    return VarianceScaling(_scale(gain, nonlinearity, negative_slope), mode, "uniform")


def xavier_truncated_normal(
    *,
    gain: float | None = None,
    nonlinearity: Nonlinearity | None = None,
    negative_slope: float | None = None,
    mode: str = "fan_avg",
) -> VarianceScaling:
    """Xavier's (Glorot's) variance, 2 gain^2 / (fan_in + fan_out), from a normal cut off at 2 std; see `xavier_normal`.

    JAX and Keras call this glorot_normal.

    Examples
    --------
    >>> xavier_truncated_normal()
    VarianceScaling(scale=1.0, mode='fan_avg', distribution='truncated_normal')
    """
    return VarianceScaling(_scale(gain, nonlinearity, negative_slope), mode, "truncated_normal")


def he_normal(
    *, negative_slope: float | None = None, nonlinearity: Nonlinearity | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """He's (Kaiming's) N(0, 2 / ((1 + a^2) n)), a the negative slope of the (leaky) ReLU and n the fan_in.

    Parameters
    ----------
    negative_slope : float, optional
        a; 0, plain ReLU, by default.
    nonlinearity : str or callable, optional
        What else `gain` knows: the variance is then gain^2 / n.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        What n counts. "fan_in" keeps the size of the signal forward, "fan_out" that of the gradient backward.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or not finite.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> he_normal()
    VarianceScaling(scale=2.0, mode='fan_in', distribution='normal')
    >>> he_normal(negative_slope=0.1, mode="fan_out")
    VarianceScaling(scale=1.9801980198019802, mode='fan_out', distribution='normal')
    """
    return VarianceScaling(_he_scale(negative_slope, nonlinearity), mode, "normal")


def he_uniform(
    *, negative_slope: float | None = None, nonlinearity: Nonlinearity | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """He's (Kaiming's) U[-b, b) with b = sqrt(6 / ((1 + a^2) n)); see `he_normal`.

    Examples
    --------
    >>> he_uniform()
    VarianceScaling(scale=2.0, mode='fan_in', distribution='uniform')
    """
    return VarianceScaling(_he_scale(negative_slope, nonlinearity), mode, "uniform")


def he_truncated_normal(
    *, negative_slope: float | None = None, nonlinearity: Nonlinearity | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """He's (Kaiming's) variance, 2 / ((1 + a^2) n), from a normal cut off at 2 std; see `he_normal`.

    JAX and Keras call this he_normal.

    Examples
    --------
    >>> he_truncated_normal()
    VarianceScaling(scale=2.0, mode='fan_in', distribution='truncated_normal')
    """
    return VarianceScaling(_he_scale(negative_slope, nonlinearity), mode, "truncated_normal")


def _he_scale(negative_slope: float | None, nonlinearity: Nonlinearity | None) -> float:
    if nonlinearity is None and negative_slope is None:
        nonlinearity = "relu"
    return _scale(None, nonlinearity, negative_slope)


def lecun_normal(
    *, nonlinearity: Nonlinearity | None = None, negative_slope: float | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """LeCun's N(0, 1/n), n the fan_in; times gain^2 where a nonlinearity is named.

    Parameters
    ----------
    nonlinearity : str or callable, optional
        What `gain` knows: the variance is then gain^2 / n.
    negative_slope : float, optional
        The slope of leaky_relu.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        What n counts.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or not finite.

    References
    ----------
    LeCun, Bottou, Orr, Muller, "Efficient BackProp", 1998.

    Examples
    --------
    >>> lecun_normal()
    VarianceScaling(scale=1.0, mode='fan_in', distribution='normal')
    """
    return VarianceScaling(_scale(None, nonlinearity, negative_slope), mode, "normal")


def lecun_uniform(
    *, nonlinearity: Nonlinearity | None = None, negative_slope: float | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """LeCun's U[-b, b) with b = sqrt(3/n); see `lecun_normal`.

    Examples
    --------
    >>> lecun_uniform()
    VarianceScaling(scale=1.0, mode='fan_in', distribution='uniform')
    """
    return VarianceScaling(_scale(None, nonlinearity, negative_slope), mode, "uniform")


def lecun_truncated_normal(
    *, nonlinearity: Nonlinearity | None = None, negative_slope: float | None = None, mode: str = "fan_in"
) -> VarianceScaling:
    """LeCun's variance, 1/n, from a normal cut off at 2 std; see `lecun_normal`.

    JAX and Keras call this lecun_normal.

    Examples
    --------
    >>> lecun_truncated_normal()
    VarianceScaling(scale=1.0, mode='fan_in', distribution='truncated_normal')
    """
    return VarianceScaling(_scale(None, nonlinearity, negative_slope), mode, "truncated_normal")


glorot_normal = xavier_normal
glorot_uniform = xavier_uniform
glorot_truncated_normal = xavier_truncated_normal
kaiming_normal = he_normal
kaiming_uniform = he_uniform
kaiming_truncated_normal = he_truncated_normal

#: Every strategy that has a name; `modern` adds its own.
_MAKERS: dict[str, Callable[..., Strategy]] = {
    "zeros": zeros,
    "ones": ones,
    "constant": constant,
    "random": random,
    "uniform": uniform,
    "normal": normal,
    "truncated_normal": truncated_normal,
    "variance_scaling": variance_scaling,
    "xavier": xavier_normal,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "xavier_truncated_normal": xavier_truncated_normal,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "glorot_truncated_normal": glorot_truncated_normal,
    "he": he_normal,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "he_truncated_normal": he_truncated_normal,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_truncated_normal": kaiming_truncated_normal,
    "lecun": lecun_normal,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_truncated_normal": lecun_truncated_normal,
    "eye": eye,
    "identity": identity,
    "dirac": dirac,
    "sparse": sparse,
    "orthogonal": orthogonal,
    "delta_orthogonal": delta_orthogonal,
}


def available() -> list[str]:
    """The names that `get`, `initialize` and `fill` know, sorted.

    Examples
    --------
    >>> "he_normal" in available()
    True
    """
    return sorted(_MAKERS)


def get(name: str, /, **parameters: Any) -> Strategy:
    """The strategy of that name, with those parameters.

    Parameters
    ----------
    name : str
        One of `available()`.
    **parameters
        What the function of that name takes.

    Returns
    -------
    Strategy
        A small frozen value, whose `repr` evaluates back.

    Raises
    ------
    TypeError, ValueError
        If the name or a parameter is unknown (the error names the nearest), or a parameter is out of range.

    Examples
    --------
    >>> get("normal", std=0.02)
    Normal(mean=0.0, std=0.02)
    """
    maker = _MAKERS[_checks.choice("initialization", name, available())]
    signature = inspect.signature(maker).parameters
    allowed = list(signature)
    for parameter in parameters:
        if parameter not in allowed:
            rule = f"one of {', '.join(allowed)}" if allowed else "absent"
            raise TypeError(f"parameter of {name!r} must be {rule}; got {parameter!r}")
    for parameter in allowed:
        if signature[parameter].default is inspect.Parameter.empty and parameter not in parameters:
            got = ", ".join(parameters) or "none"
            raise TypeError(f"parameters of {name!r} must include {parameter!r}; got {got}")
    return maker(**parameters)


def as_strategy(initialization: Any) -> Strategy:
    """`initialization` itself if it is a strategy, or the one that it names."""
    if isinstance(initialization, str):
        return get(initialization)
    if callable(initialization) and getattr(initialization, "__name__", None) in _MAKERS:
        name = initialization.__name__
        raise TypeError(f"initialization must be a name or a strategy; got the function {name}: call it, {name}()")
    if isinstance(initialization, type) or not isinstance(initialization, Strategy):
        raise TypeError(
            f"initialization must be a name or a strategy, such as 'he' or he_normal(); got {initialization!r}"
        )
    return initialization
