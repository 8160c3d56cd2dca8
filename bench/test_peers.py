"""How far ahead of other libraries are fills of 16M elements on one thread?

    pytest bench/test_peers.py

Each table is one draw and dtype; a peer that is not installed is skipped.
"""

import functools

import numpy as np
import pytest
from peers import PEERS

import fastinit as fi

ELEMENTS = 1 << 24
WITHOUT_BFLOAT16 = ("NumPy", "MKL")

CASES = [
    (draw, dtype, peer)
    for draw in PEERS
    for dtype in ("float32", "float64", "bfloat16")
    for peer in ("fastinit", *PEERS[draw])
    if dtype != "bfloat16" or not peer.startswith(WITHOUT_BFLOAT16)
]


def fastinit(draw, out):
    try:
        fi.fill(out[:0], draw)
    except TypeError as error:
        pytest.skip(str(error))
    return functools.partial(fi.fill, out, draw, seed=0, threads=1)


@pytest.mark.parametrize(("draw", "dtype", "peer"), CASES)
def test_peer(benchmark, draw, dtype, peer):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    out = np.empty(ELEMENTS, dtype)
    out.fill(1)  # so that no row pays for fresh memory
    try:
        run = fastinit(draw, out) if peer == "fastinit" else PEERS[draw][peer](out)
    except ImportError as error:
        pytest.skip(str(error))
    benchmark.group = f"{draw} {out.dtype}"
    benchmark.extra_info["elements"] = out.size
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
