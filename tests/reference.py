"""Stream version 1 in NumPy and Python integers: short, slow, and independent of the C (it never imports fastinit)."""

import hashlib
import itertools
import math

import mpmath
import numpy as np
from scipy import special

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
INVERSES = tuple(pow(m, -1, 2**32) for m in MULTIPLIERS)
ROUNDS = 10
MASK = 0xFFFFFFFF

#: A wider type for each dtype's exact transform; long double has 64 bits or more on some platforms only.
WIDE = {"float32": np.float64, "float64": np.longdouble}
LONG_DOUBLE_IS_WIDE = np.finfo(np.longdouble).nmant >= 63


# ---- the engine ----


def philox(counter, seed):
    """The four words of each counter: arrays of uint64 that hold 32-bit words."""
    c0, c1, c2, c3 = (np.atleast_1d(np.asarray(c, np.uint64)) for c in counter)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    low, half = np.uint64(MASK), np.uint64(32)
    for r in range(ROUNDS):
        key0, key1 = (np.uint64((k + r * w) & MASK) for k, w in zip((seed & MASK, seed >> 32), WEYL, strict=True))
        p0, p1 = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ key0, p1 & low, (p0 >> half) ^ c3 ^ key1, p0 & low
    return c0, c1, c2, c3


def inverse_philox(words, seed):
    """The counter whose output is these four words, as (block, stream)."""
    c0, c1, c2, c3 = words
    for r in reversed(range(ROUNDS)):
        key0, key1 = ((k + r * w) & MASK for k, w in zip((seed & MASK, seed >> 32), WEYL, strict=True))
        # A round gives (hi(m1 c2) ^ c1 ^ key0, lo(m1 c2), hi(m0 c0) ^ c3 ^ key1, lo(m0 c0)); odd multipliers invert.
        before0, before2 = c3 * INVERSES[0] & MASK, c1 * INVERSES[1] & MASK
        before1 = c0 ^ key0 ^ (before2 * MULTIPLIERS[1] >> 32)
        before3 = c2 ^ key1 ^ (before0 * MULTIPLIERS[0] >> 32)
        c0, c1, c2, c3 = before0, before1, before2, before3
    return c0 | c1 << 32, c2 | c3 << 32


def place(words, first_seed=0):
    """(seed, stream, block) at which the stream has these four words, the block small enough for any index."""
    for seed in itertools.count(first_seed):
        block, stream = inverse_philox(words, seed)
        if block < 2**61:
            return seed, stream, block


# ---- words ----


def words(seed, stream, start, count):
    """Words start .. start + count of a stream, as uint32."""
    first, last = start // 4, (start + count + 3) // 4
    block = np.uint64(first) + np.arange(last - first, dtype=np.uint64)
    low, half = np.uint64(MASK), np.uint64(32)
    upper = (np.full(block.shape, word, np.uint64) for word in (stream & MASK, stream >> 32))
    out = np.stack(philox((block & low, block >> half, *upper), seed), axis=-1).reshape(-1)
    return out[start - 4 * first :][:count].astype(np.uint32)


def draw_words(seed, stream, start, count, dtype):
    """The words behind elements start .. start + count: one of the dtype's size each, low half first."""
    if dtype == "float32":
        return words(seed, stream, start, count).astype(np.uint64)
    narrow = words(seed, stream, 2 * start, 2 * count).astype(np.uint64)
    return narrow[::2] | narrow[1::2] << np.uint64(32)


def stream_of(name):
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


# ---- correctly rounded a b + c ----


def fma(a, b, c, dtype):
    """a b + c for an array a and numbers b and c of dtype, rounded once."""
    return (_fma32 if dtype == "float32" else _fma64)(np.asarray(a, dtype), float(b), float(c))


def _fma32(a, b, c):
    """The product is exact in float64; the sum is rounded to odd there, which makes the second rounding harmless."""
    product = a.astype(np.float64) * b
    total = product + c
    virtual = total - product
    rest = (product - (total - virtual)) + (c - virtual)  # Knuth's TwoSum: total + rest is the exact sum
    to_odd = (rest != 0) & (total.view(np.int64) & 1 == 0)
    total[to_odd] = np.nextafter(total, np.copysign(np.inf, rest))[to_odd]
    return total.astype(np.float32)


def _fma64(a, b, c):
    """In integers: Python's int / int rounds once."""
    (bn, bd), (cn, cd) = b.as_integer_ratio(), c.as_integer_ratio()

    def one(a):
        an, ad = a.as_integer_ratio()
        return (an * bn * cd + cn * ad * bd) / (ad * bd * cd)

    return np.array([one(x) for x in a.tolist()], np.float64)


# ---- uniform ----


def inside(low, high, dtype):
    """The least and the greatest number of dtype in [low, high), or None where it holds none."""
    number, infinity = np.dtype(dtype).type, np.dtype(dtype).type(np.inf)
    with np.errstate(all="ignore"):
        least, most = number(low), number(high)
        least = least if float(least) >= low else np.nextafter(least, infinity)
        most = most if float(most) < high else np.nextafter(most, -infinity)
    return (least, most) if least <= most else None


def uniform_of(word, low, high, dtype):
    """What the words of `draw_words` give: u * (high - low) + low, never outside [low, high)."""
    discard, bits = (8, 24) if dtype == "float32" else (11, 53)
    u = (word >> np.uint64(discard)).astype(dtype) * 2.0**-bits
    least, most = inside(low, high, dtype)
    return np.minimum(fma(u, np.dtype(dtype).type(high - low), least, dtype), most)


def uniform(seed, stream, start, count, low, high, dtype):
    return uniform_of(draw_words(seed, stream, start, count, dtype), low, high, dtype)


# ---- normal ----


def unit(radius, dtype):
    """u1 in (0, 1], as the dtype's numerators above a power of two: exact in float64."""
    if dtype == "float32":
        return (radius.astype(np.float64) + 1).astype(np.float32).astype(np.float64), 2.0**-32
    return ((radius >> np.uint64(11)) + np.uint64(1)).astype(np.float64), 2.0**-53


def gaussian(radius, angle, dtype):
    """The exact transform sqrt(-2 ln u1) (cos, sin)(2 pi angle / 2^bits) of arrays of words, in the wider type.

    The angle is reduced to an eighth of a turn in integers, so nothing is lost near the axes.
    """
    wide = WIDE[dtype]
    numerator, scale = unit(radius, dtype)
    r = np.sqrt(-2 * np.log(numerator.astype(wide) * wide(scale)))
    turn = angle << np.uint64(32) if dtype == "float32" else angle
    quadrant = ((turn + np.uint64(2**61)) >> np.uint64(62)).astype(int)
    x = (turn << np.uint64(2)).view(np.int64).astype(wide) * (wide("3.14159265358979323846264338327950288") / 2**65)
    c, s = np.cos(x), np.sin(x)
    return r * np.choose(quadrant, [c, -s, -c, s]), r * np.choose(quadrant, [s, c, -s, -c])


def gaussian_mp(radius, angle, dtype):
    """`gaussian` for one pair of words, to 60 digits."""
    bits = 32 if dtype == "float32" else 64
    with mpmath.workdps(60):
        numerator, scale = unit(np.array([radius], np.uint64), dtype)
        r = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(float(numerator[0])) * scale))
        turn = mpmath.mpf(int(angle)) / 2 ** (bits - 1)
        return r * mpmath.cospi(turn), r * mpmath.sinpi(turn)


def normal(seed, stream, start, count, dtype):
    """The exact transform behind elements start .. start + count (mean 0, std 1), in the wider type."""
    first = start & ~1
    pairs = (start + count + 1 - first) // 2
    word = draw_words(seed, stream, first, 2 * pairs, dtype)
    both = np.stack(gaussian(word[::2], word[1::2], dtype), axis=-1).reshape(-1)
    return both[start - first :][:count]


def error(got, exact, dtype):
    """|got - exact| in ulps of max(1, |exact|)."""
    size = np.maximum(1, np.abs(exact)).astype(dtype)
    return np.abs(got - exact) / np.spacing(size).astype(WIDE[dtype])


# ---- truncated normal ----


def middle(word, dtype):
    """u = (k + 1/2) / 2^b of words, k their b = 23 or 52 highest bits: exact in float64."""
    discard, bits = (9, 23) if dtype == "float32" else (12, 52)
    return ((word >> np.uint64(discard) << np.uint64(1)) + np.uint64(1)).astype(np.float64) * 2.0 ** -(bits + 1)


def truncated(word, low, high, dtype):
    """The inverse distribution function (mean 0, std 1) at the words' u, in float64: within some 20 of its ulps."""
    u = middle(word, dtype)
    if high < -3:
        return -_far(u, -high, -low)
    if low > 3:
        return _far(1 - u, low, high)
    inside = special.ndtr(-low) - special.ndtr(-high) if low > 0 else special.ndtr(high) - special.ndtr(low)
    below, above = special.ndtr(low) + u * inside, special.ndtr(-high) + (1 - u) * inside
    return np.where(below < above, special.ndtri(below), -special.ndtri(above))


def _far(v, near, far):
    """The point above which there is the part v of the tail between two bounds, by logarithms."""
    rest = np.exp(special.log_ndtr(-far) - special.log_ndtr(-near))
    return -special.ndtri_exp(special.log_ndtr(-near) + np.log(rest + v * (1 - rest)))


def tail_mp(x):
    """P(X > x) of a standard normal, to the working precision however small it is."""
    return mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) / 2


def between_mp(low, high):
    """P(low < X < high), from the tails on the side where they are small."""
    return tail_mp(low) - tail_mp(high) if low > 0 else tail_mp(-high) - tail_mp(-low)


def truncated_mp(word, low, high, dtype):
    """`truncated` to 22 digits or more, as a list."""
    with mpmath.workdps(40):
        tail_below, inside, tail_above = tail_mp(-low), between_mp(low, high), tail_mp(high)

        def exact(u, near):
            below, above = tail_below + u * inside, tail_above + (1 - u) * inside
            return _tail_point(above, near) if above < below else -_tail_point(below, -near)

        pairs = zip(middle(word, dtype).tolist(), truncated(word, low, high, dtype).tolist(), strict=True)
        return [exact(mpmath.mpf(u), near) for u, near in pairs]


def _tail_point(tail, x):
    """x with P(X > x) = tail, by Newton on ln P: where a step is small, the next is less than its square."""
    x, step = mpmath.mpf(x), mpmath.inf
    while abs(step) > 1e-11 * max(1, abs(x)):
        above = tail_mp(x)
        step = mpmath.log(above / tail) * above / mpmath.npdf(x)
        x += step
    return x


def moments_mp(low, high, digits=150):
    """Mean, variance and fourth central moment, by E x^k = (k - 1) E x^(k-2) - [x^(k-1) density] / P."""
    with mpmath.workdps(digits):
        inside, raw = between_mp(low, high), [mpmath.mpf(0), mpmath.mpf(1)]  # raw[k + 1] is E x^k
        for k in range(1, 5):
            at_low, at_high = (
                mpmath.mpf(x) ** (k - 1) * mpmath.npdf(x) if math.isfinite(x) else 0 for x in (low, high)
            )
            raw.append((k - 1) * raw[k - 1] + (at_low - at_high) / inside)
        _, _, mean, second, third, fourth = raw
        return mean, second - mean**2, fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
