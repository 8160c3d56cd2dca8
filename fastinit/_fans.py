"""A weight's layout and shape to its fan_in and fan_out, and the gains of nonlinearities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from . import _checks, _kernels


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

    def _from_shape(self, axis: str) -> int:
        before, after, has_ellipsis = parse_layout(self.layout)
        between = len(self.shape) - len(before) - len(after)
        argument = "fan_in" if axis == "i" else "fan_out"
        if between < 0 or (between > 0 and not has_ellipsis):
            raise ValueError(
                f"shape must have an axis for each letter of layout {self.layout!r}, or {argument}= be given; "
                f"got shape {self.shape}"
            )
        letters = before + "." * between + after
        fan = math.prod(n for n, letter in zip(self.shape, letters, strict=True) if letter not in "oib")
        if axis in letters:
            fan *= self.shape[letters.index(axis)]
        if axis == self._spanning_axis(letters):
            if fan % self.groups:
                raise ValueError(
                    f"groups must divide the {axis!r} axis of shape {self.shape} in layout {self.layout!r}; "
                    f"got {self.groups}"
                )
            fan //= self.groups
        return fan

    @staticmethod
    def _spanning_axis(letters: str) -> str:
        """The axis that spans all groups, the outermost: `o`, or `i` in a transposed convolution."""
        axes = letters.replace("b", "")
        outer = axes[:1] if axes[:1] in ("o", "i") else axes[-1:]
        return "i" if outer == "i" and len(axes) > 2 else "o"


#: Squares of the gains, so that He's variance is 2 / n exactly. PyTorch's table (`torch.nn.init.calculate_gain`).
_SQUARED_GAINS = {
    "linear": 1.0,
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 25 / 9,
    "relu": 2.0,
    "selu": 9 / 16,
}


def squared_gain(nonlinearity: str, param: float | None = None) -> float:
    """The square of `gain`: the factor by which a layer's weight variance makes up for its nonlinearity."""
    _checks.choice("nonlinearity", nonlinearity, [*_SQUARED_GAINS, "leaky_relu"])
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else _checks.real("negative_slope", param)
        with _kernels.default_float_environment():
            return 2 / (1 + slope * slope)
    if param is not None:
        raise ValueError(f"param must be None for {nonlinearity!r}; got {param!r}")
    return _SQUARED_GAINS[nonlinearity]


def gain(nonlinearity: str, param: float | None = None) -> float:
    """The recommended gain of a nonlinearity: what to multiply a weight's std by so that signals keep their size.

    1 for linear, identity and sigmoid; 5/3 for tanh; sqrt(2) for relu; sqrt(2 / (1 + a^2)) for leaky_relu with
    negative slope a; 3/4 for selu.

    Parameters
    ----------
    nonlinearity : str
        One of the names above.
    param : float, optional
        The negative slope of leaky_relu; 0.01 by default.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown, or `param` is given for a nonlinearity without one or is not finite.

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
    """
    with _kernels.default_float_environment():
        return math.sqrt(squared_gain(nonlinearity, param))
