"""Write stream_v1.json: digests of what stream version 1 draws, which never change.

    python tests/vectors/make_stream_v1.py

Each entry says what is drawn, and the SHA-256 of its bytes (little-endian, in C order). "kernel" says the same to a
program without Python: law, dtype, seed, stream, the first element's number, the parameters, and the count and step of
each axis; it is null where Python has a hand in the values. At the end stands the digest of the bytes of all others,
one after another. New entries may be added; what stands there stays.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import fastinit as fi
from fastinit._fill import as_dtype, as_stream, plan
from fastinit._kernels import KINDS
from fastinit._parts import part

PATH = Path(__file__).with_name("stream_v1.json")
FLOATS = ("float32", "float64")
NARROW = ("float16", "bfloat16")
KIND_NAMES = {kind: name for name, kind in KINDS.items()}

LAWS = [
    "constant(0.1)",
    "uniform()",
    "uniform(-0.3, 0.9)",
    "uniform(1.0, 1.5)",
    "normal()",
    "normal(0.1, 0.7)",
    "truncated_normal()",
    "truncated_normal(0.1, 0.7, -1.1, 0.3)",
    "truncated_normal(low=-3.0, high=3.0)",
    "truncated_normal(low=-inf, high=inf)",
    "truncated_normal(0.1, 0.7, -2.0, inf)",
    "truncated_normal(-5.0, 0.1, 4.5, 9.0)",
    "truncated_normal(low=4.5, high=inf)",
    "truncated_normal(-5.0, 1.0, 30.0, inf)",
    "truncated_normal(0.1, 0.7, -inf, -7.9)",
]
STRATEGIES = [
    "zeros()",
    "ones()",
    "random()",
    "xavier_normal()",
    "xavier_uniform(gain=0.5)",
    "he_normal()",
    "he_uniform(negative_slope=0.1)",
    "he_normal(mode='fan_out')",
    "lecun_normal()",
    "lecun_uniform()",
    "variance_scaling(2.0, 'fan_avg', 'uniform')",
]
#: Shapes and indices: the fast paths and the odd ones, on both sides of 2^32 words and 2^34 elements, and far out.
PLACES = [
    ((100003,), None),
    ((65536, 1024), "[17:29, 512:1024]"),
    ((300, 301), "[::-3, 250:1:-2]"),
    ((2**12, 2**22 + 1), "[1023:1027, 5:1005]"),
    ((2**20, 2**30), "[2**19 + 3, ::2**20]"),
    ((7, 2**40, 3), "[-2, -1000:, ::-1]"),
]


def cases():
    """What to draw: (initialization, dtype, shape, index, seed, stream)."""
    for number, law in enumerate(LAWS):
        for dtype in FLOATS + NARROW:
            yield law, dtype, (1000 + number,), None, number, dtype
    for place, (shape, index) in enumerate(PLACES):
        for law in ("uniform(-0.3, 0.9)", "normal()", "truncated_normal()"):
            for dtype in FLOATS + NARROW:
                yield law, dtype, shape, index, 2**64 - 1 - place, 2**63 + place
    for strategy in STRATEGIES:
        yield strategy, "float32", (64, 32, 3, 3), None, 0, "conv.weight"
    for strategy in STRATEGIES[3:6]:
        yield strategy, "bfloat16", (512, 784), "[128:256]", 0, "fc1.weight"
    for dtype in FLOATS + NARROW:
        yield "sparse(0.4, 0.7)", dtype, (1000, 77), "[3:-5, ::-2]", 3, 4
        yield "sparse(0.01)", dtype, (2**31, 2**31), "[5:-1:2**20, 7:12]", 3, 4
        yield "eye(0.1)", dtype, (60, 70), "[9:, ::-1]", 0, 0
        yield "dirac()", dtype, (12, 4, 3, 3), None, 0, 0
    yield "normal()", "float32", (2**21 + 12345,), None, 5, 6  # enough for two threads
    yield "uniform()", "bfloat16", (1025, 2051), "[:, ::-1]", 5, 6


def strategy_of(text):
    return eval(text, {**vars(fi), "inf": float("inf")})


def index_of(text):
    return None if text is None else eval(f"np.s_{text}", {"np": np})


def draw(initialization, dtype, shape, index, seed, stream, threads=None):
    """An entry's bytes, little-endian."""
    strategy = strategy_of(initialization)
    place = index_of(index)
    drawn = fi.initialize(shape, strategy, seed=seed, stream=stream, dtype=dtype, index=place, threads=threads)
    return (drawn if sys.byteorder == "little" else drawn.byteswap()).tobytes()


def kernel(initialization, dtype, shape, index, seed, stream):
    """The entry for a program that knows only the kernels; None where Python has a hand in it."""
    planned = plan(strategy_of(initialization), shape, as_dtype(dtype))
    if planned.finish is not None:
        return None
    place = part(... if index is None else index_of(index), shape)
    parameters = [float(value).hex() for value in planned.parameters]
    axes = [f"{count} {step}" for count, step in zip(place.shape, place.steps, strict=True)]
    numbers = [seed, as_stream(stream), place.start, len(parameters), *parameters, len(axes), *axes]
    return " ".join(map(str, [*KIND_NAMES[planned.kind], *numbers]))


def make():
    """The file's content."""
    every = hashlib.sha256()
    entries = []
    for case in cases():
        drawn = draw(*case)
        entry = dict(zip(("initialization", "dtype", "shape", "index", "seed", "stream"), case, strict=True))
        entry |= {"kernel": kernel(*case), "sha256": hashlib.sha256(drawn).hexdigest()}
        entries.append(json.dumps(entry))
        if entry["kernel"]:
            every.update(drawn)
    lines = ",\n".join(f"  {entry}" for entry in entries)
    return f'{{"version": 1,\n "fills": [\n{lines}\n ],\n "sha256": "{every.hexdigest()}"}}\n'


if __name__ == "__main__":
    PATH.write_text(make())
