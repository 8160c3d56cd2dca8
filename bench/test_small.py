"""What does a fill of a small weight cost, and how much of that is the call?

    pytest bench/test_small.py

Each table is one shape; the empty array's is the call alone.
"""

import functools

import numpy as np
import peers
import pytest

import fastinit as fi

SHAPES = [(0, 64), (8, 8), (32, 32), (64, 64), (128, 128), (256, 256)]


def numpy_he_normal(out):
    """What is usually written by hand."""
    generator, std = np.random.Generator(np.random.SFC64(0)), np.float32((2 / out.shape[1]) ** 0.5)

    def run():
        generator.standard_normal(out=out, dtype=out.dtype)
        np.multiply(out, std, out=out)

    return run


RUNNERS = {
    "fastinit": lambda out: functools.partial(fi.fill, out, fi.he_normal(), seed=0),
    "fastinit threads=1": lambda out: functools.partial(fi.fill, out, fi.he_normal(), seed=0, threads=1),
    "fastinit by name": lambda out: functools.partial(fi.fill, out, "he_normal", seed=0, stream="fc1.weight"),
    "NumPy SFC64": numpy_he_normal,
    "PyTorch kaiming_normal_": peers.torch_kaiming_normal,
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_he_normal(benchmark, shape, runner):
    out = np.ones(shape, np.float32)
    try:
        run = RUNNERS[runner](out)
    except ImportError as error:
        pytest.skip(str(error))
    benchmark.group = f"he_normal {shape} float32"
    benchmark(run)
