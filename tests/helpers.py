"""What the tests share: one way to draw from the kernels, at any place of any stream."""

import numpy as np

from fastinit import _kernels

DTYPES = ("float32", "float64")
ISAS = _kernels.AVAILABLE_ISAS
TILE_BYTES = 512


def draw(kind, dtype, parameters, seed, stream, start, count, threads=1, isa=None):
    """Elements start .. start + count of a draw, straight from the kernels."""
    out = np.empty(count, dtype)
    _kernels.fill(out, _kernels.KINDS[kind, dtype], parameters, seed, stream, start, threads, isa)
    return out


def uniform_parameters(low, high, dtype):
    """The kernel's {low, high - low, greatest value allowed} for bounds that the dtype holds."""
    most = np.nextafter(np.dtype(dtype).type(high), np.dtype(dtype).type(-np.inf))
    return float(low), high - low, float(most)
