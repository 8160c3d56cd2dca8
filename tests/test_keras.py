"""Keras's initializers: its names, arguments, seeds and files, and the core's bits, on more than one backend."""

import importlib
import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import fastinit as fi
from fastinit._fans import Fans

from .helpers import NEEDED, peer

pytest.importorskip("ml_dtypes")
keras = pytest.importorskip("keras") if "KERAS_BACKEND" in os.environ else peer("keras")
fk = importlib.import_module("fastinit.keras")

BACKEND = keras.backend.backend()
DTYPES = ("float32", "float16", "bfloat16", "float64")
SHAPES = [(), (5,), (4, 6), (3, 4, 6), (3, 3, 4, 6), (2, 3, 3, 4, 6)]
#: What each class draws, with arguments other than the default ones.
LAWS = {
    "Zeros": ({}, fi.zeros()),
    "Ones": ({}, fi.ones()),
    "Constant": ({"value": 0.1}, fi.constant(0.1)),
    "Identity": ({"gain": 0.3}, fi.eye(0.3)),
    "RandomNormal": ({"mean": 1.0, "stddev": 0.5}, fi.normal(1.0, 0.5)),
    "RandomUniform": ({"minval": -0.5, "maxval": 2.0}, fi.uniform(-0.5, 2.0)),
    "TruncatedNormal": ({"mean": 1.0, "stddev": 0.5}, fi.truncated_normal(1.0, 0.5)),
    "VarianceScaling": (
        {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"},
        fi.VarianceScaling(3.0, "fan_out", "normal"),
    ),
    "GlorotUniform": ({}, fi.glorot_uniform()),
    "GlorotNormal": ({}, fi.glorot_truncated_normal()),
    "HeUniform": ({}, fi.he_uniform()),
    "HeNormal": ({}, fi.he_truncated_normal()),
    "LecunUniform": ({}, fi.lecun_uniform()),
    "LecunNormal": ({}, fi.lecun_truncated_normal()),
    "Orthogonal": ({"gain": 2.0}, fi.orthogonal(2.0)),
}
FIXED = ("Zeros", "Ones", "Constant", "Identity")
RANDOM = [name for name in LAWS if name not in FIXED]
SCALED = [name for name in LAWS if issubclass(getattr(fk, name), fk.VarianceScaling)]
ANY = [(4, 6), (3, 3, 4, 6)]


def made(name, **arguments):
    return getattr(fk, name)(**LAWS[name][0], **arguments)


def numbers(tensor):
    """A tensor's numbers, bfloat16 ones as float32."""
    assert keras.ops.is_tensor(tensor)
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return tensor.detach().numpy() if BACKEND == "torch" else np.asarray(tensor)


def same(tensor, array):
    assert keras.backend.standardize_dtype(tensor.dtype) == array.dtype.name
    assert tuple(tensor.shape) == array.shape
    expected = array.astype("float32") if array.dtype.name == "bfloat16" else array
    assert numbers(tensor).tobytes() == expected.tobytes()


def core(shape, law, **options):
    return fi.initialize(shape, law, **{"layout": "...io", "seed": 7} | options)


@pytest.fixture
def all_dtypes():
    """Lets JAX have float64, too."""
    if BACKEND == "jax":
        with importlib.import_module("jax").enable_x64(True):
            yield
    else:
        yield


# ---- names and signatures ----


def public():
    """The names of `keras.initializers` for its classes, but the base and `STFT`."""
    offered = {name: value for name, value in vars(keras.initializers).items() if inspect.isclass(value)}
    left_out = (keras.initializers.Initializer, keras.initializers.STFT)
    return {name: value for name, value in offered.items() if value not in left_out}


def test_every_name_of_keras():
    ours = {name: getattr(fk, name) for name in public()}
    assert set(fk.__all__) == set(ours) | {"Initializer"}
    assert {value.__name__ for value in ours.values()} == set(LAWS)
    for name, theirs in public().items():
        assert issubclass(ours[name], theirs)
        assert ours[name].__name__ == theirs.__name__


@pytest.mark.parametrize("name", LAWS)
def test_signatures(name):
    assert inspect.signature(getattr(fk, name)) == inspect.signature(getattr(keras.initializers, name))
    assert list(inspect.signature(made(name)).parameters) == ["shape", "dtype", "layout"]


# ---- bits ----


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("all_dtypes")
def test_the_bits_of_the_core(name, dtype):
    seed = {} if name in FIXED else {"seed": 7}
    for shape in SHAPES[2:3] if name == "Identity" else SHAPES[2:] if name == "Orthogonal" else SHAPES:
        n = shape[0] if shape else 1
        fans = {"fan_in": n, "fan_out": n} if len(shape) < 2 else {}
        expected = core(shape, LAWS[name][1], dtype=dtype, **fans)
        initializer = made(name, **seed)
        same(initializer(shape, dtype=dtype), expected)
        same(initializer(list(shape), dtype), expected)  # an integer seed gives the same again


@pytest.mark.parametrize("name", LAWS)
def test_the_dtype_is_floatx_by_default(name):
    assert keras.config.floatx() == "float32"
    assert keras.backend.standardize_dtype(made(name)((4, 6)).dtype) == "float32"
    keras.config.set_floatx("float16")
    try:
        assert keras.backend.standardize_dtype(made(name)((4, 6)).dtype) == "float16"
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 + 5, 2**64 - 1])
def test_all_64_bits_of_a_seed(seed):
    same(fk.HeNormal(seed=seed)((4, 6)), core((4, 6), "he_truncated_normal", seed=seed))


def test_tensors_without_elements():
    for name in LAWS:
        assert numbers(made(name)((0, 6))).shape == (0, 6)


def test_results_share_no_memory():
    initializer = fk.GlorotUniform(seed=7)
    first, kept = initializer((64, 64)), core((64, 64), "glorot_uniform")
    if BACKEND != "jax":  # whose arrays do not change
        first += 1
        same(first, kept + np.float32(1))
    same(initializer((64, 64)), kept)


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch's tensors alone")
@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_takes_the_memory(dtype):
    arrays = []

    def draw(*args, **kwargs):
        arrays.append(initialize(*args, **kwargs))
        return arrays[-1]

    initialize = fk.initialize
    with mock.patch.object(fk, "initialize", draw):
        tensor = fk.HeNormal()((4, 6), dtype)
    assert tensor.data_ptr() == arrays[0].ctypes.data


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch's tensors alone")
def test_tensors_without_memory():
    generator = keras.random.SeedGenerator(3)
    with keras.device("meta"), mock.patch.object(fk, "initialize", side_effect=AssertionError):
        tensor = fk.HeNormal(seed=generator)((4, 6), "bfloat16")
    assert (tensor.device.type, tuple(tensor.shape)) == ("meta", (4, 6))
    assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    assert numbers(generator.state.value).tolist() == [3, 0]


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX's dtypes alone")
def test_float64_where_jax_has_none():
    with pytest.warns(UserWarning, match="float64"):
        same(fk.HeNormal(seed=7)((4, 6), "float64"), core((4, 6), "he_truncated_normal"))


# ---- Keras's laws ----


def keras_law(initializer, shape):
    """The distribution that Keras's own initializer asks its backend for."""
    with mock.patch("keras.src.initializers.random_initializers.random") as random:
        initializer(shape, "float32")
    (drawn,) = random.method_calls
    kind, _, options = drawn
    if kind == "uniform":
        return fi.Uniform(options["minval"], options["maxval"])
    return {"normal": fi.Normal, "truncated_normal": fi.TruncatedNormal}[kind](options["mean"], options["stddev"])


def our_law(initializer, shape):
    options = initializer._options(shape)
    fans = Fans(shape, options["layout"], options.get("fan_in"), options.get("fan_out"))
    return initializer._strategy().resolve(fans)


def variance_scalings():
    axes = [
        {},
        {"input_axes": [0, 1], "output_axes": [-1]},
        {"input_axes": [], "output_axes": [0]},
        {"input_axes": [0]},
    ]
    forms = ("truncated_normal", "untruncated_normal", "uniform", "normal", "Uniform")
    for mode, form, some in itertools.product(("fan_in", "fan_out", "fan_avg"), forms, axes):
        yield "VarianceScaling", {"scale": 0.7, "mode": mode, "distribution": form} | some
    for name in SCALED:
        if name != "VarianceScaling":
            yield from ((name, some) for some in axes)


@pytest.mark.parametrize(("name", "arguments"), [*variance_scalings(), *((n, LAWS[n][0]) for n in RANDOM[:3])])
def test_the_law_is_keras_s(name, arguments):
    for shape in SHAPES:
        if len(arguments.get("input_axes", ())) > len(shape) or (arguments.get("output_axes") and not shape):
            continue
        theirs = keras_law(getattr(keras.initializers, name)(**arguments, seed=0), shape)
        ours = our_law(getattr(fk, name)(**arguments, seed=0), shape)
        assert type(ours) is type(theirs)
        for value, expected in zip(vars(ours).values(), vars(theirs).values(), strict=True):
            # Keras has one rounding more under the root of a uniform's bound
            assert value == expected or math.isclose(value, expected, rel_tol=2**-52)


def test_given_axes_are_the_fans():
    initializer = fk.GlorotUniform(seed=7, input_axes=[0, 1], output_axes=[2])
    same(initializer((4, 8, 16)), core((4, 8, 16), "glorot_uniform", fan_in=32, fan_out=16))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4), (2, 2, 3, 20)])
def test_orthogonal_flattens_as_keras_does(shape):
    ours, theirs = (
        numbers(module.Orthogonal(gain=2.0, seed=0)(shape)).astype(np.float64).reshape(-1, shape[-1])
        for module in (fk, keras.initializers)
    )
    for w in (ours, theirs):
        small = w @ w.T if len(w) < len(w.T) else w.T @ w
        assert abs(small / 4 - np.eye(len(small))).max() < 32 * 2**-24 * len(w.T)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "bool", "uint8"])
def test_what_is_fixed_is_keras_s(dtype):
    for name, arguments in (("Zeros", {}), ("Ones", {}), ("Constant", {"value": 3}), ("Identity", {"gain": 2})):
        ours = getattr(fk, name)(**arguments)((3, 4), dtype)
        theirs = getattr(keras.initializers, name)(**arguments)((3, 4), dtype)
        assert np.array_equal(numbers(ours), numbers(theirs))
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("value", [np.arange(4.0), [1.0, 2.0, 3.0, 4.0], True, math.inf, -math.inf, np.float32(0.1)])
def test_constants_that_are_keras_s_own(value):
    ours, theirs = (module.Constant(value)((3, 4)) for module in (fk, keras.initializers))
    assert np.array_equal(numbers(ours), numbers(theirs))


# ---- seeds ----


def test_without_a_seed_each_initializer_has_its_own():
    first, second = fk.HeNormal(), fk.HeNormal()
    assert np.array_equal(numbers(first((4, 6))), numbers(first((4, 6))))
    assert not np.array_equal(numbers(first((4, 6))), numbers(second((4, 6))))
    assert not np.array_equal(numbers(first((4, 6))), numbers(first.clone()((4, 6))))
    same(first((4, 6)), core((4, 6), "he_truncated_normal", seed=first.seed))
    seeds = []
    for make in (fk.HeNormal, keras.initializers.HeNormal, lambda: fk.Initializer("he")):
        keras.utils.set_random_seed(5)
        seeds.append(make().seed)
    assert len(set(seeds)) == 1


def test_a_generator_counts_streams():
    generator = keras.random.SeedGenerator(2**31 - 3)
    for stream, shape in enumerate([(4, 6), (4, 6), (3, 3, 2, 5), (4, 6)]):
        tensor = fk.LecunUniform(seed=generator)(shape)
        same(tensor, core(shape, "lecun_uniform", seed=2**31 - 3, stream=stream))
        assert numbers(generator.state.value).tolist() == [2**31 - 3, stream + 1]


def test_an_error_takes_nothing_from_a_generator():
    generator = keras.random.SeedGenerator(3)
    for initializer in (
        fk.Orthogonal(seed=generator),
        fk.Initializer("he", generator),
        fk.RandomNormal(0.0, -1.0, generator),
    ):
        for shape in ((4,), (4, -6)):
            with pytest.raises(ValueError, match="must"):
                initializer(shape)
    with pytest.raises(ValueError, match="dtype"):
        fk.HeNormal(seed=generator)((4, 6), "int32")
    assert numbers(generator.state.value).tolist() == [3, 0]


def test_a_generator_within_a_stateless_scope():
    generator = keras.random.SeedGenerator(3)
    initializer = fk.RandomNormal(stddev=1.0, seed=generator)
    state = keras.ops.convert_to_tensor(np.array([11, 5]), dtype=keras.backend.standardize_dtype(generator.state.dtype))
    with keras.StatelessScope(state_mapping=[(generator.state, state)]) as scope:
        tensor = initializer((4, 6))
        after = scope.get_current_value(generator.state)
    same(tensor, core((4, 6), fi.normal(), seed=11, stream=5))
    assert numbers(after).tolist() == [11, 6]
    assert numbers(generator.state.value).tolist() == [3, 0]


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX's traces alone")
@pytest.mark.parametrize("name", RANDOM)
def test_a_traced_generator(name):
    jax = importlib.import_module("jax")
    generator = keras.random.SeedGenerator(3)
    initializer, fixed = made(name, seed=generator), made(name, seed=9)

    @jax.jit
    def draw(state):
        with keras.StatelessScope(state_mapping=[(generator.state, state)]) as scope:
            tensors = initializer((4, 6)), initializer((4, 6), "bfloat16"), fixed((4, 6))
            return tensors, scope.get_current_value(generator.state)

    (first, second, third), after = draw(np.array([11, 5], np.uint32))
    same(first, core((4, 6), LAWS[name][1], seed=11, stream=5))
    same(second, core((4, 6), LAWS[name][1], seed=11, stream=6, dtype="bfloat16"))
    same(third, core((4, 6), LAWS[name][1], seed=9))
    assert after.tolist() == [11, 7]
    assert generator.state.value.tolist() == [3, 0]


# ---- configs and files ----


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", [None, 7, "generator"])
def test_configs(name, seed):
    seed = keras.random.SeedGenerator(7) if seed == "generator" else seed
    given = LAWS[name][0] | ({} if name in FIXED else {"seed": seed})
    given |= {"input_axes": [0], "output_axes": [1]} if name in SCALED else {}
    initializer = getattr(fk, name)(**given)
    config = initializer.get_config()
    theirs = getattr(keras.initializers, name)(**given).get_config()
    assert config == (theirs if name != "Identity" else {"gain": 0.3})  # which Keras forgets
    saved = json.loads(json.dumps(keras.initializers.serialize(initializer)))
    assert saved["registered_name"] == f"fastinit>{name}"
    for again in (initializer.clone(), keras.initializers.deserialize(saved), type(initializer).from_config(config)):
        assert type(again) is type(initializer)
        assert again.get_config() == config
        if seed is not None:
            same(again((4, 6)), core((4, 6), LAWS[name][1]))  # a new generator begins again, too


def model():
    """A model with weights of all kinds, and for each weight what it is drawn from."""
    laws = {
        "embedding/embeddings": ("RandomUniform", 1),
        "lstm/lstm_cell/kernel": ("VarianceScaling", 2),
        "lstm/lstm_cell/recurrent_kernel": ("Orthogonal", 3),
        "attention/query/kernel": ("LecunNormal", 4),
        "attention/key/kernel": ("LecunNormal", 4),
        "attention/value/kernel": ("LecunNormal", 4),
        "attention/attention_output/kernel": ("LecunNormal", 4),
        "einsum/kernel": ("TruncatedNormal", 5),
        "conv/kernel": ("GlorotUniform", 6),
        "conv/bias": ("Constant", None),
        "depthwise/kernel": (fi.he_normal(), 7),
        "norm/gamma": ("Ones", None),
        "norm/beta": ("Zeros", None),
        "dense/kernel": ("HeNormal", 8),
        "square/kernel": ("Identity", None),
        "last/kernel": (fi.siren(first=True), 9),
    }

    def of(path):
        law, seed = laws[path]
        if not isinstance(law, str):
            return fk.Initializer(law, seed, "...bo" if path.startswith("depthwise") else "...io")
        return made(law) if seed is None else made(law, seed=seed)

    layers = keras.layers
    x = tokens = keras.Input((6,))
    x = layers.Embedding(9, 4, embeddings_initializer=of("embedding/embeddings"), name="embedding")(x)
    x = layers.LSTM(
        4,
        return_sequences=True,
        kernel_initializer=of("lstm/lstm_cell/kernel"),
        recurrent_initializer=of("lstm/lstm_cell/recurrent_kernel"),
        name="lstm",
    )(x)
    x = layers.MultiHeadAttention(2, 3, kernel_initializer=of("attention/query/kernel"), name="attention")(x, x)
    x = layers.EinsumDense("abc,cd->abd", (None, 16), kernel_initializer=of("einsum/kernel"), name="einsum")(x)
    x = layers.Reshape((6, 4, 4))(x)
    conv = {"kernel_initializer": of("conv/kernel"), "bias_initializer": of("conv/bias")}
    x = layers.Conv2D(5, 3, **conv, name="conv")(x)
    x = layers.DepthwiseConv2D(2, depthwise_initializer=of("depthwise/kernel"), name="depthwise")(x)
    norm = {"gamma_initializer": of("norm/gamma"), "beta_initializer": of("norm/beta")}
    x = layers.BatchNormalization(**norm, name="norm")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(6, kernel_initializer=of("dense/kernel"), name="dense")(x)
    x = layers.Dense(6, kernel_initializer=of("square/kernel"), name="square")(x)
    x = layers.Dense(2, kernel_initializer=of("last/kernel"), name="last")(x)
    return keras.Model(tokens, x), laws


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's own saving, with PyTorch
def test_a_model_its_config_and_its_file(tmp_path):
    first, laws = model()
    found = {variable.path: variable for variable in first.variables if variable.path in laws}
    assert set(found) == set(laws)
    for path, (law, seed) in laws.items():
        shape = tuple(found[path].shape)
        options = {"layout": "...bo"} if path.startswith("depthwise") else {}
        if path.startswith("attention"):  # whose layers tell which axes are inputs: (in, heads, out), (heads, in, out)
            options["fan_in"] = math.prod(shape[:-1]) if "output" in path else shape[0]
        same(found[path].value, core(shape, LAWS[law][1] if isinstance(law, str) else law, seed=seed or 0, **options))

    again = keras.Model.from_config(first.get_config())
    for one, other in zip(first.variables, again.variables, strict=True):
        if one.path in laws:
            same(other.value, numbers(one.value))
    for variable in first.trainable_variables:
        variable.assign(variable.value + 1)
    first.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.to_json() == first.to_json()
    for one, other in zip(first.weights, loaded.weights, strict=True):
        same(other.value, numbers(one.value))
    assert type(loaded.get_layer("lstm").cell.recurrent_initializer) is fk.Orthogonal
    assert loaded.get_layer("last").kernel_initializer.initialization == fi.siren(first=True)
    x = np.arange(12).reshape(2, 6) % 9
    assert np.array_equal(numbers(loaded(x)), numbers(first(x)))


# ---- any strategy ----


@pytest.mark.parametrize("name", fi.available())
def test_every_strategy_is_drawn_and_saved(name):
    strategy = fi.get(name, **NEEDED.get(name, {}))
    shape = (8, 12) if name in ("sparse", "eye", "identity") else (3, 4, 8, 12)
    for given in [strategy] if name in NEEDED else [strategy, name]:
        initializer = fk.Initializer(given, seed=7)
        saved = json.loads(json.dumps(keras.initializers.serialize(initializer)))
        again = keras.initializers.deserialize(saved)
        assert again.initialization == given
        assert again.get_config() == initializer.get_config()
        expected = core(shape, strategy)
        for each in (initializer, again, initializer.clone()):
            same(each(shape), expected)


def test_bounds_that_are_infinite_are_saved():
    law = fi.truncated_normal(0.5, 2.0, 0.0, math.inf, bounds="absolute")
    saved = json.loads(json.dumps(keras.initializers.serialize(fk.Initializer(law))))
    assert keras.initializers.deserialize(saved).initialization == law


def test_what_else_an_initializer_takes():
    options = {"layout": "oi...", "fan_in": 3, "fan_out": 5, "groups": 2}
    initializer = fk.Initializer("xavier_uniform", 7, *options.values())
    assert initializer.get_config() == {"initialization": "xavier_uniform", "seed": 7, **options}
    same(initializer.clone()((4, 6, 3)), core((4, 6, 3), "xavier_uniform", **options))
    generator = keras.random.SeedGenerator(7)
    initializer = fk.Initializer("xavier_uniform", generator)
    assert initializer.get_config()["seed"] == keras.initializers.HeNormal(generator).get_config()["seed"]
    initializer((4, 6))
    again = initializer.clone()
    same(again((4, 6)), core((4, 6), "xavier_uniform"))  # a generator of its own, from the beginning
    same(initializer((4, 6)), core((4, 6), "xavier_uniform", stream=1))


@dataclass(frozen=True)
class Halves:
    """A strategy of somebody else's."""

    value: float = 0.5

    def resolve(self, fans):
        return fi.constant(self.value)

    def get_config(self):
        return {"value": self.value}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_strategies_of_others_are_saved_as_keras_saves_objects():
    initializer = fk.Initializer(Halves(0.25))
    with keras.saving.custom_object_scope({"Halves": Halves}):
        saved = json.loads(json.dumps(keras.initializers.serialize(initializer)))
        again = keras.initializers.deserialize(saved)
    assert again.initialization == Halves(0.25)
    same(again((2, 3)), np.full((2, 3), 0.25, np.float32))


# ---- errors ----


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "dtype"),
    [
        ("VarianceScaling", {"scale": -1.0}, (4, 6), None),
        ("VarianceScaling", {"scale": 0.0}, (4, 6), None),
        ("VarianceScaling", {"mode": "fan_geo_avg"}, (4, 6), None),
        ("VarianceScaling", {"distribution": "cauchy"}, (4, 6), None),
        ("HeNormal", {"seed": "7"}, (4, 6), None),
        ("HeNormal", {"seed": 7.0}, (4, 6), None),
        ("HeNormal", {"input_axes": [2], "output_axes": [0]}, (4, 6), None),
        ("Orthogonal", {}, (6,), None),
        ("Identity", {}, (6,), None),
        ("Identity", {}, (3, 4, 6), None),
        ("Zeros", {}, (4, 6), "float31"),
    ],
)
def test_errors_are_of_keras_s_types(name, arguments, shape, dtype):
    with pytest.raises((TypeError, ValueError, IndexError)) as expected:
        getattr(keras.initializers, name)(**arguments)(shape, dtype)
    with pytest.raises(expected.type):
        getattr(fk, name)(**arguments)(shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: fk.HeNormal()((4, 6), "float8_e4m3fn"), ValueError, "dtype must be float32, float64, float16 or bfl"),
        (
            lambda: fk.HeNormal()((4, 6), "int32"),
            ValueError,
            "dtype must be float32, float64, float16 or bfloat16; got i",
        ),
        (lambda: fk.Orthogonal()((4, 6), "complex64"), ValueError, "dtype must be float32, float64, float16 or bfloat"),
        (lambda: fk.HeNormal()((4, 6), "float31"), ValueError, "Invalid dtype: float31"),
        (lambda: fk.HeNormal(seed=-1)((4, 6)), ValueError, "seed must be an integer in [0, 18446744073709551615]; got"),
        (lambda: fk.HeNormal()((4, -6)), ValueError, "each dimension of shape must be an integer of at least 0; got"),
        (lambda: fk.RandomNormal(stddev=-1.0)((4, 6)), ValueError, "std must be a finite number of at least 0; got"),
        (lambda: fk.RandomUniform(1.0, 0.0)((4, 6)), ValueError, "low must be less than high; got low=1.0, high=0.0"),
        (lambda: fk.Initializer("hee"), ValueError, "initialization must be one of "),
        (lambda: fk.Initializer(7), TypeError, "initialization must be "),
        (lambda: fk.Initializer("he", layout="oo"), ValueError, "layout must name 'o' at most once; got 'oo'"),
        (lambda: fk.Initializer("he", fan_in=0), ValueError, "fan_in must be an integer of at least 1; got 0"),
        (lambda: fk.Initializer("he")((5,)), ValueError, "shape must have an axis for each letter of layout '...io'"),
        (lambda: fk.Initializer({"strategy": "Recipe", "parameters": {}}), ValueError, "strategy must be one of "),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).startswith(text)


# ---- on many devices ----


def on_devices():
    return BACKEND == "jax" and len(importlib.import_module("jax").devices()) == 4


@pytest.mark.skipif("not on_devices()", reason="run by the last test, on four devices")
def test_a_distribution():
    """Each device draws its part alone, and all together hold the whole."""
    jax_module, parts = importlib.import_module("fastinit.jax"), []
    drawn = jax_module._draw

    def draw(out, *args):
        parts.append(out.shape)
        return drawn(out, *args)

    mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"], keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["dense.*kernel"] = (None, "model")
    layouts["dense.*bias"] = ("model",)
    parallel = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    for name in LAWS:
        seed = {} if name in FIXED else {"seed": keras.random.SeedGenerator(7)}
        biases = fk.Constant(np.arange(8.0))  # which Keras makes
        with parallel.scope(), mock.patch.object(jax_module, "_draw", draw):
            layer = keras.layers.Dense(8, kernel_initializer=made(name, **seed), bias_initializer=biases, name="dense")
            layer.build((None, 6))
        expected = core((6, 8), LAWS[name][1])
        same(layer.kernel.value, expected)
        for variable in (layer.kernel, layer.bias):
            assert variable.value.sharding.shard_shape(variable.shape)[-1] == 4
        for shard in layer.kernel.value.addressable_shards:
            same(shard.data, expected[shard.index].copy())
        same(layer.bias.value, np.arange(8, dtype=np.float32))
        assert set(parts) == {(6, 8) if name == "Orthogonal" else (6, 4)}
        parts.clear()
    with keras.distribution.DataParallel(devices=keras.distribution.list_devices()).scope():
        layer = keras.layers.Dense(8, kernel_initializer=fk.HeNormal(seed=7))
        layer.build((None, 6))
    assert layer.kernel.value.sharding.is_fully_replicated
    same(layer.kernel.value, core((6, 8), "he_truncated_normal"))
    layout = keras.distribution.TensorLayout(("batch", "model"), mesh)
    tensor = fk.HeUniform(seed=7)((6, 8), "bfloat16", layout)
    assert tensor.sharding == layout.backend_layout
    same(tensor, core((6, 8), "he_uniform", dtype="bfloat16"))
    tensor = fk.Ones()((6, 8), "int32", layout)
    assert tensor.sharding == layout.backend_layout
    same(tensor, np.ones((6, 8), np.int32))


ROOT = Path(fi.__file__).resolve().parents[1]
RUNS = {
    **{backend: ({"KERAS_BACKEND": backend}, [__file__, fk.__file__]) for backend in ("torch", "jax", "numpy")},
    "jax on four devices": (
        {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        [f"{__file__}::test_a_distribution"],
    ),
}


@pytest.mark.skipif("FASTINIT_TEST_BACKEND" in os.environ, reason="is such a run itself")
@pytest.mark.parametrize("name", RUNS)
def test_other_backends(name):
    """These tests again, in a process of their own: Keras reads the backend when it is imported."""
    environment, tests = RUNS[name]
    backend = environment["KERAS_BACKEND"]
    peer(backend)
    if name == BACKEND:
        pytest.skip("is this run")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env=os.environ | environment | {"FASTINIT_TEST_BACKEND": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
