"""The golden digests: what stream version 1 draws, on every instruction set, with every number of threads."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

import fastinit as fi
from fastinit import _kernels

from .helpers import ISAS

FOLDER = Path(__file__).parent / "vectors"
VECTORS = json.loads((FOLDER / "stream_v1.json").read_text())


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_stream_v1", FOLDER / "make_stream_v1.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("isa", ISAS)
def test_what_was_drawn_is_drawn(maker, isa, threads):
    before = _kernels.chosen_isa()
    _kernels.choose(isa)
    try:
        every = hashlib.sha256()
        for fill in VECTORS["fills"]:
            case = [fill[key] for key in ("initialization", "dtype", "shape", "index", "seed", "stream")]
            drawn = maker.draw(*case, threads=threads)
            assert hashlib.sha256(drawn).hexdigest() == fill["sha256"], fill
            if fill["kernel"]:
                every.update(drawn)
        assert every.hexdigest() == VECTORS["sha256"]
    finally:
        _kernels.choose(before)


def test_the_file_is_its_generators(maker):
    """Parameters of the kernels, too: Python's arithmetic is as fixed as theirs."""
    assert (FOLDER / "stream_v1.json").read_text() == maker.make()


def test_every_kernel_has_a_vector():
    drawn = {tuple(fill["kernel"].split()[:2]) for fill in VECTORS["fills"] if fill["kernel"]}
    assert drawn == set(_kernels.KINDS)


def test_version():
    assert VECTORS["version"] == fi.show_config("dict")["versions"]["stream"] == 1
