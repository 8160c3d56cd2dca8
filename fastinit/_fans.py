"""A weight's layout and shape to its fan_in and fan_out, and the gains of nonlinearities."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from . import _checks, _kernels

#: The name of a nonlinearity, or a function of an array or a number.
Nonlinearity: TypeAlias = str | Callable[[Any], Any]


def parse_layout(layout: Any) -> tuple[str, str, bool]:
    """The letters before and after the ellipsis of `layout`, and whether there is one.

    Raises
    ------
    TypeError, ValueError
        If `layout` is not a string of letters, at most one `...`, at most one `o`, and at most one `i`.
    """
    rule = "letters that name each axis (o output, i input, b batch, others receptive field), with at most one '...'"
    if not isinstance(layout, str):
        raise TypeError(f"layout must be {rule}; got {layout!r}")
    before, ellipsis, after = layout.partition("...")
    letters = before + after
    if not all(letter.isascii() and letter.isalpha() and letter.islower() for letter in letters):
        raise ValueError(f"layout must be {rule}; got {layout!r}")
    for letter in "oi":
        if letters.count(letter) > 1:
            raise ValueError(f"layout must name {letter!r} at most once; got {layout!r}")
    return before, after, bool(ellipsis)


@dataclass(frozen=True)
class Fans:
    """What a strategy may ask about a weight; worked out when asked for, so that a bias has no fans to get wrong.

    `shape` is the whole tensor's. A grouped convolution's weight holds one group's inputs beside all outputs (or,
    transposed, one group's outputs beside all inputs): the axis that spans all groups counts for one group only.
    Where a depthwise weight has its channels beside an axis of one input, as PyTorch's (C m, 1, k, k), `groups` is C;
    Keras's (k, k, C, m) is C separate convolutions, "...bo". Either gives fan_in k k and fan_out m k k.
    """

    shape: tuple[int, ...]
    layout: str = "oi..."
    given_fan_in: int | None = None
    given_fan_out: int | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        parse_layout(self.layout)
        for name in ("fan_in", "fan_out"):
            value = getattr(self, f"given_{name}")
            if value is not None:
                object.__setattr__(self, f"given_{name}", _checks.integer(name, value, least=1))
        object.__setattr__(self, "groups", _checks.integer("groups", self.groups, least=1))

    @property
    def fan_in(self) -> int:
        """The number of inputs that each output sums over."""
        return self.given_fan_in if self.given_fan_in is not None else self._from_shape("i")

    @property
    def fan_out(self) -> int:
        """The number of outputs that each input feeds."""
        return self.given_fan_out if self.given_fan_out is not None else self._from_shape("o")

    @property
    def letters(self) -> str | None:
        """The letter of each of the shape's axes, '.' for those of the ellipsis; None where the layout does not fit."""
        before, after, has_ellipsis = parse_layout(self.layout)
        between = len(self.shape) - len(before) - len(after)
        if between < 0 or (between > 0 and not has_ellipsis):
            return None
        return before + "." * between + after

    def letters_with(self, needed: str, owner: object) -> str:
        """The letters of the shape's axes, those that `owner`, a strategy, has need of among them."""
        letters = self.letters
        if letters is None:
            raise ValueError(f"shape must have an axis for each letter of layout {self.layout!r}; got {self.shape}")
        if not set(needed) <= set(letters):
            axes = " and ".join(f"an {letter!r}" for letter in needed)
            raise ValueError(f"layout must name {axes} axis for {owner!r}; got {self.layout!r}")
        return letters

    def _from_shape(self, axis: str) -> int:
        letters = self.letters
        argument = "fan_in" if axis == "i" else "fan_out"
        if letters is None:
            raise ValueError(
                f"shape must have an axis for each letter of layout {self.layout!r}, or {argument}= be given; "
                f"got shape {self.shape}"
            )
        length = dict.fromkeys("oi", 1) | dict(zip(letters, self.shape, strict=True))
        spanning = self.spanning_axis(letters)
        if length[spanning] % self.groups:
            raise ValueError(
                f"groups must divide the {spanning!r} axis of shape {self.shape} in layout {self.layout!r}; "
                f"got {self.groups}"
            )
        receptive = math.prod(n for n, letter in zip(self.shape, letters, strict=True) if letter not in "oib")
        return receptive * length[axis] // (self.groups if axis == spanning else 1)

    @staticmethod
    def spanning_axis(letters: str) -> str:
        """The axis that spans all groups, the outermost: `o`, or `i` in a transposed convolution."""
        axes = letters.replace("b", "")
        outer = axes[:1] if axes[:1] in ("o", "i") else axes[-1:]
        return "i" if outer == "i" and len(axes) > 2 else "o"


#: Squares of the gains, so that He's variance is 2 / n exactly. The first group is PyTorch's table
#: (`torch.nn.init.calculate_gain`), the second 1 / E[f(z)^2] for z ~ N(0, 1), to double precision.
_SQUARED_GAINS = {
    **dict.fromkeys(("linear", "identity", "conv1d", "conv2d", "conv3d"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "sigmoid": 1.0,
    "tanh": 25 / 9,
    "relu": 2.0,
    "selu": 9 / 16,
    "gelu": 2.351715614073373,
    "silu": 2.810761124074471,
    "swish": 2.810761124074471,
    "mish": 2.210715729937989,
    "softplus": 1.0854865029883434,
    "hardtanh": 1.9377646163142264,
}
#: E[(e^z - 1)^2; z < 0] = e^2 F(-2) - 2 sqrt(e) F(-1) + 1/2, F the normal distribution function: ELU's negative half.
_ELU_BELOW_0 = 0.14494541749292386


def squared_gain(nonlinearity: Nonlinearity, param: float | None = None) -> float:
    """The square of `gain`: the factor by which a layer's weight variance makes up for its nonlinearity."""
    if callable(nonlinearity):
        if param is not None:
            raise ValueError(f"param must be None for a function; got {param!r}")
        return _squared_gain_of(nonlinearity)
    _checks.choice("nonlinearity", nonlinearity, [*_SQUARED_GAINS, "leaky_relu", "elu"])
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else _checks.real("negative_slope", param)
        with _kernels.default_float_environment():
            return 2 / (1 + slope * slope)
    if nonlinearity == "elu":
        alpha = 1.0 if param is None else _checks.real("alpha", param)
        with _kernels.default_float_environment():
            return 1 / (0.5 + _ELU_BELOW_0 * alpha * alpha)
    if param is not None:
        raise ValueError(f"param must be None for {nonlinearity!r}; got {param!r}")
    return _SQUARED_GAINS[nonlinearity]


def _squared_gain_of(f: Callable[[Any], Any]) -> float:
    """1 / E[f(z)^2], z ~ N(0, 1): Gauss-Legendre in panels of 1/8, at whose ends most functions have their kinks.

    Rounded to 12 digits, which no machine's own exp or erf changes.
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    with _kernels.default_float_environment():
        z = (np.arange(-12, 12, 0.125)[:, None] + (nodes + 1) / 16).ravel()
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        try:
            values = np.asarray(f(z), np.float64)
            if values.shape != z.shape:
                raise ValueError
        except (TypeError, ValueError):  # a function of one number
            values = np.array([float(f(each)) for each in z.tolist()])
        square = float(np.sum(np.tile(weights / 16, z.size // 16) * density * values * values))
        if not 0 < square < math.inf:
            raise ValueError(f"nonlinearity must have 0 < E[f(z)^2] < inf for z ~ N(0, 1); got {square!r} for {f!r}")
        return float(f"{1 / square:.12g}")


def gain(nonlinearity: Nonlinearity, param: float | None = None) -> float:
    """The recommended gain of a nonlinearity: what to multiply a weight's std by so that signals keep their size.

    PyTorch's table: 1 for linear, identity, sigmoid and convolutions; 5/3 for tanh; sqrt(2) for relu;
    sqrt(2 / (1 + a^2)) for leaky_relu with negative slope a; 3/4 for selu. For gelu, silu (swish), mish, softplus, elu,
    hardtanh and any function f, the gain that keeps the mean square of a signal: if a layer's inputs x have mean square
    1 and its sums z are N(0, 1), then its outputs f(z) have mean square
    E[f(z)^2] = integral f(z)^2 exp(-z^2 / 2) / sqrt(2 pi) dz, and the next layer's sums are N(0, 1) again where
    gain = 1 / sqrt(E[f(z)^2]). (That of relu is sqrt(2), too.)

    Parameters
    ----------
    nonlinearity : str or callable
        One of the names above, or a function of a NumPy array or of a number.
    param : float, optional
        The negative slope of leaky_relu, 0.01 by default, or the alpha of elu, 1 by default.

    Returns
    -------
    float
        The gain; of a function, from its square to 12 digits.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown, `param` is given for a nonlinearity without one or is not finite, or a function's
        mean square is not a positive number.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, for relu and leaky_relu; the values for tanh and
    selu are PyTorch's (`torch.nn.init.calculate_gain`).

    Examples
    --------
    >>> gain("relu")
    1.4142135623730951
    >>> gain("leaky_relu", 0.2)
    1.3867504905630728
    >>> import numpy as np
    >>> round(gain(lambda z: np.maximum(z, 0)), 10)
    1.4142135624
    """
    with _kernels.default_float_environment():
        return math.sqrt(squared_gain(nonlinearity, param))
