"""Find the coefficients in transform.h and tail.h: minimax fits whose coefficients are floats or doubles.

    python minimax.py            prints the polynomials of transform.h
    python minimax.py tail       prints tail.h

Needs mpmath and scipy; takes a minute or two. A fit minimises the greatest relative error over Chebyshev nodes, as a
linear program on the residual of the last solution, so that double precision is enough for it. Coefficients are
rounded one at a time, lowest power first, and the free ones are fitted again.
"""

import sys

import mpmath as mp
import numpy as np
from scipy.optimize import linprog

mp.mp.dps = 50
NODES = 400


def rounded(x, digits):
    with mp.workprec(digits):
        return +x


def value(coefficients, x):
    return mp.polyval(coefficients[::-1], x)


def chebyshev(count, low, high):
    """The first Chebyshev polynomials on [low, high], as coefficients of powers, lowest first."""
    scale, shift = 2 / (high - low), -(high + low) / (high - low)
    polynomials = [[mp.mpf(1)], [shift, scale]]
    while len(polynomials) < count:
        last, before = polynomials[-1], polynomials[-2]
        new = [mp.mpf(0)] * (len(last) + 1)
        for i, c in enumerate(last):
            new[i] += 2 * shift * c
            new[i + 1] += 2 * scale * c
        for i, c in enumerate(before):
            new[i] -= c
        polynomials.append(new)
    return polynomials[:count]


def fit(function, weight, low, high, count, digits, first=()):
    """Coefficients of a polynomial, each of `digits` bits, and its greatest error times `weight`.

    `first` fixes the lowest ones.
    """
    low, high = mp.mpf(low), mp.mpf(high)
    xs = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / NODES) for k in range(NODES)]
    nodes = [(x, function(x), weight(x)) for x in xs]
    basis = chebyshev(count, low, high)
    size = max(abs(low), abs(high))

    def greatest(coefficients):
        return max(abs(w * (value(coefficients, x) - y)) for x, y, w in nodes)

    def improved(coefficients, fixed):
        """Add the combination of x^fixed T_j that makes the greatest residual least."""
        residuals = [w * (value(coefficients, x) - y) for x, y, w in nodes]
        scale = max(abs(r) for r in residuals)
        r = np.array([float(v / scale) for v in residuals])
        free = basis[: count - fixed]
        a = np.array([[float(w * (x / size) ** fixed * value(t, x)) for t in free] for x, _, w in nodes])
        ones = np.ones((NODES, 1))
        solution = linprog(
            np.r_[np.zeros(len(free)), 1],
            A_ub=np.block([[a, -ones], [-a, -ones]]),
            b_ub=np.r_[-r, r],
            bounds=[(None, None)] * len(free) + [(0, None)],
            method="highs-ds",
        )
        if solution.x is None:
            return coefficients
        new = list(coefficients)
        for t, factor in zip(free, solution.x[:-1], strict=True):
            for i, c in enumerate(t):
                new[i + fixed] += mp.mpf(float(factor)) * scale * c / size**fixed
        return new if greatest(new) < greatest(coefficients) else coefficients

    coefficients = [*first, *[mp.mpf(0)] * (count - len(first))]
    for _ in range(5):
        coefficients = improved(coefficients, len(first))
    for k in range(len(first), count):
        coefficients[k] = rounded(coefficients[k], digits)
        if k + 1 < count:
            for _ in range(2):
                coefficients = improved(coefficients, k + 1)
    return coefficients, greatest(coefficients)


def show(name, result):
    coefficients, error = result
    print(f"{name}: within 2^{mp.nstr(mp.log(error, 2), 5)}, relative to the whole")
    for c in coefficients:
        print(f"    {float(c).hex():26s}  {mp.nstr(c, 17)}")


def minus_2_log_float(count):
    """-2 ln(1 - t/2) = t + t^2 Q(t), t = 2 - 2m, m in [sqrt(1/2), sqrt(2)]."""

    def log(t):
        return -2 * mp.log(1 - t / 2)

    def q(t):
        return (log(t) - t) / t**2 if abs(t) > 1e-8 else mp.mpf(1) / 4 + t / 12 + t * t / 32

    return fit(q, lambda t: t * t / abs(log(t)), 2 - 2 * mp.sqrt(2), 2 - mp.sqrt(2), count, 24)


def minus_2_log_double(count):
    """4 artanh(s/4) = s + s^3 Q(s^2), |s| <= 4 (sqrt(2) - 1) / (sqrt(2) + 1)."""

    def q(z):
        s = mp.sqrt(z)
        return (4 * mp.atanh(s / 4) - s) / s**3 if z > 1e-12 else mp.mpf(1) / 48 + z / 1280 + z * z / 28672

    def weight(z):
        s = mp.sqrt(z)
        return s**3 / (4 * mp.atanh(s / 4))

    return fit(q, weight, 0, (4 * (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2, count, 53)


def sine(count, digits):
    """sin(pi t/4) = t (C + P(z)), z = t^2 in [0, 1]; C is pi/4 rounded and P(0) the rest of it."""
    c = rounded(mp.pi / 4, digits)

    def whole(z):
        t = mp.sqrt(z)
        return mp.sin(mp.pi / 4 * t) / t

    return fit(lambda z: whole(z) - c, lambda z: 1 / whole(z), 0, 1, count, digits, [rounded(mp.pi / 4 - c, digits)])


def cosine(count, digits):
    """cos(pi t/4) = 1 + z R(z), z = t^2 in [0, 1]."""

    def whole(z):
        return mp.cos(mp.pi / 4 * mp.sqrt(z))

    return fit(lambda z: (whole(z) - 1) / z, lambda z: z / whole(z), 0, 1, count, digits)


def below(x):
    """The standard normal distribution function."""
    return mp.erfc(-x / mp.sqrt(2)) / 2


def central(count, digits):
    """x / t where t = P(X < x) - P(X > x), of w = -2 ln(1 - t^2), for |x| <= 3."""

    def ratio(w):
        if w < mp.mpf(10) ** -20:
            return mp.sqrt(mp.pi / 2)
        t = mp.sqrt(-mp.expm1(-w / 2))
        return mp.sqrt(2) * mp.erfinv(t) / t

    return fit(ratio, lambda w: 1 / ratio(w), 0, -2 * mp.log(4 * below(3) * below(-3)), count, digits)


def log_above(x):
    """ln P(X > x)."""
    if x < 100:
        return mp.log(mp.erfc(x / mp.sqrt(2)) / 2)
    series, term = mp.mpf(0), mp.mpf(1)
    for n in range(1, 40):
        term *= -(2 * n - 1) / x**2
        series += term
    return -x * x / 2 - mp.log(x * mp.sqrt(2 * mp.pi)) + mp.log1p(series)


def short_of(r):
    """r - x where r = sqrt(-2 ln P(X > x))."""
    x = r - mp.log(r * mp.sqrt(2 * mp.pi)) / r
    for _ in range(8):  # Newton; the derivative of ln P(X > x) is -1 over Mills's ratio
        f = log_above(x)
        x += (f + r * r / 2) * mp.exp(f + x * x / 2) * mp.sqrt(2 * mp.pi)
    return r - x


def near_tail(count):
    """r - x, of s = r - 6.625, for r in [3.5, 9.8]."""
    return fit(lambda s: short_of(s + 6.625), lambda s: 1 / (s + 6.625), -3.125, 3.175, count, 53)


def far_tail(exponent, count):
    """r - x, of s = r / 2^exponent - 3/2 in [-1/2, 1/2]."""

    def r(s):
        return (s + mp.mpf(3) / 2) * mp.mpf(2) ** exponent

    return fit(lambda s: short_of(r(s)), lambda s: 1 / r(s), -0.5, 0.5, count, 53)


TAIL_HEAD = """\
/* The far tail of the normal distribution: r - x where r = sqrt(-2 ln P(X > x)), a polynomial in r / 2^e - 3/2 for
   each octave [2^e, 2^(e + 1)) of r from e = 2 on, lowest power first. Written by minimax.py. */
#ifndef FASTINIT_TAIL_H
#define FASTINIT_TAIL_H

enum { FI_TAIL_ROWS = 26, FI_TAIL_COUNT = 20 };

static const double fi_tail_table[FI_TAIL_ROWS][FI_TAIL_COUNT] = {"""

if __name__ == "__main__":
    if sys.argv[1:] == ["tail"]:
        print(TAIL_HEAD)
        for exponent in range(2, 28):
            coefficients, error = far_tail(exponent, 20)
            print(f"    {{  /* 2^{exponent}: within 2^{mp.nstr(mp.log(error, 2), 5)} */")
            for k in range(0, 20, 4):
                print("        " + ", ".join(float(c).hex() for c in coefficients[k : k + 4]) + ",")
            print("    },")
        print("};\n\n#endif")
    else:
        show("float -2 ln, Q", minus_2_log_float(8))
        show("double -2 ln, Q", minus_2_log_double(7))
        show("float sine, P", sine(4, 24))
        show("float cosine, R", cosine(3, 24))
        show("double sine, P", sine(7, 53))
        show("double cosine, R", cosine(6, 53))
        show("float central", central(10, 24))
        show("double central", central(21, 53))
        show("double near tail", near_tail(24))
