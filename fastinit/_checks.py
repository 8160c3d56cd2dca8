"""Argument checks shared by every layer: each returns the clean value or says what the argument must be."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat

import numpy as np

from . import _kernels


def integer(argument: str, value: Any, *, least: int, most: int | None = None) -> int:
    """`value` as an int within [least, most]."""
    rule = f"an integer of at least {least}" if most is None else f"an integer in [{least}, {most}]"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{argument} must be {rule}; got {value!r}") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{argument} must be {rule}; got {number}")
    return number


def real(argument: str, value: Any, *, least: float | None = None, finite: bool = True) -> float:
    """`value` as a float, `least` or more, and finite unless it need not be; a zero is positive."""
    rule = "a finite number" if finite else "a number"
    if least is not None:
        rule += f" of at least {least:g}"
    if isinstance(value, (bool, np.bool_, np.complexfloating, str, bytes)) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{argument} must be {rule}; got {value!r}")
    try:
        number = float(value)
    except (OverflowError, TypeError):
        raise ValueError(f"{argument} must be {rule}; got {value!r}") from None
    with _kernels.default_float_environment():
        if math.isnan(number) or (finite and math.isinf(number)) or (least is not None and number < least):
            raise ValueError(f"{argument} must be {rule}; got {number!r}")
        return number or 0.0


def positive(argument: str, value: Any) -> float:
    """`value` as a finite float above 0."""
    number = real(argument, value)
    with _kernels.default_float_environment():
        if number <= 0:
            raise ValueError(f"{argument} must be positive; got {number!r}")
    return number


def choice(argument: str, value: Any, allowed: Iterable[str]) -> str:
    """`value`, one of the names in `allowed`; the error names the nearest."""
    names = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be one of {', '.join(names)}; got {value!r}")
    if value not in names:
        near = difflib.get_close_matches(value.lower(), names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"{argument} must be one of {', '.join(names)}; got {value!r}{hint}")
    return value
