"""Lazy Dask arrays: the whole tensor to the bit, whatever chunks and scheduler, and no block that nobody asks for."""

import contextlib
import dataclasses
import pickle

import numpy as np
import pytest

import fastinit as fi
from fastinit import _fill

from .helpers import NEEDED

dask = pytest.importorskip("dask")
pytest.importorskip("dask.array")
pytest.importorskip("ml_dtypes")
import fastinit.dask  # noqa: E402

SHAPE = (7, 5, 4)
DTYPES = ("float32", "float64", "float16", "bfloat16", "complex64", "complex128")
CHUNKS = [
    (SHAPE, "auto"),
    (SHAPE, -1),
    (SHAPE, 1),
    (SHAPE, 3),
    (SHAPE, (2, -1, "auto")),
    (SHAPE, ((3, 1, 3), (4, 1), (1, 1, 2))),
    (SHAPE, ((0, 7), (5, 0), (4,))),
    (SHAPE, {0: 2, 2: 3}),
    (SHAPE, "48B"),
    ((), "auto"),
    ((), ()),
    (9, 4),
    ((0, 3), (1, 2)),
    ((3, 0), "auto"),
    ((1,), -1),
]
PLACES = {"seed": 3, "stream": "w"}


def same(array, expected):
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()


@pytest.fixture
def draws(monkeypatch):
    """The parts of tensors that the core is asked for."""
    parts = []

    def draw(*args, **kwargs):
        parts.append((kwargs["index"], kwargs["threads"]))
        return initialize(*args, **kwargs)

    initialize = _fill.initialize
    monkeypatch.setattr(_fill, "initialize", draw)
    return parts


@pytest.mark.parametrize(("shape", "chunks"), CHUNKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_chunking_is_the_whole(shape, chunks, dtype):
    lazy = fi.dask.initialize(shape, "normal", **PLACES, dtype=dtype, chunks=chunks)
    assert isinstance(lazy, dask.array.Array)
    assert lazy.chunks == dask.array.core.normalize_chunks(chunks, _fill.as_shape(shape), dtype=lazy.dtype)
    assert (type(lazy._meta), lazy._meta.dtype, lazy._meta.ndim) == (np.ndarray, lazy.dtype, lazy.ndim)
    same(lazy.compute(scheduler="synchronous"), fi.initialize(shape, "normal", **PLACES, dtype=dtype))


@pytest.mark.parametrize("name", fi.available())
def test_every_strategy(name):
    shape = (8, 4) if name in ("sparse", "eye", "identity") else (8, 4, 3, 4)
    strategy = fi.get(name, **NEEDED.get(name, {}))
    lazy = fi.dask.initialize(shape, strategy, **PLACES, chunks=3)
    same(lazy.compute(scheduler="synchronous"), fi.initialize(shape, strategy, **PLACES))


def test_every_argument_is_passed_on():
    for arguments in (
        {"layout": "...io"},
        {"fan_in": 3},
        {"fan_out": 7},
        {"groups": 7},
        {"stream": 2**64 - 1, "seed": np.uint64(2**64 - 1)},
        {"dtype": np.float64, "layout": "io..."},
    ):
        given = {"seed": 1} | arguments
        lazy = fi.dask.initialize(SHAPE, "xavier_uniform", **given, chunks=2)
        same(lazy.compute(scheduler="synchronous"), fi.initialize(SHAPE, "xavier_uniform", **given))


SCHEDULERS = ("synchronous", "threads", "processes", "distributed in threads", "distributed in processes")


@contextlib.contextmanager
def scheduler(name):
    if not name.startswith("distributed"):
        with dask.config.set(scheduler=name, num_workers=2):
            yield
        return
    distributed = pytest.importorskip("distributed")
    processes = name.endswith("processes")
    options = {"host": "127.0.0.1"} if processes else {}  # threads talk without a network
    with (
        distributed.LocalCluster(
            1, threads_per_worker=2, processes=processes, dashboard_address=None, **options
        ) as local,
        distributed.Client(local),
    ):
        yield


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler(name):
    @dataclasses.dataclass(frozen=True)
    class Local:  # which only cloudpickle takes to another process
        std: float

        def resolve(self, fans):
            return fi.normal(std=self.std / fans.fan_in)

    with scheduler(name):
        for strategy in ("he", Local(3.0), "orthogonal"):
            for dtype in ("float32", "bfloat16", "complex64"):
                lazy = fi.dask.initialize(SHAPE, strategy, **PLACES, dtype=dtype, chunks=3)
                same(lazy.compute(), fi.initialize(SHAPE, strategy, **PLACES, dtype=dtype))


# ---- what is drawn, and when ----


def test_only_the_blocks_that_are_asked_for_are_drawn(draws):
    lazy = fi.dask.initialize((40, 30), "he", **PLACES, chunks=10)
    assert draws == []
    part = lazy[12:18, 5:25].compute(scheduler="synchronous")
    assert sorted((rows.start, columns.start) for (rows, columns), _ in draws) == [(10, 0), (10, 10), (10, 20)]
    assert {threads for _, threads in draws} == {1}
    same(part, fi.initialize((40, 30), "he", **PLACES)[12:18, 5:25].copy())


@pytest.mark.parametrize("name", ["orthogonal", "delta_orthogonal"])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_what_is_drawn_whole_is_drawn_once(name, scheduler, draws):
    shape = (6, 4, 3)
    whole = fi.initialize(shape, name, **PLACES, index=None, threads=1)
    draws.clear()
    for chunks in (2, 1, -1, ((1, 5), (4,), (2, 1))):
        lazy = fi.dask.initialize(shape, name, **PLACES, chunks=chunks)
        assert lazy.chunks == dask.array.core.normalize_chunks(chunks, shape)
        assert draws == []
        same(lazy.compute(scheduler=scheduler), whole)
        assert len(draws) == 1
        draws.clear()


def test_a_graph_holds_no_blocks():
    lazy = fi.dask.initialize((2**20, 2**20), "he", **PLACES, chunks=2**10)
    assert lazy.numblocks == (2**10, 2**10)
    assert len(pickle.dumps(lazy.dask)) < 2**16  # an axis has 2^10 blocks
    block = lazy.blocks[1000, 7][5:9, 1020:].compute(scheduler="synchronous")
    index = np.s_[1000 * 2**10 + 5 : 1000 * 2**10 + 9, 8 * 2**10 - 4 : 8 * 2**10]
    same(block, fi.initialize((2**20, 2**20), "he", **PLACES, index=index))


def test_a_lazy_array_pickles():
    lazy = fi.dask.initialize(SHAPE, "he", **PLACES, dtype="bfloat16", chunks=2)
    again = pickle.loads(pickle.dumps(lazy))
    assert (again.name, again.chunks, again.dtype) == (lazy.name, lazy.chunks, lazy.dtype)
    same(again.compute(scheduler="synchronous"), lazy.compute(scheduler="synchronous"))


# ---- names and seeds ----


def test_a_name_is_a_function_of_the_arguments():
    def name(*args, **kwargs):
        return fi.dask.initialize(*args, **kwargs).name

    for strategy in ("he", "orthogonal"):
        given = {"seed": 1, "stream": "w", "chunks": 2}
        first = name(SHAPE, strategy, **given)
        assert first == name(list(SHAPE), fi.get(strategy), **given) == name(SHAPE, strategy, **given, dtype=np.float32)
        assert first == name(SHAPE, strategy, **given | {"seed": np.int64(1), "stream": _fill.as_stream("w")})
        others = [
            name(SHAPE[::-1], strategy, **given),
            name(SHAPE, "normal", **given),
            *(
                name(SHAPE, strategy, **given | {argument: value})
                for argument, value in {
                    "seed": 2,
                    "stream": "v",
                    "dtype": "float16",
                    "layout": "...io",
                    "fan_in": 3,
                    "fan_out": 3,
                    "groups": 7,
                    "chunks": 3,
                }.items()
            ),
            name(SHAPE, strategy, **given, dtype="bfloat16"),
        ]
        assert len({first, *others}) == 1 + len(others)


def test_a_seed_is_taken_once_at_the_call():
    for seed in (None, np.random.default_rng(5)):
        lazy = fi.dask.initialize(SHAPE, "normal", seed=seed, chunks=2)
        other = fi.dask.initialize(SHAPE, "normal", seed=seed, chunks=2)
        values = lazy.compute(scheduler="synchronous")
        same(lazy.compute(scheduler="threads"), values)
        assert lazy.name != other.name
        assert not np.array_equal(other.compute(scheduler="synchronous"), values)
    same(
        fi.dask.initialize(SHAPE, "normal", seed=np.random.default_rng(5), chunks=2).compute(scheduler="synchronous"),
        fi.initialize(SHAPE, "normal", seed=np.random.default_rng(5)),
    )


# ---- errors, at the call ----


@pytest.mark.parametrize(
    ("shape", "strategy", "options"),
    [
        ((-1, 2), "he", {}),
        ("ab", "he", {}),
        ((3.0, 2), "he", {}),
        (SHAPE, "hee", {}),
        (SHAPE, None, {}),
        ((5,), "he", {}),
        ((6, 5), "eye", {"layout": "ab"}),
        (SHAPE, "he", {"dtype": "int32"}),
        (SHAPE, "he", {"dtype": object()}),
        (SHAPE, "uniform", {"dtype": "complex64"}),
        (SHAPE, "he", {"layout": "oo"}),
        (SHAPE, "he", {"fan_in": 0}),
        (SHAPE, "he", {"fan_out": 1.5}),
        (SHAPE, "he", {"groups": 3}),
        (SHAPE, "he", {"stream": -1}),
        (SHAPE, "he", {"stream": 1.5}),
        (SHAPE, "he", {"seed": 2**64}),
        (SHAPE, "he", {"seed": "0"}),
        ((5,), "orthogonal", {}),
    ],
)
def test_errors_are_those_of_the_core(shape, strategy, options):
    with pytest.raises((TypeError, ValueError)) as expected:
        fi.initialize(shape, strategy, **options)
    with pytest.raises(expected.type) as raised:
        fi.dask.initialize(shape, strategy, **options)
    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        (0, ValueError),
        ((-2, 2, 2), ValueError),
        ((2, 2), ValueError),
        (((3, 3), 5, 4), ValueError),
        (((8, -1), 5, 4), ValueError),
        ((np.nan, 5, 4), ValueError),
        ((2.5, 1, 1), ValueError),
        ("large", ValueError),
        (None, ValueError),
        (object(), TypeError),
    ],
)
def test_chunks_that_cannot_be(chunks, error):
    generator = np.random.default_rng(0)
    with pytest.raises(error) as raised:
        fi.dask.initialize(SHAPE, "he", seed=generator, chunks=chunks)
    assert str(raised.value) == f"chunks must be what dask.array takes for shape (7, 5, 4); got {chunks!r}"
    assert generator.integers(2**62) == np.random.default_rng(0).integers(2**62)  # nothing was taken
