"""Whatever PyTorch, JAX and Keras can draw, one name here draws, too: from the same law, to the bit where none is."""

import importlib
import inspect
import math
import re
import typing
from statistics import NormalDist

import numpy as np
import pytest

import fastinit as fi
from fastinit._catalog import EQUIVALENTS
from fastinit._fans import Fans

from .helpers import peer
from .reference import moments_mp

#: Public initializers that nothing here is to draw, and why.
EXCEPTIONS = {
    "keras": {"STFT": "the fixed Fourier kernels of one layer, STFTSpectrogram: no weights to begin learning from"}
}
PEERS = ("torch", "jax", "keras")
MODULES = {"torch": "torch.nn.init", "jax": "jax.nn.initializers", "keras": "keras.initializers"}


def module(library):
    peer(library)
    return importlib.import_module(MODULES[library])


def public(library):
    """The library's initializers, an object once however many names it has, and the first of its names."""
    offered = {name: value for name, value in vars(module(library)).items() if not name.startswith("_")}
    if library == "torch":  # those without the last underscore are deprecated
        found = {name: value for name, value in offered.items() if name.endswith("_")}
    elif library == "jax":
        found = {name: value for name, value in offered.items() if inspect.isfunction(value)}
    else:
        base = offered["Initializer"]
        found = {n: v for n, v in offered.items() if inspect.isclass(v) and issubclass(v, base) and v is not base}
    return {value: name for name, value in reversed(found.items())}


@pytest.mark.parametrize("library", PEERS)
def test_every_initializer_has_an_equal(library):
    calls = [getattr(peers, library) for peers in EQUIVALENTS.values()]
    covered = {getattr(module(library), name) for call in calls for name in re.findall(r"^\w+", call)}
    missing = {name for value, name in public(library).items() if value not in covered}
    assert len(public(library)) > len(EXCEPTIONS.get(library, ()))
    assert missing == set(EXCEPTIONS.get(library, ()))


@pytest.mark.parametrize("name", EQUIVALENTS)
def test_every_equal_is_available(name):
    assert name in fi.available()


def layout_of(library):
    return "oi..." if library == "torch" else "...io"


def theirs(library, call, shape):
    """What the other library's call gives, as float64."""
    names = vars(module(library))
    if library == "torch":
        torch = peer("torch")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            w = torch.empty(*shape)
            eval(call, names, {"w": w})
        return w.numpy().astype(np.float64)
    made = eval(call, names)
    if library == "jax":
        return np.asarray(made(peer("jax").random.key(0), shape, "float32"), np.float64)
    peer("keras").utils.set_random_seed(0)
    return np.asarray(made(shape), np.float64)


def ours(name, shape, layout, **options):
    parameters = {"sparsity": 0.9} if name == "sparse" else {}
    return fi.initialize(shape, fi.get(name, **parameters), seed=0, layout=layout, **options).astype(np.float64)


def entries(names):
    return [(name, library) for name in names for library in PEERS if getattr(EQUIVALENTS[name], library)]


# ---- exactly, where nothing is random ----

FIXED = ("zeros", "ones", "constant", "eye", "dirac")


@pytest.mark.parametrize(("name", "library"), entries(FIXED))
def test_the_same_numbers(name, library):
    for shape in [(7, 6, 5), (6, 8, 4, 3)] if name == "dirac" else [(5, 7), (7, 5), (6, 6)]:
        expected = theirs(library, getattr(EQUIVALENTS[name], library), shape)
        assert np.array_equal(ours(name, shape, layout_of(library)), expected)


@pytest.mark.parametrize("shape", [(6, 4, 5), (12, 2, 3, 4), (12, 5, 3, 3, 2)])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_dirac_of_groups(shape, groups):
    expected = theirs("torch", f"dirac_(w, {groups})", shape)
    assert np.array_equal(ours("dirac", shape, "oi...", groups=groups), expected)


def test_gains():
    """To the bit, for every name that PyTorch knows."""
    init = module("torch")
    for name in typing.get_args(init._NonlinearityType):
        assert fi.gain(name) == init.calculate_gain(name)
    for slope in (0, 0.1, 0.2, 1.0, 3, -1):
        assert fi.gain("leaky_relu", slope) == init.calculate_gain("leaky_relu", slope)


# ---- the same law, where elements are independent ----

STRUCTURED = ("sparse", "orthogonal", "delta_orthogonal")
SHAPE = (800, 1250)


def fourth_moment(law):
    """Of the law, about its mean, where its std is 1."""
    if isinstance(law, fi.Uniform):
        return 9 / 5
    if isinstance(law, fi.TruncatedNormal):
        _, variance, fourth = moments_mp(law.low, law.high)
        return float(fourth / variance**2)
    return 3.0


def agree(sample, law):
    """Whether a sample has the law's mean and variance to five sigma, and reaches its ends and no farther."""
    n, (mean, std) = sample.size, law.moments()
    assert abs(sample.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(((sample - mean) ** 2).mean() - std**2) < 5 * std**2 * math.sqrt((fourth_moment(law) - 1) / n)
    if isinstance(law, fi.Normal):
        # n draws have their greatest beyond x with the chance 1 - exp(-n P(|z| > x)): one in a million on either side
        least, most = (-NormalDist().inv_cdf(expected / n / 2) for expected in (-math.log(1e-6), 1e-6))
        assert least < abs(sample - mean).max() / std < most
        return
    low, high = (law.low, law.high) if isinstance(law, fi.Uniform) else (law.low * law.std, law.high * law.std)
    near, rounding = 2**-14 * (high - low), 2**-23 * (high - low)
    assert low - rounding <= sample.min() < low + near
    assert high - near < sample.max() <= high + rounding


@pytest.mark.parametrize(
    ("name", "library"), entries(name for name in EQUIVALENTS if name not in (*FIXED, *STRUCTURED))
)
def test_the_same_law(name, library):
    """Both samples are of the law that the strategy resolves to."""
    law = fi.get(name).resolve(Fans(SHAPE, layout_of(library)))
    agree(theirs(library, getattr(EQUIVALENTS[name], library), SHAPE), law)
    agree(ours(name, SHAPE, layout_of(library)), law)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0.5, 2.0, -1.0, 3.0), (0.0, 0.02, -2.0, 2.0), (0.0, 1.0, 0.5, 5.0)]
)
def test_truncated_by_values(mean, std, low, high):
    """PyTorch's a and b are values, not numbers of std."""
    law = fi.truncated_normal(mean, std, low, high, bounds="absolute")
    expected, deviation = law.moments()
    for sample in (
        theirs("torch", f"trunc_normal_(w, {mean}, {std}, {low}, {high})", SHAPE),
        fi.initialize(SHAPE, law, seed=0).astype(np.float64),
    ):
        assert low <= sample.min() <= sample.max() <= high
        assert abs(sample.mean() - expected) < 5 * deviation / math.sqrt(sample.size)
        _, variance, fourth = moments_mp((low - mean) / std, (high - mean) / std)
        sigma = deviation**2 * math.sqrt((fourth / variance**2 - 1) / sample.size)
        assert abs(((sample - expected) ** 2).mean() - deviation**2) < 5 * sigma


# ---- structures ----


def check_sparse(w):
    zeros = (w == 0).sum(axis=0)
    assert (zeros == math.ceil(0.9 * len(w))).all()
    agree(w[w != 0], fi.Normal(0.0, 0.01))


def check_orthogonal(w):
    """The rows or, where there are fewer, the columns are orthonormal, as float32 has it."""
    small = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
    assert abs(small - np.eye(len(small))).max() < 1e-5


def check_delta_orthogonal(w):
    """Orthonormal at the centre of a kernel of the layout "...io", else 0."""
    assert np.count_nonzero(w) == np.count_nonzero(w[1, 1])
    check_orthogonal(w[1, 1])


STRUCTURES = {
    "sparse": ([(400, 500)], check_sparse),
    "orthogonal": ([(60, 100), (100, 60)], check_orthogonal),
    "delta_orthogonal": ([(3, 3, 20, 30)], check_delta_orthogonal),
}


@pytest.mark.parametrize(("name", "library"), entries(STRUCTURED))
def test_the_same_structure(name, library):
    shapes, check = STRUCTURES[name]
    for shape in shapes:
        check(theirs(library, getattr(EQUIVALENTS[name], library), shape))
        check(ours(name, shape, layout_of(library)))
