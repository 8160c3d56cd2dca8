"""The stream: every word and uniform equals the oracle's, every normal is within its stated error, cuts do not show."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit import _kernels

from . import reference
from .helpers import DTYPES, ISAS, TILE_BYTES, draw, uniform_parameters

GREATEST = 2**64 - 1
WORD_BITS = {"float32": 32, "float64": 64}
UNIT = {"float32": 2.0**-23, "float64": 2.0**-52}
NORMAL_ULPS = 4
PI = 0x28BE60DB9391054A  # 2^64 / 2 pi: the word of an angle of one radian

isas = pytest.mark.parametrize("isa", ISAS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def normal(dtype, seed, stream, start, count, **more):
    return draw("normal", dtype, (0.0, 1.0), seed, stream, start, count, **more)


def pair_at(dtype, radius, angle, isa=None):
    """The two normals that the kernel makes of a chosen radius word and angle word."""
    if dtype == "float32":
        seed, stream, block = reference.place((radius, angle, radius, angle))
        pairs = normal(dtype, seed, stream, 4 * block, 4, isa=isa)
        assert pairs[:2].tobytes() == pairs[2:].tobytes()  # a block's two pairs go the same way
    else:
        halves = radius & 0xFFFFFFFF, radius >> 32, angle & 0xFFFFFFFF, angle >> 32
        seed, stream, block = reference.place(halves)
        pairs = normal(dtype, seed, stream, 2 * block, 2, isa=isa)
    return pairs[0], pairs[1]


# ---- words ----

# Random123, kat_vectors: counter, key, output.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
known_answers = pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)


def wide(low, high):
    return low | high << 32


@known_answers
def test_oracle_known_answers(counter, key, output):
    assert tuple(int(word[0]) for word in reference.philox(counter, wide(*key))) == output
    assert reference.inverse_philox(output, wide(*key)) == (wide(*counter[:2]), wide(*counter[2:]))


@isas
@known_answers
def test_known_answers(counter, key, output, isa):
    block = wide(*counter[:2])
    first = block - block % 32
    tile = np.frombuffer(_kernels.words(wide(*key), wide(*counter[2:]), first, 1, isa), "<u4")
    assert tuple(tile[4 * (block - first) :][:4].tolist()) == output


@isas
@pytest.mark.parametrize("block", [0, 32, 2**32 - 96, 2**32 - 32, 2**32, 2**62, 2**64 - 128])
@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (1, 2**32), (GREATEST, GREATEST), (2**60 - 3, 2**63 + 5)])
def test_words(seed, stream, block, isa):
    got = np.frombuffer(_kernels.words(seed, stream, block, 4, isa), "<u4")
    assert np.array_equal(got, reference.words(seed, stream, 4 * block, got.size))


# ---- uniform: equal to the last bit ----

# Where the counter's low word wraps (block 2^32), where 32-bit indices would, and at the far end of any tensor.
FAR = [0, 1, 2**32 - 3, 2**33 - 5, 2**34 - 7, 2**34 + 1, 2**40 + 3, 2**62 + 129]


@isas
@dtypes
@pytest.mark.parametrize("start", FAR)
def test_uniform_is_exact(dtype, start, isa):
    for low, high in ((0.0, 1.0), (-0.25, 0.75), (1.0, 2**10 + 1.0), (-(2.0**-20), 2.0**-19)):
        got = draw("uniform", dtype, uniform_parameters(low, high, dtype), 7, 11, start, 3000, isa=isa)
        assert got.tobytes() == reference.uniform(7, 11, start, 3000, low, high, dtype).tobytes()


@isas
@dtypes
def test_uniform_is_exact_in_any_bounds(dtype, isa):
    """Bounds that use every bit of the significand, so that each fma has to round."""
    bounds = np.random.default_rng(1).standard_cauchy((20, 2)).astype(dtype).astype(float)
    for i, (low, high) in enumerate(np.sort(bounds).tolist()):
        got = fi.initialize(5000, fi.uniform(low, high), seed=i, stream=GREATEST - i, dtype=dtype)
        assert got.tobytes() == reference.uniform(i, GREATEST - i, 0, 5000, low, high, dtype).tobytes()


CHUNK_EDGES = [n + d for n in (2**18, 2**19) for d in (-1, 1)]  # parallel.c: a thread claims 2 MiB at a time
TILE = {"float32": TILE_BYTES // 4, "float64": TILE_BYTES // 8}


@isas
@dtypes
@pytest.mark.parametrize("start", [0, 1, 2, 3, 5, 31, 63, 64, 127, 128, 129, 2**34 - 1, *CHUNK_EDGES])
def test_lengths(dtype, start, isa):
    """Every kind of cut at both ends of a span, with nothing written beside it."""
    tile = TILE[dtype]
    oracle = reference.uniform(3, 4, start, 6 * tile, 0.0, 1.0, dtype)
    whole = normal(dtype, 3, 4, start - start % 2, 6 * tile + 1, isa=isa)[start % 2 :]
    for count in (0, 1, 2, 3, tile - 1, tile, tile + 1, 2 * tile - 1, 5 * tile + 17):
        buffer = np.full(count + 2, -1, dtype)
        for name, parameters, expected in (("uniform", (0.0, 1.0, 1.0), oracle), ("normal", (0.0, 1.0), whole)):
            _kernels.fill(buffer[1:-1], _kernels.KINDS[name, dtype], parameters, 3, 4, start, 1, isa)
            assert buffer[1:-1].tobytes() == expected[:count].tobytes()
            assert (buffer[0], buffer[-1]) == (-1, -1)


@given(
    seed=st.integers(0, GREATEST),
    stream=st.integers(0, GREATEST),
    start=st.one_of(st.integers(0, 600), st.integers(0, 2**62)),
    count=st.integers(0, 700),
    dtype=st.sampled_from(DTYPES),
    isa=st.sampled_from(ISAS),
)
@settings(max_examples=150, deadline=None)
def test_uniform_anywhere(seed, stream, start, count, dtype, isa):
    got = draw("uniform", dtype, uniform_parameters(-1.0, 1.0, dtype), seed, stream, start, count, isa=isa)
    assert got.tobytes() == reference.uniform(seed, stream, start, count, -1.0, 1.0, dtype).tobytes()


# ---- normal: within four ulps of the exact transform ----

needs_long_double = pytest.mark.skipif(not reference.LONG_DOUBLE_IS_WIDE, reason="long double is no wider than double")


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=needs_long_double)])
def test_oracle_agrees_with_mpmath(dtype):
    """The oracle's own error is far below the errors that it measures."""
    word = reference.draw_words(1, 2, 0, 400, dtype)
    for i, got in enumerate(np.transpose(reference.gaussian(word[::2], word[1::2], dtype))):
        for g, e in zip(got, reference.gaussian_mp(int(word[2 * i]), int(word[2 * i + 1]), dtype), strict=True):
            high = float(g)
            with mpmath.workdps(60):
                distance = abs(mpmath.mpf(high) + float(g - high) - e)
            assert distance < 2**-9 * UNIT[dtype] * max(1, abs(high))


@isas
@pytest.mark.parametrize(
    ("dtype", "count"), [("float32", 1 << 20), pytest.param("float64", 1 << 17, marks=needs_long_double)]
)
@pytest.mark.parametrize("start", [0, 2**34 - 12345])
def test_normal_is_accurate(dtype, count, start, isa):
    got = normal(dtype, 5, 6, start, count, isa=isa)
    exact = reference.normal(5, 6, start, count, dtype)
    assert reference.error(got, exact, dtype).max() <= NORMAL_ULPS


def chosen_words(dtype):
    """Radius words and angle words where a transform is most likely to be wrong."""
    bits = WORD_BITS[dtype]
    top = 2**bits - 1
    near_one = [top >> k << k for k in range(bits)] + [top - (1 << k) for k in range(bits - 1)]
    near_zero = [1 << k for k in range(bits)] + [(1 << k) - 1 for k in range(bits)]
    root = math.floor(math.sqrt(0.5) * 2**53) << bits >> 53  # u1 near sqrt(1/2), where its exponent changes
    octaves = [w for k in range(bits) for w in (root >> k, (root >> k) + 1, (root >> k) - 1 if root >> k else 0)]
    radii = {0, top, *near_one, *near_zero, *octaves}
    eighths = [k << bits - 3 for k in range(8)]
    angles = {(a + d) & top for a in eighths for d in (0, 1, -1, 3, -3, 2**11, -(2**11), 2**13, -(2**13))}
    angles |= set(near_zero) | {PI >> 64 - bits}
    return sorted(radii), sorted(angles)


@isas
@dtypes
def test_normal_at_chosen_words(dtype, isa):
    radii, angles = chosen_words(dtype)
    chosen = [(r, a) for r in radii for a in angles[:: len(angles) // 3]] + [(r, a) for r in radii[:2] for a in angles]
    for radius, angle in chosen:
        got, exact = pair_at(dtype, radius, angle, isa), reference.gaussian_mp(radius, angle, dtype)
        for g, e in zip(got, exact, strict=True):
            ulp = np.spacing(np.dtype(dtype).type(max(1, abs(float(e)))))
            assert abs(float(g) - e) <= NORMAL_ULPS * ulp, (hex(radius), hex(angle))


# The worst words that src_c/worst.c finds, and the errors that it prints: relative, in 2^-23 and in 2^-52.
WORST_RADIUS = {"float32": (0xE1B2C1F0, 0.8719), "float64": (0xE1DF278FC19A1447, 1.1045)}
WORST_CIRCLE = {"float32": (0x1E161BD0, 1.0664), "float64": (0xE0D13E6133A72178, 1.0403)}
#: Half a unit of the last digit; for doubles also an ulp of the long double that worst.c compares with.
PRINTED = {"float32": 0.00005, "float64": 0.00005 + 2.0**-11}


def relative_error(got, exact, dtype):
    with mpmath.workdps(60):
        return float(abs(float(got) - exact) / abs(exact)) / UNIT[dtype]


def radius_error(dtype, word, isa):
    """An angle of 0 leaves the radius alone."""
    radius, zero = pair_at(dtype, word, 0, isa)
    assert zero == 0
    exact, _ = reference.gaussian_mp(word, 0, dtype)
    return relative_error(radius, exact, dtype) if exact else float(radius)


def circle_error(dtype, word, unit_radius, isa):
    """A radius of exactly 1 leaves the circle alone."""
    with mpmath.workdps(60):
        turn = mpmath.mpf(word) / 2 ** (WORD_BITS[dtype] - 1)
        exact = mpmath.cospi(turn), mpmath.sinpi(turn)
    got = pair_at(dtype, unit_radius, word, isa)
    return max(relative_error(g, e, dtype) if e else abs(float(g)) for g, e in zip(got, exact, strict=True))


def word_of_unit_radius(dtype, isa):
    bits = WORD_BITS[dtype]
    step, middle = 1 << bits - min(bits, 53), int(math.exp(-0.5) * 2**bits)
    near = range(middle - 99 * step, middle + 99 * step, step)
    return next(word for word in near if pair_at(dtype, word, 0, isa)[0] == 1)


@isas
@dtypes
def test_worst_words(dtype, isa):
    """They err as much as worst.c says, and no word of a thousand errs more."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2 ** WORD_BITS[dtype], 1000, np.uint64).tolist()
    radii, angles = chosen_words(dtype)
    worst, printed = WORST_RADIUS[dtype]
    assert radius_error(dtype, worst, isa) == pytest.approx(printed, abs=PRINTED[dtype])
    assert max(radius_error(dtype, word, isa) for word in words + radii) <= printed + PRINTED[dtype]
    worst, printed = WORST_CIRCLE[dtype]
    unit_radius = word_of_unit_radius(dtype, isa)
    assert circle_error(dtype, worst, unit_radius, isa) == pytest.approx(printed, abs=PRINTED[dtype])
    assert max(circle_error(dtype, word, unit_radius, isa) for word in words + angles) <= printed + PRINTED[dtype]


@isas
@dtypes
def test_normal_extremes(dtype, isa):
    """The least u1 gives the longest tail, u1 = 1 gives 0, and the axes of the circle are exact."""
    bits = WORD_BITS[dtype]
    least = {"float32": 2.0**-32, "float64": 2.0**-53}[dtype]
    tail, zero = pair_at(dtype, 0, 0, isa)
    assert float(tail) == pytest.approx(math.sqrt(-2 * math.log(least)), rel=4 * UNIT[dtype])
    assert math.floor(100 * tail) / 100 == {"float32": 6.66, "float64": 8.57}[dtype]
    for quadrant, expected in enumerate([(tail, zero), (zero, tail), (-tail, zero), (zero, -tail)]):
        assert pair_at(dtype, 0, quadrant << bits - 2, isa) == expected
    for angle in (0, 1, PI >> 64 - bits, 1 << bits - 1, 2**bits - 1):
        assert pair_at(dtype, 2**bits - 1, angle, isa) == (0, 0)


@isas
@dtypes
def test_eighths_of_a_turn(dtype, isa):
    """Halfway between the axes, where the transform turns from one series to the other, cosine and sine are near."""
    bits = WORD_BITS[dtype]
    signs = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    for eighth, (x, y) in zip((1, 3, 5, 7), signs, strict=True):
        for step in (-1, 0, 1):
            got = pair_at(dtype, 0, (eighth << bits - 3) + step, isa)
            exact = reference.gaussian_mp(0, (eighth << bits - 3) + step, dtype)
            assert (np.sign(got[0]), np.sign(got[1])) == (x, y)
            assert max(relative_error(g, e, dtype) for g, e in zip(got, exact, strict=True)) < 3


@isas
@dtypes
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.02), (1.0, 1.0), (-3.7, 1e-3), (1e-20, 1e-20), (5.0, 0.0)])
def test_mean_and_std_round_once(dtype, mean, std, isa):
    """fma(std, z, mean) of the standard draw, exactly."""
    number = np.dtype(dtype).type
    z = normal(dtype, 8, 9, 17, 20_000, isa=isa)
    got = draw("normal", dtype, (mean, std), 8, 9, 17, 20_000, isa=isa)
    assert got.tobytes() == reference.fma(z, number(std), number(mean), dtype).tobytes()


# ---- one stream, however it is cut ----


@isas
@given(
    cut=st.integers(0, 2000),
    count=st.integers(0, 2000),
    start=st.integers(0, 2**40),
    kind=st.sampled_from(["uniform", "normal", "constant"]),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_the_same_bytes(isa, cut, count, start, kind, dtype):
    parameters = {"uniform": (0.0, 1.0, 1.0), "normal": (0.5, 2.0), "constant": (0.1,)}[kind]
    cut = min(cut, count)
    whole = draw(kind, dtype, parameters, 1, 2, start, count, isa=isa)
    first = draw(kind, dtype, parameters, 1, 2, start, cut, isa=isa)
    rest = draw(kind, dtype, parameters, 1, 2, start + cut, count - cut, isa=isa)
    assert whole.tobytes() == first.tobytes() + rest.tobytes()


THREAD_ELEMENTS = 1 << 20  # parallel.c: a thread has at least so many to fill
SEVEN_THREADS = 7 * THREAD_ELEMENTS + 12345


@pytest.mark.parametrize(
    ("name", "dtype"), [("uniform", "float32"), ("uniform", "float64"), ("normal", "float32"), ("ones", "float64")]
)
def test_threads_do_not_show(name, dtype):
    one = fi.initialize(SEVEN_THREADS, name, seed=1, stream="w", dtype=dtype, threads=1)
    for threads in (2, 7, None):
        assert np.array_equal(one, fi.initialize(SEVEN_THREADS, name, seed=1, stream="w", dtype=dtype, threads=threads))


@dtypes
def test_threads_share_out_a_part(dtype):
    """An unaligned span that begins and ends inside a thread's chunk, with nothing written beside it."""
    start, count = 3 * THREAD_ELEMENTS + 77, 2 * THREAD_ELEMENTS + 1001
    buffer = np.full(count + 2, -1, dtype)
    _kernels.fill(buffer[1:-1], _kernels.KINDS["uniform", dtype], (0.0, 1.0, 1.0), 1, 2, start, 7)
    assert np.array_equal(buffer[1:-1], draw("uniform", dtype, (0.0, 1.0, 1.0), 1, 2, start, count))
    assert (buffer[0], buffer[-1]) == (-1, -1)


# ---- seeds and streams ----


def weights(seed=0, stream=0, initialization="normal", count=1000):
    return fi.initialize(count, initialization, seed=seed, stream=stream).tobytes()


def test_every_seed_and_stream_is_its_own():
    ends = [0, 1, 2, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, GREATEST]
    drawn = [weights(seed, stream) for seed, stream in itertools.product(ends, ends)]
    assert len(set(drawn)) == len(ends) ** 2


@pytest.mark.parametrize("name", ["", "fc1.weight", "encoder.layers.0.attn", "poids.été", "重み", "a" * 1000])
def test_streams_by_name(name):
    stream = reference.stream_of(name)
    assert weights(1, name) == weights(1, stream)
    uniform = fi.initialize(1000, "uniform", seed=1, stream=name)
    assert uniform.tobytes() == reference.uniform(1, stream, 0, 1000, 0.0, 1.0, "float32").tobytes()


def test_known_name():
    """BLAKE2b of "fc1.weight", as `printf fc1.weight | b2sum -l 64` prints it, read little-endian."""
    assert weights(0, "fc1.weight") == weights(0, int.from_bytes(bytes.fromhex("0a0151586820f72f"), "little"))


def test_integer_types():
    assert weights(np.uint64(GREATEST), np.uint64(2**63)) == weights(GREATEST, 2**63)
    assert weights(np.int8(5), np.uint32(7)) == weights(5, 7)


def test_generator_seed_is_one_word():
    word = int(np.random.default_rng(7).bit_generator.random_raw())
    generator = np.random.default_rng(7)
    assert weights(generator) == weights(word)
    assert weights(generator) != weights(word)  # its next word
    used = np.random.default_rng(7)
    used.bit_generator.random_raw(2)
    assert generator.bit_generator.state == used.bit_generator.state


def test_seed_sequence():
    word = int(np.random.SeedSequence(7).generate_state(1, np.uint64)[0])
    sequence = np.random.SeedSequence(7)
    assert weights(sequence) == weights(sequence) == weights(word)
    children = [weights(child) for child in np.random.SeedSequence(7).spawn(3)]
    assert len({*children, weights(word)}) == 4


def test_none_draws_a_seed():
    assert weights(None) != weights(None)


def test_a_tensor_does_not_know_the_others():
    """Whatever was filled before, in whatever order, a tensor's values are its own."""
    tensors = {
        "fc1.weight": ((64, 32), "he"),
        "fc1.bias": ((64,), "zeros"),
        "fc2.weight": ((64, 64), "xavier_uniform"),
        "emb": ((100, 16), fi.normal(std=0.02)),
        "head": ((64, 32), "he"),
    }
    orders = itertools.islice(itertools.permutations(tensors), 0, None, 7)
    seen = {name: set() for name in tensors}
    for order in orders:
        fi._fill.plan.cache_clear()
        for name in order:
            shape, initialization = tensors[name]
            seen[name].add(fi.initialize(shape, initialization, seed=3, stream=name).tobytes())
    assert {name: len(values) for name, values in seen.items()} == dict.fromkeys(tensors, 1)
    assert seen["fc1.weight"] != seen["head"]


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_zeros_are_positive(first):
    """0.0 == -0.0, so what is remembered of one answers for the other."""
    fi._fill.plan.cache_clear()
    for value in (first, -first, first):
        assert repr(fi.constant(value)) == "Constant(value=0.0)"
        assert fi.initialize(3, fi.constant(value)).view(np.uint32).tolist() == [0, 0, 0]


def test_index_alone_decides():
    """A shape is its elements in C order, and a longer tensor begins like a shorter one."""
    flat = fi.initialize(60, "normal", seed=1)
    assert np.array_equal(fi.initialize((3, 4, 5), "normal", seed=1), flat.reshape(3, 4, 5))
    assert np.array_equal(fi.initialize(1000, "normal", seed=1)[:60], flat)
