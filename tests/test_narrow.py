"""float16 and bfloat16: the float32 draw rounded once to nearest even, and never outside the bounds."""

import bisect
import math
import re
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

import fastinit as fi
from fastinit import _kernels

from . import reference
from .helpers import ISAS, draw

INF = math.inf
NARROW = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
MANTISSA = {"float16": 10, "bfloat16": 7}
narrow = pytest.mark.parametrize("dtype", NARROW)

#: Every finite number of each dtype that is not below 0, in order, so that its place is its bits.
POSITIVE = {
    name: np.arange(infinity, dtype=np.uint16).view(NARROW[name]).astype(np.float64)
    for name, infinity in (("float16", 0x7C00), ("bfloat16", 0x7F80))
}
NUMBERS = {name: np.concatenate([-numbers[:0:-1], numbers]).tolist() for name, numbers in POSITIVE.items()}


def nearest(value, dtype):
    """The bits of the number nearest to `value`, the even one of two, in exact arithmetic."""
    numbers, size = POSITIVE[dtype], abs(value)
    above = int(np.searchsorted(numbers, size))
    if above == len(numbers):
        raise OverflowError
    bits = above
    if numbers[above] != size:
        excess = 2 * Fraction(size) - Fraction(numbers[above]) - Fraction(numbers[above - 1])
        bits = above - (excess < 0 or (excess == 0 and above % 2 == 1))
    return bits | (math.copysign(1, value) < 0) << 15


def inside(low, high, dtype, closed=False):
    """The least and the greatest number in [low, high), or in [low, high]; None where there is none."""
    numbers = NUMBERS[dtype]
    first = bisect.bisect_left(numbers, low)
    last = (bisect.bisect_right if closed else bisect.bisect_left)(numbers, high) - 1
    return (numbers[first], numbers[last]) if first <= last else None


def raises(error, text, call, *arguments, **keywords):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call(*arguments, **keywords)


def test_the_tables():
    """Rounding by them is NumPy's and ml_dtypes' own, on numbers of all sizes."""
    assert [float(POSITIVE[name][-1]) for name in NARROW] == [65504, 2.0**128 - 2.0**120]
    for name, dtype in NARROW.items():
        top = np.float32(POSITIVE[name][-1])
        some = np.random.default_rng(1).integers(0, int(top.view(np.uint32)), 5000, np.uint32)
        some = np.concatenate([some.view(np.float32), -some.view(np.float32)])
        assert [nearest(float(x), name) for x in some] == some.astype(dtype).view(np.uint16).tolist()


# ---- draws ----

UNIFORM = [
    (0.0, 1.0),
    (-0.3, 0.9),
    (-0.3001, 1.01),
    (1.0, 1 + 2**-7),
    (1.0, 1 + 2**-9),
    (1 + 2**-12, 1.02),
    (-1e-5, 3e-6),
    (-1e-30, 1e-7),
    (100.3, 104.9),
    (-65504.0, -60001.5),
    (-40000.0, 40000.0),
]
NORMAL = [(0.0, 1.0), (0.1, 0.7), (0.0, 1e-6), (1e-7, 3e-8), (100.0, 1e-3), (0.0, 7000.0)]
TRUNCATED = [
    (0.0, 1.0, -2.0, 2.0),
    (0.1, 0.7, -3.0, 3.0),
    (0.1, 0.7, -1.1, 0.3),
    (0.0, 1e-6, -2.0, 2.0),
    (1.0, 1e-3, -3.0, 2.0),
    (0.0, 1.0, 0.5, 0.5000004),
    (3.0, 700.0, -2.0, 1.0),
    (0.0, 1.0, -INF, INF),
    (0.1, 0.7, -2.0, INF),
    (0.1, 0.7, -INF, -3.5),
    (0.0, 1e-6, -4.0, 5.0),
    (0.1, 0.7, 4.5, 9.0),
    (0.0, 1.0, 2.9, 3.1),
    (0.0, 1.0, 4.5, INF),
    (0.1, 0.7, -INF, -7.9),
    (-5.0, 1e-3, 30.0, INF),
    (0.1, 1e-3, -INF, -1e6),
    (0.0, 1e-7, 10.0, 11.0),
]


def in_std(mean, std, bound):
    """mean + bound std, exactly."""
    return bound if math.isinf(bound) else Fraction(mean) + Fraction(bound) * Fraction(std)


def rounded(law, dtype, bounds=None, count=300_001):
    """float32 draws, rounded by NumPy or ml_dtypes, and where there are bounds, no farther than they allow."""
    numbers = fi.initialize(count, law, seed=5, stream="w").astype(NARROW[dtype])
    if bounds is not None:
        least, most = (NARROW[dtype].type(bound) for bound in bounds)
        numbers = np.where(numbers > least, numbers, least)
        numbers = np.where(numbers < most, numbers, most)
    return numbers


def drawn(law, dtype, count=300_001):
    return fi.initialize(count, law, seed=5, stream="w", dtype=dtype)


@pytest.mark.parametrize("bounds", UNIFORM)
@narrow
def test_uniform(bounds, dtype):
    law, limits = fi.uniform(*bounds), inside(*bounds, dtype)
    got = drawn(law, dtype)
    assert got.tobytes() == rounded(law, dtype, limits).tobytes()
    assert bounds[0] <= limits[0] <= got.astype(float).min()
    assert got.astype(float).max() <= limits[1] < bounds[1]


@pytest.mark.parametrize("moments", NORMAL)
@narrow
def test_normal(moments, dtype):
    """Subnormal numbers among them."""
    law = fi.normal(*moments)
    assert drawn(law, dtype).tobytes() == rounded(law, dtype).tobytes()


@pytest.mark.parametrize("parameters", TRUNCATED)
@narrow
def test_truncated(parameters, dtype):
    law = fi.truncated_normal(*parameters)
    mean, std, low, high = parameters
    limits = inside(in_std(mean, std, low), in_std(mean, std, high), dtype, closed=True)
    if limits is None:
        text = f"[mean + low std, mean + high std] must hold a {dtype}; got {law!r}"
        raises(ValueError, text, fi.initialize, 5, law, dtype=dtype)
        return
    got = drawn(law, dtype)
    assert got.tobytes() == rounded(law, dtype, limits).tobytes()
    assert limits[0] <= got.astype(float).min() <= got.astype(float).max() <= limits[1]


def test_the_draws_reach_what_they_are_for():
    """Clamps that change numbers, both bounds; subnormal numbers; every kernel."""
    for dtype in NARROW:
        for draws, closed in ((UNIFORM, False), (TRUNCATED, True)):
            low_acts = high_acts = 0
            for draw_of in draws:
                law = fi.truncated_normal(*draw_of) if closed else fi.uniform(*draw_of)
                ends = [in_std(*draw_of[:2], bound) for bound in draw_of[2:]] if closed else draw_of
                limits = inside(*ends, dtype, closed)
                if limits is not None:
                    free = rounded(law, dtype).astype(float)
                    low_acts += bool((free < limits[0]).any())
                    high_acts += bool((free > limits[1]).any())
            assert low_acts >= 1
            assert high_acts >= 2
        kernels = {fi.truncated_normal(*p).kernel(np.dtype("f8"))[0] for p in TRUNCATED}
        assert kernels == {"truncated", "truncated_wide", "truncated_far"}
    tiny = np.abs(drawn(fi.normal(0.0, 1e-6), "float16").astype(float))
    assert ((tiny > 0) & (tiny < 2.0**-14)).mean() > 0.9


@pytest.mark.parametrize("name", ["he", "xavier_uniform", "random", "lecun_normal", "ones", "zeros"])
@narrow
def test_strategies(name, dtype):
    """Those that depend on fan, too: no clamp acts within their bounds, or the bound is the same in float32."""
    wide = fi.initialize((50, 70), name, seed=5, stream="w")
    got = fi.initialize((50, 70), name, seed=5, stream="w", dtype=dtype)
    assert got.dtype == NARROW[dtype]
    if name == "xavier_uniform":
        most = inside(-math.sqrt(6 / 120), math.sqrt(6 / 120), dtype)[1]
        wide = np.clip(wide, -most, most)
    assert got.tobytes() == wide.astype(NARROW[dtype]).tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", ml_dtypes.bfloat16, NARROW["bfloat16"]])
def test_names_of_bfloat16(dtype):
    assert fi.initialize(3, "ones", dtype=dtype).dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("dtype", ["float16", "f2", "half", np.float16])
def test_names_of_float16(dtype):
    assert fi.initialize(3, "ones", dtype=dtype).dtype == np.float16


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int4"])
def test_other_dtypes_of_ml_dtypes(dtype):
    other = np.dtype(getattr(ml_dtypes, dtype))
    rule = f"float32, float64, float16, bfloat16, complex64 or complex128; got {dtype}"
    raises(TypeError, f"dtype must be {rule}", fi.initialize, 3, "ones", dtype=other)
    raises(TypeError, f"out must be an array of {rule}", fi.fill, np.zeros(3, other), "ones")


# ---- rounding ----


def rounded_in_c(values, dtype, isa, kernel):
    """Bits of float32 numbers, each rounded by a kernel: as a constant, or as a normal's mean, in the kernel's tile."""
    out = np.empty(len(values), NARROW[dtype])
    kind = _kernels.KINDS[kernel, dtype]
    for i, value in enumerate(values.tolist()):
        _kernels.fill(out[i : i + 1], kind, (value, 0.0), 0, 0, 0, 1, isa)
    return out.view(np.uint16)


@pytest.mark.parametrize("isa", ISAS)
@narrow
def test_every_tie_in_c(dtype, isa):
    """Between any two neighbours: the tie, and the float32 numbers beside it; half of them below 0."""
    numbers = POSITIVE[dtype]
    bits = np.arange(len(numbers) - 1, dtype=np.uint16)
    tie = ((numbers[:-1] + numbers[1:]) / 2).astype(np.float32)
    assert (tie == (numbers[:-1] + numbers[1:]) / 2).all()
    sign = np.where(np.arange(len(tie)) % 4 < 2, np.float32(1), np.float32(-1))
    signed = np.where(sign < 0, np.uint16(0x8000), np.uint16(0))
    below, above = np.nextafter(tie, np.float32(0)), np.nextafter(tie, np.float32(np.inf))
    for value, expected in ((below, bits), (tie, bits + (bits & 1)), (above, bits + 1)):
        kept = value != 0  # the sum of a zero and a negative zero is a zero
        got = rounded_in_c((value * sign)[kept], dtype, isa, "normal")
        assert np.array_equal(got, (expected.astype(np.uint16) | signed)[kept])


@narrow
def test_every_number_in_c(dtype):
    """Itself, with both signs, and whatever is less than half of the least."""
    bits = np.arange(len(POSITIVE[dtype]), dtype=np.uint16)
    for sign in (0, 0x8000):
        value = (bits | np.uint16(sign)).view(NARROW[dtype]).astype(np.float32)
        assert np.array_equal(rounded_in_c(value, dtype, "generic", "constant"), bits | np.uint16(sign))
    tiny = np.float32([1e-45, POSITIVE[dtype][1] / 2, -1e-45, -POSITIVE[dtype][1] / 2, 0.0, -0.0])
    assert rounded_in_c(tiny, dtype, "generic", "constant").tolist() == [0, 0, 0x8000, 0x8000, 0, 0x8000]


def around_ties(dtype):
    """float64 numbers at and about ties and numbers: the smallest, the largest, around the least normal, and others."""
    numbers = POSITIVE[dtype]
    least_normal, one = 2 ** MANTISSA[dtype], nearest(1.0, dtype)
    places = {*range(100), *range(len(numbers) - 101, len(numbers) - 1)}
    places |= {*range(least_normal - 50, least_normal + 50), *range(one - 100, one + 100)}
    places |= set(np.random.default_rng(1).integers(0, len(numbers) - 1, 400).tolist())
    values = []
    for place in sorted(places):
        number, tie = numbers[place], (numbers[place] + numbers[place + 1]) / 2
        for value in (number, tie):
            values += [value, np.nextafter(value, 0), np.nextafter(value, np.inf)]
            single = np.float32(value)
            values += [np.nextafter(single, np.float32(0)), np.nextafter(single, np.float32(np.inf))]
    return [sign * float(value) for value in values for sign in (1, -1)]


@narrow
def test_constants(dtype):
    """Rounded once, from the float64 that was asked for."""
    values = around_ties(dtype)
    assert len(values) > 15_000
    got = [int(fi.initialize((), fi.constant(value), dtype=dtype).view(np.uint16)) for value in values]
    expected = [nearest(value, dtype) for value in values]
    wrong = [(v, g, e) for v, g, e in zip(values, got, expected, strict=True) if g != e and v != 0]
    assert wrong == []


def test_constants_are_not_rounded_twice():
    """By way of float32, both would become ties, and these go to the even neighbour."""
    for dtype, bits in MANTISSA.items():
        tie = 1 + 2.0 ** -(bits + 1)
        assert float(fi.initialize((), fi.constant(tie + 2**-40), dtype=dtype)) == 1 + 2.0**-bits
        assert float(fi.initialize((), fi.constant(tie), dtype=dtype)) == 1
        assert float(fi.initialize((), fi.constant(tie + 2.0**-bits - 2**-40), dtype=dtype)) == 1 + 2.0**-bits


# ---- what appears ----

#: An expected count of 40 makes a value's absence less likely than 5e-18.
SURE = 40


@narrow
def test_every_uniform_number_appears(dtype):
    """Just the numbers that some 24-bit fraction is nearest to, and all of them that have many."""
    count = 2**22
    fractions = (np.arange(2**24, dtype=np.float32) * np.float32(2**-24)).astype(NARROW[dtype])
    ways = np.bincount(fractions.view(np.uint16), minlength=2**16)
    one = nearest(1.0, dtype)
    ways[one - 1] += ways[one]
    ways[one] = 0
    got = np.bincount(fi.initialize(count, fi.uniform(0, 1), seed=3, dtype=dtype).view(np.uint16), minlength=2**16)
    assert not got[ways == 0].any()
    expected = ways * (count / 2**24)
    sure = expected >= SURE
    assert (got[sure] > 0).all()
    binades = {"float16": 6, "bfloat16": 9}[dtype]  # of 2^MANTISSA numbers each, below 1
    assert sure.sum() == binades * 2 ** MANTISSA[dtype]
    assert sure[one - sure.sum() : one].all()
    assert_fits(got[sure], expected[sure])


def assert_fits(got, expected):
    """Pearson's statistic, of cells that are nearly all of the draws, is below what one seed in a million exceeds."""
    assert ((got - expected) ** 2 / expected).sum() < stats.chi2.isf(1e-6, len(expected))


@narrow
def test_normal_numbers_appear_as_often_as_they_should(dtype):
    """A number as often as what rounds to it: twelve times as many numbers as a binade has."""
    count = 2**22
    numbers = np.array(NUMBERS[dtype])
    edges = np.concatenate([[-INF], (numbers[:-1] + numbers[1:]) / 2, [INF]])
    low, high = edges[:-1], edges[1:]
    mirrored = low > 0  # from the tail that is small
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    expected = count * (special.ndtr(high) - special.ndtr(low))
    drawn_numbers = fi.initialize(count, "normal", seed=3, dtype=dtype).astype(np.float64)
    got = np.bincount(np.searchsorted(numbers, drawn_numbers), minlength=len(numbers))
    sure = expected >= SURE
    assert (got[sure] > 0).all()
    assert_fits(got[sure], expected[sure])
    assert len(np.unique(drawn_numbers)) >= sure.sum() > 12 * 2 ** MANTISSA[dtype]


# ---- bounds ----

EXTREMES = reference.place((0, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def at_extreme_words(law, dtype):
    """What the least and the greatest word give."""
    seed, stream, block = EXTREMES
    with np.errstate(all="ignore"):
        kernel, parameters = law.kernel(NARROW[dtype])
    return [float(x) for x in draw(kernel, dtype, parameters, seed, stream, 4 * block, 4)]


@pytest.mark.parametrize("bounds", UNIFORM)
@narrow
def test_uniform_of_extreme_words(bounds, dtype):
    got = at_extreme_words(fi.uniform(*bounds), dtype)
    assert bounds[0] <= got[0] == got[3] <= got[1] == got[2] < bounds[1]
    if 0 not in inside(*bounds, dtype):
        assert (got[0], got[1]) == inside(*bounds, dtype)


finite = st.one_of(st.floats(-10, 10), st.floats(-60000, 60000), st.floats(-1e-5, 1e-5), st.floats(width=16))


@given(finite, finite, st.sampled_from([0, 1e-9, 2**-12, 2**-10, 2**-8, 2**-7]), st.sampled_from(list(NARROW)))
@settings(max_examples=500, derandomize=True, database=None, deadline=None)
def test_no_uniform_value_outside_any_bounds(one, other, relative, dtype):
    """Any two bounds, or two near each other; the text of the error where no number is between."""
    assume(math.isfinite(one) and math.isfinite(other))
    low, high = sorted((one or 0.0, other or 0.0))
    if relative:
        high = low + abs(low) * relative or 0.0
    assume(low < high <= 65504)
    limits = inside(low, high, dtype)
    law = fi.uniform(low, high)
    if limits is None:
        text = f"[low, high) must hold a {dtype}; got low={low!r}, high={high!r}"
        raises(ValueError, text, fi.initialize, 5, law, dtype=dtype)
    else:
        got = [*at_extreme_words(law, dtype), *fi.initialize(1000, law, seed=1, dtype=dtype).astype(float)]
        assert limits[0] <= min(got) <= max(got) <= limits[1]


@given(
    st.floats(-100, 100),
    st.sampled_from([1e-6, 1e-4, 0.01, 1.0, 30.0]),
    st.floats(-12, 12),
    st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 5.0, 20.0, INF]),
    st.sampled_from(list(NARROW)),
)
@settings(max_examples=500, derandomize=True, database=None, deadline=None)
def test_no_truncated_value_outside_any_bounds(mean, std, low, width, dtype):
    law = fi.truncated_normal(mean, std, low, low + width)
    limits = inside(in_std(mean, std, law.low), in_std(mean, std, law.high), dtype, closed=True)
    if limits is None:
        text = f"[mean + low std, mean + high std] must hold a {dtype}; got {law!r}"
        raises(ValueError, text, fi.initialize, 5, law, dtype=dtype)
    else:
        got = [*at_extreme_words(law, dtype), *fi.initialize(1000, law, seed=1, dtype=dtype).astype(float)]
        assert limits[0] <= min(got) <= max(got) <= limits[1]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "numbers"),
    [
        ("bfloat16", 1.0, 1 + 2**-7, {1.0}),
        ("bfloat16", 1.0, 1 + 2**-7 + 2**-30, {1.0, 1 + 2**-7}),
        ("bfloat16", 1 + 2**-30, 1 + 2**-6, {1 + 2**-7}),
        ("bfloat16", 255.5, 258.5, {256.0, 258.0}),
        ("float16", 1.0, 1 + 2**-10, {1.0}),
        ("float16", 1 - 2**-12, 1 + 2**-12, {1.0}),
        ("float16", 2049.0, 2052.5, {2050.0, 2052.0}),
        ("float16", 2.0**-26, 2.0**-23, {2.0**-24}),
        ("float16", -(2.0**-24), 2.0**-25, {-(2.0**-24), 0.0}),
        ("float16", 65472.0, 65504.0, {65472.0}),
    ],
)
def test_narrow_intervals(dtype, low, high, numbers):
    """Each number that the interval holds is drawn, and nothing else."""
    assert set(fi.initialize(2000, fi.uniform(low, high), seed=1, dtype=dtype).astype(float).tolist()) == numbers


# ---- errors ----

TOP = {"float16": "65504", "bfloat16": "3.38953e+38"}


@pytest.mark.parametrize(
    ("dtype", "law", "argument", "value"),
    [
        ("float16", fi.constant(1e6), "value", 1e6),
        ("float16", fi.constant(-65504.1), "value", -65504.1),
        ("float16", fi.normal(std=1e4), "abs(mean) + 9 std", 9e4),
        ("float16", fi.normal(-65000.0, 100.0), "abs(mean) + 9 std", 65900.0),
        ("float16", fi.uniform(0, 1e5), "high", 1e5),
        ("float16", fi.uniform(-65505, 0), "low", -65505.0),
        ("float16", fi.truncated_normal(std=1e5), "abs(mean) + 2 std", 2e5),
        ("bfloat16", fi.constant(3.4e38), "value", 3.4e38),
        ("bfloat16", fi.constant(-1e39), "value", -1e39),
        ("bfloat16", fi.normal(std=1e38), "abs(mean) + 9 std", 9e38),
        ("bfloat16", fi.uniform(0, 3.4e38), "high", 3.4e38),
    ],
)
def test_beyond_the_dtype(dtype, law, argument, value):
    text = f"{argument} must be at most {TOP[dtype]} in magnitude for {dtype}; got {value!r}"
    out = np.full(5, 7, NARROW[dtype])
    raises(ValueError, text, fi.fill, out, law)
    raises(ValueError, text, fi.initialize, 5, law, dtype=dtype)
    assert (out == 7).all()


@narrow
def test_the_greatest_number(dtype):
    top = POSITIVE[dtype][-1]
    for value in (top, -top):
        assert float(fi.initialize((), fi.constant(value), dtype=dtype)) == value
    got = fi.initialize(10_000, fi.uniform(0, top), seed=1, dtype=dtype).astype(float)
    assert np.isfinite(got).all()
    assert got.max() < top
    assert np.isfinite(fi.initialize(10**5, fi.normal(std=top / 9.0001), seed=1, dtype=dtype).astype(float)).all()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("bfloat16", 1.001, 1.002),
        ("bfloat16", 1 + 2**-20, 1 + 2**-7),
        ("bfloat16", 257.0, 257.5),
        ("float16", 1.0001, 1.0002),
        ("float16", 1e-9, 1e-8),
        ("float16", -3e-8, -1e-8),
    ],
)
def test_an_interval_that_holds_no_number(dtype, low, high):
    text = f"[low, high) must hold a {dtype}; got low={low!r}, high={high!r}"
    out = np.full(5, 7, NARROW[dtype])
    raises(ValueError, text, fi.fill, out, fi.uniform(low, high))
    assert (out == 7).all()
    assert fi.initialize(5, fi.uniform(low, high)).min() >= low
