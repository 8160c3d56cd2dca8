"""Parts of a tensor: `index` gives what NumPy's indexing of the whole gives, in memory of any layout."""

import itertools
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit import _fill, _kernels

from . import reference
from .helpers import ALL_DTYPES, DTYPES, ISAS, as_dtype, draw

INF = math.inf
SEED, STREAM = 2**63 + 9, 2**32 + 5
FILLER = 0xA5

all_dtypes = pytest.mark.parametrize("dtype", ALL_DTYPES)
dtypes = pytest.mark.parametrize("dtype", DTYPES)

LAWS = [
    fi.constant(0.1),
    fi.uniform(-0.3, 0.9),
    fi.normal(0.1, 0.7),
    fi.truncated_normal(0.1, 0.7),
    fi.truncated_normal(0.1, 0.7, -2.0, INF),
    fi.truncated_normal(0.1, 0.7, -INF, -7.9),
]


class Memory:
    """An array of any layout over bytes of its own.

    `order` names the axes from the farthest in memory to the nearest; along axis k, elements lie `gaps[k]` apart,
    backwards where `reverse[k]`; the first byte is at address `offset` of the memory, and `odd` bytes pad every axis.
    """

    def __init__(self, shape, dtype, order=None, gaps=None, reverse=None, offset=0, odd=0):
        axes = len(shape)
        dtype = as_dtype(dtype)
        strides, pitch, first = [0] * axes, dtype.itemsize, offset
        for k in reversed(range(axes) if order is None else order):
            strides[k] = pitch * (gaps[k] if gaps else 1)
            pitch = strides[k] * max(shape[k], 1) + odd
            if reverse and reverse[k] and shape[k]:
                first += strides[k] * (shape[k] - 1)
                strides[k] = -strides[k]
        self.bytes = np.full(offset + pitch + 8, FILLER, np.uint8)
        self.form = {"shape": shape, "dtype": dtype, "offset": first, "strides": tuple(strides)}
        self.array = np.ndarray(buffer=self.bytes, **self.form)

    def holds(self, expected):
        """Whether the elements are `expected` and every byte beside them is as it was."""
        plain = np.full(self.bytes.shape, FILLER, np.uint8)
        np.ndarray(buffer=plain, **self.form)[...] = expected
        return np.array_equal(self.bytes, plain)


def whole_of(shape, law, dtype, **keywords):
    """The whole tensor, by plain C on one thread."""
    before = _kernels.chosen_isa()
    try:
        _kernels.choose("generic")
        return fi.initialize(shape, law, seed=SEED, stream=STREAM, dtype=dtype, threads=1, **keywords)
    finally:
        _kernels.choose(before)


def check(shape, index, law, dtype, memory=None, threads=1, isas=ISAS, **keywords):
    """`fill` and `initialize` of a part give the part of the whole, by the instruction sets `isas`."""
    expected = whole_of(shape, law, dtype, **keywords)[index]
    same = {"seed": SEED, "stream": STREAM, "index": index, "threads": threads, **keywords}
    before = _kernels.chosen_isa()
    try:
        for isa in isas:
            _kernels.choose(isa)
            got = fi.initialize(shape, law, dtype=dtype, **same)
            assert (got.shape, got.dtype, got.flags.c_contiguous) == (expected.shape, expected.dtype, True)
            assert got.tobytes() == expected.tobytes()
            out = Memory(expected.shape, dtype, **(memory or {}))
            assert fi.fill(out.array, law, shape=shape, **same) is out.array
            assert out.holds(expected)
    finally:
        _kernels.choose(before)


# ---- any part, any layout ----

MOST_ELEMENTS = 200_000
sizes = st.one_of(st.integers(0, 9), st.integers(1, 40), st.integers(1, 300), st.sampled_from([1, 4, 32, 64, 128, 256]))


@st.composite
def entries(draw, n):
    """A slice of an axis of length n, or an integer."""
    kind = draw(st.sampled_from("aaassssi" if n else "as"))
    if kind == "a":
        return slice(None)
    if kind == "i":
        return draw(st.integers(-n, n - 1))
    multiple = st.integers(0, n // 4).map(lambda k: 4 * k)  # of what a Philox block gives
    end = st.one_of(st.none(), multiple, st.integers(-n - 3, n + 3))
    step = st.one_of(st.none(), st.sampled_from([1, -1, 2, -2, 3, -7, 8, -9]), st.integers(1, n + 3))
    return slice(draw(end), draw(end), draw(step))


@st.composite
def parts(draw):
    """A shape and a basic index of it."""
    shape, size = [], 1
    for n in draw(st.lists(sizes, max_size=5)):
        shape.append(min(n, MOST_ELEMENTS // max(size, 1)))
        size *= max(shape[-1], 1)
    given_axes = draw(st.integers(0, len(shape)))
    at = draw(st.none() | st.integers(0, given_axes))
    if at is None:
        index = [draw(entries(n)) for n in shape[:given_axes]]
    else:
        behind = given_axes - at
        index = [draw(entries(n)) for n in shape[:at]]
        index += [..., *(draw(entries(n)) for n in shape[len(shape) - behind :])]
    bare = len(index) == 1 and draw(st.booleans())
    return tuple(shape), index[0] if bare else tuple(index)


@st.composite
def laws(draw, axes):
    """What to draw, with what its fans need."""
    which = draw(st.integers(0, len(LAWS) + 1))
    if which < len(LAWS):
        return LAWS[which], {}
    name = ("he", "xavier_uniform")[which - len(LAWS)]
    if axes < 2:
        return name, {"fan_in": 7, "fan_out": 5}
    layouts = ["oi...", "...io", "io...", "i...o"] + ["boi...", "b...oi"] * (axes > 2)
    return name, {"layout": draw(st.sampled_from(layouts))}


@st.composite
def memories(draw, axes):
    """The layout of a `Memory`."""
    memory = {}
    if draw(st.booleans()):
        return memory
    order = draw(st.sampled_from(["C", "F", "any"]))
    if order != "C":
        backwards = list(reversed(range(axes)))
        memory["order"] = backwards if order == "F" else draw(st.permutations(backwards))
    if axes and draw(st.booleans()):
        memory["gaps"] = [1] * axes
        for _ in range(2):  # of more axes, the memory would be too large
            memory["gaps"][draw(st.integers(0, axes - 1))] = draw(st.sampled_from([1, 2, 3]))
    if draw(st.booleans()):
        memory["reverse"] = draw(st.lists(st.booleans(), min_size=axes, max_size=axes))
    if draw(st.booleans()):
        memory["offset"] = draw(st.integers(1, 7))
    if draw(st.booleans()):
        memory["odd"] = draw(st.integers(1, 9))
    return memory


@st.composite
def cases(draw):
    """The arguments of `check`."""
    shape, index = draw(parts())
    law, fans = draw(laws(len(shape)))
    return {
        "shape": shape,
        "index": index,
        "law": law,
        "dtype": draw(st.sampled_from(ALL_DTYPES)),
        "memory": draw(memories(np.empty(shape, np.uint8)[index].ndim)),
        "threads": draw(st.sampled_from([1, 2])),
        "isas": [draw(st.sampled_from(ISAS))],
        **fans,
    }


def profile(examples):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=checks)


@given(cases())
@profile(1000)
def test_any_part_in_any_layout(case):
    check(**case)


@pytest.mark.slow
@given(cases())
@profile(20_000)
def test_many_more_parts(case):
    check(**case)


# ---- each way through the C ----

NORMAL = fi.normal(0.1, 0.7)
ROW = 4096  # elements of a row that is drawn by a call of its own
TILE = 128  # float32 elements drawn together
CHUNK = 32  # elements of a run drawn together where memory runs along another axis


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((3000,), np.s_[:]),
        ((3000,), np.s_[1:2]),
        ((3000,), np.s_[5:2999]),
        ((3000,), np.s_[TILE : 3 * TILE]),
        ((3000,), np.s_[TILE - 1 : 3 * TILE + 1]),
        ((50, 70, 3), np.s_[7:33]),
        ((50, 70, 3), np.s_[7, 11:60]),
        ((50, 70, 3), np.s_[7, 11, 1:]),
        ((50, 70, 3), np.s_[7, 11, 2]),
        ((50, 1, 70), np.s_[3:4, ::-1, 1:]),
        ((2**20 + 40,), np.s_[2**19 - 7 : 2**20 + 9]),
    ],
)
@all_dtypes
def test_contiguous(shape, index, dtype):
    """One span of the whole, from and to any place, one unit or several."""
    check(shape, index, NORMAL, dtype)


@pytest.mark.parametrize("columns", [np.s_[:ROW], np.s_[1 : ROW + 1], np.s_[3 : ROW + 2], np.s_[8:-1]])
@all_dtypes
def test_long_rows(columns, dtype):
    check((7, 2 * ROW), np.s_[:, columns], NORMAL, dtype)
    check((3, 2, 2 * ROW + 5), np.s_[::-2, ::-1, columns], NORMAL, dtype)
    check((3, 2 * ROW + 5), np.s_[:, columns], NORMAL, dtype, {"gaps": [2, 1], "offset": 1})


@all_dtypes
def test_rows_of_several_units(dtype):
    check((2, 200_003), np.s_[:, 1:-1], NORMAL, dtype)


@pytest.mark.parametrize("width", [4, 8, 12, 20, 64, 124, TILE, 132, 2 * TILE, 1024, 1028])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 32, 301])
@all_dtypes
def test_aligned_column_blocks(width, rows, dtype):
    """Whole Philox blocks, of which whole tiles are drawn straight into memory; a gap in memory forbids that."""
    index = np.s_[:, 8 : 8 + width]
    check((rows, 1040), index, NORMAL, dtype)
    check((rows, 1040), index, NORMAL, dtype, {"odd": 2})


@all_dtypes
def test_column_blocks_of_several_axes(dtype):
    """Two axes of rows, in memory's order and not."""
    index = np.s_[1:, :, 4:12]
    check((5, 9, 40), index, NORMAL, dtype)
    check((5, 9, 40), index, NORMAL, dtype, {"order": [1, 0, 2]})
    check((5, 9, 41), index, NORMAL, dtype)
    check((5, 9, 40), np.s_[::-1, :, 4:12], NORMAL, dtype)


@pytest.mark.parametrize("width", [41, 42, 43, 44])
@pytest.mark.parametrize("rows", [32, 64, 128, 256, 500])
@all_dtypes
def test_column_blocks_of_unaligned_rows(rows, width, dtype):
    """Only the first row begins with a Philox block; together they may still take whole tiles."""
    for index in (np.s_[:, 4:12], np.s_[:, 4:36], np.s_[:, :4], np.s_[::3, 4:8]):
        check((rows, width), index, NORMAL, dtype)


@pytest.mark.parametrize("columns", [np.s_[3:36], np.s_[1:2], np.s_[0:3], np.s_[4:7], np.s_[5:-1], np.s_[-2:]])
@pytest.mark.parametrize("width", [255, 256])
@all_dtypes
def test_odd_column_blocks(columns, width, dtype):
    check((300, width), np.s_[:, columns], NORMAL, dtype)


@pytest.mark.parametrize("shape", list(itertools.product([1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 4], repeat=2)))
@all_dtypes
def test_transposed(shape, dtype):
    check(shape, ..., NORMAL, dtype, {"order": [1, 0]})
    check((*shape, 3), np.s_[:, 1:, ::-1], NORMAL, dtype, {"order": [2, 0, 1]})


@pytest.mark.parametrize("step", [2, 3, 7, 8, 9, 64, 1000])
@all_dtypes
def test_steps(step, dtype):
    """Below 8 a run's elements are drawn with all between them; from 8 on, one by one."""
    check((4000,), np.s_[3::step], NORMAL, dtype)
    check((4000,), np.s_[:3:-step], NORMAL, dtype)
    check((60, 203), np.s_[1:-1, ::step], NORMAL, dtype)
    check((60, 203), np.s_[::step, 5], NORMAL, dtype)
    check((60, 203), np.s_[::3, ::-step], NORMAL, dtype, {"order": [1, 0]})


@pytest.mark.parametrize("columns", [1, 7, 8, 9])
@all_dtypes
def test_a_column(columns, dtype):
    check((1000, columns), np.s_[:, columns - 1], NORMAL, dtype)
    check((1000, columns), np.s_[:, columns - 1 :], NORMAL, dtype, {"gaps": [1, 3]})


@pytest.mark.parametrize("step", [-1, -2, -7])
@all_dtypes
def test_reversed_runs(step, dtype):
    check((5001,), np.s_[::step], NORMAL, dtype)
    check((40, 101), np.s_[::-1, ::step], NORMAL, dtype)
    check((40, 101), np.s_[:, ::step], NORMAL, dtype, {"reverse": [False, True]})
    check((40, 101), np.s_[::step], NORMAL, dtype, {"reverse": [True, True], "offset": 3})


@pytest.mark.parametrize(("length", "step"), [(2030, 1), (2045, 1), (ROW - 1, 1), (12_000, 3), (30_000, 7)])
@all_dtypes
def test_runs_of_several_chunks(length, step, dtype):
    """Longer than what is drawn at once, shorter than a long row."""
    check((3, length), np.s_[:, 1:-1:step], NORMAL, dtype)
    check((3, length), np.s_[:, -2:0:-step], NORMAL, dtype)


@pytest.mark.parametrize(
    ("index", "memory"),
    [(np.s_[:, 1:451], {}), (np.s_[:, 4:452], {}), (np.s_[...], {"order": [1, 0]}), (np.s_[:, ::-1], {})],
)
@all_dtypes
def test_several_units(index, memory, dtype):
    check((600, 500), index, NORMAL, dtype, memory)


@pytest.mark.parametrize(
    ("index", "memory"),
    [
        (np.s_[:, 1:], {}),
        (np.s_[:, 4:], {}),
        (np.s_[1:, :], {}),
        (np.s_[...], {"order": [1, 0]}),
        (np.s_[::-1, ::-1], {}),
        (np.s_[::2, ::2], {}),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_threads(index, memory, dtype):
    """From 2^21 elements on there are two."""
    shape = (3000, 3000) if index == np.s_[::2, ::2] else (1500, 1500)
    assert np.empty(shape, np.uint8)[index].size >= 2 * _kernels.THREAD_ELEMENTS
    for threads in (2, 3):
        check(shape, index, NORMAL, dtype, memory, threads, ISAS[-1:])


@all_dtypes
def test_many_axes(dtype):
    shape = (3, 4, 5, 2, 3, 4, 6)
    check(shape, np.s_[::-1, 1:, ::2, :, 1, ..., ::-3], NORMAL, dtype)
    check(shape, np.s_[:, 1:3, :, ::-1, :, 1:, 2:5], NORMAL, dtype, {"order": [4, 0, 6, 2, 1, 3, 5]})
    check((2,) * 15, np.s_[1, ..., ::-1], NORMAL, dtype, {"order": range(13, -1, -1)})


MOST_AXES = 64 if np.__version__ >= "2" else 32  # of NumPy


@all_dtypes
def test_as_many_axes_as_numpy_has(dtype):
    ones = (1,) * (MOST_AXES - 3)
    check((1,) * MOST_AXES, ..., NORMAL, dtype)
    check((5, *ones, 3, 4), np.s_[::-1, ..., 1:], NORMAL, dtype)
    check((5, 3, *ones, 4), np.s_[..., ::-2], NORMAL, dtype, {"order": range(MOST_AXES - 1, -1, -1)})


@all_dtypes
def test_fans_are_the_whole_tensors(dtype):
    index = np.s_[3:5, ::-2]
    check((8, 30), index, "he", dtype)
    check((8, 30), index, "xavier_uniform", dtype, {"order": [1, 0]}, fan_out=77)
    part = fi.initialize((8, 30), "he", seed=1, index=index)
    assert part.tobytes() != fi.initialize((2, 15), "he", seed=1).tobytes()


def test_forms_of_an_index():
    """Everything that NumPy takes for the same part."""
    whole = fi.initialize((6, 5), "he", seed=1)
    for index in ((), ..., (...,), slice(None), (slice(None), ...), np.s_[:, :], np.s_[-100:100]):
        assert fi.initialize((6, 5), "he", seed=1, index=index).tobytes() == whole.tobytes()
    for index in (2, -4, np.int8(2), np.array(2), (2,), (2, ...), np.s_[2, :], np.s_[2, np.uint8(0) :]):
        part = fi.initialize((6, 5), "he", seed=1, index=index)
        assert (part.shape, part.tobytes()) == ((5,), whole[2].tobytes())
    one = fi.initialize((6, 5), "he", seed=1, index=(2, -1))
    assert (one.shape, one.tobytes()) == ((), whole[2, -1].tobytes())
    assert fi.initialize((), "normal", seed=1, index=()).tobytes() == fi.initialize((), "normal", seed=1).tobytes()
    assert fi.initialize(30, "normal", seed=1, index=slice(4, 9)).shape == (5,)


def test_shape_without_index():
    out = np.empty((6, 5), np.float32)
    assert fi.fill(out, "he", seed=1, shape=[6, 5]) is out
    assert out.tobytes() == fi.initialize((6, 5), "he", seed=1).tobytes()


def test_parts_without_elements():
    for index in (np.s_[3:3], np.s_[4:2], np.s_[:, 9:], np.s_[2:2, 1], np.s_[7:]):
        expected = np.empty((6, 5))[index].shape
        out = np.empty(expected, np.float32)
        assert fi.fill(out, "he", seed=1, shape=(6, 5), index=index) is out
        assert fi.initialize((6, 5), "he", seed=1, index=index).shape == expected
    assert fi.initialize((0, 2**40, 2**40), "zeros", index=np.s_[:, 5:7, 3]).shape == (0, 2)


# ---- far out ----

HUGE = [
    # More than 2^32 blocks, in rows of 2^28 of them.
    ((2**20, 2**30), np.s_[2**20 - 3 :, 2**30 - 50 :]),
    ((2**20, 2**30), np.s_[77::300_000, 1_000_001:1_000_050]),
    ((2**20, 2**30), np.s_[5, -300:]),
    ((2**20, 2**30), np.s_[:: 2**12, 12_345]),
    ((2**20, 2**30), np.s_[3:6, :: 2**24]),
    ((2**20, 2**30), np.s_[::-300_007, -1 : -(2**30) : -5_000_011]),
    # Across element 2^34, block 2^32 of float32, and 2^33, that of float64.
    ((2**50,), np.s_[2**34 - 300 : 2**34 + 200]),
    ((2**50,), np.s_[2**33 - 301 : 2**33 + 201]),
    ((2**50,), np.s_[2**34 + 60 : 2**34 - 61 : -3]),
    ((2**50,), np.s_[2**33 + 60 : 2**33 - 61 : -1]),
    ((2**50,), np.s_[2**34 - 50 * 11 : 2**34 + 50 * 11 : 11]),
    ((2**25, 2**25), np.s_[254:514, -3:]),
    ((2**25, 2**25), np.s_[254:514, :3]),
    ((2**25, 2**25), np.s_[511:513, :: 2**18]),
    ((1_000_003, 1_000_000_007), np.s_[16:19, 179_869_065:179_869_305]),
    ((1_000_003, 1_000_000_007), np.s_[18:15:-1, 179_869_305:179_869_065:-2]),
    # Across blocks whose low halves wrap once more, and up to the last element of all.
    ((2**30, 2**30), np.s_[2**14 * 5 - 2 : 2**14 * 5 + 2, -40:]),
    ((2**61, 3), np.s_[-5:]),
    ((2**63 - 1,), np.s_[-300:]),
    ((2**63 - 1,), np.s_[: -(2**62) : -(2**54)]),
    ((3, 2**61), np.s_[::-1, :: 2**55]),
    ((2, 2, 2**60), np.s_[:, 1, :: -(2**54)]),
]


def positions(shape, index):
    """Where the elements of a part are in the whole, in C order."""
    entries = list(index) if isinstance(index, tuple) else [index]
    entries += [slice(None)] * (len(shape) - len(entries))
    total, part_shape = np.zeros((), np.uint64), []
    for axis, (entry, n) in enumerate(zip(entries, shape, strict=True)):
        taken = range(n)[entry]
        coordinates = [taken] if isinstance(taken, int) else list(taken)
        stride = math.prod(shape[axis + 1 :])
        total = np.add.outer(total, np.array([k * stride for k in coordinates], np.uint64))
        part_shape += [] if isinstance(taken, int) else [len(coordinates)]
    return total.reshape(part_shape)


def uniform_at(places, low, high, dtype):
    """The oracle's uniform numbers of the elements at `places`."""

    def words(index):
        block, low_half = index // np.uint64(4), np.uint64(0xFFFFFFFF)
        counter = block & low_half, block >> np.uint64(32), STREAM & 0xFFFFFFFF, STREAM >> 32
        upper = (np.full(block.shape, c, np.uint64) for c in counter[2:])
        return np.choose((index % np.uint64(4)).astype(int), reference.philox((*counter[:2], *upper), SEED))

    flat = places.reshape(-1)
    if dtype == "float32":
        word = words(flat)
    else:
        pair = [words(flat * np.uint64(2) + np.uint64(k)) for k in (0, 1)]
        word = pair[0] | pair[1] << np.uint64(32)
    return reference.uniform_of(word, low, high, dtype).reshape(places.shape)


def test_the_oracle_of_places():
    """At any places it gives what `reference` gives for spans, and the places are NumPy's."""
    shape, index = (5, 7, 9), np.s_[::-2, 3, 1:]
    places = positions(shape, index)
    assert np.array_equal(places, np.arange(5 * 7 * 9).reshape(shape)[index])
    for dtype in DTYPES:
        whole = reference.uniform(SEED, STREAM, 0, 5 * 7 * 9, -0.5, 2.0, dtype).reshape(shape)
        assert uniform_at(places, -0.5, 2.0, dtype).tobytes() == whole[index].tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("shape", "index"), HUGE)
@dtypes
def test_far_positions_by_the_oracle(shape, index, order, dtype):
    expected = uniform_at(positions(shape, index), -0.5, 2.0, dtype)
    out = np.empty(expected.shape, dtype, order)
    fi.fill(out, fi.uniform(-0.5, 2.0), seed=SEED, stream=STREAM, shape=shape, index=index)
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["he", "xavier_uniform"])
@pytest.mark.parametrize(("shape", "index"), HUGE)
@all_dtypes
def test_far_positions_by_spans_of_the_kernels(shape, index, name, dtype):
    """Each element alone equals that of a span, by plain C; fans are counted from the whole."""
    fans = {"fan_in": 50, "fan_out": 70}
    got = fi.initialize(shape, name, seed=SEED, stream=STREAM, dtype=dtype, index=index, **fans)
    planned = _fill.plan(name, shape, as_dtype(dtype), **fans)
    (kernel,) = (kernel for (kernel, of), kind in _kernels.KINDS.items() if (of, kind) == (dtype, planned.kind))
    places = positions(shape, index)
    assert got.shape == places.shape
    some = np.random.default_rng(1).permutation(places.size)[:100].tolist()
    for i in {0, places.size - 1, *some}:
        place = int(places.flat[i])
        alone = draw(kernel, dtype, planned.parameters, SEED, STREAM, place, 1, isa="generic")
        assert got.reshape(-1)[i : i + 1].tobytes() == alone.tobytes()


@all_dtypes
def test_a_far_row_by_one_span(dtype):
    shape, columns = (2**20, 2**30), np.s_[2**29 + 3 : 2**29 + 100_000]
    got = fi.initialize(shape, "he", seed=SEED, stream=STREAM, dtype=dtype, index=(2**20 - 1, columns))
    law = fi.he_normal()
    planned = _fill.plan(law, shape, as_dtype(dtype))
    start = (2**20 - 1) * 2**30 + columns.start
    assert got.tobytes() == draw("normal", dtype, planned.parameters, SEED, STREAM, start, got.size).tobytes()


MEASURE = """
import re, time
import numpy as np
import fastinit as fi

def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024

fi.initialize((2**20, 2**30), "he", seed=0, index=(0, 0))
before, started = peak(), time.perf_counter()
part = fi.initialize((2**20, 2**30), "he", seed=0, stream="w", index={index})
seconds, grown = time.perf_counter() - started, peak() - before
ballast = np.ones(2**23)
print(part.size, seconds, grown, peak() - before - grown)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize(
    "index",
    [
        "np.s_[7, : 2**20]",
        "np.s_[2**20 - 1 :, 2**29 : 2**29 + 2**20]",
        "np.s_[:, 12_345]",
        "np.s_[:, 3:4]",
        "np.s_[:: -(2**10), 5 : 5 + 2**10]",
    ],
)
def test_a_part_costs_what_the_part_costs(index):
    """2^20 of 2^50 elements, 4 MiB: in a process of its own, whose peak of memory is not the tests'."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(index=index)], capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    size, seconds, grown, ballast = done.stdout.split()
    assert int(size) == 2**20
    assert float(seconds) < 1
    assert int(grown) < 50e6
    assert int(ballast) > 50e6  # 64 MiB more do show


# ---- errors ----

RULE = "index must be made of integers, slices and at most one ellipsis; got "
ENTRIES_RULE = "index must have at most 2 entries for shape (6, 5); got "
TYPE_OF_SLICE = "slice indices must be integers or None or have an __index__ method"


class Unusual:
    """What no index can be."""

    def __repr__(self):
        return "Unusual()"


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        ((1, 2, 3), ValueError, ENTRIES_RULE + "3"),
        ((1, ..., 2, 3), ValueError, ENTRIES_RULE + "3"),
        ((slice(None),) * 4, ValueError, ENTRIES_RULE + "4"),
        ((None, 1, 2), ValueError, ENTRIES_RULE + "3"),
        ((..., ...), ValueError, RULE + "(Ellipsis, Ellipsis)"),
        ((..., 1, ...), ValueError, RULE + "(Ellipsis, 1, Ellipsis)"),
        ((None,), TypeError, RULE + "(None,)"),
        ((None, slice(None)), TypeError, RULE + "(None, slice(None, None, None))"),
        ((1, None), TypeError, RULE + "(1, None)"),
        ([1, 2], TypeError, RULE + "[1, 2]"),
        (([1, 2], 0), TypeError, RULE + "([1, 2], 0)"),
        (((1, 2), 0), TypeError, RULE + "((1, 2), 0)"),
        (np.array([1, 2]), TypeError, RULE + "array([1, 2])"),
        (np.array([1]), TypeError, RULE + "array([1])"),
        (np.zeros((6, 5), bool), TypeError, RULE + repr(np.zeros((6, 5), bool))),
        ((np.array([0, 1]), ...), TypeError, RULE + "(array([0, 1]), Ellipsis)"),
        (True, TypeError, RULE + "True"),
        ((1, False), TypeError, RULE + "(1, False)"),
        (np.True_, TypeError, RULE + repr(np.True_)),
        (np.array(True), TypeError, RULE + "array(True)"),
        (1.0, TypeError, RULE + "1.0"),
        ((0, np.float32(1)), TypeError, RULE + f"(0, {np.float32(1)!r})"),
        ("1", TypeError, RULE + "'1'"),
        (b"1", TypeError, RULE + "b'1'"),
        ((0, "weight"), TypeError, RULE + "(0, 'weight')"),
        (range(3), TypeError, RULE + "range(0, 3)"),
        (Unusual(), TypeError, RULE + "Unusual()"),
        (6, ValueError, "index must lie within axis 0 of length 6; got 6"),
        (-7, ValueError, "index must lie within axis 0 of length 6; got -7"),
        ((0, 5), ValueError, "index must lie within axis 1 of length 5; got 5"),
        ((..., -6), ValueError, "index must lie within axis 1 of length 5; got -6"),
        ((slice(None), 10**30), ValueError, f"index must lie within axis 1 of length 5; got {10**30}"),
        (slice(None, None, 0), ValueError, RULE + "slice(None, None, 0): slice step cannot be zero"),
        ((0, slice(1, 2, 0)), ValueError, RULE + "(0, slice(1, 2, 0)): slice step cannot be zero"),
        (slice(1.0, 2), TypeError, RULE + f"slice(1.0, 2, None): {TYPE_OF_SLICE}"),
        ((0, slice(None, "3")), TypeError, RULE + f"(0, slice(None, '3', None)): {TYPE_OF_SLICE}"),
        (slice(None, None, 0.5), TypeError, RULE + f"slice(None, None, 0.5): {TYPE_OF_SLICE}"),
    ],
)
def test_index_errors(index, error, text):
    out = np.full((6, 5), 7, np.float32)
    raises(error, text, fi.initialize, (6, 5), "ones", index=index)
    raises(error, text, fi.fill, out, "ones", shape=(6, 5), index=index)
    assert (out == 7).all()


def raises(error, text, call, *arguments, **keywords):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call(*arguments, **keywords)


def test_no_index_into_a_scalar():
    text = "index must have at most 0 entries for shape (); got 1"
    raises(ValueError, text, fi.initialize, (), "ones", index=0)
    raises(ValueError, text, fi.initialize, (), "ones", index=slice(None))
    raises(ValueError, "index must lie within axis 0 of length 0; got 0", fi.initialize, 0, "ones", index=0)


@pytest.mark.parametrize("shape", [(2**31, 2**32), (2**63,), (2**100, 3), (2**21,) * 3])
def test_too_many_elements(shape):
    text = f"shape must have fewer than 2^63 elements; got {shape}"
    out = np.full(len(shape), 7, np.float32)
    raises(ValueError, text, fi.initialize, shape, "ones", index=(0,) * len(shape))
    raises(ValueError, text, fi.fill, out, "ones", shape=shape, index=(0,) * len(shape))
    assert (out == 7).all()


@pytest.mark.parametrize("index", [0, np.s_[1:3], ...])
def test_index_without_shape(index):
    out = np.full((6, 5), 7, np.float32)
    text = f"shape must be the whole tensor's where index is given; got None with index {index!r}"
    raises(ValueError, text, fi.fill, out, "ones", index=index)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("shape", "index", "part"),
    [
        ((6, 5), None, (6, 5)),
        ((5, 4), np.s_[1:3], (2, 4)),
        ((5, 4), np.s_[1], (4,)),
        ((5, 4), np.s_[1, 1], ()),
        ((7, 5, 6), np.s_[..., 0], (7, 5)),
        ([5, 6], ..., (5, 6)),
        (30, np.s_[:], (30,)),
    ],
)
def test_out_of_another_shape(shape, index, part):
    out = np.full((5, 6), 7, np.float32)
    whole = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    text = f"out must have shape {part}, that of index {index!r} of {whole}; got (5, 6)"
    if part == (5, 6):
        fi.fill(out, "ones", shape=shape, index=index)
        assert (out == 1).all()
    else:
        raises(ValueError, text, fi.fill, out, "ones", shape=shape, index=index)
        assert (out == 7).all()


def test_shape_errors_of_fill():
    out = np.full((5, 6), 7, np.float32)
    text = "each dimension of shape must be an integer of at least 0; got -1"
    raises(ValueError, text, fi.fill, out, "ones", shape=(-1, 6), index=...)
    raises(TypeError, "shape must be an integer or a sequence of integers; got '56'", fi.fill, out, "ones", shape="56")
    assert (out == 7).all()


def test_an_error_of_a_part_takes_nothing_from_the_generator():
    generator = np.random.default_rng(1)
    for index in (9, (None,), (..., ...)):
        with pytest.raises((TypeError, ValueError), match=r"^index must"):
            fi.initialize((6, 5), "he", seed=generator, index=index)
    with pytest.raises(ValueError, match=r"^out must have shape"):
        fi.fill(np.empty(3, np.float32), "he", seed=generator, shape=(6, 5), index=0)
    assert generator.bit_generator.state == np.random.default_rng(1).bit_generator.state
