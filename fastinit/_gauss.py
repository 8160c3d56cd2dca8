"""The normal distribution to many digits, in decimal arithmetic: the same on every machine, as no libm is."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

#: The variance of a normal cut off 10^8 standard deviations out cancels to 32 digits, of a narrow one to 32 more.
_CONTEXT = Context(prec=90, rounding=ROUND_HALF_EVEN, Emin=-(10**17), Emax=10**17, traps=[])
_TWO_PI = Decimal(
    "6.28318530717958647692528676655900576839433879875021164194988918461563281257241799725606965068423414"
)


class Cut(NamedTuple):
    """The standard normal distribution between two bounds."""

    below: Decimal  #: P(X < low)
    inside: Decimal  #: P(low < X < high)
    above: Decimal  #: P(X > high)
    mean: float
    std: float


def cut(low: float, high: float) -> Cut:
    """The probabilities and moments of a standard normal between bounds, either of which may be infinite."""
    with localcontext(_CONTEXT):
        (below, above_low), (below_high, above) = _tails(low), _tails(high)
        inside = above_low - above if low > 0 else below_high - below
        width = Decimal(high) - Decimal(low)
        if width * max(-Decimal(low), Decimal(high), Decimal(1)) < Decimal("1e-10"):
            # The density is flat to within the square of this; about 0 the digits would not do for what is below.
            mean, variance = (Decimal(low) + Decimal(high)) / 2, width * width / 12
        else:
            at_low, at_high = _density(low), _density(high)
            mean = (at_low - at_high) / inside
            slopes = (Decimal(low) * at_low if at_low else Decimal(0)) - (
                Decimal(high) * at_high if at_high else Decimal(0)
            )
            variance = 1 + slopes / inside - mean * mean
        return Cut(below, inside, above, float(mean), float(variance.sqrt()))


def tail_parameters(cut: Cut, low: float, high: float) -> tuple[float, float, float, float, float]:
    """BELOW, BELOW_SCALE, ABOVE, ABOVE_SCALE and MINUS_2_LOG of the truncated kernels, as transform.h defines them."""
    with localcontext(_CONTEXT):
        if high < -3:
            end = cut.below + cut.inside
            return float(cut.below / end), float(cut.inside / end), 2.0, 0.0, float(-2 * end.ln())
        if low > 3:
            end = cut.above + cut.inside
            return 2.0, 0.0, float(cut.above / end), float(cut.inside / end), float(-2 * end.ln())
        return float(cut.below), float(cut.inside), float(cut.above), float(cut.inside), 0.0


def _density(x: float) -> Decimal:
    if math.isinf(x):
        return Decimal(0)
    return (-Decimal(x) * Decimal(x) / 2).exp() / _TWO_PI.sqrt()


def _tails(x: float) -> tuple[Decimal, Decimal]:
    """P(X < x) and P(X > x)."""
    if math.isinf(x):
        return (Decimal(0), Decimal(1)) if x < 0 else (Decimal(1), Decimal(0))
    if x < 0:
        return _tails(-x)[::-1]
    z = Decimal(x)
    if x < 7:  # the Taylor series of P / density about 0
        term = total = z
        n = 1
        while term > Decimal("1e-95"):
            n += 2
            term *= z * z / n
            total += term
        half = _density(x) * total
        return Decimal(1) / 2 + half, Decimal(1) / 2 - half
    fraction = z  # Laplace's continued fraction x + 1 / (x + 2 / (x + 3 / ...)); 600 terms give 90 digits from 7 on
    for n in range(600, 0, -1):
        fraction = z + n / fraction
    above = _density(x) / fraction
    return 1 - above, above
