"""What the tests share: the dtypes, and one way to draw from the kernels, at any place of any stream."""

import os
import warnings
from unittest import mock

import numpy as np
import pytest

from fastinit import _kernels
from fastinit._fill import as_dtype

#: The dtypes that the oracle of `reference` computes, and all that the kernels draw.
DTYPES = ("float32", "float64")
ALL_DTYPES = (*DTYPES, "float16", "bfloat16")
ISAS = _kernels.AVAILABLE_ISAS
TILE_BYTES = 512
#: What a strategy's name wants, where it cannot do without.
NEEDED = {
    "sparse": {"sparsity": 0.5},
    "scaled_normal": {"layers": 2},
    "wang_init": {"layers": 2},
    "mup": {"role": "hidden", "base_fan_in": 2},
    "deepnorm": {"decoder_layers": 2},
    "fixup": {"branches": 2},
    "tfixup": {"layers": 2},
    "tfixup_embedding": {"layers": 2},
}


def draw(kind, dtype, parameters, seed, stream, start, count, threads=1, isa=None):
    """Elements start .. start + count of a draw, straight from the kernels."""
    out = np.empty(count, as_dtype(dtype))
    _kernels.fill(out, _kernels.KINDS[kind, dtype], parameters, seed, stream, start, threads, isa)
    return out


def tile_elements(dtype):
    """Elements behind the 32 Philox blocks that a kernel draws at once: 16 bits take a 32-bit word each."""
    return TILE_BYTES // max(as_dtype(dtype).itemsize, 4)


def uniform_parameters(low, high, dtype):
    """The kernel's {low, high - low, greatest value allowed} for bounds that the dtype holds."""
    most = np.nextafter(np.dtype(dtype).type(high), np.dtype(dtype).type(-np.inf))
    return float(low), high - low, float(most)


def peer(name):
    """Another library, by its import name; the test is skipped without it."""
    with warnings.catch_warnings(), mock.patch.dict(os.environ):
        warnings.simplefilter("ignore")  # what a library's own import warns of is not ours
        if name == "keras":
            pytest.importorskip("jax")
            os.environ["KERAS_BACKEND"] = "jax"
        return pytest.importorskip(name)
