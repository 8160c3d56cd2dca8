"""What do threads gain, and from which size on?

    pytest bench/test_threads.py

A fill starts its threads and joins them, so it should not matter whether the caller has just slept.
"""

import functools
import time

import numpy as np
import pytest

import fastinit as fi

PROCESSORS = fi.show_config("dict")["threads"]["default"]
THREADS = sorted({*(1 << n for n in range(PROCESSORS.bit_length())), PROCESSORS})


@pytest.fixture(scope="module")
def buffer():
    return np.ones(1 << 26, np.float32)


@pytest.mark.parametrize("asleep", [0.0, 0.02], ids=["busy", "slept 20 ms"])
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("elements", [1 << 24, 1 << 26])
def test_scaling(benchmark, buffer, elements, threads, asleep):
    benchmark.group = f"{elements} float32 normals, {'after 20 ms asleep' if asleep else 'one after another'}"
    run = functools.partial(fi.fill, buffer[:elements], "normal", seed=0, threads=threads)
    benchmark.pedantic(run, setup=lambda: time.sleep(asleep), rounds=20, warmup_rounds=1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("exponent", range(18, 25))
def test_break_even(benchmark, buffer, exponent, threads):
    """Below two threads' worth of elements (`fi.show_config()`) both rows are one thread."""
    benchmark.group = f"break-even, 2^{exponent} float32 normals"
    benchmark(functools.partial(fi.fill, buffer[: 1 << exponent], "normal", seed=0, threads=threads))
