"""`initialize` and `fill`: what they return, and every error by its text, with `out` untouched."""

import re

import numpy as np
import pytest

import fastinit as fi

from .helpers import ALL_DTYPES, NEEDED, as_dtype

dtypes = pytest.mark.parametrize("dtype", ALL_DTYPES)
NAMES = fi.available()
LISTED = ", ".join(NAMES)
GREATEST = 2**64 - 1
DTYPE_RULE = "float32, float64, float16, bfloat16, complex64 or complex128"
WORD_RULE = f"an integer in [0, {GREATEST}]"


# ---- what they return ----


@dtypes
def test_fill_returns_out(dtype):
    out = np.empty((6, 5), as_dtype(dtype))
    assert fi.fill(out, "he", seed=1, stream="w") is out
    assert out.tobytes() == fi.initialize((6, 5), "he", seed=1, stream="w", dtype=dtype).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "f4", np.float32, np.dtype("float32"), "=f4", "single"])
def test_dtypes(dtype):
    assert fi.initialize(3, "ones", dtype=dtype).dtype == np.float32


def test_default_dtype():
    assert fi.initialize(3, "ones").dtype == np.float32
    assert fi.initialize(3, "ones", dtype=float).dtype == np.float64


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (5, (5,)),
        (np.int64(5), (5,)),
        ((5,), (5,)),
        ([5, 4], (5, 4)),
        ((np.int32(5), np.uint8(4)), (5, 4)),
        ((), ()),
        ([], ()),
        (range(2, 5), (2, 3, 4)),
        ((1,) * 20, (1,) * 20),
        (np.array([5, 4]), (5, 4)),
    ],
)
def test_shapes(shape, expected):
    out = fi.initialize(shape, "normal", seed=1)
    assert out.shape == expected
    assert out.flags.c_contiguous
    assert out.tobytes() == fi.fill(np.empty(expected, np.float32), "normal", seed=1).tobytes()


@pytest.mark.parametrize("name", ["zeros", "ones", "constant", "random", "uniform", "normal"])
@dtypes
def test_scalars(name, dtype):
    out = fi.initialize((), name, seed=1, dtype=dtype)
    assert out.shape == ()
    assert out.tobytes() == fi.initialize(1, name, seed=1, dtype=dtype).tobytes()
    assert fi.initialize((), "he", seed=1, fan_in=2).tobytes() == fi.initialize((), "normal", seed=1).tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [0, (0, 5), (5, 0), (3, 0, 2), (0, 0)])
def test_empty_arrays(name, shape):
    strategy = fi.get(name, **NEEDED.get(name, {}))
    assert fi.initialize(shape, strategy, seed=1).size == 0
    out = np.empty(shape, np.float64)
    assert fi.fill(out, strategy, seed=1) is out


class Array(np.ndarray):
    pass


def test_subclasses(tmp_path):
    expected = fi.initialize((6, 5), "he", seed=1).tobytes()
    mapped = np.memmap(tmp_path / "w", np.float32, "w+", shape=(6, 5))
    for out in (np.empty((6, 5), np.float32).view(Array), mapped):
        assert fi.fill(out, "he", seed=1) is out
        assert out.tobytes() == expected
    mapped.flush()
    assert (tmp_path / "w").read_bytes() == expected


def test_parts_of_an_array():
    """A contiguous part is an array of its own, at any address, and what lies beside it is left alone."""
    raw = np.full(4 * 1000 + 1, 7, np.uint8)
    unaligned = raw[1:].view(np.float32)
    fi.fill(unaligned, "normal", seed=1)
    assert unaligned.tobytes() == fi.initialize(1000, "normal", seed=1).tobytes()
    assert raw[0] == 7
    whole = np.zeros((4, 6, 5), np.float32)
    fi.fill(whole[2], "he", seed=1)
    assert whole[2].tobytes() == fi.initialize((6, 5), "he", seed=1).tobytes()
    assert not whole[[0, 1, 3]].any()


def test_contiguous_in_both_orders():
    out = np.empty((1, 7), np.float32, order="F")
    assert fi.fill(out, "normal", seed=1).tobytes() == fi.initialize((1, 7), "normal", seed=1).tobytes()


@pytest.mark.parametrize("threads", [1, 2, np.int64(3), 10**6])
def test_threads(threads):
    assert np.array_equal(fi.initialize(100, "ones", threads=threads), np.ones(100))


def test_threads_from_the_environment(monkeypatch):
    size = 1 << 21  # from here on the environment is asked
    expected = fi.initialize(size, "uniform", seed=1, threads=1)
    for name, value in (("OMP_NUM_THREADS", "3,2"), ("OMP_NUM_THREADS", "x"), ("FASTINIT_NUM_THREADS", "2")):
        monkeypatch.setenv(name, value)
        assert np.array_equal(fi.initialize(size, "uniform", seed=1), expected)
    for value in ("0", "-1", "many", "", "1.5"):
        monkeypatch.setenv("FASTINIT_NUM_THREADS", value)
        text = f"FASTINIT_NUM_THREADS must be a positive integer; got {value!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            fi.initialize(size, "uniform", seed=1)


def test_normal_of_zero_std():
    assert np.array_equal(fi.initialize(100, fi.normal(2.5, 0.0), seed=1), np.full(100, 2.5))


# ---- errors ----


def raises(error, text, call, *arguments, **keywords):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call(*arguments, **keywords)


def raises_untouched(error, text, initialization="normal", shape=(6, 5), dtype="float32", **keywords):
    """`fill` says exactly this, without a byte written, and `initialize` says the same."""
    out = np.full(shape, 7, dtype)
    before = out.tobytes()
    raises(error, text, fi.fill, out, initialization, **keywords)
    assert out.tobytes() == before
    raises(error, text, fi.initialize, shape, initialization, dtype=dtype, **keywords)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "clongdouble", "bool", "object", "datetime64[s]"])
def test_out_of_another_dtype(dtype):
    out = np.zeros(5, dtype)
    raises(TypeError, f"out must be an array of {DTYPE_RULE}; got {out.dtype.name}", fi.fill, out, "ones")
    assert out.tobytes() == np.zeros(5, dtype).tobytes()
    raises(TypeError, f"dtype must be {DTYPE_RULE}; got {out.dtype.name}", fi.initialize, 5, "ones", dtype=out.dtype)


@dtypes
def test_out_in_foreign_byte_order(dtype):
    foreign = as_dtype(dtype).newbyteorder()
    out = np.zeros(5, foreign)
    got = f"must be {{}}{DTYPE_RULE}; got {dtype} in foreign byte order"
    raises(TypeError, "out " + got.format("an array of "), fi.fill, out, "ones")
    assert not out.any()
    raises(TypeError, "dtype " + got.format(""), fi.initialize, 5, "ones", dtype=foreign)


def test_structured_out():
    out = np.zeros(5, [("a", "f4")])
    raises(TypeError, f"out must be an array of {DTYPE_RULE}; got {out.dtype.name}", fi.fill, out, "ones")


@pytest.mark.parametrize("dtype", ["float31", 5, object()])
def test_no_dtype(dtype):
    raises(TypeError, f"dtype must be {DTYPE_RULE}; got {dtype!r}", fi.initialize, 5, "ones", dtype=dtype)


OUT_RULE = "a NumPy array, or an array in main memory with the buffer protocol or __dlpack__"


@pytest.mark.parametrize("out", [[0.0, 0.0], None, 1.0, "weights", range(3), {}, object()])
def test_out_is_no_array(out):
    raises(TypeError, f"out must be {OUT_RULE}; got {type(out).__name__}", fi.fill, out, "ones")


def test_read_only_out():
    out = np.zeros(5, np.float32)
    out.setflags(write=False)
    raises(ValueError, "out must be writable; got a read-only array", fi.fill, out, "ones")
    assert not out.any()


SHAPE_RULE = "shape must be an integer or a sequence of integers; got "
DIMENSION_RULE = "each dimension of shape must be an integer of at least 0; got "


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        (-1, ValueError, DIMENSION_RULE + "-1"),
        ((3, -2), ValueError, DIMENSION_RULE + "-2"),
        ((3, 2.0), TypeError, DIMENSION_RULE + "2.0"),
        ((3, "2"), TypeError, DIMENSION_RULE + "'2'"),
        ((3, None), TypeError, DIMENSION_RULE + "None"),
        (True, TypeError, DIMENSION_RULE + "True"),
        ((3, (4,)), TypeError, DIMENSION_RULE + "(4,)"),
        (2.0, TypeError, SHAPE_RULE + "2.0"),
        ("34", TypeError, SHAPE_RULE + "'34'"),
        (b"34", TypeError, SHAPE_RULE + "b'34'"),
        (None, TypeError, SHAPE_RULE + "None"),
        ({3, 4}, TypeError, SHAPE_RULE + "{3, 4}"),
        ((3, np.array([4, 5])), TypeError, DIMENSION_RULE + "array([4, 5])"),
    ],
)
def test_shape_errors(shape, error, text):
    raises(error, text, fi.initialize, shape, "ones")


@pytest.mark.parametrize("argument", ["seed", "stream"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (2**64, ValueError),
        (1.0, TypeError),
        (True, TypeError),
        (b"name", TypeError),
        ([1], TypeError),
        (np.float64(1), TypeError),
    ],
)
def test_seed_and_stream_errors(argument, value, error):
    raises_untouched(error, f"{argument} must be {WORD_RULE}; got {value!r}", **{argument: value})


def test_kinds_of_seed():
    raises_untouched(TypeError, f"seed must be {WORD_RULE}; got '0'", seed="0")
    raises_untouched(TypeError, f"stream must be {WORD_RULE}; got None", stream=None)
    state = np.random.RandomState(0)
    raises_untouched(TypeError, f"seed must be {WORD_RULE}; got {state!r}", seed=state)


@pytest.mark.parametrize("bad", [{"stream": -1}, {"threads": 0}, {"layout": "O"}, {"fan_in": 0}])
def test_an_error_takes_nothing_from_the_generator(bad):
    generator = np.random.default_rng(1)
    with pytest.raises(ValueError, match=next(iter(bad))):
        fi.initialize((6, 5), "he", seed=generator, **bad)
    assert generator.bit_generator.state == np.random.default_rng(1).bit_generator.state


@pytest.mark.parametrize("argument", ["threads", "fan_in", "fan_out", "groups"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError), ("4", TypeError), ([4], TypeError)],
)
def test_counts(argument, value, error):
    text = f"{argument} must be an integer of at least 1; got {value!r}"
    raises_untouched(error, text, "he", **{argument: value})
    raises_untouched(error, text, "zeros", **{argument: value})


def test_groups_none():
    raises_untouched(TypeError, "groups must be an integer of at least 1; got None", "he", groups=None)


LAYOUT_RULE = (
    "layout must be letters that name each axis (o output, i input, b batch, others receptive field), "
    "with at most one '...'; got "
)


@pytest.mark.parametrize(
    ("layout", "error", "text"),
    [
        ("o1", ValueError, LAYOUT_RULE + "'o1'"),
        ("OI", ValueError, LAYOUT_RULE + "'OI'"),
        ("o i", ValueError, LAYOUT_RULE + "'o i'"),
        ("o..i", ValueError, LAYOUT_RULE + "'o..i'"),
        ("o...i...", ValueError, LAYOUT_RULE + "'o...i...'"),
        ("oé", ValueError, LAYOUT_RULE + "'oé'"),
        (5, TypeError, LAYOUT_RULE + "5"),
        (None, TypeError, LAYOUT_RULE + "None"),
        (["o", "i"], TypeError, LAYOUT_RULE + "['o', 'i']"),
        ("oio", ValueError, "layout must name 'o' at most once; got 'oio'"),
        ("i...i", ValueError, "layout must name 'i' at most once; got 'i...i'"),
    ],
)
def test_layout_errors(layout, error, text):
    for initialization in ("he", "zeros"):
        raises_untouched(error, text, initialization, layout=layout)


FAN_RULE = "shape must have an axis for each letter of layout {!r}, or {}= be given; got shape {}"


@pytest.mark.parametrize(
    ("initialization", "shape", "layout", "argument"),
    [
        ("he", (5,), "oi...", "fan_in"),
        ("he", (), "oi...", "fan_in"),
        ("xavier", (5,), "...io", "fan_in"),
        (fi.he_normal(mode="fan_out"), (5,), "oi...", "fan_out"),
        ("lecun_uniform", (5, 6, 7), "oi", "fan_in"),
        ("he", (5, 6), "oihw", "fan_in"),
        ("he", (5, 6, 7), "bboi...", "fan_in"),
    ],
)
def test_shapes_without_fans(initialization, shape, layout, argument):
    raises_untouched(ValueError, FAN_RULE.format(layout, argument, shape), initialization, shape, layout=layout)


def test_a_given_fan_in_leaves_fan_out():
    raises_untouched(ValueError, FAN_RULE.format("oi...", "fan_out", (5,)), "xavier", (5,), fan_in=3)


def test_groups_must_divide():
    text = "groups must divide the 'o' axis of shape (6, 5) in layout 'oi...'; got 4"
    raises_untouched(ValueError, text, fi.he_normal(mode="fan_out"), groups=4)
    text = "groups must divide the 'i' axis of shape (6, 5, 3) in layout 'io...'; got 4"
    raises_untouched(ValueError, text, "he", (6, 5, 3), layout="io...", groups=4)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hee", " (did you mean 'he'?)"),
        ("xavier_unifrom", " (did you mean 'xavier_uniform'?)"),
        ("Zeros", " (did you mean 'zeros'?)"),
        ("HE_NORMAL", " (did you mean 'he_normal'?)"),
        ("qqq", ""),
        ("", ""),
    ],
)
def test_unknown_names(name, hint):
    text = f"initialization must be one of {LISTED}; got {name!r}{hint}"
    raises_untouched(ValueError, text, name)
    raises(ValueError, text, fi.get, name)


STRATEGY_RULE = "initialization must be a name or a strategy"


@pytest.mark.parametrize(
    ("initialization", "text"),
    [
        (fi.he_normal, "; got the function he_normal: call it, he_normal()"),
        (fi.kaiming_uniform, "; got the function he_uniform: call it, he_uniform()"),
        (fi.zeros, "; got the function zeros: call it, zeros()"),
        (fi.Normal, f", such as 'he' or he_normal(); got {fi.Normal!r}"),
        (fi.VarianceScaling, f", such as 'he' or he_normal(); got {fi.VarianceScaling!r}"),
        (None, ", such as 'he' or he_normal(); got None"),
        (0.0, ", such as 'he' or he_normal(); got 0.0"),
        (["he"], ", such as 'he' or he_normal(); got ['he']"),
        ({"he": 1}, ", such as 'he' or he_normal(); got {'he': 1}"),
    ],
)
def test_no_strategy(initialization, text):
    raises_untouched(TypeError, STRATEGY_RULE + text, initialization)


def test_get_errors():
    raises(TypeError, f"initialization must be one of {LISTED}; got 5", fi.get, 5)
    raises(TypeError, "parameter of 'normal' must be one of mean, std; got 'sigma'", fi.get, "normal", sigma=1)
    raises(TypeError, "parameter of 'zeros' must be absent; got 'value'", fi.get, "zeros", value=1)
    raises(ValueError, "std must be a finite number of at least 0; got -1.0", fi.get, "normal", std=-1)


INFINITE = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("value", INFINITE)
def test_not_finite(value):
    rule = f"must be a finite number; got {value!r}"
    raises(ValueError, f"value {rule}", fi.constant, value)
    raises(ValueError, f"mean {rule}", fi.normal, value)
    raises(ValueError, f"low {rule}", fi.uniform, value, 1)
    raises(ValueError, f"high {rule}", fi.uniform, 0, value)
    raises(ValueError, f"scale {rule}", fi.variance_scaling, value)
    raises(ValueError, f"gain {rule}", fi.xavier_normal, gain=value)
    raises(ValueError, f"negative_slope {rule}", fi.he_normal, negative_slope=value)
    raises(ValueError, f"std must be a finite number of at least 0; got {value!r}", fi.normal, std=value)
    raises(ValueError, f"std must be a finite number of at least 0; got {value!r}", fi.random, value)


@pytest.mark.parametrize("value", ["1", b"1", None, True, [1.0], 1j])
def test_not_numbers(value):
    rule = f"must be a finite number; got {value!r}"
    raises(TypeError, f"value {rule}", fi.constant, value)
    raises(TypeError, f"mean {rule}", fi.normal, value)
    raises(TypeError, f"low {rule}", fi.uniform, value)
    raises(TypeError, f"high {rule}", fi.uniform, 0, value)
    raises(TypeError, f"scale {rule}", fi.variance_scaling, value)
    raises(TypeError, f"std must be a finite number of at least 0; got {value!r}", fi.normal, 0, value)


def test_numbers_out_of_range():
    raises(ValueError, f"value must be a finite number; got {10**400}", fi.constant, 10**400)
    raises(ValueError, "std must be a finite number of at least 0; got -0.1", fi.normal, std=-0.1)
    raises(ValueError, "low must be less than high; got low=1.0, high=1.0", fi.uniform, 1, 1)
    raises(ValueError, "low must be less than high; got low=2.0, high=1.0", fi.uniform, 2)
    raises(ValueError, "high - low must be finite; got low=-1e+308, high=1e+308", fi.uniform, -1e308, 1e308)
    for scale in (0, -1):
        raises(ValueError, f"scale must be positive; got {float(scale)}", fi.variance_scaling, scale)
        raises(ValueError, f"gain must be positive; got {float(scale)}", fi.xavier_uniform, gain=scale)


def test_choices():
    modes, laws = "fan_in, fan_out, fan_avg, fan_geo_avg", "normal, uniform, truncated_normal"
    raises(
        ValueError, f"mode must be one of {modes}; got 'fan_it' (did you mean 'fan_in'?)", fi.he_normal, mode="fan_it"
    )
    raises(TypeError, f"mode must be one of {modes}; got None", fi.lecun_normal, mode=None)
    raises(ValueError, f"distribution must be one of {laws}; got 'x'", fi.variance_scaling, distribution="x")
    convolutions = ", ".join(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))
    activations = "sigmoid, tanh, relu, selu, gelu, silu, swish, mish, softplus, hardtanh, leaky_relu, elu"
    gains = f"linear, identity, {convolutions}, {activations}"
    hint = " (did you mean 'relu'?)"
    raises(ValueError, f"nonlinearity must be one of {gains}; got 'relo'{hint}", fi.gain, "relo")
    raises(ValueError, f"nonlinearity must be one of {gains}; got 'relo'{hint}", fi.he_normal, nonlinearity="relo")
    raises(TypeError, f"nonlinearity must be one of {gains}; got 5", fi.gain, 5)


def test_arguments_that_exclude_each_other():
    rule = "gain must be None where nonlinearity or negative_slope is given; got 2.0"
    raises(ValueError, rule, fi.xavier_normal, gain=2.0, nonlinearity="relu")
    raises(ValueError, rule, fi.xavier_uniform, gain=2.0, negative_slope=0.1)
    rule = "negative_slope must be None for 'relu'; got 0.1"
    raises(ValueError, rule, fi.he_normal, nonlinearity="relu", negative_slope=0.1)
    raises(ValueError, "param must be None for 'tanh'; got 0.1", fi.gain, "tanh", 0.1)
    raises(ValueError, "negative_slope must be a finite number; got inf", fi.gain, "leaky_relu", float("inf"))
    raises(TypeError, "negative_slope must be a finite number; got 'a'", fi.gain, "leaky_relu", "a")


@pytest.mark.parametrize(
    ("strategy", "argument", "value"),
    [
        (fi.constant(1e39), "value", 1e39),
        (fi.constant(-3.5e38), "value", -3.5e38),
        (fi.normal(std=1e39), "abs(mean) + 9 std", 9e39),
        (fi.normal(mean=-1e39), "abs(mean) + 9 std", 1e39 + 9),
        (fi.uniform(-1e39, 0), "low", -1e39),
        (fi.uniform(0, 1e39), "high", 1e39),
        (fi.uniform(-3e38, 3e38), "high - low", 6e38),
        (fi.VarianceScaling(1e80), "abs(mean) + 9 std", 9 * (1e80 / 5) ** 0.5),
    ],
)
def test_beyond_float32(strategy, argument, value):
    text = f"{argument} must be at most 3.40282e+38 in magnitude for float32; got {value!r}"
    raises_untouched(ValueError, text, strategy)
    assert np.isfinite(fi.initialize((6, 5), strategy, seed=1, dtype="float64")).all()


def test_beyond_float64():
    text = "abs(mean) + 9 std must be at most 1.79769e+308 in magnitude for float64; got inf"
    raises_untouched(ValueError, text, fi.normal(std=1e308), dtype="float64")
    longest = fi.normal(std=1.9e307)
    assert np.isfinite(fi.initialize(10**5, longest, seed=1, dtype="float64")).all()


def test_an_interval_that_holds_no_number():
    low, high = 0.1 + 1e-12, 0.1 + 2e-12
    text = f"[low, high) must hold a float32; got low={low!r}, high={high!r}"
    raises_untouched(ValueError, text, fi.uniform(low, high))
    assert fi.initialize(5, fi.uniform(low, high), dtype="float64").min() >= low


def test_errors_are_not_remembered():
    """A plan that fails once fails again, and a good call between is not disturbed."""
    for _ in range(3):
        raises_untouched(ValueError, FAN_RULE.format("oi...", "fan_in", (5,)), "he", (5,))
        assert fi.initialize((5, 3), "he", seed=1).shape == (5, 3)
