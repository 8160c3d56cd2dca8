"""How near are fills to the limit, `np.ndarray.fill` on the same buffer, and how far ahead of NumPy's generators?

    pytest bench/test_kernels.py

Each table is one size and dtype; the figures in parentheses are ratios to the fastest row.
"""

import functools

import numpy as np
import peers
import pytest

import fastinit as fi

SIZES = {"4KB": 1 << 12, "64KB": 1 << 16, "1MB": 1 << 20, "16MB": 1 << 24, "64MB": 1 << 26, "1GB": 1 << 30}

RUNNERS = {
    "limit: ndarray.fill": peers.limit,
    "fastinit uniform": lambda out: functools.partial(fi.fill, out, "uniform", seed=0, threads=1),
    "fastinit normal": lambda out: functools.partial(fi.fill, out, "normal", seed=0, threads=1),
    "fastinit truncated_normal": lambda out: functools.partial(fi.fill, out, "truncated_normal", seed=0, threads=1),
    "NumPy PCG64 uniform": peers.numpy_uniform,
    "NumPy SFC64 normal": peers.numpy_normal,
}


@pytest.fixture(scope="module")
def buffer():
    """One buffer for all sizes, touched, so that no row pays for fresh memory."""
    return np.ones(max(SIZES.values()), np.uint8)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_fill(benchmark, buffer, size, dtype, runner):
    out = buffer[: SIZES[size]].view(dtype)
    benchmark.group = f"{size} {dtype}"
    benchmark.extra_info["elements"] = out.size
    benchmark(RUNNERS[runner](out))
