"""The truncated normal: draws are the inverse distribution function, inside their bounds, with the stated moments."""

import decimal
import functools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp
from scipy import special

import fastinit as fi
from fastinit import _gauss

from . import reference
from .helpers import DTYPES, ISAS, draw
from .test_statistics import ALARM, BINS, kolmogorov, mean_of

INF = math.inf
WORD_BITS = {"float32": 32, "float64": 64}
DIGITS = {"float32": 24, "float64": 53}
dtypes = pytest.mark.parametrize("dtype", DTYPES)
isas = pytest.mark.parametrize("isa", ISAS)

CENTRAL = [(-2.0, 2.0), (-3.0, 3.0), (-1.0, 2.5), (0.5, 0.6), (2.9, 3.0)]
WIDE = [
    (-2.0, INF),
    (-INF, INF),
    (-INF, 0.0),
    (-8.0, 20.0),
    (4.0, 5.0),
    (-5.0, -0.5),
    (-INF, -3.0),
    (3.5, 3.6),
    (3.99, INF),
    (8.0, 9.0),
]
FAR = [
    (4.0001, INF),
    (8.0, 9.5),
    (30.0, INF),
    (-INF, -30.0),
    (1000.0, INF),
    (1e6, INF),
    (1e8, INF),
]
every_interval = pytest.mark.parametrize(("low", "high"), CENTRAL + WIDE + FAR)


def law(low, high, dtype, mean=0.0, std=1.0):
    return fi.truncated_normal(mean, std, low, high).kernel(np.dtype(dtype))


def unclamped(parameters, dtype):
    """The parameters without the clamp."""
    greatest = float(np.finfo(dtype).max)
    return (*parameters[:-2], -greatest, greatest)


# ---- draws at chosen words ----


@functools.cache
def place(words, dtype):
    """Where a stream has these four 32-bit or two 64-bit words one after the other: (seed, stream, index)."""
    if dtype == "float32":
        seed, stream, block = reference.place(words)
        return seed, stream, 4 * block
    first, second = words
    seed, stream, block = reference.place((first & 0xFFFFFFFF, first >> 32, second & 0xFFFFFFFF, second >> 32))
    return seed, stream, 2 * block


def draw_at(words, kind, dtype, parameters, isa=None):
    """What the kernel makes of each of these words."""
    size = 4 if dtype == "float32" else 2
    padded = [*words, *[0] * (-len(words) % size)]
    out = np.empty(len(padded), dtype)
    for i in range(0, len(padded), size):
        out[i : i + size] = draw(kind, dtype, parameters, *place(tuple(padded[i : i + size]), dtype), size, isa=isa)
    return out[: len(words)]


@functools.cache
def chosen_words(dtype):
    """The least, the greatest, the middle, and those around every power of two from either end."""
    bits = WORD_BITS[dtype]
    top, half = 2**bits - 1, 2 ** (bits - 1)
    powers = [1 << k for k in range(bits)]
    return sorted({0, top, half - 1, half, half + 1, *powers, *(top - power for power in powers)})


# ---- accuracy ----

#: ulp of max(1, |z|), for every kernel.
ULPS = 4

#: The worst that a search over bounds and words has found: bounds, word, error. What the kernels work out in double for
#: float32 is rounded once and has no other error to speak of.
WORST = {
    ("truncated", "float32"): (-0.03564126151381209, 1.993816580550253, 0xFFFF4674, 3.3018),
    ("truncated", "float64"): (-1.9938735250667006, -0.05525108180343344, 0x42B87A85B9, 3.8980),
    ("truncated_wide", "float64"): (-1.9902216201020446, INF, 0x1AF24A9A7FC2, 3.7609),
    ("truncated_far", "float64"): (7.634711054324352, INF, 0x8121853AB7D2F, 2.5341),
}
#: The same with the default bounds: of every float32 word, and of 30 million float64 words.
WORST_OF_DEFAULT = {
    ("truncated", "float32"): (-2.0, 2.0, 0x1D69400, 2.8280),
    ("truncated", "float64"): (-2.0, 2.0, 0x719E27A6C5AF6, 3.3729),
}
ROUNDED_ONCE = 0.5 + ULPS * 2.0**-29  # in ulps of float32


def ulp(exact, dtype):
    """Of max(1, |exact|), as a float64."""
    _, exponent = np.frexp(np.maximum(1, np.abs(np.asarray(exact, np.float64))))
    return np.ldexp(1.0, exponent - DIGITS[dtype])


def errors(got, exact, dtype):
    """In ulps of max(1, |exact|)."""
    with mp.workdps(40):
        distances = [float(abs(float(g) - e)) for g, e in zip(got, exact, strict=True)]
    return np.array(distances) / ulp([float(e) for e in exact], dtype)


@every_interval
@dtypes
def test_oracle_inverts(low, high, dtype):
    """P(low < X < x) / P(low < X < high) is u, and the float64 oracle agrees."""
    words = np.array(chosen_words(dtype)[:: 11 if dtype == "float32" else 22], np.uint64)
    quick = reference.truncated(words, low, high, dtype).tolist()
    exact = reference.truncated_mp(words, low, high, dtype)
    for u, x, near in zip(reference.middle(words, dtype).tolist(), exact, quick, strict=True):
        with mp.workdps(60):
            whole = reference.between_mp(low, high)
            below, above = reference.between_mp(low, x) / whole, reference.between_mp(x, high) / whole
            limit = 1e-21 * max(1, abs(x)) * mp.npdf(x) / whole
            assert min(abs(below - u), abs(above - (1 - mp.mpf(u)))) < limit
        assert abs(near - x) < 1e-11 * max(1, abs(x))


@every_interval
def test_float32_is_accurate(low, high):
    """Many words, against the float64 oracle, in every instruction set."""
    kind, parameters = law(low, high, "float32")
    seed, stream, start, count = 3, 1, 2**34 - 12345, 1 << 16
    words = reference.draw_words(seed, stream, start, count, "float32")
    exact = reference.truncated(words, low, high, "float32")
    got = [draw(kind, "float32", parameters, seed, stream, start, count, isa=isa) for isa in ISAS]
    assert {g.tobytes() for g in got} == {got[0].tobytes()}
    error = np.abs(got[0] - exact) / ulp(exact, "float32")
    assert error.max() <= ULPS
    if kind != "truncated":
        beside = np.abs(got[0] - np.clip(exact, *parameters[-2:])) / ulp(exact, "float32")
        assert beside.max() <= ROUNDED_ONCE + 1e-11 * 2**24


@every_interval
@dtypes
def test_draws_are_accurate(low, high, dtype):
    """Chosen and random words, against mpmath, in every instruction set; before the clamp, none errs like the worst."""
    kind, parameters = law(low, high, dtype)
    words = [*chosen_words(dtype), *reference.draw_words(4, 2, 0, 120, dtype).tolist()]
    exact = reference.truncated_mp(np.array(words, np.uint64), low, high, dtype)
    for limit, mine in (
        (ULPS, parameters),
        (WORST[kind, dtype][-1] if (kind, dtype) in WORST else ROUNDED_ONCE, unclamped(parameters, dtype)),
    ):
        got = [draw_at(words, kind, dtype, mine, isa) for isa in ISAS]
        assert {g.tobytes() for g in got} == {got[0].tobytes()}
        assert errors(got[0], exact, dtype).max() <= limit


@pytest.mark.parametrize("octave", range(2, 27))
def test_every_octave_of_the_far_tail(octave):
    """Each has a polynomial of its own."""
    words = np.array(chosen_words("float64")[::9], np.uint64)
    for part in (1.01, 1.25, 1.5, 1.75, 1.99):
        low = min(part * 2.0**octave, 1e8)
        kind, parameters = law(low, INF, "float64")
        exact = reference.truncated_mp(words, low, INF, "float64")
        got = draw_at(words.tolist(), kind, "float64", parameters)
        assert errors(got, exact, "float64").max() <= WORST["truncated_far", "float64"][-1]


@isas
@pytest.mark.parametrize(("law_of", "worst"), [*WORST.items(), *WORST_OF_DEFAULT.items()])
def test_worst_words(law_of, worst, isa):
    """They err as much as is said, to the last digit."""
    (kind, dtype), (low, high, word, printed) = law_of, worst
    chosen, parameters = law(low, high, dtype)
    assert chosen == kind
    exact = reference.truncated_mp(np.array([word], np.uint64), low, high, dtype)
    (error,) = errors(draw_at([word], kind, dtype, parameters, isa), exact, dtype)
    assert error == pytest.approx(printed, abs=0.00005)
    assert printed <= ULPS


MEANS = [(0.0, 0.02), (1.0, 1.0), (-3.7, 1e-3), (1e-20, 1e-20), (0.1, 0.7), (1e4, 3.0)]


@isas
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [*((*one, "float32") for one in CENTRAL), *((*one, "float64") for one in CENTRAL + WIDE + FAR)],
)
def test_mean_and_std_round_once(low, high, dtype, isa):
    """fma(std, z, mean) of the standard draw, exactly, then the clamp."""
    number = np.dtype(dtype).type
    kind, parameters = law(low, high, dtype)
    z = draw(kind, dtype, unclamped(parameters, dtype), 8, 9, 17, 400, isa=isa)
    for mean, std in MEANS:
        kind, parameters = law(low, high, dtype, mean, std)
        got = draw(kind, dtype, parameters, 8, 9, 17, 400, isa=isa)
        expected = reference.fma(z, number(std), number(mean), dtype)
        assert got.tobytes() == np.clip(expected, number(parameters[-2]), number(parameters[-1])).tobytes()


@pytest.mark.parametrize(("low", "high"), WIDE + FAR)
@pytest.mark.parametrize(("mean", "std"), MEANS)
def test_float32_rounds_a_double_once(low, high, mean, std):
    """mean + std z in double, then float32: half an ulp of the value and what the doubles err."""
    kind, parameters = law(low, high, "float32", mean, std)
    words = reference.draw_words(8, 9, 17, 40, "float32")
    got = draw(kind, "float32", parameters, 8, 9, 17, 40)
    for g, z in zip(got.tolist(), reference.truncated_mp(words, low, high, "float32"), strict=True):
        with mp.workdps(40):
            exact = min(max(mean + std * z, parameters[-2]), parameters[-1])
            double = ULPS * float(ulp(float(z), "float64")) * std + abs(exact) * 2.0**-53
            assert abs(g - exact) <= float(np.spacing(np.float32(abs(g)))) / 2 + double


# ---- no value outside the bounds ----


def inside(got, mean, std, low, high):
    """Whether all lie within the exact bounds."""
    if math.isfinite(low) and not Fraction(got.min().item()) >= Fraction(mean) + Fraction(low) * Fraction(std):
        return False
    return math.isinf(high) or Fraction(got.max().item()) <= Fraction(mean) + Fraction(high) * Fraction(std)


def extremes(dtype, mean, std, low, high):
    kind, parameters = law(low, high, dtype, mean, std)
    return draw_at(chosen_words(dtype), kind, dtype, parameters)


@every_interval
@dtypes
def test_no_value_outside(low, high, dtype):
    for mean, std in [(0.0, 1.0), (0.1, 0.7), *MEANS]:
        got = fi.initialize(2000, fi.truncated_normal(mean, std, low, high), seed=1, dtype=dtype)
        for values in (got, extremes(dtype, mean, std, low, high)):
            assert np.isfinite(values).all()
            assert inside(values, mean, std, low, high)


def step(x, dtype, steps):
    """The dtype's number nearest to x, and so many steps up from there."""
    number, towards = np.dtype(dtype).type(x), np.dtype(dtype).type(math.copysign(INF, steps))
    with np.errstate(all="ignore"):
        for _ in range(abs(steps)):
            number = np.nextafter(number, towards)
    return float(number)


@dtypes
@pytest.mark.parametrize("low", [-3.0, -2.5, -1e-3, 0.0, 0.1, 1.0, 2.9, 3.5, 4.5, 8.9, 1000.0, 1e8])
@pytest.mark.parametrize("steps", [1, 2])
def test_narrow_intervals(low, steps, dtype):
    """One or two numbers wide, so that the transform's own rounding would step past."""
    low = step(low, dtype, 0)
    for mean in (0.0, low):
        got = extremes(dtype, low - mean, 1.0, mean, step(mean, dtype, steps))
        assert inside(got, low - mean, 1.0, mean, step(mean, dtype, steps))
    got = extremes(dtype, 0.0, 1.0, low, step(low, dtype, steps))
    assert set(got.tolist()) <= {step(low, dtype, n) for n in range(steps + 1)}


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 0.1000001), (-0.3000001, -0.3), (1.0000000001, 1.0000002), (5.1, 5.1000011)]
)
def test_bounds_that_float32_cannot_hold(low, high):
    """The bounds give way to the nearest numbers inside, never to those outside, which are nearer to one of them."""
    numbers = [float(x) for x in np.float32(low) + np.arange(-2, 30) * np.spacing(np.float32(abs(low)))]
    got = set(extremes("float32", 0.0, 1.0, low, high).tolist())
    assert got <= {x for x in numbers if low <= x <= high}
    assert len(got) > 1 or sum(low <= x <= high for x in numbers) == 1


numbers = st.one_of(st.floats(-10, 10), st.floats(-1e8, 1e8), st.sampled_from([-INF, INF, 0.0, -3.0, 3.0, 4.0, 9.0]))


@given(
    mean=st.one_of(st.just(0.0), st.floats(-1e6, 1e6), st.floats(-1e30, 1e30)),
    std=st.one_of(st.just(1.0), st.floats(1e-6, 1e6), st.floats(1e-45, 1e20)),
    one=numbers,
    other=numbers,
    near=st.integers(0, 3),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=200, deadline=None)
def test_no_value_outside_any_bounds(mean, std, one, other, near, dtype):
    """Any two bounds, or two a few numbers apart; an interval that the dtype has no number in is an error."""
    low, high = sorted((one, other))
    if near and math.isfinite(low):
        high = step(low, "float64", near)
    assume(low < high and low <= 1e8 and high >= -1e8)
    distribution = fi.truncated_normal(mean, std, low, high)
    finite = low if math.isfinite(low) else high if math.isfinite(high) else 0.0
    near_bound = float(Fraction(mean) + Fraction(finite) * Fraction(std))
    if any(inside(np.array(step(near_bound, dtype, n)), mean, std, low, high) for n in (-1, 0, 1)):
        got = extremes(dtype, mean, std, low, high)
        assert np.isfinite(got).all()
        assert inside(got, mean, std, low, high)
    else:
        text = f"[mean + low std, mean + high std] must hold a {dtype}; got {distribution!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            distribution.kernel(np.dtype(dtype))


# ---- bounds that are values ----


def absolute(mean, std, low, high):
    return fi.truncated_normal(mean, std, low, high, bounds="absolute")


@dtypes
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-3.0, 0.25), (0.5, 2.0**-20)])
def test_absolute_bounds_are_the_same_law(mean, std, dtype):
    """Where mean + low std is exact, as here, the draws are the same, bit for bit."""
    for low, high in CENTRAL + WIDE + FAR[:3]:
        low, high = (x if math.isinf(x) else float(np.float32(round(x * 16) / 16)) for x in (low, high))
        if low < high:
            values = absolute(mean, std, mean + low * std, mean + high * std)
            counted = fi.truncated_normal(mean, std, low, high)
            assert values.moments() == counted.moments()
            assert values.kernel(np.dtype(dtype)) == counted.kernel(np.dtype(dtype))


@given(
    mean=st.one_of(st.just(0.0), st.floats(-10, 10), st.floats(-1e6, 1e6)),
    std=st.one_of(st.just(1.0), st.just(0.02), st.floats(1e-6, 1e6)),
    one=numbers,
    other=numbers,
    near=st.integers(0, 3),
    dtype=st.sampled_from([*DTYPES, "float16", "bfloat16"]),
)
@settings(max_examples=200, deadline=None)
def test_no_value_outside_absolute_bounds(mean, std, one, other, near, dtype):
    """Whatever (low - mean) / std rounds to."""
    dtype = fi.initialize(0, "zeros", dtype=dtype).dtype
    low, high = sorted((one, other))
    if near and math.isfinite(low):
        high = step(low, "float64", near)
    assume(low < high and low != INF and high != -INF)
    try:
        strategy = absolute(mean, std, low, high)
        kind, parameters = strategy.kernel(dtype)
    except ValueError as error:
        assume(re.match(r"\[low, high\] must|abs\(mean\) ", str(error)))
        return
    wide = "float64" if dtype == np.float64 else "float32"
    for place_of in ((0, 0), (2 ** WORD_BITS[wide] - 1,) * 2):
        words = place_of * (2 if wide == "float32" else 1)
        got = draw(kind, dtype.name, parameters, *place(words, wide), 2)
        assert all(low <= x <= high for x in got.astype(np.float64).tolist())
    assert all(low <= x <= high for x in fi.initialize(100, strategy, seed=1, dtype=dtype).astype(float).tolist())


def test_absolute_bounds_are_exact():
    """(0.55 - 0.1) / 0.3, rounded, is a number of std that ends elsewhere."""
    mean, std, high = 0.1, 0.3, 0.55
    counted = (high - mean) / std
    assert Fraction(mean) + Fraction(counted) * Fraction(std) != Fraction(high)
    for strategy, bound in ((absolute(mean, std, -INF, high), high), (absolute(0.0, 1.0, 0.1, 0.3), 0.3)):
        assert strategy.kernel(np.dtype("float64"))[1][-1] == bound
        assert Fraction(strategy.kernel(np.dtype("float32"))[1][-1]) <= Fraction(bound)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [(0.0, 0.02, -0.05, 0.05), (0.1, 0.3, -0.2, 0.55), (0.0, 0.02, -2.0, 2.0), (5.0, 2.0, -INF, 1.0)],
)
def test_moments_of_absolute_bounds(mean, std, low, high):
    with mp.workdps(40):
        m, v, _ = reference.moments_mp((low - mp.mpf(mean)) / std, (high - mp.mpf(mean)) / std)
        expected = float(mean + std * m), float(std * mp.sqrt(v))
    strategy = absolute(mean, std, low, high)
    assert strategy.moments() == pytest.approx(expected, rel=1e-14, abs=1e-17)


# ---- a greater u never gives a smaller value ----


def greatest_fall(values, dtype):
    """The most that a value lies below one before it, in ulps of max(1, |z|)."""
    values = values.astype(np.float64)
    return float(((np.maximum.accumulate(values) - values) / ulp(values, dtype)).max())


@every_interval
@dtypes
def test_values_ascend(low, high, dtype):
    """Exactly so in intervals as wide as these, where neighbouring u lie some of the formula's errors apart."""
    kind, parameters = law(low, high, dtype)
    order = np.argsort(reference.draw_words(6, 3, 0, 1 << 16, dtype))
    assert greatest_fall(draw(kind, dtype, parameters, 6, 3, 0, 1 << 16)[order], dtype) == 0
    assert greatest_fall(extremes(dtype, 0.0, 1.0, low, high), dtype) == 0


def seams():
    """Where one formula gives way to another, as (low, high, tail above, r).

    They are the tail of 0.0014 of the wide kernel, sqrt(1/2) 2^k within the logarithm of the central one, and the
    octaves of r = sqrt(-2 ln tail) of the far one.
    """
    for low, high in ((-INF, INF), (-4.0, 4.0), (-8.0, 20.0), (-2.0, INF), (2.0, 9.0)):
        yield low, high, mp.mpf(0.0014), 1.0
    for k in range(3):
        yield -2.0, 2.0, (1 - mp.sqrt(1 - mp.sqrt(0.5) / 2**k)) / 2, 1.0
    for k in (3, 4, 5, 6, 7, 10, 14, 20, 26):
        r = 2.0**k
        yield float(-special.ndtri_exp(-r * r / 2)) - 0.3 / r, INF, mp.exp(-(mp.mpf(r) ** 2) / 2), r


def words_across(low, high, tail, r, dtype):
    """Words on both sides of a seam, in order: neighbours, or as far apart as they need be for r's own rounding."""
    bits = {"float32": 23, "float64": 52}[dtype]
    stride = min(max(1, int(r * r / 8)), 2**45) if dtype == "float64" else 1
    with mp.workdps(60):
        u = 1 - (tail - reference.tail_mp(high)) / reference.between_mp(low, high)
        middle = int(u * 2**bits)
    return [(middle + k * stride) << WORD_BITS[dtype] - bits for k in range(-24, 25)]


with mp.workdps(60):
    SEAMS = list(seams())


@pytest.mark.parametrize(("low", "high", "tail", "r"), SEAMS)
@dtypes
def test_values_ascend_across_a_seam(low, high, tail, r, dtype):
    kind, parameters = law(low, high, dtype)
    words = words_across(low, high, tail, r, dtype)
    assert greatest_fall(draw_at(words, kind, dtype, parameters), dtype) == 0


@dtypes
@pytest.mark.parametrize("width", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("low", [-1.3, 2.6, 2.9888 - 1e-6, 3.5, 8.8, 30.0])
def test_values_hardly_fall_in_narrow_intervals(low, width, dtype):
    """Where many u share a few numbers, no further than two errors, each to its own side."""
    kind, parameters = law(low, low + width, dtype)
    words = reference.draw_words(6, 3, 0, 1 << 16, dtype)
    limit = 2 * WORST[kind, dtype][-1] if (kind, dtype) in WORST else 0
    assert greatest_fall(draw(kind, dtype, parameters, 6, 3, 0, 1 << 16)[np.argsort(words)], dtype) <= limit


@every_interval
@dtypes
def test_mirrored_intervals_give_mirrored_draws(low, high, dtype):
    """u and 1 - u go through the same operations."""
    top = 2 ** WORD_BITS[dtype] - 1
    there, back = law(low, high, dtype), law(-high, -low, dtype)
    words = chosen_words(dtype)
    got = draw_at(words, there[0], dtype, there[1])
    mirrored = draw_at([top - word for word in words], back[0], dtype, back[1])
    assert got.tolist() == (-mirrored).tolist()


# ---- probabilities and moments ----

CUTS = [
    *CENTRAL,
    *WIDE,
    *FAR,
    (-INF, -1e8),
    (1e8, 1e8 + 1.5e-8),
    (1e8, 1.5e8),
    (-40.0, 40.0),
    (6.999999, 7.0),
    (6.999999, 7.000001),
    (7.0, 7.000001),
    (-9.0, 9.0),
    (1.0, math.nextafter(1.0, 2.0)),
    (6.9, math.nextafter(6.9, 7.0)),
    (300.0, math.nextafter(300.0, 301.0)),
    (0.0, INF),
    (-1e-9, 1e-9),
    (-1e-4, 1e-4),
    (1.0, 1.0 + 1e-7),
    (-1e-40, 2e-40),
    (1e-40, 1.1e-40),
    (0.0, 1e-300),
]


def relative(got, exact):
    with mp.workdps(150):
        return abs(mp.mpf(str(got)) - exact) / exact if exact else abs(mp.mpf(str(got)))


@pytest.mark.parametrize(("low", "high"), CUTS)
def test_cut(low, high):
    """The probabilities to 70 digits, less those that a narrow interval takes; the moments rounded to doubles."""
    cut = _gauss.cut(low, high)
    with mp.workdps(150):
        inside = reference.between_mp(low, high)
        assert relative(cut.below, reference.tail_mp(-low)) < mp.mpf("1e-70")
        assert relative(cut.above, reference.tail_mp(high)) < mp.mpf("1e-70")
        assert abs(mp.mpf(str(cut.inside)) - inside) < mp.mpf("1e-70") * inside + mp.mpf("1e-88")
    narrow = 4 * int(max(0, -math.log10(high - low)))
    mean, variance, _ = reference.moments_mp(low, high, 200 + narrow)
    with mp.workdps(60):
        half = mp.mpf("0.5000000001")  # of an ulp; beside it, what a flat density leaves out
        assert abs(cut.mean - mean) <= half * math.ulp(float(mean))
        assert abs(cut.std - mp.sqrt(variance)) <= half * math.ulp(float(mp.sqrt(variance)))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.5), (-3.0, 1e-20)])
@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (-INF, 1.0), (30.0, INF), (1e8, 1e300), (-1e300, 0.0)])
def test_moments(low, high, mean, std):
    exact_mean, exact_variance, _ = reference.moments_mp(max(low, -1e9), min(high, 1e9))
    got_mean, got_std = fi.truncated_normal(mean, std, low, high).moments()
    with mp.workdps(60):
        parts = abs(mean) + std * abs(exact_mean)
        assert abs(got_mean - (mean + std * exact_mean)) <= 1.5 * 2.0**-52 * parts
        assert abs(got_std / (std * mp.sqrt(exact_variance)) - 1) <= 2.0**-52


def test_known_std():
    assert fi.truncated_normal().moments() == (0.0, 0.87962566103423978)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (-INF, 1.0), (30.0, INF), (6.0, 6.1), (1e8, INF)])
def test_decimal_context_does_not_matter(low, high):
    cut = _gauss.cut(low, high)
    expected = cut, _gauss.tail_parameters(cut, low, high)
    every_trap = [signal for signal in decimal.Context().flags if signal is not decimal.FloatOperation]
    contexts = [
        decimal.Context(prec=3, rounding=decimal.ROUND_UP),
        decimal.Context(prec=200, rounding=decimal.ROUND_FLOOR, Emin=-9, Emax=9),
        decimal.Context(prec=5, traps=[*every_trap, decimal.FloatOperation], clamp=1),
    ]
    for context in contexts:
        with decimal.localcontext(context) as mine:
            before = repr(mine)
            cut = _gauss.cut(low, high)
            got = cut, _gauss.tail_parameters(cut, low, high)
            assert repr(mine) == before
        assert [x.as_tuple() for x in cut[:3]] == [x.as_tuple() for x in expected[0][:3]]
        assert (got[0][3:], got[1]) == (expected[0][3:], expected[1])


@every_interval
def test_tail_parameters(low, high):
    """Each is the double nearest to what transform.h says that it is."""
    below, below_scale, above, above_scale, minus_2_log = _gauss.tail_parameters(_gauss.cut(low, high), low, high)
    with mp.workdps(60):
        inside, tail_below, tail_above = (
            reference.between_mp(low, high),
            reference.tail_mp(-low),
            reference.tail_mp(high),
        )
        if low > 3 or high < -3:
            near = reference.tail_mp(low if low > 3 else -high)
            assert minus_2_log == float(-2 * mp.log(near))
            upper, lower = (float(tail_above / near), float(inside / near)), (2.0, 0.0)
            expected = (*lower, *upper) if low > 3 else (float(tail_below / near), float(inside / near), 2.0, 0.0)
        else:
            assert minus_2_log == 0
            expected = float(tail_below), float(inside), float(tail_above), float(inside)
    assert (below, below_scale, above, above_scale) == expected


# ---- the law of large samples ----

#: Intervals in which float32 tells the bins below apart.
LAWS = [(-2.0, 2.0, "float32"), (-1.0, 2.5, "float64"), (-4.0, 4.0, "float32"), (-2.0, INF, "float64")]
FAR_LAWS = [(4.0, 5.0, "float64"), (30.0, INF, "float64"), (-INF, -1000.0, "float64")]


def cdf(x, low, high):
    """P(X < x) between the bounds, within 10^-10."""
    if low > 3 or high < -3:
        if high < -3:
            return 1 - cdf(-x, -high, -low)
        rest = math.exp(special.log_ndtr(-high) - special.log_ndtr(-low))
        # ln P(x) - ln P(low) loses digits to the size of both; the density's part is a product
        mills = np.log(special.erfcx(x / math.sqrt(2)) / special.erfcx(low / math.sqrt(2)))
        return -np.expm1(mills - (x - low) * (x + low) / 2) / (1 - rest)
    return (special.ndtr(x) - special.ndtr(low)) / (special.ndtr(high) - special.ndtr(low))


def p_values(low, high, dtype, n, spoil=lambda x: x):
    """Of the moments and of the whole distribution of n draws, under `moments_mp` and `cdf`."""
    kind, parameters = law(low, high, dtype)
    mean, variance, fourth = (float(m) for m in reference.moments_mp(low, high))
    first = second = 0.0
    counts = np.zeros(BINS, np.int64)
    for start in range(0, n, 1 << 20):
        x = spoil(draw(kind, dtype, parameters, 21, 3, start, min(1 << 20, n - start)).astype(np.float64))
        first += (x - mean).sum()
        second += ((x - mean) ** 2).sum()
        counts += np.bincount(np.clip(cdf(x, low, high) * BINS, 0, BINS - 1).astype(np.int64), minlength=BINS)
    return {
        "mean": mean_of(first, n, 0.0, variance),
        "variance": mean_of(second, n, variance, fourth - variance**2),
        "Kolmogorov-Smirnov": kolmogorov(counts),
    }


@pytest.mark.parametrize(("low", "high", "dtype"), LAWS + FAR_LAWS)
def test_large_samples(low, high, dtype):
    """A false alarm has a chance of 10^-6 a check, that is 4.9 standard errors; the seed is fixed."""
    p = p_values(low, high, dtype, 10**7)
    assert {name: value for name, value in p.items() if value < ALARM} == {}


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda x: x + 0.01, "mean"),
        (lambda x: 1.01 * x, "variance"),
        (lambda x: np.where(np.abs(x) < 0.01, 0.01, x), "Kolmogorov-Smirnov"),
    ],
)
def test_large_samples_can_fail(spoil, check):
    assert p_values(-2.0, 2.0, "float32", 1 << 20, spoil)[check] < ALARM


@pytest.mark.parametrize(("low", "high", "dtype"), LAWS + FAR_LAWS)
def test_sample_moments_are_those_of_moments(low, high, dtype):
    """`moments()` within six standard errors of both: a chance of 2 in 10^9."""
    distribution = fi.truncated_normal(0.5, 3.0, low, high)
    n = 1 << 20
    x = fi.initialize(n, distribution, seed=9, stream="w", dtype=dtype).astype(np.float64)
    mean, std = distribution.moments()
    _, variance, fourth = (float(m) for m in reference.moments_mp(low, high))
    assert abs(x.mean() - mean) < 6 * std / math.sqrt(n)
    assert abs(((x - mean) ** 2).mean() / std**2 - 1) < 6 * math.sqrt((fourth / variance**2 - 1) / n)


# ---- names, kernels and errors ----


@pytest.mark.parametrize(
    ("low", "high", "kernel"),
    [
        (-2.0, 2.0, "truncated"),
        (-3.0, 3.0, "truncated"),
        (2.9, 3.0, "truncated"),
        (-3.0, math.nextafter(3.0, 4.0), "truncated_wide"),
        (math.nextafter(-3.0, -4.0), 0.0, "truncated_wide"),
        (-INF, INF, "truncated_wide"),
        (3.0, INF, "truncated_wide"),
        (4.0, INF, "truncated_wide"),
        (-INF, -4.0, "truncated_wide"),
        (4.5, 9.0, "truncated_wide"),
        (-9.0, -4.5, "truncated_wide"),
        (math.nextafter(4.0, 5.0), INF, "truncated_far"),
        (4.5, math.nextafter(9.0, 10.0), "truncated_far"),
        (-9.5, -4.5, "truncated_far"),
        (1e8, INF, "truncated_far"),
    ],
)
@dtypes
def test_kernels(low, high, kernel, dtype):
    assert law(low, high, dtype)[0] == kernel
    assert law(low, high, dtype, 3.0, 1e-3)[0] == kernel


def test_names():
    assert fi.get("truncated_normal") == fi.TruncatedNormal(0.0, 1.0, -2.0, 2.0) == fi.truncated_normal()
    assert fi.get("truncated_normal", std=0.02) == fi.truncated_normal(std=0.02)
    assert "truncated_normal" in fi.available()
    named = fi.initialize((30, 20), "truncated_normal", seed=1, stream="w")
    assert named.tobytes() == fi.initialize(600, fi.truncated_normal(), seed=1, stream="w").tobytes()
    kind, parameters = law(-2.0, 2.0, "float32")
    assert named.tobytes() == draw(kind, "float32", parameters, 1, reference.stream_of("w"), 0, 600).tobytes()


VALUES = [
    fi.truncated_normal(),
    fi.truncated_normal(0.1, 0.02, -1, 2.5),
    fi.truncated_normal(low=-INF),
    fi.truncated_normal(low=30.0, high=INF),
    fi.truncated_normal(np.float32(0.5), np.int64(2), -3, np.float64(3)),
    absolute(0.0, 0.02, -2, 2),
    absolute(0.1, 1e-300, -1e300, INF),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_repr_evaluates_back(value):
    back = eval(repr(value), {"TruncatedNormal": fi.TruncatedNormal, "inf": INF})
    assert back == value
    assert repr(back) == repr(value)
    assert hash(back) == hash(value)
    assert [type(x) for x in (back.mean, back.std, back.low, back.high)] == [float] * 4


def test_repr_of_bounds():
    """Only the bounds that are not the default are named."""
    assert repr(fi.truncated_normal(bounds="std")) == "TruncatedNormal(mean=0.0, std=1.0, low=-2.0, high=2.0)"
    text = "TruncatedNormal(mean=0.0, std=1.0, low=-2.0, high=2.0, bounds='absolute')"
    assert repr(fi.truncated_normal(bounds="absolute")) == text
    assert fi.truncated_normal(bounds="absolute") != fi.truncated_normal()


NAN = math.nan
BEYOND = math.nextafter(1e8, INF)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"low": 2}, ValueError, "low must be less than high; got low=2.0, high=2.0"),
        ({"low": 3.0, "high": -1}, ValueError, "low must be less than high; got low=3.0, high=-1.0"),
        ({"low": INF, "high": INF}, ValueError, "low must be less than high; got low=inf, high=inf"),
        ({"low": NAN}, ValueError, "low must be a number; got nan"),
        ({"high": NAN}, ValueError, "high must be a number; got nan"),
        ({"high": "2"}, TypeError, "high must be a number; got '2'"),
        ({"low": True}, TypeError, "low must be a number; got True"),
        ({"std": 0}, ValueError, "std must be positive; got 0.0"),
        ({"std": -1}, ValueError, "std must be positive; got -1.0"),
        ({"std": INF}, ValueError, "std must be a finite number; got inf"),
        ({"std": NAN}, ValueError, "std must be a finite number; got nan"),
        ({"mean": -INF}, ValueError, "mean must be a finite number; got -inf"),
        ({"mean": None}, TypeError, "mean must be a finite number; got None"),
        (
            {"low": BEYOND, "high": INF},
            ValueError,
            "[low, high] must reach within 1e+08 of 0; got low=100000000.00000001, high=inf",
        ),
        (
            {"low": -INF, "high": -BEYOND},
            ValueError,
            "[low, high] must reach within 1e+08 of 0; got low=-inf, high=-100000000.00000001",
        ),
        ({"bounds": None}, TypeError, "bounds must be one of std, absolute; got None"),
        (
            {"bounds": "absolut"},
            ValueError,
            "bounds must be one of std, absolute; got 'absolut' (did you mean 'absolute'?)",
        ),
        ({"low": 2, "bounds": "absolute"}, ValueError, "low must be less than high; got low=2.0, high=2.0"),
        (
            {"mean": 1.0, "std": 1e-9, "low": 2.0, "high": INF, "bounds": "absolute"},
            ValueError,
            "[low, high] must reach within 1e+08 of the mean, in std; got low=2.0, high=inf, mean=1.0, std=1e-09",
        ),
        (
            {"std": 1e-300, "low": -1e300, "high": -1e200, "bounds": "absolute"},
            ValueError,
            "[low, high] must reach within 1e+08 of the mean, in std; "
            "got low=-1e+300, high=-1e+200, mean=0.0, std=1e-300",
        ),
        (
            {"mean": 1e7, "low": 0.0, "high": 1e-10, "bounds": "absolute"},
            ValueError,
            "[low, high] must be wide enough to tell its ends apart in std; "
            "got low=0.0, high=1e-10, mean=10000000.0, std=1.0",
        ),
    ],
)
def test_errors(arguments, error, text):
    for make in (fi.truncated_normal, fi.TruncatedNormal, functools.partial(fi.get, "truncated_normal")):
        with pytest.raises(error, match=f"^{re.escape(text)}$"):
            make(**arguments)


@pytest.mark.parametrize(
    ("arguments", "dtype", "text"),
    [
        (
            {"std": 2e38},
            "float32",
            "abs(mean) + 2 std must be at most 3.40282e+38 in magnitude for float32; got 4e+38",
        ),
        (
            {"mean": -1e308, "std": 1e307, "high": INF},
            "float64",
            "abs(mean) + 40 std must be at most 1.79769e+308 in magnitude for float64; got inf",
        ),
        (
            {"std": 1e31, "low": 1e8, "high": INF},
            "float32",
            "abs(mean) + 1e+08 std must be at most 3.40282e+38 in magnitude for float32; got 1.0000003999999999e+39",
        ),
        (
            {"low": 0.1, "high": 0.1000000001},
            "float32",
            "[mean + low std, mean + high std] must hold a float32; "
            "got TruncatedNormal(mean=0.0, std=1.0, low=0.1, high=0.1000000001)",
        ),
        (
            {"mean": 0.1, "std": 1e-20, "low": 0.5},
            "float64",
            "[mean + low std, mean + high std] must hold a float64; "
            "got TruncatedNormal(mean=0.1, std=1e-20, low=0.5, high=2.0)",
        ),
        (
            {"low": 0.1, "high": 0.1000000001, "bounds": "absolute"},
            "float32",
            "[low, high] must hold a float32; "
            "got TruncatedNormal(mean=0.0, std=1.0, low=0.1, high=0.1000000001, bounds='absolute')",
        ),
    ],
)
def test_errors_of_a_dtype(arguments, dtype, text):
    out = np.full(3, 7, dtype)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fi.fill(out, fi.truncated_normal(**arguments), seed=1)
    assert out.tolist() == [7, 7, 7]
