"""Every instruction set writes the bytes of plain C, of every kernel, wherever a span begins, ends and lies."""

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import fastinit as fi
from fastinit import _config, _kernels
from fastinit._fans import Fans

from .helpers import ALL_DTYPES, ISAS, as_dtype, draw, tile_elements

INF = math.inf
SEED, STREAM = 2**63 + 7, 2**33 + 1

#: Each kernel's draws: every branch of it, mean and std that round, and clamps that act. A few are too fine or too far
#: for a 16-bit dtype.
DRAWS = {
    "constant": [fi.constant(0.1), fi.constant(-1e-40)],
    "uniform": [fi.uniform(-0.3, 0.9), fi.uniform(1.0, 1.0000003), fi.uniform(-0.3001, 1.01)],
    "normal": [fi.normal(0.1, 0.7), fi.normal(0.0, 1e-40)],
    "truncated": [
        fi.truncated_normal(),
        fi.truncated_normal(0.1, 0.7, -3.0, 3.0),
        fi.truncated_normal(0.1, 0.7, -1.1, 0.3),
        fi.truncated_normal(-5.0, 1e-3, 2.9, 3.0),
        fi.truncated_normal(low=0.5, high=0.5000004),
    ],
    "truncated_wide": [
        fi.truncated_normal(low=-INF, high=INF),
        fi.truncated_normal(0.1, 0.7, -2.0, INF),
        fi.truncated_normal(0.1, 0.7, -INF, -3.5),
        fi.truncated_normal(-5.0, 1e-3, 4.5, 9.0),
        fi.truncated_normal(low=2.9, high=3.1),
    ],
    "truncated_far": [
        fi.truncated_normal(low=4.5, high=INF),
        fi.truncated_normal(0.1, 0.7, -INF, -7.9),
        fi.truncated_normal(-5.0, 1e-3, 30.0, INF),
        fi.truncated_normal(0.1, 1e-3, -INF, -1e6),
        fi.truncated_normal(low=1e8, high=INF),
    ],
    "sparse": [
        fi.sparse(0.4, 0.7).resolve(Fans((1000, 77))),
        fi.sparse(1.0, 1e-40).resolve(Fans((5, 3))),
        fi.sparse(0.01).resolve(Fans((2**31, 2**31))),
    ],
}
#: Where 32-bit counts of bytes, words, elements and blocks would wrap, and places that are not the start of a tile.
STARTS = [
    0,
    1,
    77,
    2**29 - 3,
    2**31 - 200,
    2**32 - 300,
    2**32,
    2**33 - 301,
    2**34 - 257,
    2**34 + 1,
    2**40 + 5,
    2**61 - 999,
]

others = pytest.mark.parametrize("isa", ISAS[1:])
kernels = pytest.mark.parametrize(("kernel", "dtype"), _kernels.KINDS)


BEYOND = {
    ("truncated", "float16"): [fi.truncated_normal(-5.0, 1e-3, 2.9, 3.0)],
    ("truncated", "bfloat16"): [fi.truncated_normal(-5.0, 1e-3, 2.9, 3.0)],
    ("truncated_wide", "bfloat16"): [fi.truncated_normal(-5.0, 1e-3, 4.5, 9.0)],
    ("truncated_far", "float16"): [fi.truncated_normal(low=1e8, high=INF)],
}


def parameters_of(kernel, dtype):
    draws = [law for law in DRAWS[kernel] if law not in BEYOND.get((kernel, dtype), ())]
    laws = [law.kernel(as_dtype(dtype)) for law in draws]
    assert {name for name, _ in laws} == {kernel}
    return [parameters for _, parameters in laws]


def test_what_a_dtype_cannot_hold():
    """What is left out is an error."""
    for (kernel, dtype), left_out in BEYOND.items():
        assert set(left_out) < set(DRAWS[kernel])
        for law in left_out:
            with pytest.raises(ValueError, match=rf"must (hold a|be at most .* for) {dtype}; got "):
                fi.initialize(3, law, dtype=dtype)
            assert np.isfinite(fi.initialize(3, law)).all()


def lengths(dtype):
    tile = tile_elements(dtype)
    return [0, 1, 2, tile - 1, tile, tile + 1, 2 * tile, 5 * tile + 17]


def test_every_kernel_is_drawn():
    assert set(_kernels.KINDS) == set(itertools.product(DRAWS, ALL_DTYPES))


@others
@kernels
def test_instruction_sets_agree(kernel, dtype, isa):
    """At every start, for every length."""
    for parameters, start in itertools.product(parameters_of(kernel, dtype), STARTS):
        plain = draw(kernel, dtype, parameters, SEED, STREAM, start, max(lengths(dtype)), isa="generic")
        for count in lengths(dtype):
            got = draw(kernel, dtype, parameters, SEED, STREAM, start, count, isa=isa)
            assert got.tobytes() == plain[:count].tobytes()


@others
@kernels
def test_instruction_sets_agree_on_many_draws(kernel, dtype, isa):
    for parameters in parameters_of(kernel, dtype):
        plain, got = (draw(kernel, dtype, parameters, 3, 4, 5, 100_001, isa=i) for i in ("generic", isa))
        assert got.tobytes() == plain.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@kernels
def test_buffers_may_lie_anywhere(kernel, dtype, isa):
    """At odd addresses too, with nothing written beside the span."""
    size = as_dtype(dtype).itemsize
    count = 3 * tile_elements(dtype) + 5
    memory = bytearray(count * size + 64)
    for parameters in parameters_of(kernel, dtype)[:2]:
        plain = draw(kernel, dtype, parameters, SEED, STREAM, 77, count, isa="generic")
        for offset in (1, 2, 3, 7, 33):
            memory[:] = b"\xa5" * len(memory)
            out = np.ndarray(count, as_dtype(dtype), buffer=memory, offset=offset)
            _kernels.fill(out, _kernels.KINDS[kernel, dtype], parameters, SEED, STREAM, 77, 1, isa)
            assert memory[offset : offset + count * size] == plain.tobytes()
            assert set(memory[:offset] + memory[offset + count * size :]) == {0xA5}


@kernels
def test_threads_do_not_show(kernel, dtype):
    """A share of a thread begins at a tile, whatever the span's own start."""
    count = 2 * _kernels.THREAD_ELEMENTS + 12345
    parameters = parameters_of(kernel, dtype)[0]
    one, two = (draw(kernel, dtype, parameters, 1, 2, 777, count, threads=threads) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


# ---- which is used ----


def child(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**{k: v for k, v in os.environ.items() if k != "FASTINIT_ISA"}, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


REPORT = """
import fastinit as fi
print(fi.show_config("dict")["isa"]["chosen"], fi.initialize(1000, "normal", seed=1).tobytes().hex())
"""


@pytest.mark.parametrize("isa", [*ISAS, None])
def test_chosen_by_the_environment(isa):
    done = child(REPORT, **({} if isa is None else {"FASTINIT_ISA": isa}))
    expected = fi.initialize(1000, "normal", seed=1).tobytes().hex()
    assert (done.stdout.split(), done.stderr) == ([isa or ISAS[-1], expected], "")


@pytest.mark.parametrize("name", ["", "AVX2", "sse9", "generic "])
def test_unknown_name_in_the_environment(name):
    done = child("import fastinit", FASTINIT_ISA=name)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"ValueError: FASTINIT_ISA must be one of {', '.join(ISAS)}; got {name!r}")


def test_an_instruction_set_that_the_processor_lacks(monkeypatch):
    monkeypatch.setattr(_kernels, "BUILT_ISAS", ("generic", "avx2", "avx512"))
    monkeypatch.setattr(_kernels, "AVAILABLE_ISAS", ("generic", "avx2"))
    monkeypatch.setenv("FASTINIT_ISA", "avx512")
    text = "FASTINIT_ISA must be one that this processor has, generic, avx2; got 'avx512'"
    with pytest.raises(ValueError, match=f"^{text}$"):
        _config._choose_isa()
    monkeypatch.setenv("FASTINIT_ISA", "avx2")
    assert _config._choose_isa() == "avx2"
    monkeypatch.delenv("FASTINIT_ISA")
    assert _config._choose_isa() == "avx2"


@pytest.mark.skipif(ISAS == _kernels.BUILT_ISAS, reason="this processor has all that was built")
def test_the_first_unsupported_name_in_the_environment():
    missing = next(name for name in _kernels.BUILT_ISAS if name not in ISAS)
    done = child("import fastinit", FASTINIT_ISA=missing)
    text = f"FASTINIT_ISA must be one that this processor has, {', '.join(ISAS)}; got {missing!r}"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"ValueError: {text}")


def test_names():
    assert ISAS[0] == _kernels.BUILT_ISAS[0] == "generic"
    assert set(ISAS) <= set(_kernels.BUILT_ISAS)
    for isa in ("sse9", "", *set(_kernels.BUILT_ISAS) - set(ISAS)):
        text = f"isa must be one of {', '.join(ISAS)}; got {isa!r}"
        for use in (_kernels.choose, lambda name: _kernels.words(0, 0, 0, 1, name)):
            with pytest.raises(ValueError, match=f"^{text}$"):
                use(isa)


def test_choose():
    before = _kernels.chosen_isa()
    try:
        for isa in ISAS:
            _kernels.choose(isa)
            assert _kernels.chosen_isa() == fi.show_config("dict")["isa"]["chosen"] == isa
    finally:
        _kernels.choose(before)
