"""Identities and sparse columns are what their definitions say, whole and in any part."""

import itertools
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastinit as fi
from fastinit import _kernels
from fastinit._fans import Fans

from . import reference
from .helpers import ISAS
from .test_environment import environment, environments, needs_fenv

DTYPES = ("float32", "float64", "float16", "bfloat16")
dtypes = pytest.mark.parametrize("dtype", DTYPES)
SEED, STREAM = 2**63 + 7, 2**33 + 1


def as_numpy(dtype):
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def same(got, expected):
    return got.dtype == expected.dtype and got.shape == expected.shape and got.tobytes() == expected.tobytes()


# ---- the definitions, element by element ----


def dirac_of(shape, layout="oi...", groups=1, gain=1.0, dtype="float32"):
    before, ellipsis, after = layout.partition("...")
    letters = before + "." * (len(shape) - len(before) - len(after) if ellipsis else 0) + after
    o, i = letters.index("o"), letters.index("i")
    outer, inner = (i, o) if letters[0] == "i" and len(letters) > 2 else (o, i)  # of all groups, of one
    weight = np.zeros(shape, as_numpy(dtype))
    for at in np.ndindex(shape):
        centred = all(at[k] == shape[k] // 2 for k, letter in enumerate(letters) if letter not in "oib")
        if centred and at[inner] == at[outer] % (shape[outer] // groups):
            weight[at] = gain
    return weight


CASES = [
    ((4, 4), "oi...", 1),
    ((5, 3), "oi...", 1),
    ((3, 5), "io", 1),
    ((6, 2), "oi", 3),
    ((6, 3, 3), "oi...", 2),
    ((6, 3, 4), "oi...", 6),
    ((4, 7, 3, 2), "oi...", 1),
    ((8, 3, 3, 3), "oi...", 4),
    ((4, 2, 3, 2, 5), "oi...", 2),
    ((3, 3, 5, 8), "...io", 2),
    ((3, 5, 4), "...io", 1),
    ((6, 4, 3), "io...", 2),
    ((3, 4, 5), "boi", 1),
    ((4, 2, 6), "obi", 2),
    ((2, 3, 4, 6, 5), "bhiow", 3),
]
cases = pytest.mark.parametrize(("shape", "layout", "groups"), CASES)


@dtypes
@cases
def test_dirac(shape, layout, groups, dtype):
    options = {"layout": layout, "groups": groups, "dtype": dtype}
    whole = dirac_of(shape, layout, groups, 1.0, dtype)
    assert same(fi.initialize(shape, "dirac", **options), whole)
    assert same(fi.initialize(shape, fi.dirac(-0.3), **options), dirac_of(shape, layout, groups, -0.3, dtype))
    out = np.full(shape, 7, as_numpy(dtype), order="F")
    assert same(fi.fill(out, "dirac", layout=layout, groups=groups), whole)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 50)])
def test_eye(shape, dtype):
    for name in ("eye", "identity"):
        assert same(fi.initialize(shape, name, dtype=dtype), np.eye(*shape, dtype=as_numpy(dtype)))
    assert same(
        fi.initialize(shape[::-1], "eye", dtype=dtype, layout="io"), np.eye(*shape[::-1], dtype=as_numpy(dtype))
    )
    batch = fi.initialize((3, *shape), fi.eye(2.5), dtype=dtype, layout="boi")
    assert same(batch, np.stack([2.5 * np.eye(*shape, dtype=np.float64)] * 3).astype(as_numpy(dtype)))


@pytest.mark.parametrize(("out_channels", "in_channels", "groups"), [(6, 2, 2), (6, 3, 3), (4, 9, 1), (8, 1, 8)])
@pytest.mark.parametrize("kernel", [(3,), (3, 4), (1, 2, 3)])
def test_dirac_is_that_of_pytorch(out_channels, in_channels, groups, kernel):
    """`torch.nn.init.dirac_`, line by line."""
    tensor = np.zeros((out_channels, in_channels, *kernel), np.float32)
    per_group = out_channels // groups
    for g, d in itertools.product(range(groups), range(min(per_group, in_channels))):
        tensor[(g * per_group + d, d, *(n // 2 for n in kernel))] = 1
    assert same(fi.initialize(tensor.shape, "dirac", groups=groups), tensor)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_dirac_passes_channels_through(groups):
    channels, x = 6, np.arange(6.0) + 1
    forward = fi.initialize((channels, channels // groups, 1), "dirac", groups=groups, dtype="float64")[..., 0]
    back = fi.initialize((channels, channels // groups, 1), "dirac", groups=groups, layout="io...", dtype="float64")
    per_group = channels // groups
    for g in range(groups):
        own = np.s_[g * per_group : (g + 1) * per_group]
        assert (forward[own] @ x[own] == x[own]).all()
        assert (x[own] @ back[own, :, 0] == x[own]).all()


# ---- parts and spans ----


def indices(shape):
    def of(n):
        bound = st.none() | st.integers(-n - 1, n + 1)
        return st.integers(-n, n - 1) | st.slices(n) | st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -3]))

    return st.tuples(*map(of, shape))


@cases
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_part_of_an_identity(shape, layout, groups, data):
    index, dtype = data.draw(indices(shape)), data.draw(st.sampled_from(DTYPES))
    expected = np.asarray(dirac_of(shape, layout, groups, 0.7, dtype)[index])
    options = {"layout": layout, "groups": groups, "index": index}
    assert same(fi.initialize(shape, fi.dirac(0.7), dtype=dtype, **options), expected)
    if expected.ndim:
        around = np.full([2 * n + 1 for n in expected.shape], 7, expected.dtype)
        out = around[tuple(slice(None, n * 2, 2) for n in expected.shape)]
        fi.fill(out, fi.dirac(0.7), shape=shape, **options)
        assert same(out, expected)
        out[...] = 7
        assert (around == 7).all()


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_part_of_a_sparse_matrix(data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    strategy = fi.sparse(data.draw(st.floats(0, 1)))
    index, dtype = data.draw(indices(shape)), data.draw(st.sampled_from(DTYPES))
    whole = fi.initialize(shape, strategy, seed=SEED, stream=STREAM, dtype=dtype)
    part = fi.initialize(shape, strategy, seed=SEED, stream=STREAM, dtype=dtype, index=index)
    assert same(part, np.asarray(whole[index]))
    turned = fi.fill(np.empty(shape, whole.dtype, order="F"), strategy, seed=SEED, stream=STREAM)
    assert same(turned, whole)


@needs_fenv
@environments
@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [(fi.eye(1e-40), "float32"), (fi.dirac(1e-310), "float64"), (fi.eye(0.1), "float16"), (fi.sparse(0.1), "float32")],
)
def test_the_environment_is_not_an_input(strategy, dtype, name):
    expected = fi.initialize((30, 30), strategy, seed=0, dtype=dtype)
    fi._fill.plan.cache_clear()
    with environment(name):
        got = fi.initialize((30, 30), strategy, seed=0, dtype=dtype)
    assert same(got, expected)


RULES = fi.Recipe(
    [
        ("eye", "eye"),
        ("flat", fi.eye(2.0), {"layout": "io"}),
        ("conv", fi.dirac(0.5), {"groups": 3}),
        ("jax", "dirac", {"layout": "...io"}),
        ("sparse*", fi.sparse(0.9)),
    ]
)
MANIFEST = {
    "eye": {"shape": [50, 40], "dtype": "F32"},
    "flat": {"shape": [3, 700], "dtype": "F64"},
    "conv": {"shape": [12, 4, 3, 5], "dtype": "F32"},
    "jax": {"shape": [3, 3, 5, 8], "dtype": "F16"},
    "sparse": {"shape": [70, 33], "dtype": "F32"},
    "sparse64": {"shape": [33, 70], "dtype": "F64"},
}


@pytest.mark.parametrize("buffer_bytes", [8, 24, 1000, 2**20])
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_checkpoints(buffer_bytes, dtype, tmp_path, monkeypatch):
    """Spans of any length, in a file, are the arrays in memory, and those are what `initialize` gives alone."""
    monkeypatch.setattr(fi.checkpoint, "BUFFER_BYTES", buffer_bytes)
    path = tmp_path / "model.safetensors"
    report = fi.checkpoint.save(path, MANIFEST, RULES, seed=5, dtype=dtype)
    weights = RULES.initialize(MANIFEST, seed=5, dtype=dtype)
    data = path.read_bytes()
    assert data.endswith(b"".join(weights[tensor.name].tobytes() for tensor in report.tensors))
    for name, rule in RULES.match(MANIFEST).items():
        alone = fi.initialize(
            MANIFEST[name]["shape"], rule.strategy, seed=5, stream=name, dtype=weights[name].dtype, **rule.options
        )
        assert same(weights[name], alone)
    for tensor in report.tensors:
        if not tensor.name.startswith("sparse"):
            assert tensor.measured_std == pytest.approx(tensor.std, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "layout", "index", "ones"),
    [
        ((2**25, 2**25), "oi", np.s_[2**24 : 2**24 + 2**10, 2**24 - 5 : 2**24 + 2**10 - 5], 2**10 - 5),
        ((2**25, 2**25), "oi", np.s_[2**24, : 2**20], 0),
        ((2**25, 2**25), "oi", np.s_[2**24 - 1 :: -(2**4), 3], 0),
        ((2**25, 2**25), "io", np.s_[2**20 - 1 :: -1, 3], 1),
        ((3, 2**24, 2**24), "boi", np.s_[:, 2**20 : 2**20 + 2**9, -(2**24) + 2**20 : 2**20 + 2**9], 3 * 2**9),
    ],
)
def test_a_shard_of_a_vast_identity_costs_what_it_holds(shape, layout, index, ones):
    tracemalloc.start()
    part = fi.initialize(shape, "eye", layout=layout, index=index)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2**20 * 3 / 4 <= part.size <= 2**21
    assert peak < 50e6
    assert np.count_nonzero(part) == part.sum() == ones


# ---- sparse: an independent account of the permutation ----


def mix(x):
    """Wellons's lowbias32."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def permutation(rows, column, seed, stream):
    """Where each row of a column goes, from the words of block 2^63 + column."""
    words = [int(word) for word in reference.words(seed, stream, 4 * (2**63 + column), 4)]
    a = math.isqrt(rows - 1) + 1
    b = -(-rows // a)
    rounds = next(r for r in range(8, 50, 2) if b == 1 or b ** (r // 2) >= 2**24)
    there = np.empty(rows, int)
    for row in range(rows):
        at = row
        while True:
            half, other, n, m = at % a, at // a, a, b
            for r in range(rounds):  # the two halves change places after each
                key = words[r % 4] + r // 4 * words[(r + 1) % 4]
                moved = (half + (mix(other + key & 0xFFFFFFFF) * n >> 32)) % n
                half, other, n, m = other, moved, m, n
            at = half + a * other
            if at < rows:
                break
        there[row] = at
    return there


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 12, 17, 100, 300, 1000])
@pytest.mark.parametrize(("first", "columns"), [(0, 3), (2**32 - 1, 2**32 + 2)])
def test_the_zeros_are_those_of_the_permutation(rows, first, columns):
    for sparsity in (0.0, 0.1, 0.5, 1.0):
        part = np.s_[:, first : first + 3]
        options = {"seed": SEED, "stream": STREAM, "dtype": "float64", "index": part}
        got = fi.initialize((rows, columns), fi.sparse(sparsity, std=2.0), **options)
        plain = fi.initialize((rows, columns), fi.normal(std=2.0), **options)
        for k in range(3):
            there = permutation(rows, first + k, SEED, STREAM)
            assert sorted(there) == list(range(rows))
            expected = np.where(there < math.ceil(sparsity * rows), 0.0, plain[:, k])
            assert got[:, k].tobytes() == expected.tobytes()


def zeros_of(shape, sparsity, seed=SEED, stream=STREAM):
    """Where the zeros of a float64 matrix are: none of its normals is 0 (which 1 in 2^53 would be)."""
    return fi.initialize(shape, fi.sparse(sparsity, std=1.0), seed=seed, stream=stream, dtype="float64") == 0


@pytest.mark.parametrize("rows", [*range(1, 301), 4096, 65536, 65537])
def test_every_column_has_its_number_of_zeros(rows):
    for sparsity in (0.0, 1e-9, 0.1, 0.3, 1 / 3, 0.9, 1.0):
        zeros = zeros_of((rows, 5), sparsity).sum(axis=0)
        assert zeros.tolist() == [math.ceil(sparsity * rows)] * 5


@pytest.mark.parametrize(("rows", "zeros"), [(2, 1), (3, 1), (4, 2), (5, 1), (6, 3), (7, 2), (10, 2), (12, 2)])
def test_every_set_of_rows_is_as_likely(rows, zeros):
    """Chi-square over all sets of `zeros` rows, of 400 000 columns: a chance of 10^-6."""
    columns, sets = 400_000, math.comb(rows, zeros)
    mask = zeros_of((rows, columns), zeros / rows - 1e-9)
    _, counts = np.unique((mask * (1 << np.arange(rows))[:, None]).sum(axis=0), return_counts=True)
    assert len(counts) == sets
    assert ((counts - columns / sets) ** 2).sum() / (columns / sets) < stats.chi2.isf(1e-6, sets - 1)


@pytest.mark.parametrize(("rows", "columns", "sparsity"), [(64, 50_000, 0.25), (1000, 4000, 0.1), (4096, 1000, 0.5)])
def test_zeros_are_uniform_over_rows(rows, columns, sparsity):
    """Chi-square of the number of zeros in each row, whose variance is less than Poisson's by the fixed sum."""
    counts = zeros_of((rows, columns), sparsity).sum(axis=1)
    share = math.ceil(sparsity * rows) / rows
    variance = columns * share * (1 - share) * rows / (rows - 1)
    assert ((counts - columns * share) ** 2).sum() / variance < stats.chi2.isf(1e-6, rows - 1)


@pytest.mark.parametrize(("rows", "zeros"), [(64, 16), (1000, 100), (4096, 2048)])
@pytest.mark.parametrize("apart", [1, 2, 7])
def test_columns_are_independent(rows, zeros, apart):
    """The zeros that two columns share are hypergeometric: their mean, and that of their squares, within 6 sigma."""
    mask = zeros_of((rows, 2000), zeros / rows - 1e-9)
    shared = (mask[:, :-apart] & mask[:, apart:]).sum(axis=0)
    law = stats.hypergeom(rows, zeros, zeros)
    mean, variance = law.stats("mv")
    fourth = law.expect(lambda k: (k - mean) ** 4)
    assert abs(shared.mean() - mean) < 6 * math.sqrt(variance / len(shared))
    spread = ((shared - mean) ** 2).mean()
    assert abs(spread - variance) < 6 * math.sqrt((fourth - variance**2) / len(shared))


def test_streams_and_seeds_have_other_zeros():
    masks = [zeros_of((500, 20), 0.5, *key) for key in [(0, 0), (0, 1), (1, 0), (0, 2**32), (2**32, 0)]]
    for one, other in itertools.combinations(masks, 2):
        assert abs((one == other).mean() - 0.5) < 6 * 0.5 / math.sqrt(10_000)


@dtypes
def test_what_is_not_zero_is_the_normal(dtype):
    shape, options = (300, 77), {"seed": SEED, "stream": STREAM, "dtype": dtype}
    got = fi.initialize(shape, fi.sparse(0.3, std=0.5), **options)
    plain = fi.initialize(shape, fi.normal(std=0.5), **options)
    kept = got != 0
    assert (got[kept] == plain[kept]).all()
    assert (~kept).sum(axis=0).min() >= math.ceil(0.3 * 300)
    assert same(fi.initialize(shape, fi.sparse(0, std=0.5), **options), plain)
    assert same(fi.initialize(shape, fi.sparse(1), **options), np.zeros(shape, as_numpy(dtype)))


@dtypes
@pytest.mark.parametrize("shape", [(2000, 1500), (3, 1_000_000), (1_000_000, 3)])
def test_instruction_sets_and_threads_do_not_show(shape, dtype):
    law = fi.sparse(0.4).resolve(Fans(shape))
    kernel, parameters = law.kernel(as_numpy(dtype))
    drawn = set()
    for isa, threads in itertools.product(ISAS, (1, 3)):
        out = np.empty(shape, as_numpy(dtype))
        _kernels.fill(out, _kernels.KINDS[kernel, dtype], parameters, SEED, STREAM, 0, threads, isa)
        drawn.add(out.tobytes())
    assert len(drawn) == 1
    spans = [np.empty(min(99_991, out.size - start), out.dtype) for start in range(0, out.size, 99_991)]
    for k, span in enumerate(spans):
        _kernels.fill(span, _kernels.KINDS[kernel, dtype], parameters, SEED, STREAM, 99_991 * k, 1)
    assert {b"".join(span.tobytes() for span in spans)} == drawn


def test_vast_columns():
    """At the most rows, the permutation is still one: no two of these rows meet, and half are zeros."""
    shape, rows = (2**32 - 1, 2**20), np.s_[2**32 - 20_001 :, 7]
    part = fi.initialize(shape, fi.sparse(0.5, std=1.0), seed=1, dtype="float64", index=rows)
    assert abs((part == 0).mean() - 0.5) < 6 * 0.5 / math.sqrt(part.size)


# ---- moments, names, errors ----


@cases
def test_moments_of_identities(shape, layout, groups):
    law = fi.dirac(-0.7).resolve(Fans(shape, layout, groups=groups))
    weight = dirac_of(shape, layout, groups, -0.7, "float64")
    assert law.moments() == pytest.approx((weight.mean(), weight.std()), rel=1e-12, abs=1e-15)


def test_moments_of_sparse():
    law = fi.sparse(0.25, std=0.02).resolve(Fans((10, 7)))
    assert law.zeros == 3
    assert law.moments() == (0.0, pytest.approx(0.02 * math.sqrt(0.7), rel=1e-15))
    sample = fi.initialize((1000, 1000), fi.sparse(0.75, std=2.0), seed=1, dtype="float64")
    fourth = 3 * 2.0**4 / 4
    assert abs(sample.mean()) < 6 * 1.0 / 1000
    assert abs((sample**2).mean() - 1) < 6 * math.sqrt(fourth) / 1000


def test_names_and_reprs():
    assert {"eye", "identity", "dirac", "sparse"} < set(fi.available())
    made = [fi.eye(2), fi.identity(), fi.dirac(-0.5), fi.sparse(0.9), fi.get("sparse", sparsity=1, std=0.5)]
    assert [repr(m) for m in made] == [
        "Identity(gain=2.0, receptive=False)",
        "Identity(gain=1.0, receptive=False)",
        "Identity(gain=-0.5, receptive=True)",
        "Sparse(sparsity=0.9, std=0.01)",
        "Sparse(sparsity=1.0, std=0.5)",
    ]
    assert [eval(repr(m), vars(fi)) for m in made] == made
    assert fi.get("identity") == fi.eye()


ERRORS = [
    ((5,), "eye", {}, ValueError, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    ((5,), "dirac", {}, ValueError, "shape must have an axis for each letter of layout 'oi...'; got (5,)"),
    (
        (5,),
        "dirac",
        {"layout": "o"},
        ValueError,
        "layout must name an 'o' and an 'i' axis for Identity(gain=1.0, receptive=True); got 'o'",
    ),
    (
        (5, 4, 3),
        "eye",
        {},
        ValueError,
        "shape must have no axes but 'o', 'i' and 'b' for eye: use dirac; got shape (5, 4, 3) in layout 'oi...'",
    ),
    (
        (10, 3, 3),
        "dirac",
        {"groups": 3},
        ValueError,
        "groups must divide the 'o' axis of shape (10, 3, 3) in layout 'oi...'; got 3",
    ),
    (
        (10, 3, 3),
        "dirac",
        {"groups": 3, "layout": "io..."},
        ValueError,
        "groups must divide the 'i' axis of shape (10, 3, 3) in layout 'io...'; got 3",
    ),
    ((4, 4), fi.eye(1e5), {"dtype": "float16"}, ValueError, "gain must be at most 65504 in magnitude for float16; got"),
    ((5,), fi.sparse(0.5), {}, ValueError, "shape must have 2 axes for Sparse(sparsity=0.5, std=0.01); got (5,)"),
    (
        (5, 4, 3),
        fi.sparse(0.5),
        {},
        ValueError,
        "shape must have 2 axes for Sparse(sparsity=0.5, std=0.01); got (5, 4, 3)",
    ),
    ((2**32, 1), fi.sparse(0.5), {"index": 0}, ValueError, "shape must have fewer than 2^32 rows for Sparse("),
    ((1, 2**54), fi.sparse(0.5), {"index": (0, 0)}, ValueError, "shape must have at most 2^53 columns for Sparse("),
    ((4, 4), "sparse", {}, TypeError, "parameters of 'sparse' must include 'sparsity'; got none"),
    ((4, 4), fi.sparse(0.5, std=1e5), {"dtype": "float16"}, ValueError, "abs(mean) + 9 std must be at most 65504"),
    (
        (4, 4),
        fi.sparse(0.5).resolve(Fans((4, 5))),
        {},
        ValueError,
        "shape must be (4, 5), that of SparseNormal(shape=(4, 5), zeros=2, std=0.01); got (4, 4)",
    ),
]


@pytest.mark.parametrize(("shape", "strategy", "options", "error", "text"), ERRORS)
def test_weights_that_cannot_be(shape, strategy, options, error, text):
    with pytest.raises(error) as raised:
        fi.initialize(shape, strategy, seed=0, **options)
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: fi.sparse(1.5), ValueError, "sparsity must be in [0, 1]; got 1.5"),
        (lambda: fi.sparse(-0.1), ValueError, "sparsity must be in [0, 1]; got -0.1"),
        (lambda: fi.sparse(math.nan), ValueError, "sparsity must be a finite number; got nan"),
        (lambda: fi.sparse("all"), TypeError, "sparsity must be a finite number; got 'all'"),
        (lambda: fi.sparse(0.5, -1), ValueError, "std must be a finite number of at least 0; got -1.0"),
        (lambda: fi.eye(math.inf), ValueError, "gain must be a finite number; got inf"),
        (lambda: fi.dirac(None), TypeError, "gain must be a finite number; got None"),
        (lambda: fi.Identity(1, 1), TypeError, "receptive must be True or False; got 1"),
    ],
)
def test_strategies_that_cannot_be(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == text
