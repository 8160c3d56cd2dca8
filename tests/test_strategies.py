"""Every strategy gives the distribution of its paper, its fans come from any layout, and no bound is ever passed."""

import dataclasses
import math
import re

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit._fans import Fans
from fastinit.strategies import _MAKERS

from . import reference
from .helpers import DTYPES, NEEDED, draw

dtypes = pytest.mark.parametrize("dtype", DTYPES)
SHAPE, IN, OUT = (300, 200), 200, 300
FANS = Fans(SHAPE)

# ---- the formulas ----

# What is asked for, and the variance of the weights by the closed formula.
NORMAL = [
    (fi.normal(), 1),
    (fi.normal(std=0.02), 0.02**2),
    (fi.normal(2.0, 0.5), 0.25),
    (fi.random(), 0.01**2),
    (fi.random(std=0.1), 0.1**2),
    (fi.xavier_normal(), 2 / (IN + OUT)),
    (fi.xavier_normal(gain=3.0), 9 * 2 / (IN + OUT)),
    (fi.xavier_normal(nonlinearity="tanh"), 25 / 9 * 2 / (IN + OUT)),
    (fi.xavier_normal(mode="fan_in"), 1 / IN),
    (fi.xavier_normal(mode="fan_in", nonlinearity="sigmoid"), 1 / IN),
    (fi.xavier_normal(mode="fan_in", nonlinearity="relu"), 2 / IN),
    (fi.xavier_normal(mode="fan_out"), 1 / OUT),
    (fi.xavier_normal(nonlinearity="leaky_relu", negative_slope=0.5), 2 / 1.25 * 2 / (IN + OUT)),
    (fi.he_normal(), 2 / IN),
    (fi.he_normal(negative_slope=0.0), 2 / IN),
    (fi.he_normal(negative_slope=0.5), 2 / (1.25 * IN)),
    (fi.he_normal(negative_slope=1.0), 1 / IN),
    (fi.he_normal(mode="fan_out"), 2 / OUT),
    (fi.he_normal(mode="fan_avg"), 2 / ((IN + OUT) / 2)),
    (fi.he_normal(nonlinearity="linear"), 1 / IN),
    (fi.he_normal(nonlinearity="leaky_relu"), 2 / (1 + 0.01**2) / IN),
    (fi.lecun_normal(), 1 / IN),
    (fi.lecun_normal(nonlinearity="selu"), 9 / 16 / IN),
    (fi.lecun_normal(nonlinearity="leaky_relu", negative_slope=0.1), 2 / (1 + 0.1**2) / IN),
    (fi.lecun_normal(negative_slope=0.1), 2 / (1 + 0.1**2) / IN),
    (fi.lecun_normal(mode="fan_out"), 1 / OUT),
    (fi.variance_scaling(), 1 / IN),
    (fi.VarianceScaling(3.0, "fan_out"), 3 / OUT),
    (fi.he_normal(mode="fan_geo_avg"), 2 / math.sqrt(IN * OUT)),
]
UNIFORM = [
    (fi.uniform(), 1 / 12),
    (fi.uniform(-2.0, 4.0), 3),
    (fi.xavier_uniform(), 2 / (IN + OUT)),
    (fi.xavier_uniform(gain=3.0), 9 * 2 / (IN + OUT)),
    (fi.xavier_uniform(nonlinearity="relu"), 2 * 2 / (IN + OUT)),
    (fi.xavier_uniform(mode="fan_in", nonlinearity="relu"), 2 / IN),
    (fi.he_uniform(), 2 / IN),
    (fi.he_uniform(negative_slope=0.5), 2 / (1.25 * IN)),
    (fi.he_uniform(mode="fan_out"), 2 / OUT),
    (fi.lecun_uniform(), 1 / IN),
    (fi.lecun_uniform(nonlinearity="tanh"), 25 / 9 / IN),
    (fi.variance_scaling(3.0, "fan_avg", "uniform"), 3 / ((IN + OUT) / 2)),
]
TRUNCATED = [
    (fi.xavier_truncated_normal(), 2 / (IN + OUT)),
    (fi.xavier_truncated_normal(gain=3.0), 9 * 2 / (IN + OUT)),
    (fi.xavier_truncated_normal(mode="fan_geo_avg"), 1 / math.sqrt(IN * OUT)),
    (fi.he_truncated_normal(negative_slope=0.5), 2 / (1.25 * IN)),
    (fi.he_truncated_normal(mode="fan_out"), 2 / OUT),
    (fi.lecun_truncated_normal(), 1 / IN),
    (fi.variance_scaling(3.0, "fan_geo_avg", "truncated_normal"), 3 / math.sqrt(IN * OUT)),
]
ULP = 2.0**-52


@pytest.mark.parametrize(("strategy", "variance"), TRUNCATED, ids=lambda x: repr(x))
def test_truncated_formulas(strategy, variance):
    """The variance of what is drawn, by the closed form for a normal law within 2 std."""
    resolved = strategy.resolve(FANS)
    assert type(resolved) is fi.TruncatedNormal
    assert (resolved.mean, resolved.low, resolved.high) == (0, -2, 2)
    within = math.erf(math.sqrt(2))
    kept = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / within
    assert resolved.std**2 * kept == pytest.approx(variance, rel=16 * ULP, abs=0)
    assert resolved.moments()[1] == pytest.approx(math.sqrt(variance), rel=16 * ULP, abs=0)


@pytest.mark.parametrize(("strategy", "variance"), NORMAL, ids=lambda x: repr(x))
def test_normal_formulas(strategy, variance):
    resolved = strategy.resolve(FANS)
    assert type(resolved) is fi.Normal
    assert resolved.moments()[1] == pytest.approx(math.sqrt(variance), rel=ULP, abs=0)


@pytest.mark.parametrize(("strategy", "variance"), UNIFORM, ids=lambda x: repr(x))
def test_uniform_formulas(strategy, variance):
    """The half width is sqrt(3 variance)."""
    resolved = strategy.resolve(FANS)
    assert type(resolved) is fi.Uniform
    assert (resolved.high - resolved.low) / 2 == pytest.approx(math.sqrt(3 * variance), rel=ULP, abs=0)
    assert resolved.moments()[1] == pytest.approx(math.sqrt(variance), rel=2 * ULP, abs=0)
    if isinstance(strategy, fi.VarianceScaling):
        assert resolved.low == -resolved.high


def test_means():
    assert fi.normal(2.0, 0.5).moments() == (2, 0.5)
    assert fi.uniform(-2.0, 4.0).moments()[0] == 1
    assert fi.constant(0.5).moments() == (0.5, 0)
    assert all(s.resolve(FANS).moments()[0] == 0 for s, _ in NORMAL + UNIFORM if isinstance(s, fi.VarianceScaling))


def moment_limits(resolved, n):
    """Six sigma of the sample mean and of the sample variance, of n draws."""
    fourth = 3 if isinstance(resolved, fi.Normal) else 9 / 5  # of the standardised law
    std = resolved.moments()[1]
    return 6 * std / math.sqrt(n), 6 * std**2 * math.sqrt((fourth - 1) / n)


@dtypes
@pytest.mark.parametrize(("strategy", "variance"), NORMAL + UNIFORM, ids=lambda x: repr(x))
def test_samples(strategy, variance, dtype):
    sample = fi.initialize(SHAPE, strategy, seed=12, dtype=dtype).astype(np.float64)
    resolved = strategy.resolve(FANS)
    mean_limit, variance_limit = moment_limits(resolved, sample.size)
    mean = resolved.moments()[0]
    assert abs(sample.mean() - mean) < mean_limit
    assert abs(((sample - mean) ** 2).mean() - variance) < variance_limit
    if isinstance(resolved, fi.Uniform):
        assert resolved.low <= sample.min() <= sample.max() < resolved.high


@dtypes
@pytest.mark.parametrize(
    ("strategy", "value"),
    [("zeros", 0.0), ("ones", 1.0), ("constant", 0.0), (fi.constant(0.1), 0.1), (fi.zeros(), 0.0)],
)
def test_constants(strategy, value, dtype):
    filled = fi.initialize(SHAPE, strategy, dtype=dtype)
    assert filled.tobytes() == np.full(SHAPE, value, dtype).tobytes()


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("he", fi.he_normal()),
        ("xavier", fi.xavier_normal()),
        ("lecun", fi.lecun_normal()),
        ("random", fi.normal(0.0, 0.01)),
        ("uniform", fi.uniform(0.0, 1.0)),
        ("normal", fi.normal(0.0, 1.0)),
        ("glorot_normal", fi.xavier_normal()),
        ("glorot_uniform", fi.xavier_uniform()),
        ("kaiming_normal", fi.he_normal()),
        ("kaiming_uniform", fi.he_uniform()),
        ("variance_scaling", fi.lecun_normal()),
    ],
)
def test_names(short, full):
    assert fi.get(short) == full
    named, spelled = (fi.initialize(SHAPE, i, seed=1, stream="w") for i in (short, full))
    assert named.tobytes() == spelled.tobytes()


def test_synonyms():
    assert fi.glorot_normal is fi.xavier_normal
    assert fi.glorot_uniform is fi.xavier_uniform
    assert fi.kaiming_normal is fi.he_normal
    assert fi.kaiming_uniform is fi.he_uniform


def test_same_variance_same_draw():
    """Normal and uniform forms differ in law; strategies that agree in scale, mode and law are equal."""
    assert fi.xavier_normal(mode="fan_in", nonlinearity="relu") == fi.he_normal()
    assert fi.he_normal(nonlinearity="linear") == fi.lecun_normal()
    assert fi.he_normal() != fi.he_uniform()
    assert fi.he_normal(negative_slope=0.2) == fi.he_normal(nonlinearity="leaky_relu", negative_slope=0.2)


# ---- strategies are values ----

VALUES = [s for s, _ in NORMAL + UNIFORM] + [fi.zeros(), fi.ones(), fi.constant(-0.1), fi.constant(1e300)]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_repr_evaluates_back(value):
    back = eval(repr(value), {name: getattr(fi, name) for name in fi.__all__})
    assert back == value
    assert type(back) is type(value)
    assert hash(back) == hash(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_frozen(value):
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, 1)


def test_numbers_become_floats():
    """So that a strategy equals, prints and draws as the one written with plain floats."""
    made = fi.normal(np.float32(0.5), np.int64(2)), fi.uniform(-1, np.float64(3)), fi.VarianceScaling(np.int8(2))
    assert [repr(m) for m in made] == [
        "Normal(mean=0.5, std=2.0)",
        "Uniform(low=-1.0, high=3.0)",
        "VarianceScaling(scale=2.0, mode='fan_in', distribution='normal')",
    ]


def test_available():
    names = fi.available()
    assert names == sorted(set(names))
    assert {"zeros", "ones", "constant", "random", "uniform", "normal", "he", "xavier", "lecun"} < set(names)
    for name in names:
        needed = NEEDED.get(name, {})
        shape = (5, 4, 3) if name == "delta_orthogonal" else (4, 8)
        assert fi.initialize(shape, fi.get(name, **needed), seed=1).shape == shape
        if hasattr(fi, name):
            assert fi.get(name, **needed) == getattr(fi, name)(**needed)


def test_get_passes_parameters():
    assert fi.get("normal", std=0.02) == fi.normal(std=0.02)
    assert fi.get("he", negative_slope=0.1, mode="fan_out") == fi.he_normal(negative_slope=0.1, mode="fan_out")
    assert fi.get("constant", value=3) == fi.constant(3.0)


class OwnStrategy:
    """A strategy of the caller's own is anything with `resolve`; this one cannot be hashed."""

    __hash__ = None

    def resolve(self, fans):
        return fi.Normal(0.0, 1 / fans.fan_out)


def test_own_strategies():
    got = fi.initialize(SHAPE, OwnStrategy(), seed=1)
    assert got.tobytes() == fi.initialize(SHAPE, fi.normal(std=1 / OUT), seed=1).tobytes()


PYTORCH_GAINS = [
    (("linear",), 1.0),
    (("identity",), 1.0),
    (("sigmoid",), 1.0),
    (("tanh",), 5.0 / 3),
    (("relu",), math.sqrt(2.0)),
    (("leaky_relu",), math.sqrt(2.0 / (1 + 0.01**2))),
    (("leaky_relu", 0.2), math.sqrt(2.0 / (1 + 0.2**2))),
    (("leaky_relu", -1), 1.0),
    (("selu",), 3.0 / 4),
]


@pytest.mark.parametrize(("arguments", "expected"), PYTORCH_GAINS)
def test_gains(arguments, expected):
    """torch.nn.init.calculate_gain, to the bit ("identity" aside, which PyTorch calls linear)."""
    assert fi.gain(*arguments) == expected
    scale = fi.xavier_normal(nonlinearity=arguments[0], negative_slope=(*arguments, None)[1]).scale
    assert scale == pytest.approx(expected**2, rel=2 * ULP, abs=0)


#: Nonlinearities in high precision, with the kinks that an integral has to heed.
DERIVED = {
    ("gelu",): lambda z: z * mpmath.ncdf(z),
    ("silu",): lambda z: z / (1 + mpmath.exp(-z)),
    ("swish",): lambda z: z / (1 + mpmath.exp(-z)),
    ("mish",): lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    ("softplus",): lambda z: mpmath.log1p(mpmath.exp(z)),
    ("elu",): lambda z: z if z > 0 else mpmath.expm1(z),
    ("elu", 0.3): lambda z: z if z > 0 else 0.3 * mpmath.expm1(z),
    ("hardtanh",): lambda z: max(-1, min(1, z)),
}


def gain_by_integral(f):
    with mpmath.workdps(30):
        square = mpmath.quad(lambda z: f(z) ** 2 * mpmath.npdf(z), [-30, -10, -5, -2, -1, 0, 1, 2, 5, 10, 30])
        return float(1 / mpmath.sqrt(square))


@pytest.mark.parametrize("arguments", DERIVED)
def test_derived_gains(arguments):
    """1 / sqrt(E[f(z)^2]), by another integral."""
    expected = gain_by_integral(DERIVED[arguments])
    assert fi.gain(*arguments) == pytest.approx(expected, rel=4 * ULP, abs=0)
    assert fi.he_normal(nonlinearity=arguments[0]).scale == pytest.approx(
        fi.gain(arguments[0]) ** 2, rel=4 * ULP, abs=0
    )


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (lambda z: np.maximum(z, 0), math.sqrt(2)),
        (lambda z: max(z, 0.0), math.sqrt(2)),  # of one number
        (lambda z: z**2, 1 / math.sqrt(3)),
        (np.sin, math.sqrt(2 / (1 - math.exp(-2)))),
        (lambda z: z / (1 + np.exp(-z)), gain_by_integral(DERIVED[("silu",)])),
        (lambda z: np.clip(z, -1, 1), gain_by_integral(DERIVED[("hardtanh",)])),
        (math.sin, math.sqrt(2 / (1 - math.exp(-2)))),
        (lambda z: 2.0, 0.5),
    ],
)
def test_gains_of_functions(function, exact):
    """Their squares have 12 digits."""
    assert fi.gain(function) == pytest.approx(exact, rel=0.5e-11, abs=0)
    assert fi.xavier_normal(nonlinearity=function).scale == float(f"{exact**2:.12g}")


@pytest.mark.parametrize("function", [lambda z: 0 * z, lambda z: z * math.inf, lambda z: z * math.nan])
def test_gains_of_functions_without_one(function):
    text = r"^nonlinearity must have 0 < E\[f\(z\)\^2\] < inf for z ~ N\(0, 1\); got (0.0|inf|nan) for <function "
    with pytest.raises(ValueError, match=text), np.errstate(invalid="ignore"):
        fi.gain(function)


def test_a_function_has_no_parameter():
    with pytest.raises(ValueError, match=r"^param must be None for a function; got 0.5$"):
        fi.gain(np.tanh, 0.5)


# ---- layouts and fans ----


@pytest.mark.parametrize(
    ("layout", "shape", "groups", "fan_in", "fan_out"),
    [
        ("oi...", (300, 200), 1, 200, 300),
        ("oi...", (64, 3, 7, 7), 1, 3 * 49, 64 * 49),
        ("oi...", (64, 3, 5), 1, 15, 320),
        ("oi...", (64, 8, 3, 3, 3), 1, 8 * 27, 64 * 27),
        ("...io", (200, 300), 1, 200, 300),
        ("...io", (7, 7, 3, 64), 1, 3 * 49, 64 * 49),
        ("io...", (200, 300), 1, 200, 300),
        ("io...", (16, 32, 4, 4), 1, 16 * 16, 32 * 16),
        ("...oi", (4, 4, 32, 16), 1, 16 * 16, 32 * 16),
        ("oi", (300, 200), 1, 200, 300),
        ("oihw", (64, 3, 7, 5), 1, 3 * 35, 64 * 35),
        ("hwio", (7, 5, 3, 64), 1, 3 * 35, 64 * 35),
        ("ohwi", (64, 7, 5, 3), 1, 3 * 35, 64 * 35),
        ("o...i", (64, 7, 5, 3), 1, 3 * 35, 64 * 35),
        ("bio", (8, 200, 300), 1, 200, 300),
        ("boi", (8, 300, 200), 1, 200, 300),
        ("bbio", (2, 4, 200, 300), 1, 200, 300),
        ("iob", (200, 300, 8), 1, 200, 300),
        ("b...io", (8, 3, 3, 20, 30), 1, 180, 270),
        # one group's inputs (fan_in) beside all outputs, of which an input feeds one group's (fan_out)
        ("oi...", (64, 4, 3, 3), 8, 4 * 9, 64 // 8 * 9),
        ("...io", (3, 3, 4, 64), 8, 4 * 9, 64 // 8 * 9),
        ("hwio", (3, 3, 4, 64), 8, 4 * 9, 64 // 8 * 9),
        ("oi...", (32, 1, 3, 3), 32, 9, 9),  # depthwise
        ("oi...", (64, 4), 8, 4, 64 // 8),
        ("...io", (4, 64), 8, 4, 64 // 8),
        # a transposed convolution's weight holds all inputs beside one group's outputs
        ("io...", (64, 4, 3, 3), 8, 64 // 8 * 9, 4 * 9),
        ("...oi", (3, 3, 4, 64), 8, 64 // 8 * 9, 4 * 9),
        # outputs first, inputs last: a plain convolution where channels come last
        ("o...i", (64, 3, 3, 4), 8, 4 * 9, 64 // 8 * 9),
        ("ohwi", (64, 3, 3, 4), 8, 4 * 9, 64 // 8 * 9),
    ],
)
def test_layouts(layout, shape, groups, fan_in, fan_out):
    fans = Fans(shape, layout, groups=groups)
    assert (fans.fan_in, fans.fan_out) == (fan_in, fan_out)
    for mode, n in (("fan_in", fan_in), ("fan_out", fan_out), ("fan_avg", (fan_in + fan_out) / 2)):
        drawn = fi.initialize(shape, fi.VarianceScaling(1.0, mode), seed=1, layout=layout, groups=groups)
        assert drawn.tobytes() == fi.initialize(shape, fi.normal(std=math.sqrt(1 / n)), seed=1).tobytes()


def test_given_fans_overrule():
    he = fi.initialize(SHAPE, "he", seed=1, fan_in=50)
    assert he.tobytes() == fi.initialize(SHAPE, fi.normal(std=0.2), seed=1).tobytes()
    xavier = fi.initialize(SHAPE, "xavier", seed=1, fan_in=30, fan_out=20)
    assert xavier.tobytes() == fi.initialize(SHAPE, fi.normal(std=0.2), seed=1).tobytes()
    assert Fans(SHAPE, given_fan_in=7).fan_out == OUT
    vector = fi.initialize(50, "he", seed=1, fan_in=50)
    assert vector.tobytes() == fi.initialize(50, fi.normal(std=0.2), seed=1).tobytes()
    grouped = Fans((64, 4, 3, 3), groups=8, given_fan_in=7, given_fan_out=9)
    assert (grouped.fan_in, grouped.fan_out) == (7, 9)


@pytest.mark.parametrize("number", [np.uint8, np.int8, np.int64, np.uint64])
def test_fans_of_any_integer_type(number):
    """NumPy's small integers would wrap around."""
    expected = fi.initialize(SHAPE, "xavier", seed=1, fan_in=100, fan_out=120).tobytes()
    assert fi.initialize(SHAPE, "xavier", seed=1, fan_in=number(100), fan_out=number(120)).tobytes() == expected
    half = fi.initialize(SHAPE, "xavier", seed=1, fan_in=number(100)).tobytes()
    assert half == fi.initialize(SHAPE, "xavier", seed=1, fan_in=100).tobytes()
    grouped = fi.initialize((1024, 4, 3), "xavier", seed=1, groups=number(4)).tobytes()
    assert grouped == fi.initialize((1024, 4, 3), "xavier", seed=1, groups=4).tobytes()


def test_layout_means_nothing_to_plain_distributions():
    expected = fi.initialize((6, 4), "normal", seed=1).tobytes()
    assert fi.initialize((6, 4), "normal", seed=1, layout="bio", groups=5).tobytes() == expected


# ---- no value outside the interval ----


def next_up(x, dtype, steps=1):
    with np.errstate(all="ignore"):
        for _ in range(steps):
            x = np.nextafter(np.dtype(dtype).type(x), np.dtype(dtype).type(np.inf))
    return float(x)


def extremes(low, high, dtype):
    """The draws of the least and of the greatest words: the transform never falls, so all others lie between.

    As Python floats, for NumPy would round a bound to float32 before it compares.
    """
    got = []
    for word in (0, 0xFFFFFFFF):
        seed, stream, block = reference.place((word,) * 4)
        start = block * (4 if dtype == "float32" else 2)
        _, parameters = fi.uniform(low, high).kernel(np.dtype(dtype))
        got.append(draw("uniform", dtype, parameters, seed, stream, start, 1).item())
    return got


def nasty_bounds(dtype):
    tiny, greatest = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)
    return [
        (0.1, 0.7),
        (0.3, 0.9),
        (0.0, 0.1),
        (-0.1, 0.1),
        (0.1, next_up(0.1, dtype)),
        (0.1, next_up(0.1, dtype, 2)),
        (1.0, next_up(1.0, dtype)),
        (1.0, next_up(1.0, dtype, 2)),
        (1.0, next_up(1.0, dtype, 3)),
        (-next_up(1.0, dtype, 2), -1.0),
        (0.5, next_up(1.0, dtype)),
        (1e6, 1e6 + 1),
        (-1e6 - 1, -1e6),
        (3.0, 2.0**25),
        (-1.0, 0.0),
        (-1.0, tiny),
        (-tiny, 0.0),
        (0.0, tiny),
        (0.0, 2 * tiny),
        (-3 * tiny, 5 * tiny),
        (0.0, float(np.finfo(dtype).smallest_normal)),
        (0.0, greatest),
        (-greatest, 0.0),
        (-greatest / 2, greatest / 2),
        (greatest / 2, greatest),
    ]


@dtypes
@pytest.mark.parametrize("i", range(len(nasty_bounds("float32"))))
def test_no_value_outside(dtype, i):
    low, high = nasty_bounds(dtype)[i]
    least, most = (x.item() for x in reference.inside(low, high, dtype))
    first, last = extremes(low, high, dtype)
    assert first == least
    assert low <= first <= last <= most < high
    drawn = fi.initialize(50_000, fi.uniform(low, high), seed=1, dtype=dtype)
    assert first <= drawn.min().item() <= drawn.max().item() <= last
    assert drawn.tobytes() == reference.uniform(1, 0, 0, 50_000, low, high, dtype).tobytes()


finite = st.one_of(
    st.floats(-10, 10), st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(-1e308, 1e308)
)


@given(finite, finite, st.integers(0, 3), st.sampled_from(DTYPES))
@settings(max_examples=300, deadline=None)
def test_no_value_outside_any_bounds(one, other, near, dtype):
    """Any two bounds, or two a few numbers apart, be they numbers of the dtype or not."""
    limit = float(np.finfo(dtype).max)
    low, high = sorted((one or 0.0, other or 0.0))  # an error's text has no negative zero
    if near:
        high = next_up(low, "float64", near) or 0.0
    assume(low < high and -limit <= low and high <= limit and high - low <= limit)
    if reference.inside(low, high, dtype) is None:
        text = f"[low, high) must hold a {dtype}; got low={low!r}, high={high!r}"
        with pytest.raises(ValueError, match=re.escape(text)):
            fi.initialize(3, fi.uniform(low, high), dtype=dtype)
    else:
        assert low <= min(extremes(low, high, dtype)) <= max(extremes(low, high, dtype)) < high


# ---- why weights must differ ----

tanh = np.vectorize(math.tanh)  # a plain function, so that equal inputs give equal outputs whatever lies beside them


def train(initialization, scale_of_second, steps=6):
    """A few steps of gradient descent on a network of one hidden layer; the hidden weights after each, and the losses.

    Every sum is taken along whole axes of products, never by BLAS, so equal units stay equal to the last bit.
    """
    x = fi.initialize((16, 3), "normal", seed=9, stream="x", dtype="float64")
    y = np.sin(x.sum(axis=1))
    w1 = fi.initialize((8, 3), initialization, seed=1, stream="w1", dtype="float64")
    w2 = fi.initialize((1, 8), scale_of_second, seed=1, stream="w2", dtype="float64")[0]
    b1 = np.zeros(8)
    history, losses = [w1.copy()], []
    for _ in range(steps):
        hidden = tanh((x[:, None, :] * w1).sum(axis=2) + b1)
        residual = (hidden * w2).sum(axis=1) - y
        losses.append((residual**2).mean())
        delta = residual[:, None] * w2 * (1 - hidden**2) / len(y)
        w2 = w2 - 0.2 * (residual[:, None] * hidden).mean(axis=0)
        w1 = w1 - 0.2 * (delta[:, :, None] * x[:, None, :]).sum(axis=0)
        b1 = b1 - 0.2 * delta.sum(axis=0)
        history.append(w1.copy())
    return history, losses


def distinct_units(weights):
    return len(np.unique(weights, axis=0))


@pytest.mark.parametrize(
    "initialization", ["zeros", "ones", fi.constant(0.3), fi.constant(-0.05)], ids=lambda x: str(x).partition("(")[0]
)
def test_equal_units_stay_equal(initialization):
    history, _ = train(initialization, initialization)
    assert [distinct_units(w1) for w1 in history] == [1] * len(history)
    if initialization != "zeros":
        assert not np.array_equal(history[0], history[-1])  # they learn, all the same thing


def test_zeros_learn_nothing():
    history, losses = train("zeros", "zeros")
    assert not history[-1].any()
    assert len(set(losses)) == 1


@pytest.mark.parametrize("initialization", ["random", "he", "xavier_uniform", "lecun"])
def test_draws_break_the_symmetry(initialization):
    history, losses = train(initialization, initialization)
    assert [distinct_units(w1) for w1 in history] == [8] * len(history)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", fi.available())
def test_every_name_has_a_value_that_can_be_read_back_and_a_formula(name):
    strategy = fi.get(name, **NEEDED.get(name, {}))
    namespace = {**vars(fi), "inf": math.inf}
    assert eval(repr(strategy), namespace) == strategy
    assert hash(strategy) == hash(eval(repr(strategy), namespace))
    maker = _MAKERS[name]
    assert maker.__doc__
    assert ">>>" in maker.__doc__


@pytest.mark.parametrize("name", fi.available())
@pytest.mark.parametrize("layout", ["oi...", "...io", "io...", "boi", "o"])
def test_every_name_and_shape_gives_numbers_or_says_what_is_wrong(name, layout):
    """Whatever the shape, no NaN and no ZeroDivisionError."""
    strategy = fi.get(name, **NEEDED.get(name, {}))
    for shape in [(), (1,), (5,), (0,), (1, 1), (3, 8), (8, 3), (0, 3), (4, 4, 4), (8, 4, 3, 3), (2, 1, 1, 1, 8)]:
        try:
            weight = fi.initialize(shape, strategy, seed=1, stream=name, layout=layout)
        except ValueError as error:
            assert " must " in str(error)  # noqa: PT017
        else:
            assert weight.shape == shape
            assert np.isfinite(weight).all()
