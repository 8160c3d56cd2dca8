"""Orthogonal weights are orthogonal to rounding, have Haar's distribution, and are drawn whole or not at all."""

import importlib
import itertools
import math

import numpy as np
import pytest
from scipy import stats

import fastinit as fi
from fastinit._fans import Fans
from fastinit._fill import as_dtype

from .helpers import ALL_DTYPES
from .test_environment import environment, environments, needs_fenv

dtypes = pytest.mark.parametrize("dtype", ALL_DTYPES)
MODULE = importlib.import_module("fastinit.orthogonal")  # the function hides it as an attribute
SEED, STREAM = 2**63 + 7, 2**33 + 1
EPS = 2.0**-52


def same(got, expected):
    return got.dtype == expected.dtype and got.shape == expected.shape and got.tobytes() == expected.tobytes()


def matrices(weight, layout):
    """The weight as float64 or complex128 matrices: a stack, o, all the rest."""
    before, ellipsis, after = layout.partition("...")
    letters = before + "." * (weight.ndim - len(before) - len(after) if ellipsis else 0) + after
    batch = [axis for axis, letter in enumerate(letters) if letter == "b"]
    rest = [axis for axis, letter in enumerate(letters) if letter not in "ob"]
    double = np.complex128 if np.iscomplexobj(weight) else np.float64
    turned = weight.transpose(*batch, letters.index("o"), *rest).astype(double)
    count, rows = math.prod(turned.shape[: len(batch)]), turned.shape[len(batch)]
    return turned.reshape(count, rows, -1)


def defect(stack):
    """The greatest element of |Q'Q - I|, or |QQ' - I| of wide matrices."""
    turned = stack.swapaxes(1, 2)
    gram = stack @ turned if stack.shape[1] <= stack.shape[2] else turned @ stack
    return np.abs(gram - np.eye(gram.shape[1])).max()


def tolerance(dtype, length):
    """A bound of `defect` for vectors of that length: of rounding each element once, and of float64 sums as long."""
    rounding = {"float64": 0.0, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    rounding += 2.0**-24 * (dtype in ("float16", "bfloat16"))  # these are float32 numbers first
    subnormal = 2.0**-25 * math.sqrt(length) * (dtype == "float16")
    return 2 * (rounding + subnormal) + (rounding + subnormal) ** 2 + 4 * length * EPS


def oracle(normals):
    """One reflection at a time: a matrix with orthonormal rows of a wide matrix of normals."""
    n, m = normals.shape
    q = np.eye(n, m)
    for k in reversed(range(n)):
        x = normals[k, k:].astype(np.float64)
        sign = math.copysign(1, x[0])
        x[0] += sign * math.sqrt(x @ x)
        q[k, k] = -sign
        q[:, k:] -= np.outer(q[:, k:] @ x, 2 / (x @ x) * x)
    return q


CASES = [
    ((1, 1), "oi"),
    ((1, 9), "oi"),
    ((9, 1), "oi"),
    ((50, 50), "oi..."),
    ((70, 20), "oi..."),
    ((20, 70), "io"),
    ((130, 300), "oi..."),
    ((300, 129), "oi..."),
    ((257, 257), "oi..."),
    ((300, 257), "...io"),
    ((16, 8, 3, 3), "oi..."),
    ((64, 3, 3), "oi..."),
    ((3, 3, 8, 16), "...io"),
    ((3, 2, 64), "...io"),
    ((8, 16, 3), "io..."),
    ((5, 12, 7), "boi"),
    ((12, 5, 7), "obi"),
    ((7, 12, 5), "iob"),
    ((2, 6, 3, 4, 5), "bohib"),
    ((3, 5, 2), "hob"),
]
cases = pytest.mark.parametrize(("shape", "layout"), CASES)


@dtypes
@cases
def test_rows_or_columns_are_orthonormal(shape, layout, dtype):
    weight = fi.initialize(shape, "orthogonal", seed=SEED, stream=STREAM, layout=layout, dtype=dtype)
    stack = matrices(weight, layout)
    assert defect(stack) <= tolerance(dtype, max(stack.shape[1:]))
    assert np.abs(stack).max() <= 1


@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reflections_one_at_a_time(shape, layout, dtype):
    """The same matrices, of the same normals as `normal` draws, by another way; and so for a matrix of many blocks."""
    options = {"seed": SEED, "stream": STREAM, "layout": layout, "dtype": dtype}
    normals = matrices(fi.initialize(shape, "normal", **options), layout)
    got = matrices(fi.initialize(shape, fi.orthogonal(-0.5), **options), layout)
    for one, normal in zip(got, normals, strict=True):
        expected = oracle(normal) if normal.shape[0] <= normal.shape[1] else oracle(normal.T).T
        rounding = np.finfo(dtype).eps * np.abs(expected)
        assert (np.abs(one - -0.5 * expected) <= rounding + max(normal.shape) * EPS).all()


@pytest.mark.parametrize("shape", [(4096, 4096), (1024, 4096)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.slow
def test_large_matrices(shape, dtype):
    weight = fi.initialize(shape, "orthogonal", seed=1, stream="w", dtype=dtype)
    assert defect(weight[None].astype(np.float64)) <= tolerance(dtype, 4096)


@dtypes
def test_small_matrices_are_worked_on_together(dtype, monkeypatch):
    shape, options = (50, 7, 9), {"seed": 3, "layout": "boi", "dtype": dtype}
    together = fi.initialize(shape, "orthogonal", **options)
    monkeypatch.setattr(MODULE, "_STACK", 3 * 63 + 1)
    assert same(fi.initialize(shape, "orthogonal", **options), together)
    assert len(np.unique(matrices(together, "boi"), axis=0)) == 50


def test_a_convolution_is_its_flat_matrix():
    conv = fi.initialize((32, 8, 3, 3), "orthogonal", seed=1, stream="w")
    assert same(conv.reshape(32, 72), fi.initialize((32, 72), "orthogonal", seed=1, stream="w"))
    keras = fi.initialize((3, 3, 8, 32), "orthogonal", seed=1, stream="w", layout="...io")
    assert same(keras.reshape(72, 32), fi.initialize((72, 32), "orthogonal", seed=1, stream="w", layout="io"))


def test_normals_that_are_0():
    """A row of normals may be 0 where it has only few elements left: the matrix is orthogonal nevertheless."""
    for normals in (np.zeros((1, 3, 3)), np.diag([1.0, -1.0, 0.0])[None], -np.zeros((1, 2, 5)), np.zeros((1, 5, 2))):
        assert defect(MODULE._haar(normals)) <= 5 * EPS


# ---- Haar's distribution ----

COUNT = 40_000


def haar(*matrix):
    return fi.initialize((COUNT, *matrix), "orthogonal", seed=11, stream="haar", layout="boi", dtype="float64")


def close(sample, mean, variance):
    """Whether a sample's mean is within 6 standard deviations, a chance of 2 * 10^-9, of what it is to be."""
    return abs(sample.mean() - mean) <= 6 * math.sqrt(variance / sample.size) + 8 * EPS


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_traces_and_determinants(n):
    """E tr Q = 0, E (tr Q)^2 = 1, E tr Q^2 = 1: without the signs of R's diagonal, none of them is."""
    q = haar(n, n)
    trace, square = np.einsum("kii->k", q), np.einsum("kij,kji->k", q, q)
    fourth = 3 if n >= 4 else n**2  # a bound of E (tr Q)^4 where the trace is not yet normal to that moment
    assert close(trace, 0, 1)
    assert close(trace**2, 1, fourth - 1)
    assert close(square, 1, n**2)
    assert close(np.linalg.det(q), 0, 1)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (5, 5), (2, 6), (6, 2), (3, 130)])
def test_moments_of_elements(rows, columns):
    """Each is a coordinate of a uniform point on a sphere: E q^2 = 1 / n, E q^4 = 3 / (n (n + 2)), and so on."""
    q = haar(rows, columns)[: COUNT if columns < 100 else 4000]
    n = max(rows, columns)
    second, fourth = 1 / n, 3 / (n * (n + 2))
    sixth, eighth = fourth * 5 / (n + 4), fourth * 35 / ((n + 4) * (n + 6))
    for i, j in itertools.product(range(rows), range(min(columns, 10))):
        x = q[:, i, j]
        assert close(x, 0, second)
        assert close(x**2, second, fourth - second**2)
        assert close(x**3, 0, sixth)
        assert close(x**4, fourth, eighth - fourth**2)


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 5), (5, 2)])
def test_the_law_of_elements(rows, columns):
    q, n = haar(rows, columns), max(rows, columns)
    for i, j in itertools.product(range(rows), range(columns)):
        assert stats.kstest(q[:, i, j] ** 2, stats.beta(0.5, (n - 1) / 2).cdf).pvalue > 1e-6


def test_rotations_of_the_plane():
    """Half of the matrices turn, by a uniform angle, and half reflect, at a uniform axis."""
    q = haar(2, 2)
    angle = np.arctan2(q[:, 1, 0], q[:, 0, 0]) / (2 * math.pi) % 1
    turns = np.linalg.det(q) > 0
    assert stats.binomtest(int(turns.sum()), COUNT).pvalue > 1e-6
    assert stats.kstest(angle[turns], "uniform").pvalue > 1e-6
    assert stats.kstest(angle[~turns], "uniform").pvalue > 1e-6


def test_angles_repel():
    """In three dimensions a rotation's angle t has density (1 - cos t) / pi on [0, pi]."""
    q = haar(3, 3)
    cosine = np.clip((np.linalg.det(q) * np.einsum("kii->k", q) - 1) / 2, -1, 1)
    assert stats.kstest(np.arccos(cosine), lambda t: (t - np.sin(t)) / math.pi).pvalue > 1e-6


def test_matrices_of_a_batch_and_of_streams_are_independent():
    q = haar(4, 4)
    assert close(np.einsum("kij,kij->k", q[:-1], q[1:]), 0, 1)
    one, other = (fi.initialize((200, 200), "orthogonal", seed=1, stream=name) for name in "ab")
    assert abs((one * other).sum()) < 6  # a trace of a Haar matrix: N(0, 1)


# ---- what does not matter ----


@dtypes
@pytest.mark.parametrize("strategy", [fi.orthogonal(1.5), fi.delta_orthogonal(1.5)])
def test_draws_repeat_whatever_the_threads_and_the_memory(strategy, dtype):
    shape = (40, 30, 3)
    options = {"seed": SEED, "stream": STREAM}
    expected = fi.initialize(shape, strategy, dtype=dtype, threads=1, **options)
    assert same(fi.initialize(shape, strategy, dtype=dtype, threads=3, **options), expected)
    around = np.full((81, 30, 9), 7, as_dtype(dtype))
    for out in (
        np.empty(shape, as_dtype(dtype), order="F"),
        around[80:0:-2, :, 1:7:2],
        np.empty((3, 40, 30), expected.dtype).transpose(1, 2, 0),
    ):
        assert fi.fill(out, strategy, **options) is out
        assert same(np.ascontiguousarray(out), expected)
    around[80:0:-2, :, 1:7:2] = 7
    assert (around == 7).all()


def test_threads_that_share_the_drawing():
    draws = [fi.initialize((16, 200_000), "orthogonal", seed=1, threads=threads) for threads in (1, 2, None)]
    assert same(draws[0], draws[1])
    assert same(draws[0], draws[2])


@needs_fenv
@environments
@pytest.mark.parametrize(
    ("gain", "dtype"), [(1.0, "float32"), (1e-40, "float32"), (1e-310, "float64"), (1e-6, "float16")]
)
def test_the_environment_is_not_an_input(gain, dtype, name):
    expected = fi.initialize((300, 300), fi.orthogonal(gain), seed=0, dtype=dtype)
    fi._fill.plan.cache_clear()
    with environment(name), np.errstate(all="raise"):
        got = fi.initialize((300, 300), fi.orthogonal(gain), seed=0, dtype=dtype)
    assert same(got, expected)


def test_narrow_weights_are_float32_ones_rounded():
    single = fi.initialize((60, 70), "orthogonal", seed=4)
    for dtype in ("float16", "bfloat16"):
        assert same(fi.initialize((60, 70), "orthogonal", seed=4, dtype=dtype), single.astype(as_dtype(dtype)))


def test_gains():
    options = {"seed": 2, "dtype": "float64"}
    plain = fi.initialize((30, 40), "orthogonal", **options)
    assert same(fi.initialize((30, 40), fi.orthogonal(-3.0), **options), plain * -3)
    assert not fi.initialize((30, 40), fi.orthogonal(0), **options).any()
    greatest = float(np.finfo(np.float64).max)
    for seed in range(20):
        weight = fi.initialize((1, 1), fi.orthogonal(greatest), seed=seed, dtype="float64")
        assert abs(weight[0, 0] / greatest) == pytest.approx(1, rel=4 * EPS)


def test_no_seed_draws_one():
    one, other = (fi.initialize((20, 30), "orthogonal") for _ in range(2))
    assert not (one == other).any()
    assert defect(one[None].astype(np.float64)) <= tolerance("float32", 30)


@pytest.mark.parametrize("name", ["orthogonal", "delta_orthogonal"])
@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0, 3), (0, 0)])
def test_nothing_to_draw(name, shape):
    assert fi.initialize(shape, name, seed=0).shape == shape
    assert fi.initialize(shape, name, seed=0, index=np.s_[:0]).size == 0


# ---- delta_orthogonal ----

DELTAS = [
    ((8, 8, 3), "oi...", (1,)),
    ((8, 5, 3, 3), "oi...", (1, 1)),
    ((8, 1, 2, 5, 4), "oi...", (0, 2, 1)),
    ((5, 1, 6, 7), "...io", (2, 0)),
    ((5, 7, 4), "io...", (1,)),
    ((3, 4, 7, 5), "bhoi", (1,)),
    ((7, 3, 5, 3), "obih", (1,)),
]


@dtypes
@pytest.mark.parametrize(("shape", "layout", "centre"), DELTAS)
def test_delta(shape, layout, centre, dtype):
    """At the centre the matrix that the layout without receptive axes gives; zeros around."""
    options = {"seed": SEED, "stream": STREAM, "dtype": dtype}
    weight = fi.initialize(shape, fi.delta_orthogonal(-2.0), layout=layout, **options)
    letters = layout.replace("...", "." * (len(shape) - len(layout) + 3))
    coordinates = iter(centre)
    at = tuple(slice(None) if letter in "oib" else next(coordinates) for letter in letters)
    kept = "".join(letter for letter in letters if letter in "oib")
    assert same(
        np.ascontiguousarray(weight[at]), fi.initialize(weight[at].shape, fi.orthogonal(-2.0), layout=kept, **options)
    )
    stack = matrices(weight[at], kept)
    assert defect(stack / 2) <= tolerance(dtype, max(stack.shape[1:]))
    weight[at] = 0
    assert weight.tobytes() == bytes(weight.nbytes)


def test_a_delta_keeps_the_length_of_a_signal():
    weight = fi.initialize((9, 4, 5), "delta_orthogonal", seed=1, dtype="float64")
    x = np.random.default_rng(1).standard_normal((4, 20))
    padded = np.pad(x, ((0, 0), (2, 2)))
    y = sum(weight[:, :, k] @ padded[:, k : k + 20] for k in range(5))
    assert np.allclose((y**2).sum(axis=0), (x**2).sum(axis=0), rtol=100 * EPS, atol=0)


# ---- the whole or nothing ----

STRATEGIES = [(fi.orthogonal(), (6, 4, 3)), (fi.delta_orthogonal(2), (6, 4, 3))]
PARTS = [np.s_[1:], np.s_[0], np.s_[::-1], np.s_[..., :2], np.s_[:0], np.s_[2:3, 1, ::2]]


@pytest.mark.parametrize(("strategy", "shape"), STRATEGIES)
@pytest.mark.parametrize("index", PARTS)
def test_no_parts(strategy, shape, index):
    text = f"index must be None for {strategy!r}: every element depends on all others, so draw the whole and slice it; "
    generator = np.random.default_rng(1)
    with pytest.raises(ValueError, match=r"^index") as raised:
        fi.initialize(shape, strategy, seed=generator, index=index)
    assert str(raised.value) == f"{text}got {index!r}"
    out = np.full(np.empty(shape)[index].shape, 7, np.float32)
    with pytest.raises(ValueError, match=r"^index") as raised:
        fi.fill(out, strategy, seed=generator, shape=shape, index=index)
    assert str(raised.value) == f"{text}got {index!r}"
    assert (out == 7).all()
    assert generator.random() == np.random.default_rng(1).random()


def test_no_parts_by_name():
    with pytest.raises(ValueError, match=r"^index must be None for Orthogonal\(gain=1\.0\): every element depends on"):
        fi.initialize((4, 4), "orthogonal", index=1)


@pytest.mark.parametrize(("strategy", "shape"), STRATEGIES)
def test_a_part_that_is_the_whole(strategy, shape):
    whole = fi.initialize(shape, strategy, seed=1)
    for index in (..., np.s_[:], np.s_[0:6, :, ...], np.s_[:, -4:, 0:99]):
        assert same(fi.initialize(shape, strategy, seed=1, index=index), whole)
        out = np.empty(shape, np.float32, order="F")
        assert same(np.ascontiguousarray(fi.fill(out, strategy, seed=1, shape=shape, index=index)), whole)
    assert same(fi.fill(np.empty(shape, np.float32), strategy, seed=1, shape=shape), whole)
    row = fi.initialize((1, 9), "orthogonal", seed=1)
    assert same(fi.initialize((1, 9), "orthogonal", seed=1, index=0), row[0])
    assert same(fi.initialize((1, 9), "orthogonal", seed=1, index=np.s_[::-1]), row)


@pytest.mark.parametrize("strategy", [fi.orthogonal(), fi.delta_orthogonal()])
def test_nothing_is_written_where_it_fails(strategy, monkeypatch):
    def fail(normals):
        raise MemoryError

    monkeypatch.setattr(MODULE, "_haar", fail)
    out = np.full((6, 4, 3), 7, np.float32)
    with pytest.raises(MemoryError):
        fi.fill(out, strategy, seed=1)
    assert (out == 7).all()


RULES = fi.Recipe(
    [
        ("delta", fi.delta_orthogonal(0.5)),
        ("jax", "orthogonal", {"layout": "...io"}),
        ("experts", fi.orthogonal(2.0), {"layout": "boi"}),
        ("plain", "he"),
        ("*", "orthogonal"),
    ]
)
MANIFEST = {
    "delta": {"shape": [7, 5, 3, 2], "dtype": "F32"},
    "jax": {"shape": [3, 3, 5, 9], "dtype": "F64"},
    "experts": {"shape": [3, 20, 10], "dtype": "F16"},
    "plain": {"shape": [31, 7], "dtype": "F32"},
    "square": {"shape": [41, 41], "dtype": "BF16"},
    "tall": {"shape": [41, 8], "dtype": "F32"},
    "none": {"shape": [0, 8], "dtype": "F32"},
}


@pytest.mark.parametrize("buffer_bytes", [8, 24, 1000, 2**20])
@pytest.mark.parametrize("dtype", [None, *ALL_DTYPES])
def test_whole_models(buffer_bytes, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(fi.checkpoint, "BUFFER_BYTES", buffer_bytes)
    path, counts = tmp_path / "model.safetensors", []
    report = fi.checkpoint.save(
        path, MANIFEST, RULES, seed=5, dtype=dtype, progress=lambda done, total: counts.append((done, total))
    )
    weights = RULES.initialize(MANIFEST, seed=5, dtype=dtype)
    assert path.read_bytes().endswith(b"".join(weights[tensor.name].tobytes() for tensor in report.tensors))
    assert counts[-1] == (report.nbytes, report.nbytes)
    for name, rule in RULES.match(MANIFEST).items():
        alone = fi.initialize(
            MANIFEST[name]["shape"], rule.strategy, seed=5, stream=name, dtype=weights[name].dtype, **rule.options
        )
        assert same(weights[name], alone)


def test_a_checkpoint_draws_a_whole_once(tmp_path, monkeypatch):
    made = []
    draw = MODULE._haar
    monkeypatch.setattr(MODULE, "_haar", lambda normals: made.append(1) or draw(normals))
    monkeypatch.setattr(fi.checkpoint, "BUFFER_BYTES", 64)
    fi.checkpoint.save(tmp_path / "w", {"w": {"shape": [40, 40], "dtype": "F32"}}, RULES, seed=0)
    assert made == [1]


def test_spans():
    (tensor,) = fi.recipes.plan_model(RULES, {"w": MANIFEST["delta"]}, seed=5, dtype=None, threads=None)
    whole = np.empty(tensor.shape, np.float32)
    tensor.fill(whole)
    for start, size in ((0, 1), (1, 209), (77, 50), (209, 1), (5, 0)):
        span = np.full(size, 7, np.float32)
        tensor.fill(span, start)
        assert same(span, whole.ravel()[start : start + size])


# ---- moments, names, errors ----


@cases
def test_moments(shape, layout):
    """The squares of orthonormal vectors sum up to their number, so that the sample has the very std."""
    law = fi.orthogonal(-0.7).resolve(Fans(shape, layout))
    weight = fi.initialize(shape, fi.orthogonal(-0.7), seed=3, dtype="float64", layout=layout)
    mean, std = law.moments()
    assert mean == 0
    assert std == pytest.approx(math.sqrt((weight**2).mean()), rel=weight.size * EPS)


@pytest.mark.parametrize(("shape", "layout", "centre"), DELTAS)
def test_moments_of_deltas(shape, layout, centre):
    law = fi.delta_orthogonal(-0.7).resolve(Fans(shape, layout))
    weight = fi.initialize(shape, fi.delta_orthogonal(-0.7), seed=3, dtype="float64", layout=layout)
    assert law.moments() == (0, pytest.approx(math.sqrt((weight**2).mean()), rel=weight.size * EPS))


def test_names_and_reprs():
    assert {"orthogonal", "delta_orthogonal"} < set(fi.available())
    made = [fi.orthogonal(2), fi.get("delta_orthogonal", gain=-0.5), fi.Orthogonal(), fi.DeltaOrthogonal(np.float32(3))]
    assert [repr(m) for m in made] == [
        "Orthogonal(gain=2.0)",
        "DeltaOrthogonal(gain=-0.5)",
        "Orthogonal(gain=1.0)",
        "DeltaOrthogonal(gain=3.0)",
    ]
    assert [eval(repr(m), vars(fi)) for m in made] == made
    assert fi.get("orthogonal") == fi.orthogonal() != fi.delta_orthogonal()


AXES = "shape must have at least 2 axes, 'b' aside, for Orthogonal(gain=1.0); got shape"
ERRORS = [
    ((5,), "orthogonal", {}, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    ((), "orthogonal", {}, "shape must have an axis for each letter of layout 'oi...'; got ()"),
    ((5,), "orthogonal", {"layout": "o"}, f"{AXES} (5,) in layout 'o'"),
    ((5, 4), "orthogonal", {"layout": "bo"}, f"{AXES} (5, 4) in layout 'bo'"),
    ((5, 4), "orthogonal", {"layout": "i..."}, "layout must name an 'o' axis for Orthogonal(gain=1.0); got 'i...'"),
    (
        (4, 4),
        fi.orthogonal(1e5),
        {"dtype": "float16"},
        "gain must be at most 65504 in magnitude for float16; got 100000.0",
    ),
    (
        (5, 4),
        "delta_orthogonal",
        {},
        "shape must have 1 to 3 receptive axes for DeltaOrthogonal(gain=1.0); got shape (5, 4) in layout 'oi...'",
    ),
    (
        (5, 4, 3, 3, 3, 3),
        "delta_orthogonal",
        {},
        "shape must have 1 to 3 receptive axes for DeltaOrthogonal(gain=1.0); "
        "got shape (5, 4, 3, 3, 3, 3) in layout 'oi...'",
    ),
    (
        (4, 5, 3),
        "delta_orthogonal",
        {},
        "shape must have no more inputs than outputs (fan_in <= fan_out) for DeltaOrthogonal(gain=1.0); "
        "got shape (4, 5, 3) in layout 'oi...'",
    ),
    (
        (4, 5),
        "delta_orthogonal",
        {"layout": "oh"},
        "layout must name an 'i' axis for DeltaOrthogonal(gain=1.0); got 'oh'",
    ),
    (
        (4, 4),
        fi.orthogonal().resolve(Fans((4, 5))),
        {},
        "shape must be (4, 5), that of Haar(shape=(4, 5), row=0, batch=(), centre=(), gain=1.0, unitary=False); "
        "got (4, 4)",
    ),
]


@pytest.mark.parametrize(("shape", "strategy", "options", "text"), ERRORS)
def test_weights_that_cannot_be(shape, strategy, options, text):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fi.initialize(shape, strategy, seed=0, **options)
    assert str(raised.value) == text


@pytest.mark.parametrize("make", [fi.orthogonal, fi.delta_orthogonal, fi.Orthogonal, fi.DeltaOrthogonal])
def test_gains_that_cannot_be(make):
    for gain, error in ((math.inf, ValueError), (math.nan, ValueError), ("big", TypeError), (None, TypeError)):
        with pytest.raises(error) as raised:
            make(gain)
        assert str(raised.value) == f"gain must be a finite number; got {gain!r}"


# ---- complex weights: unitary matrices ----

UNITARY = [((1, 1), "oi"), ((5, 5), "oi"), ((3, 9), "oi"), ((9, 3), "oi"), ((257, 300), "oi"), ((300, 130), "oi")]
UNITARY += [((2, 7, 7), "boi"), ((3, 3, 8, 16), "...io")]
complex_dtypes = pytest.mark.parametrize("dtype", ["complex64", "complex128"])


def unitary_oracle(normals):
    """One reflection at a time, each a matrix of its own: unitary rows of a wide matrix of complex normals."""
    n, m = normals.shape
    q = np.eye(n, m, dtype=np.complex128)
    for k in reversed(range(n)):
        x = np.zeros(m, np.complex128)
        x[k:] = normals[k, k:]
        phase = x[k] / abs(x[k])
        x[k] += phase * np.linalg.norm(x)
        reflection = np.eye(m) - 2 * np.outer(x.conj(), x) / np.vdot(x, x).real
        q[k, k] = -phase
        q = q @ reflection
    return q


@complex_dtypes
@pytest.mark.parametrize(("shape", "layout"), UNITARY)
def test_complex_matrices_are_unitary(shape, layout, dtype):
    weight = fi.initialize(shape, "orthogonal", seed=1, stream="w", dtype=dtype, layout=layout)
    assert weight.dtype == dtype
    for matrix in matrices(weight, layout):
        rows, columns = matrix.shape
        square = matrix @ matrix.conj().T if rows <= columns else matrix.conj().T @ matrix
        assert np.abs(square - np.eye(len(square))).max() <= tolerance(weight.real.dtype.name, 2 * max(rows, columns))


@complex_dtypes
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 9), (9, 3), (40, 130), (260, 140)])
def test_complex_reflections_one_at_a_time(shape, dtype):
    """Of the normals that the real tensor of one more axis holds."""
    weight = fi.initialize(shape, "orthogonal", seed=1, stream="w", dtype=dtype)
    drawn = fi.initialize((*shape, 2), "normal", seed=1, stream="w", dtype=weight.real.dtype).astype(np.float64)
    normals = drawn[..., 0] + 1j * drawn[..., 1]
    expected = unitary_oracle(normals) if shape[0] <= shape[1] else unitary_oracle(normals.T).T
    rounding = np.finfo(dtype).eps * np.abs(expected)
    assert (
        np.abs(weight - expected) <= rounding + 4 * (max(shape) + 1) * EPS
    ).all()  # a complex product rounds 4 times


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_law_of_unitary_matrices(n):
    """E|q|^2 = 1 / n, E|q|^4 = 2 / (n (n + 1)), E q^2 = 0 and E|tr Q|^2 = 1, within 5 sigma."""
    count = 40_000
    q = fi.initialize((count, n, n), "orthogonal", seed=2, stream="unitary", dtype="complex128", layout="boi")
    square = np.abs(q) ** 2
    traces = np.abs(np.trace(q, axis1=1, axis2=2)) ** 2
    for sample, mean in ((square, 1 / n), (square**2, 2 / (n * (n + 1))), ((q**2).real, 0), ((q * q.conj()).imag, 0)):
        spread = sample.std(axis=0).max()
        assert np.abs(sample.mean(axis=0) - mean).max() <= 5 * spread / math.sqrt(count) + 1e-12
    assert abs(traces.mean() - 1) <= 5 * traces.std() / math.sqrt(count) + 1e-12


def test_a_complex_delta():
    weight = fi.initialize((6, 4, 3, 3), fi.delta_orthogonal(2.0), seed=1, dtype="complex64")
    centre = weight[:, :, 1, 1].astype(np.complex128)
    assert np.abs(centre.conj().T @ centre / 4 - np.eye(4)).max() <= tolerance("float32", 12)
    weight[:, :, 1, 1] = 0
    assert not weight.any()


def test_complex_normals_that_are_0():
    """A first element of 0 has no phase: 1 is taken."""
    normals = np.zeros((1, 2, 3), np.complex128)
    normals[0, 0] = [0, 3j, 4]
    q = importlib.import_module("fastinit.orthogonal")._haar(normals)[0]
    assert np.abs(q @ q.conj().T - np.eye(2)).max() <= 6 * EPS
