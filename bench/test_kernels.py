"""How near are fills to the limit, `np.ndarray.fill` on the same buffer, and how far ahead of NumPy's generators?

    pytest bench/test_kernels.py

Each table is one size and dtype; the figures in parentheses are ratios to the fastest row.
"""

import numpy as np
import pytest

import fastinit as fi

SIZES = {"4KB": 1 << 12, "64KB": 1 << 16, "1MB": 1 << 20, "16MB": 1 << 24, "64MB": 1 << 26, "1GB": 1 << 30}

PCG64 = np.random.Generator(np.random.PCG64(0))
SFC64 = np.random.Generator(np.random.SFC64(0))
RUNNERS = {
    "limit: ndarray.fill": lambda out: out.fill(1.5),
    "fastinit uniform": lambda out: fi.fill(out, "uniform", seed=0, threads=1),
    "fastinit normal": lambda out: fi.fill(out, "normal", seed=0, threads=1),
    "numpy PCG64 uniform": lambda out: PCG64.random(out=out, dtype=out.dtype),
    "numpy SFC64 normal": lambda out: SFC64.standard_normal(out=out, dtype=out.dtype),
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
    benchmark(RUNNERS[runner], out)
