"""The initializations of today's models are what their papers' formulas say, whole and in any part."""

import math
import tracemalloc

import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard as sylvester

import fastinit as fi
from fastinit import coordinates, derived
from fastinit._fans import Fans

from .test_environment import environment, environments, needs_fenv
from .test_structured import as_numpy, dirac_of, indices, same

DTYPES = ("float32", "float64", "float16", "bfloat16")
dtypes = pytest.mark.parametrize("dtype", DTYPES)
SEED, STREAM = 2**63 + 11, "layer.weight"
IN, OUT = 48, 80


def resolved(strategy, shape=(OUT, IN), layout="oi...", **given):
    return strategy.resolve(Fans(shape, layout, **given))


# ---- the formulas, each by the standard deviation (or bound) that its paper gives ----

NORMAL = [
    (fi.scaled_normal(12), 0.02 / math.sqrt(24)),
    (fi.scaled_normal(layers=6, std=0.1), 0.1 / math.sqrt(12)),
    (fi.small_init(), math.sqrt(2 / (5 * IN))),
    (fi.wang_init(24), 2 / (24 * math.sqrt(IN))),
    (fi.embedding_normal(), IN**-0.5),
    (fi.lora_a("normal"), OUT**-0.5),
    (fi.OverFan(fi.normal(), mode="fan_out"), 1 / OUT),
    (fi.OverFan(fi.normal(std=3.0), 0.5), 3 / math.sqrt(IN)),
    (fi.mup("input", 0.05), 0.05),
    (fi.mup("hidden", 0.05, base_fan_in=16), 0.05 / math.sqrt(IN / 16)),
    (fi.mup("output", 0.05), 0.05),
    (fi.mup("output", 0.05, base_fan_in=16, table=3), 0.05 / (IN / 16)),
    (fi.deepnorm(encoder_layers=18), (8 * 18) ** -0.25 * math.sqrt(2 / (IN + OUT))),
    (fi.deepnorm(decoder_layers=100), (8 * 100) ** -0.25 * math.sqrt(2 / (IN + OUT))),
    (fi.deepnorm(18, 6, part="encoder"), 0.87 * (18**4 * 6) ** (-1 / 16) * math.sqrt(2 / (IN + OUT))),
    (fi.deepnorm(18, 6, part="decoder"), (12 * 6) ** -0.25 * math.sqrt(2 / (IN + OUT))),
    (fi.fixup(16), 16**-0.5 * math.sqrt(2 / IN)),
    (fi.fixup(54, 3, mode="fan_out"), 54**-0.25 * math.sqrt(2 / OUT)),
    (fi.fixup(7, layers=5), 7 ** (-1 / 8) * math.sqrt(2 / IN)),
    (fi.tfixup(6, "encoder", distribution="normal"), 0.67 * 6**-0.25 * math.sqrt(2 / (IN + OUT))),
    (fi.tfixup(6, "decoder", distribution="normal"), 54**-0.25 * math.sqrt(2 / (IN + OUT))),
    (fi.tfixup_embedding(6), IN**-0.5 * 54**-0.25),
]
UNIFORM = [
    (fi.lora_a(), IN**-0.5),
    (fi.siren(), math.sqrt(6 / IN) / 30),
    (fi.siren(omega_0=5.0), math.sqrt(6 / IN) / 5),
    (fi.siren(first=True), 1 / IN),
    (fi.tfixup(6), 0.67 * 6**-0.25 * math.sqrt(6 / (IN + OUT))),
    (fi.tfixup(6, "decoder"), 54**-0.25 * math.sqrt(6 / (IN + OUT))),
    (fi.OverFan(fi.uniform(-2, 2), 0.5, "fan_out"), 2 / math.sqrt(OUT)),
]
TRUNCATED = [
    (fi.cutoff_normal(), 0.02, 3.0),
    (fi.cutoff_normal(0.1, cutoff=2), 0.1, 2.0),
    (fi.mitchell(), IN**-0.5, 3.0),
    (fi.mitchell(layer=0), (2 * IN) ** -0.5, 3.0),
    (fi.mitchell(layer=7, cutoff=2.5), (2 * IN * 8) ** -0.5, 2.5),
]


@pytest.mark.parametrize(("strategy", "std"), NORMAL)
def test_normals(strategy, std):
    law = resolved(strategy)
    assert type(law) is fi.Normal
    assert law.mean == 0
    assert law.std == pytest.approx(std, rel=1e-14)


@pytest.mark.parametrize(("strategy", "bound"), UNIFORM)
def test_uniforms(strategy, bound):
    law = resolved(strategy)
    assert type(law) is fi.Uniform
    assert law.low == -law.high
    assert law.high == pytest.approx(bound, rel=1e-14)


@pytest.mark.parametrize(("strategy", "std", "cutoff"), TRUNCATED)
@dtypes
def test_cut_off_normals(strategy, std, cutoff, dtype):
    law = resolved(strategy)
    assert type(law) is fi.TruncatedNormal
    assert (law.mean, law.low, law.high) == (0, -cutoff, cutoff)
    assert law.std == pytest.approx(std, rel=1e-14)
    drawn = fi.initialize((OUT, IN), strategy, seed=1, stream=STREAM, dtype=dtype)
    assert abs(drawn.astype(float)).max() <= cutoff * law.std


def test_published_values():
    """What the papers' own tables and programs have for well-known models."""
    assert fi.lora_b() == fi.zeros()
    assert resolved(fi.lora_a()) == resolved(fi.he_uniform(negative_slope=math.sqrt(5)))  # PyTorch's way to say it
    gpt2 = fi.load_recipe("gpt2").match(["transformer.h.0.attn.c_proj.weight"])
    assert gpt2["transformer.h.0.attn.c_proj.weight"].strategy == fi.scaled_normal(12)
    assert fi.deepnorm_alpha(encoder_layers=6, decoder_layers=6, part="encoder") == pytest.approx(1.417939)
    assert fi.deepnorm_alpha(0, 1000) == pytest.approx(2000**0.25, rel=1e-15)
    assert fi.deepnorm_alpha(18, 18, part="decoder") == pytest.approx(54**0.25, rel=1e-15)
    assert fi.deepnorm_alpha(100, 0) == pytest.approx(200**0.25, rel=1e-15)
    assert fi.deepnorm_alpha(18, 6, part="encoder") == pytest.approx(0.81 * (18**4 * 6) ** (1 / 16), rel=1e-15)


def test_fans_come_from_the_layout():
    conv = {"shape": (3, 3, 8, 16), "layout": "...io"}
    assert resolved(fi.siren(first=True), **conv).high == 1 / 72
    assert resolved(fi.mup("output", 0.5, base_fan_in=36, table=3), **conv).std == 0.25
    assert resolved(fi.OverFan(fi.normal(), mode="fan_out"), **conv).std == 1 / 144
    assert resolved(fi.small_init(), (64, 256), given_fan_in=64).std == math.sqrt(0.4 / 64)
    assert resolved(fi.OverFan(fi.constant(3.0)), (7, 3)) == fi.constant(1.0)
    assert resolved(fi.OverFan(fi.normal(4.0, 2.0), 0.5), (7, 4)) == fi.normal(2.0, 1.0)


# ---- functions of the coordinates, element by element ----


def axes_of(shape, layout):
    before, ellipsis, after = layout.partition("...")
    return before + "." * (len(shape) - len(before) - len(after) if ellipsis else 0) + after


def zero_of(shape, layout="oi...", groups=1, orthonormal=False):
    """Algorithms 1 and 2, with a matrix product."""
    letters = axes_of(shape, layout)
    o, i = letters.index("o"), letters.index("i")
    transposed = letters[0] == "i" and len(letters) > 2
    outputs, inputs = shape[o] // (1 if transposed else groups), shape[i] // (groups if transposed else 1)
    if outputs <= inputs:
        matrix = np.eye(outputs, inputs)
    else:
        m = math.ceil(math.log2(outputs))
        c = 2 ** (-(m if orthonormal else m - 1) / 2)
        matrix = c * np.eye(outputs, 2**m) @ sylvester(2**m) @ np.eye(2**m, inputs)
    weight = np.zeros(shape)
    for at in np.ndindex(shape):
        if all(at[k] == shape[k] // 2 for k, letter in enumerate(letters) if letter not in "oib"):
            weight[at] = matrix[at[o] % outputs, at[i] % inputs]
    return weight


def bilinear_of(shape, layout="oi...", groups=1):
    """The loops of the paper's program, for kernels of any number of axes."""
    letters = axes_of(shape, layout)
    weight = dirac_of(
        tuple(1 if letter not in "oib" else n for n, letter in zip(shape, letters, strict=True)),
        layout,
        groups,
        1.0,
        "float64",
    )
    weight = np.broadcast_to(weight, shape).copy()
    for axis, (n, letter) in enumerate(zip(shape, letters, strict=True)):
        if letter not in "oib":
            factor = (n + 1) // 2
            centre = factor - 1 if n % 2 == 1 else factor - 0.5
            line = np.array([1 - abs(x - centre) / factor for x in range(n)])
            weight *= line.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return weight


def lstm_of(shape, forget, gates):
    bias = np.zeros(shape)
    h = shape[-1] // len(gates)
    bias[..., gates.index("f") * h : (gates.index("f") + 1) * h] = forget
    return bias


def a_log_of(shape):
    mpmath.mp.prec = 200
    return np.broadcast_to([float(mpmath.log(n + 1)) for n in range(shape[-1])], shape).copy()


CHANNELS = [
    ((4, 4), "oi...", 1),
    ((8, 3), "oi...", 1),
    ((3, 8), "oi...", 1),
    ((5, 7), "io", 1),
    ((13, 6), "oi", 1),
    ((1, 1), "oi", 1),
    ((2, 1), "oi", 1),
    ((7, 3, 3), "oi...", 1),
    ((12, 2, 3), "oi...", 3),
    ((6, 3, 4), "oi...", 6),
    ((11, 7, 4, 3), "oi...", 1),
    ((3, 4, 5, 9), "...io", 1),
    ((6, 8, 5), "io...", 2),
    ((4, 9, 5), "boi", 1),
    ((2, 3, 4, 6, 5), "bhiow", 3),
]
EXACT = [
    *((fi.hadamard(), s, lay, g, zero_of(s, lay, g)) for s, lay, g in CHANNELS),
    *((fi.hadamard(True), s, lay, g, zero_of(s, lay, g, True)) for s, lay, g in CHANNELS),
    *((fi.bilinear(), s, lay, g, bilinear_of(s, lay, g)) for s, lay, g in CHANNELS),
    (fi.lstm_bias(), (20,), "oi...", 1, lstm_of((20,), 1.0, "ifgo")),
    (fi.lstm_bias(-0.3, "icfo"), (20,), "oi...", 1, lstm_of((20,), -0.3, "icfo")),
    (fi.lstm_bias(0.1, "fio"), (2, 9), "oi...", 1, lstm_of((2, 9), 0.1, "fio")),
    (fi.mamba_a_log(), (5, 16), "oi...", 1, a_log_of((5, 16))),
    (fi.mamba_a_log(), (3000,), "oi...", 1, a_log_of((3000,))),
]
exact = pytest.mark.parametrize(("strategy", "shape", "layout", "groups", "values"), EXACT)


def once_rounded(values, dtype):
    """As exact fractions where NumPy would round twice."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    out = np.empty(values.shape, ml_dtypes.bfloat16)
    for at in np.ndindex(values.shape):
        out[at] = fi.distributions._nearest(float(values[at]), out.dtype)
    return out


@dtypes
@exact
def test_functions_of_the_coordinates(strategy, shape, layout, groups, values, dtype):
    options = {"layout": layout, "groups": groups}
    drawn = fi.initialize(shape, strategy, dtype=dtype, **options)
    if isinstance(strategy, fi.Bilinear | fi.Hadamard):  # whose oracles round in another order
        assert drawn.astype(float) == pytest.approx(values, rel=1e-15 + float(ml_dtypes.finfo(drawn.dtype).eps))
        assert same(drawn, once_rounded(fi.initialize(shape, strategy, dtype="float64", **options), dtype))
    else:
        assert same(drawn, once_rounded(values, dtype))
    assert not np.signbit(drawn[drawn == 0]).any()
    out = np.full(shape, 7, as_numpy(dtype), order="F")
    assert same(fi.fill(out, strategy, **options), drawn)


@exact
def test_moments(strategy, shape, layout, groups, values):
    mean, std = strategy.resolve(Fans(shape, layout, groups=groups)).moments()
    assert mean == pytest.approx(values.mean(), rel=1e-6, abs=1e-15)
    assert std == pytest.approx(values.std(), rel=1e-6, abs=1e-7)


def test_hadamard_where_it_grows():
    """Whole columns of a Hadamard matrix are orthogonal, of length sqrt(2), or 1."""
    for orthonormal, square in ((False, 2), (True, 1)):
        w = fi.initialize((16, 9), fi.hadamard(orthonormal), dtype="float64")
        assert w.T @ w == pytest.approx(square * np.eye(9), abs=1e-14)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bilinear_upsamples(scale):
    """A constant stays one, and a ramp a ramp, away from the borders."""
    n = 2 * scale - scale % 2
    kernel = fi.initialize((1, 1, n), "bilinear", layout="io...", dtype="float64")[0, 0]
    ramp, up = np.arange(8.0), np.zeros(8 * scale + n)
    for k, x in enumerate(ramp):
        up[k * scale : k * scale + n] += x * kernel
    inner = up[n : 7 * scale]
    assert np.diff(inner) == pytest.approx(np.full(len(inner) - 1, 1 / scale))


@pytest.mark.parametrize("n", [1, 2, 1000, 5000, 100_000])
def test_moments_of_a_log(n):
    mean, std = resolved(fi.mamba_a_log(), (3, n)).moments()
    logs = np.log(np.arange(1.0, n + 1))
    assert (mean, std) == (pytest.approx(logs.mean(), rel=1e-6), pytest.approx(logs.std(), rel=1e-6))


def test_sums_of_signs():
    whole = np.cumsum(np.cumsum(sylvester(64), axis=0), axis=1)
    for rows in range(1, 65):
        for columns in range(1, 65):
            assert coordinates._sum_of_signs(rows, columns) == whole[rows - 1, columns - 1]


@given(st.lists(st.floats(-1e30, 1e30) | st.floats(-1e-36, 1e-36), min_size=1))
@settings(max_examples=300, deadline=None)
def test_bfloat16_is_rounded_once(numbers):
    half_way = [x * (1 + 2.0**-8) * (1 + k * 2.0**-40) for x in numbers for k in (-1, 0, 1)]
    values = np.array(numbers + half_way)
    assert same(coordinates.rounded(values, as_numpy("bfloat16")), once_rounded(values, "bfloat16"))


# ---- copies and Mamba's steps ----


@dtypes
@pytest.mark.parametrize("base", ["he_normal", "lecun_uniform", "dirac", fi.cutoff_normal(), fi.sparse(0.5)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_icnr(base, scale, dtype):
    shapes = [((4, 6), "oi", 0)] if base == fi.sparse(0.5) else [((4, 6, 3, 2), "oi...", 0), ((3, 2, 6, 4), "...io", 3)]
    for small, layout, axis in shapes:
        large = tuple(n * scale**2 if k == axis else n for k, n in enumerate(small))
        options = {"seed": SEED, "stream": STREAM, "dtype": dtype, "layout": layout}
        expected = np.repeat(fi.initialize(small, base, **options), scale**2, axis=axis)
        assert same(fi.initialize(large, fi.icnr(base, scale), **options), expected)
        law = fi.icnr(base, scale).resolve(Fans(large, layout))
        assert law.moments() == fi.strategies.as_strategy(base).resolve(Fans(small, layout)).moments()


def test_icnr_takes_the_fans_that_are_given():
    options = {"seed": 1, "dtype": "float32", "fan_in": 5, "groups": 2}
    small = fi.initialize((4, 3, 3, 3), "he", **options)
    assert same(fi.initialize((16, 3, 3, 3), fi.icnr("he"), **options), np.repeat(small, 4, axis=0))


STEPS = [(1e-3, 0.1, 1e-4), (1e-3, 0.1, 0.01), (1e-4, 1.0, 0.0), (1e-9, 1e-6, 1e-20), (0.5, 0.75, 0.0)]
steps = pytest.mark.parametrize(("dt_min", "dt_max", "dt_floor"), STEPS)


@steps
@pytest.mark.parametrize(("dtype", "ulp"), [("float64", 2.0**-52), ("float32", 2.0**-23)])
def test_mamba_dt_bias(dt_min, dt_max, dt_floor, dtype, ulp):
    """The program's formula, from the same uniform numbers, in 100 bits."""
    mpmath.mp.prec = 100
    options = {"seed": SEED, "stream": STREAM, "dtype": dtype}
    bias = fi.initialize(500, fi.mamba_dt_bias(dt_min, dt_max, dt_floor), **options)
    low, high = float(mpmath.log(dt_min)), float(mpmath.log(dt_max))
    for x, got in zip(fi.initialize(500, fi.uniform(low, high), **options).tolist(), bias.tolist(), strict=True):
        dt = max(mpmath.exp(x), dt_floor)
        expected = dt + mpmath.log(-mpmath.expm1(-dt))
        assert abs(got - expected) <= 2 * ulp * max(1, abs(expected))


@steps
@dtypes
def test_steps_stay_within_their_bounds(dt_min, dt_max, dt_floor, dtype):
    mpmath.mp.prec = 100
    strategy = fi.mamba_dt_bias(dt_min, dt_max, dt_floor)
    bias = fi.initialize(100_000, strategy, seed=3, dtype=dtype).astype(float)
    low, high = (mpmath.log1p(mpmath.exp(float(b))) for b in (bias.min(), bias.max()))
    assert low >= max(dt_min, dt_floor) * (1 - 1e-14)
    assert high <= dt_max * (1 + 1e-14)
    mean, std = strategy.resolve(Fans((100_000,))).moments()
    coarse = float(ml_dtypes.finfo(as_numpy(dtype)).eps) * abs(mean)
    assert abs(bias.mean() - mean) < 6 * std / math.sqrt(100_000) + 1e-3 * std + coarse
    assert abs(bias.std() - std) < 0.02 * std + coarse


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_steps_are_the_float32_ones_rounded(dtype):
    drawn = fi.initialize(3000, "mamba_dt_bias", seed=1, dtype=dtype)
    rounded = fi.initialize(3000, "mamba_dt_bias", seed=1, dtype="float32").astype(drawn.dtype)
    assert same(drawn, np.clip(rounded, drawn.min(), drawn.max()).astype(drawn.dtype))


@given(st.floats(-700, 0))
def test_inverse_softplus(x):
    mpmath.mp.prec = 1200
    t = mpmath.exp(x)
    got = derived._inverse_softplus(np.array([x]))[0]
    assert abs(got - mpmath.log(mpmath.expm1(t))) <= 4e-16 * max(1, abs(x))


# ---- parts and spans, all of them ----

#: A strategy, a shape and layout that it fits.
ANY = [
    (fi.cutoff_normal(), (9, 14), "oi..."),
    (fi.mitchell(2), (9, 14), "oi..."),
    (fi.siren(first=True), (9, 14), "oi..."),
    (fi.mup("output", 0.5, base_fan_in=8, table=3), (9, 14), "oi..."),
    (fi.hadamard(), (13, 6), "oi..."),
    (fi.hadamard(), (9, 4, 3, 2), "oi..."),
    (fi.hadamard(), (3, 8), "oi..."),
    (fi.bilinear(), (3, 4, 5, 4), "io..."),
    (fi.lstm_bias(0.7), (3, 12), "oi..."),
    (fi.mamba_a_log(), (5, 16), "oi..."),
    (fi.icnr("he"), (12, 3, 2, 3), "oi..."),
    (fi.icnr(fi.dirac(), 3), (2, 3, 3, 18), "...io"),
    (fi.icnr(fi.icnr("xavier_uniform")), (32, 5), "oi..."),
    (fi.mamba_dt_bias(), (7, 13), "oi..."),
]


@pytest.mark.parametrize(("strategy", "shape", "layout"), ANY)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_part(strategy, shape, layout, data):
    index, dtype = data.draw(indices(shape)), data.draw(st.sampled_from(DTYPES))
    options = {"seed": SEED, "stream": STREAM, "layout": layout}
    whole = fi.initialize(shape, strategy, dtype=dtype, **options)
    expected = np.asarray(whole[index])
    assert same(fi.initialize(shape, strategy, dtype=dtype, index=index, **options), expected)
    if expected.ndim:
        around = np.full([2 * n + 1 for n in expected.shape], 7, expected.dtype)
        out = around[tuple(slice(None, n * 2, 2) for n in expected.shape)]
        fi.fill(out, strategy, shape=shape, index=index, **options)
        assert same(out, expected)
        out[...] = 7
        assert (around == 7).all()


@pytest.mark.parametrize(("strategy", "shape", "layout"), ANY)
@pytest.mark.parametrize("piece", [1, 7, 40])
def test_pieces_do_not_show(strategy, shape, layout, piece, monkeypatch):
    options = {"seed": SEED, "stream": STREAM, "layout": layout}
    whole = fi.initialize(shape, strategy, **options)
    monkeypatch.setattr(coordinates, "PIECE", piece)
    assert same(fi.initialize(shape, strategy, **options), whole)


@pytest.mark.parametrize("buffer_bytes", [8, 104, 2**20])
@pytest.mark.parametrize("dtype", [None, "bfloat16", "float64"])
def test_checkpoints(buffer_bytes, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(fi.checkpoint, "BUFFER_BYTES", buffer_bytes)
    rules = [(f"t{k}", strategy, {"layout": layout}) for k, (strategy, _, layout) in enumerate(ANY)]
    manifest = {f"t{k}": {"shape": shape, "dtype": "F32"} for k, (_, shape, _) in enumerate(ANY)}
    recipe, path = fi.Recipe(rules), tmp_path / "model.safetensors"
    report = fi.checkpoint.save(path, manifest, recipe, seed=5, dtype=dtype)
    weights = recipe.initialize(manifest, seed=5, dtype=dtype)
    assert path.read_bytes().endswith(b"".join(weights[tensor.name].tobytes() for tensor in report.tensors))
    for name, rule in recipe.match(manifest).items():
        shape, kind = manifest[name]["shape"], weights[name].dtype
        alone = fi.initialize(shape, rule.strategy, seed=5, stream=name, dtype=kind, **rule.options)
        assert same(weights[name], alone)


@pytest.mark.parametrize(
    ("strategy", "shape", "index"),
    [
        (fi.hadamard(), (2**30, 2**20), np.s_[2**29 : 2**29 + 1000, 77 : 77 + 2**10]),
        (fi.bilinear(), (2**20, 2**20, 4, 4), np.s_[2**19, 2**18 : 2**18 + 2**16]),
        (fi.lstm_bias(), (2**40,), np.s_[2**38 - 5 : 2**38 + 2**20]),
        (fi.mamba_a_log(), (2**40, 64), np.s_[2**39 : 2**39 + 2**14]),
        (fi.icnr("he"), (2**30, 2**8, 3, 3), np.s_[:: 2**21, :, 1]),
        (fi.icnr("he"), (2**30, 2**8, 3, 3), np.s_[2**29 + 400 : 2**29 : -1]),
        (fi.mamba_dt_bias(), (2**50,), np.s_[:: 2**30]),
    ],
)
def test_a_shard_of_a_vast_tensor_costs_what_it_holds(strategy, shape, index):
    tracemalloc.start()
    part = fi.initialize(shape, strategy, seed=0, index=index)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2**18 < part.size <= 2**21
    assert peak < part.nbytes + 8e6


@needs_fenv
@environments
@pytest.mark.parametrize(("strategy", "shape", "layout"), ANY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_environment_is_not_an_input(strategy, shape, layout, dtype, name):
    expected = fi.initialize(shape, strategy, seed=0, dtype=dtype, layout=layout)
    fi._fill.plan.cache_clear()
    with environment(name):
        got = fi.initialize(shape, strategy, seed=0, dtype=dtype, layout=layout)
    assert same(got, expected)


@needs_fenv
@environments
def test_makers_are_the_same_in_any_environment(name):
    def make():
        plain = [fi.wang_init(7), fi.scaled_normal(7, 0.3), fi.fixup(7, 4), fi.tfixup(7), fi.tfixup_embedding(7)]
        depth = [fi.deepnorm(5, 7, part="encoder"), fi.deepnorm_alpha(5, 7, part="encoder"), fi.mitchell(4)]
        return [*plain, *depth, fi.siren(0.7), fi.mup("hidden", 0.3, base_fan_in=7)]

    expected = make()
    with environment(name):
        got = make()
    assert got == expected


# ---- names and errors ----

VALUES = [s for s, *_ in NORMAL + UNIFORM + TRUNCATED] + [s for s, *_ in EXACT + ANY]


@pytest.mark.parametrize("value", VALUES)
def test_repr_evaluates_back(value):
    back = eval(repr(value), {name: getattr(fi, name) for name in fi.__all__})
    assert back == value
    assert (type(back), hash(back), repr(back)) == (type(value), hash(value), repr(value))


def test_names():
    names = {"cutoff_normal", "scaled_normal", "mitchell", "small_init", "wang_init", "embedding_normal", "lora_a"}
    names |= {"lora_b", "mup", "deepnorm", "fixup", "tfixup", "tfixup_embedding", "siren", "hadamard", "bilinear"}
    names |= {"lstm_bias", "icnr", "mamba_a_log", "mamba_dt_bias"}
    assert names < set(fi.available())
    assert names < set(fi.__all__)
    assert fi.get("icnr", initialization="he", scale=3) == fi.icnr(fi.he_normal(), 3)
    assert fi.get("mup", role="output", base_fan_in=4, table=3) == fi.mup("output", 0.02, base_fan_in=4, table=3)
    assert fi.get("siren", first=True) == fi.siren(first=True)


MADE = [
    (lambda: fi.cutoff_normal(cutoff=0), ValueError, "cutoff must be positive; got 0.0"),
    (lambda: fi.cutoff_normal(0), ValueError, "std must be positive; got 0.0"),
    (lambda: fi.scaled_normal(0), ValueError, "layers must be an integer in [1, 9007199254740992]; got 0"),
    (lambda: fi.scaled_normal(2, -1), ValueError, "std must be a finite number of at least 0; got -1.0"),
    (lambda: fi.mitchell(-1), ValueError, "layer must be an integer in [0, 9007199254740992]; got -1"),
    (lambda: fi.wang_init(1.5), TypeError, "layers must be an integer in [1, 9007199254740992]; got 1.5"),
    (lambda: fi.lora_a("he"), ValueError, "distribution must be one of uniform, normal; got 'he'"),
    (lambda: fi.mup("readout"), ValueError, "role must be one of input, hidden, output; got 'readout'"),
    (lambda: fi.mup("input", 0), ValueError, "std must be positive; got 0.0"),
    (lambda: fi.mup("hidden"), ValueError, "base_fan_in must be given for role 'hidden' and table 8; got None"),
    (lambda: fi.mup("output", table=3), ValueError, "base_fan_in must be given for role 'output' and table 3; got"),
    (lambda: fi.mup("output", table=9), ValueError, "table must be 3 or 8; got 9"),
    (lambda: fi.deepnorm(), ValueError, "encoder_layers or decoder_layers must be at least 1; got 0 and 0"),
    (lambda: fi.deepnorm(2, 2), ValueError, "part must be 'encoder' or 'decoder' where there are both; got None"),
    (lambda: fi.deepnorm_beta(2, part="decoder"), ValueError, "part must have layers; got 'decoder' of encoder_lay"),
    (lambda: fi.deepnorm_alpha(-1), ValueError, "encoder_layers must be an integer in [0, 9007199254740992]; got -1"),
    (lambda: fi.fixup(4, 1), ValueError, "layers must be an integer in [2, 9007199254740992]; got 1"),
    (lambda: fi.fixup(4, mode="in"), ValueError, "mode must be one of fan_in, fan_out, fan_avg, fan_geo_avg; got 'in'"),
    (lambda: fi.tfixup(4, "middle"), ValueError, "part must be one of encoder, decoder; got 'middle'"),
    (lambda: fi.tfixup(4, distribution="he"), ValueError, "distribution must be one of uniform, normal; got 'he'"),
    (lambda: fi.siren(0), ValueError, "omega_0 must be positive; got 0.0"),
    (lambda: fi.siren(first=1), TypeError, "first must be True or False; got 1"),
    (lambda: fi.OverFan("he"), TypeError, "distribution must be one of Constant, Uniform, Normal, TruncatedNormal; g"),
    (lambda: fi.OverFan(fi.normal(), 2), ValueError, "power must be 0.5 or 1; got 2.0"),
    (lambda: fi.OverFan(fi.normal(), 1, "fan_avg"), ValueError, "mode must be one of fan_in, fan_out; got 'fan_avg'"),
    (lambda: fi.hadamard(1), TypeError, "orthonormal must be True or False; got 1"),
    (lambda: fi.lstm_bias(math.inf), ValueError, "forget must be a finite number; got inf"),
    (lambda: fi.lstm_bias(1, "igo"), ValueError, "gates must be a letter for each gate, with one 'f', the forget gat"),
    (lambda: fi.lstm_bias(1, 4), TypeError, "gates must be a letter for each gate, with one 'f', the forget gate; got"),
    (lambda: fi.icnr("h"), ValueError, "initialization must be one of "),
    (lambda: fi.icnr("he", 0), ValueError, "scale must be an integer of at least 1; got 0"),
    (lambda: fi.mamba_dt_bias(0.1, 0.1), ValueError, "dt_min and dt_max must be 1e-300 <= dt_min < dt_max <= 1; got"),
    (lambda: fi.mamba_dt_bias(0), ValueError, "dt_min and dt_max must be 1e-300 <= dt_min < dt_max <= 1; got 0.0, 0.1"),
    (lambda: fi.mamba_dt_bias(dt_max=2), ValueError, "dt_min and dt_max must be 1e-300 <= dt_min < dt_max <= 1; got"),
    (lambda: fi.mamba_dt_bias(dt_floor=0.2), ValueError, "dt_floor must be less than dt_max; got 0.2, 0.1"),
    (lambda: fi.mamba_dt_bias(dt_floor=-1), ValueError, "dt_floor must be a finite number of at least 0; got -1.0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "text"), MADE)
def test_strategies_that_cannot_be(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value).startswith(text)


DRAWN = [
    ((5,), "hadamard", {}, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    ((5,), "bilinear", {}, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    ((9, 2, 3), "hadamard", {"groups": 2}, "groups must divide the 'o' axis of shape (9, 2, 3) in layout 'oi...'; g"),
    ((), "lstm_bias", {}, "shape must end in a multiple of 4, the gates of LSTMBias(forget=1.0, gates='ifgo'); got"),
    ((10,), "lstm_bias", {}, "shape must end in a multiple of 4, the gates of LSTMBias(forget=1.0, gates='ifgo'); got"),
    ((8,), fi.lstm_bias(1e5), {"dtype": "float16"}, "value must be at most 65504 in magnitude for float16; got 1000"),
    ((), "mamba_a_log", {}, "shape must have at least 1 axis for MambaALog(); got ()"),
    ((5,), "icnr", {}, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    ((5, 4), "icnr", {"layout": "xi"}, "layout must name an 'o' axis for ICNR(initialization="),
    ((6, 4, 3, 3), "icnr", {}, "shape must have a multiple of 4 outputs for ICNR(initialization="),
    ((4, 4), fi.icnr(fi.normal(std=1e5)), {"dtype": "float16"}, "abs(mean) + 9 std must be at most 65504"),
    ((9,), fi.mamba_dt_bias(0.01, 0.010001), {"dtype": "bfloat16"}, "[dt_min, dt_max) must hold the softplus of a bfl"),
    ((5,), "siren", {}, "shape must have an axis for each letter of layout 'oi...', or fan_in= be given; got shape ("),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "strategy", "options", "text"), DRAWN)
def test_weights_that_cannot_be(shape, strategy, options, text):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fi.initialize(shape, strategy, seed=0, **options)
    assert str(raised.value).startswith(text)


def test_a_law_is_for_its_own_shape():
    for strategy, shape, layout in ANY[4:]:
        law = strategy.resolve(Fans(shape, layout))
        with pytest.raises(ValueError, match=r"shape must be \("):
            fi.initialize((*shape, 2), law, seed=0, layout=layout)


def test_empty_tensors():
    for strategy in ("icnr", "bilinear", "hadamard", "mamba_a_log", "mamba_dt_bias"):
        assert fi.initialize((0, 4, 3, 3), strategy).shape == (0, 4, 3, 3)
        assert fi.initialize((8, 4, 3, 3), strategy, seed=0, index=np.s_[3:3]).shape == (0, 4, 3, 3)
