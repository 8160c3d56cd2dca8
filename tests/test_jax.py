"""The initializers of `jax.nn.initializers`, drawn here: called as JAX's own are, to the bit what the core draws."""

import importlib
import inspect
import math
import os
import pathlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import fastinit as fi

from .helpers import peer

jax = peer("jax")
jnp, theirs = jax.numpy, jax.nn.initializers
fj = importlib.import_module("fastinit.jax")

KEY = jax.random.fold_in(jax.random.key(2**31 + 5), 3)
SEED, STREAM = fj.seed_and_stream(KEY)
DTYPES = ("float32", "float16", jnp.bfloat16, "complex64")
NAMES = [name for name in dir(theirs) if not name.startswith("_")]
#: Builders that ask for axes, and the core's name of each.
SCALED = {
    "glorot_normal": "glorot_truncated_normal",
    "glorot_uniform": "glorot_uniform",
    "he_normal": "he_truncated_normal",
    "he_uniform": "he_uniform",
    "kaiming_normal": "kaiming_truncated_normal",
    "kaiming_uniform": "kaiming_uniform",
    "lecun_normal": "lecun_truncated_normal",
    "lecun_uniform": "lecun_uniform",
    "xavier_normal": "xavier_truncated_normal",
    "xavier_uniform": "xavier_uniform",
}
#: Builders, a shape, what the core draws, in which layout, and whether it can be complex.
BUILT = [
    *[(getattr(fj, name)(), (3, 5, 7, 6), core, "...io", True) for name, core in SCALED.items()],
    (fj.normal(), (4, 5), fi.normal(std=0.01), "oi...", True),
    (fj.normal(jnp.float32(3)), (), fi.normal(std=3.0), "oi...", True),
    (fj.uniform(2), (9,), fi.uniform(0.0, 2.0), "oi...", False),
    (fj.truncated_normal(0.5, lower=-1, upper=3), (3, 3), fi.truncated_normal(0.0, 0.5, -1.0, 3.0), "oi...", False),
    (fj.variance_scaling(0.3, "fan_geo_avg", "normal"), (3, 8), fi.VarianceScaling(0.3, "fan_geo_avg"), "...io", True),
    (fj.variance_scaling(0, "fan_in", "normal"), (3, 8), fi.zeros(), "...io", True),
    (fj.truncated_normal(0), (3, 8), fi.zeros(), "...io", False),
    (fj.uniform(0), (3, 8), fi.zeros(), "...io", False),
    (fj.orthogonal(2.0), (3, 4, 5), fi.orthogonal(2.0), "...io", True),
    (fj.orthogonal(column_axis=0), (3, 4, 5), fi.orthogonal(), "oi...", True),
    (fj.orthogonal(column_axis=-2), (3, 4, 5), fi.orthogonal(), "ioa", True),
    (fj.delta_orthogonal(0.5), (3, 3, 2, 4), fi.delta_orthogonal(0.5), "...io", True),
    (fj.delta_orthogonal(column_axis=0), (3, 2, 4), fi.delta_orthogonal(), "...io", True),
    (fj.constant(0.1), (3, 4), fi.constant(0.1), "...io", True),
    (fj.zeros, (3, 4), fi.zeros(), "...io", True),
    (fj.ones, (3, 4), fi.ones(), "...io", True),
    (fj.initializer("small_init"), (3, 4), "small_init", "...io", True),
    (fj.initializer(fi.siren(first=True), layout="oi..."), (3, 4), fi.siren(first=True), "oi...", True),
    (fj.initializer("dirac"), (3, 3, 4, 4), "dirac", "...io", True),
    (fj.initializer("random"), (3, 0, 4), "random", "...io", True),
]
built = pytest.mark.parametrize(("init", "shape", "core", "layout", "is_complex"), BUILT)


def parameters(function):
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


def same(array, expected):
    assert isinstance(array, jax.Array)
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert np.asarray(array).tobytes() == expected.tobytes()


# ---- the calls ----


def test_every_name():
    assert set(NAMES) <= set(fj.__all__)
    assert set(fj.__all__) - set(NAMES) == {"initializer", "seed_and_stream"}
    assert all(hasattr(fj, name) for name in fj.__all__)


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(theirs, name))])
def test_signatures(name):
    ours, other = getattr(fj, name), getattr(theirs, name)
    assert parameters(ours) == parameters(other)
    if name in ("zeros", "ones"):
        return
    needed = [1.0, "fan_in", "normal"][: sum(default is inspect.Parameter.empty for _, default, _ in parameters(ours))]
    for given in ({}, {"dtype": "float16"}):
        assert parameters(ours(*needed, **given)) == parameters(other(*needed, **given))
    assert ours(*needed, dtype="float16")(KEY, (3, 4, 5)).dtype == jnp.float16
    assert isinstance(ours(*needed), theirs.Initializer)


def test_initializer_has_the_core_s_defaults():
    defaults = {name: default for name, default, _ in parameters(fi.initialize)} | {"layout": "...io"}
    for name, default, kind in parameters(fj.initializer)[1:]:
        assert (default, kind) == (defaults[name], inspect.Parameter.KEYWORD_ONLY)


# ---- the numbers ----


@built
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_to_the_core(init, shape, core, layout, is_complex, dtype):
    if dtype == "complex64" and not is_complex:
        with pytest.raises(ValueError, match=r"^dtype must be float32, float64, float16 or bfloat16; got complex64"):
            init(KEY, shape, dtype)
        return
    expected = fi.initialize(shape, core, seed=SEED, stream=STREAM, dtype=dtype, layout=layout)
    same(init(KEY, shape, dtype), expected)
    same(jax.jit(init, static_argnums=(1, 2))(KEY, shape, dtype), expected)


@pytest.mark.parametrize(
    ("init", "shape", "core", "layout", "dtype"),
    [(*case, dtype) for *case, is_complex in BUILT for dtype in ("float64", "complex128")[: 1 + is_complex]],
)
def test_64_bits(init, shape, core, layout, dtype):
    with jax.enable_x64(True):
        expected = fi.initialize(shape, core, seed=SEED, stream=STREAM, dtype=dtype, layout=layout)
        same(init(KEY, shape, dtype), expected)
        same(jax.jit(init, static_argnums=(1, 2))(KEY, shape, dtype), expected)
        assert init(KEY, shape).dtype == jnp.float64
    with pytest.warns(UserWarning, match=f"Explicitly requested dtype {dtype}"):
        narrow = init(KEY, shape, dtype)
    assert narrow.dtype == ("float32" if dtype == "float64" else "complex64")
    assert np.array_equal(narrow, init(KEY, shape, narrow.dtype))


@pytest.mark.parametrize("dtype", [None, float, jnp.float32, "float32", np.float32, np.dtype("float32")])
def test_ways_to_say_float32(dtype):
    expected = fi.initialize((3, 4), "he_truncated_normal", seed=SEED, layout="...io")
    same(fj.he_normal(dtype=dtype)(KEY, (3, 4)), expected)
    same(fj.he_normal(dtype="float16")(KEY, (3, 4), dtype or "float32"), expected)


@pytest.mark.parametrize("shape", [5, (5,), [5], np.array([5]), (np.int64(5),)])
def test_ways_to_say_a_shape(shape):
    assert fj.normal()(KEY, shape).shape == fj.zeros(KEY, shape).shape == theirs.normal()(KEY, shape).shape == (5,)


def test_constants_are_of_any_dtype_and_shape():
    for dtype in ("int32", "bool", "uint8", "float8_e4m3fn", "float16"):
        for ours, other in ((fj.zeros, theirs.zeros), (fj.ones, theirs.ones)):
            same(ours(KEY, (2, 3), dtype), np.asarray(other(KEY, (2, 3), dtype)))
    value = np.arange(3)
    same(fj.constant(value)(None, (2, 3)), np.asarray(theirs.constant(value)(None, (2, 3))))


#: in_axis, out_axis, batch_axis of shapes: several, negative, none, the same twice (as Flax's embeddings have it).
AXES = [
    ((3, 4), -2, -1, ()),
    ((3, 4), 1, 0, ()),
    ((2, 3, 4, 5), -2, -1, ()),
    ((2, 3, 4, 5), (0, 1), (2, 3), ()),
    ((2, 3, 4, 5), [-1, 0], 1, -2),
    ((2, 3, 4, 5), 1, (2, 3), (0,)),
    ((2, 3, 4, 5), 1, -1, [0, 2]),
    ((7,), 0, (), ()),
    ((7,), (), 0, ()),
    ((7,), (0,), 0, ()),
    ((49, 3), -2, 0, ()),
    ((3, 49), -2, 0, ()),
    ((3, 4), -1, -1, ()),
    ((3, 4), 0, 1, 1),
    ((), (), (), ()),
]


@pytest.mark.parametrize(("shape", "in_axis", "out_axis", "batch_axis"), AXES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
def test_axes_as_in_jax(shape, in_axis, out_axis, batch_axis, mode):
    """JAX's standard deviation is what its normals are multiplied by; ours likewise."""
    arguments = (0.7, mode, "normal", in_axis, out_axis, batch_axis)
    with jax.enable_x64(True):
        std = np.asarray(theirs.variance_scaling(*arguments)(KEY, shape) / jax.random.normal(KEY, shape)).max()
        drawn = np.asarray(fj.variance_scaling(*arguments)(KEY, shape))
    unit = fi.initialize(shape, fi.normal(), seed=SEED, dtype="float64")
    assert (drawn / unit).max() == pytest.approx(std, rel=2**-48)


def test_fans_are_exact():
    """Also where they are fractions, and where JAX's own, divided and multiplied in floats, are not."""
    for shape, axes, fan_in in (
        ((3, 4), (0, 1, 1), Fraction(3, 4)),
        ((49, 1), (-2, 0), Fraction(1)),
        ((49, 3), (0, 1, 0), Fraction(1)),
        ((7, 5), (-1, -1), Fraction(7)),
    ):
        drawn = fj.variance_scaling(1.0, "fan_in", "normal", *axes)(KEY, shape)
        same(drawn, fi.initialize(shape, fi.normal(std=math.sqrt(1 / fan_in)), seed=SEED))


def test_flax_s_embedding_law():
    init = fj.variance_scaling(1.0, "fan_in", "normal", out_axis=0)
    same(init(KEY, (1000, 49)), fi.initialize((1000, 49), "embedding_normal", seed=SEED))


# ---- errors, of JAX's types ----

REFUSED = {
    "one axis": lambda m: m.he_normal()(KEY, (3,)),
    "no axis": lambda m: m.glorot_uniform()(KEY, ()),
    "an int": lambda m: m.lecun_normal()(KEY, 3),
    "in_axis beyond": lambda m: m.he_normal(in_axis=2)(KEY, (3, 4)),
    "in_axis before": lambda m: m.he_normal(in_axis=-3)(KEY, (3, 4)),
    "in_axis in a sequence beyond": lambda m: m.he_normal(in_axis=(0, 2))(KEY, (3, 4)),
    "in_axis -2 in a sequence": lambda m: m.he_normal(in_axis=(-2,))(KEY, (3,)),
    "out_axis beyond": lambda m: m.he_normal(out_axis=2)(KEY, (3, 4)),
    "batch_axis beyond": lambda m: m.he_normal(batch_axis=2)(KEY, (3, 4)),
    "in_axis a str": lambda m: m.he_normal(in_axis="i")(KEY, (3, 4)),
    "out_axis a float": lambda m: m.he_normal(out_axis=1.0)(KEY, (3, 4)),
    "batch_axis None": lambda m: m.he_normal(batch_axis=None)(KEY, (3, 4)),
    "mode": lambda m: m.variance_scaling(1.0, "fan", "normal")(KEY, (3, 4)),
    "distribution": lambda m: m.variance_scaling(1.0, "fan_in", "gaussian")(KEY, (3, 4)),
    "scale a str": lambda m: m.variance_scaling("1", "fan_in", "normal")(KEY, (3, 4)),
    "int": lambda m: m.normal()(KEY, (3, 4), int),
    "int32": lambda m: m.he_normal()(KEY, (3, 4), "int32"),
    "bool": lambda m: m.uniform()(KEY, (3, 4), bool),
    "orthogonal int32": lambda m: m.orthogonal()(KEY, (3, 4), "int32"),
    "complex uniform": lambda m: m.uniform()(KEY, (3, 4), "complex64"),
    "complex truncated_normal": lambda m: m.truncated_normal()(KEY, (3, 4), "complex64"),
    "no dtype": lambda m: m.normal()(KEY, (3, 4), "float31"),
    "no dtype of zeros": lambda m: m.zeros(KEY, (3, 4), "float31"),
    "shape of floats": lambda m: m.normal()(KEY, (3.0,)),
    "shape of floats of zeros": lambda m: m.zeros(KEY, (3.0,)),
    "shape None": lambda m: m.normal()(KEY, None),
    "orthogonal, one axis": lambda m: m.orthogonal()(KEY, (3,)),
    "orthogonal, one axis of 0": lambda m: m.orthogonal()(KEY, (0,)),
    "orthogonal, no column_axis": lambda m: m.orthogonal(column_axis=2)(KEY, (3, 4)),
    "delta_orthogonal, two axes": lambda m: m.delta_orthogonal()(KEY, (3, 4)),
    "delta_orthogonal, six axes": lambda m: m.delta_orthogonal()(KEY, (3,) * 6),
    "delta_orthogonal, more inputs": lambda m: m.delta_orthogonal()(KEY, (3, 4, 3)),
    "delta_orthogonal, no column_axis": lambda m: m.delta_orthogonal(column_axis=2)(KEY, (3, 3, 3)),
    "constant that does not fit": lambda m: m.constant(np.ones(5))(KEY, (3, 4)),
    "dtype of keys": lambda m: m.normal()(KEY, (3,), KEY.dtype),
    "key None": lambda m: m.normal()(None, (3,)),
    "key an int": lambda m: m.normal()(3, (3,)),
    "key a list": lambda m: m.normal()([0, 1], (3,)),
    "key of floats": lambda m: m.normal()(jnp.zeros(2), (3,)),
    "key of int32": lambda m: m.normal()(jnp.zeros(2, "int32"), (3,)),
    "key of three words": lambda m: m.normal()(jnp.zeros(3, "uint32"), (3,)),
    "key of another generator": lambda m: m.normal()(jax.random.PRNGKey(0, impl="rbg"), (3,)),
    "keys": lambda m: m.normal()(jax.random.split(KEY, 3), (3,)),
    "raw keys": lambda m: m.normal()(jax.random.key_data(jax.random.split(KEY, 3)), (3,)),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore:Explicitly requested")
def test_errors_are_of_jax_s_types(call):
    with pytest.raises(Exception) as other:  # noqa: PT011, as it raises whatever it does
        call(theirs)
    with pytest.raises(other.type) as ours:
        call(fj)
    assert ours.type is other.type


def test_error_texts():
    for call, error, text in (
        ("one axis", ValueError, "shape must have at least 2 axes, or in_axis be given; got shape (3,)"),
        ("in_axis beyond", IndexError, "in_axis must lie within the axes of shape (3, 4); got 2"),
        ("batch_axis None", TypeError, "batch_axis must be an integer or a sequence of integers; got None"),
        ("int32", ValueError, "dtype must be float32, float64, float16, bfloat16, complex64 or complex128; got int32"),
        ("keys", ValueError, "key must be a single key; got keys of shape (3,): use jax.vmap"),
        ("delta_orthogonal, six axes", ValueError, "shape must have 3 to 5 axes; got (3, 3, 3, 3, 3, 3)"),
        ("orthogonal, one axis", ValueError, "shape must have at least 2 axes; got (3,)"),
    ):
        with pytest.raises(error) as raised:
            REFUSED[call](fj)
        assert str(raised.value) == text


def test_what_jax_takes_and_this_does_not():
    for wrong, error in (
        (lambda: fj.normal()(KEY, (3,), "float8_e4m3fn"), "dtype must be"),
        (lambda: fj.normal(-1.0), "std must be a finite number of at least 0"),
        (lambda: fj.uniform(-1.0), "low must be less than high"),
        (lambda: fj.variance_scaling(-1.0, "fan_in", "normal"), "scale must be positive"),
    ):
        with pytest.raises(ValueError, match=f"^{error}"):
            wrong()


def test_lengths_of_0():
    """JAX's own divide by them; a weight without elements needs no variance."""
    for shape in ((0, 4), (4, 0), (2, 0, 3, 4)):
        assert fj.he_normal()(KEY, shape).shape == shape
        assert jax.jit(lambda key, shape=shape: fj.orthogonal()(key, shape))(KEY).shape == shape
        with pytest.raises(IndexError):
            fj.he_normal(in_axis=5)(KEY, shape)


# ---- keys ----


def test_seed_and_stream():
    assert fj.seed_and_stream(jax.random.key(7)) == fj.seed_and_stream(jax.random.PRNGKey(7)) == (7, 0)
    assert fj.seed_and_stream(np.array([3, 2**32 - 1], np.uint32)) == (3 << 32 | 2**32 - 1, 0)
    words = jnp.array([1, 2, 3, 4], "uint32")
    for generator in ("rbg", "unsafe_rbg"):
        typed = jax.random.wrap_key_data(words, impl=generator)
        assert fj.seed_and_stream(typed) == (1 << 32 | 2, 3 << 32 | 4)
        expected = fi.initialize((5,), "random", seed=1 << 32 | 2, stream=3 << 32 | 4)
        same(fj.initializer("random")(typed, (5,)), expected)
        same(jax.jit(fj.initializer("random"), static_argnums=1)(typed, (5,)), expected)
    with jax.default_prng_impl("rbg"):
        assert fj.seed_and_stream(words) == (1 << 32 | 2, 3 << 32 | 4)
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(fj.seed_and_stream)(KEY)


def test_typed_and_raw_keys_are_one():
    for key in jax.random.split(KEY, 5):
        raw = jax.random.key_data(key)
        expected = fi.initialize((3, 4), "he_truncated_normal", seed=fj.seed_and_stream(key)[0], layout="...io")
        for each in (key, raw, np.asarray(raw)):
            same(fj.he_normal()(each, (3, 4)), expected)
            same(jax.jit(fj.he_normal(), static_argnums=1)(each, (3, 4)), expected)


# ---- memory ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (256, 257)])
def test_nothing_is_copied_and_no_memory_is_drawn_into_twice(dtype, shape, monkeypatch):
    addresses, draw = [], fj._draw

    def spy(out, *arguments):
        addresses.append(out.ctypes.data)
        draw(out, *arguments)

    monkeypatch.setattr(fj, "_draw", spy)
    init = fj.normal(dtype=dtype)
    arrays, copies = [], []
    for key in jax.random.split(KEY, 8):
        arrays.append(init(key, shape))
        copies.append(np.array(arrays[-1]))
    assert all(np.array_equal(array, copy) for array, copy in zip(arrays, copies, strict=True))
    assert len({array.tobytes() for array in copies}) == 8
    if jax.default_backend() == "cpu":
        assert [array.unsafe_buffer_pointer() for array in arrays] == addresses
        assert all(address % 64 == 0 for address in addresses)


def test_donated():
    first = fj.normal(1.0)(KEY, (64, 64))
    expected = 2 * np.asarray(first)
    doubled = jax.jit(lambda w: 2 * w, donate_argnums=0)(first)
    again = fj.normal(1.0)(KEY, (64, 64))
    assert np.array_equal(doubled, expected)
    assert np.array_equal(2 * again, expected)


# ---- traced ----

INIT = fj.he_normal()
SHAPE = (8, 4)


@pytest.mark.parametrize("init", [INIT, fj.orthogonal(), fj.initializer("dirac"), fj.zeros, fj.normal()])
@pytest.mark.parametrize("dtype", DTYPES)
def test_transformed(init, dtype):
    keys = jax.random.split(KEY, 6)
    expected = np.array([init(key, SHAPE, dtype) for key in keys])

    def draw(key):
        return init(key, SHAPE, dtype)

    same(jax.vmap(draw)(keys), expected)
    same(jax.jit(jax.vmap(draw))(jax.random.key_data(keys)), expected)
    same(jax.vmap(jax.vmap(draw))(keys.reshape(2, 3)), expected.reshape(2, 3, *SHAPE))
    same(jax.lax.scan(lambda carry, key: (carry, draw(key)), 0, keys)[1], expected)
    same(jax.lax.map(draw, keys), expected)
    same(jax.jit(jax.checkpoint(draw))(keys[0]), expected[0])
    same(jax.lax.cond(jnp.array(True), draw, lambda key: jnp.zeros(SHAPE, dtype), keys[0]), expected[0])
    same(jax.jit(lambda: draw(keys[1]))(), expected[1])  # a key that is not an argument
    with jax.disable_jit():
        same(jax.jit(draw)(keys[0]), expected[0])
    for key in (keys[0], jax.eval_shape(lambda: KEY)):
        assert jax.eval_shape(draw, key) == jax.ShapeDtypeStruct(SHAPE, dtype)


def test_nothing_is_drawn_for_a_shape(monkeypatch):
    monkeypatch.setattr(fj, "_draw", None)
    assert jax.eval_shape(lambda key: INIT(key, (10**6, 10**6)), KEY).shape == (10**6, 10**6)
    assert "pure_callback" in str(jax.make_jaxpr(lambda: INIT(KEY, (10**6, 10**6)))())  # no constant of that size
    with pytest.raises(ValueError, match=r"^shape must"):
        jax.eval_shape(lambda key: INIT(key, (3,)), KEY)


def test_gradients_around_it():
    w = INIT(KEY, SHAPE)
    keys = jax.random.split(KEY, 3)

    def loss(x, key):
        return jnp.sum(INIT(key, SHAPE) * x**2)

    def scanned(x, keys):
        return jax.lax.scan(lambda total, key: (total + loss(x, key), None), 0.0, keys)[0]

    x = jnp.arange(32.0).reshape(SHAPE)
    for grad in (jax.grad(loss), jax.jit(jax.grad(loss)), jax.grad(jax.jit(loss)), jax.grad(jax.checkpoint(loss))):
        assert np.array_equal(grad(x, KEY), 2 * w * x)
    assert np.array_equal(jax.jit(jax.jacfwd(loss))(x, KEY), 2 * w * x)
    several = sum(2 * INIT(key, SHAPE) * x for key in keys)
    for grad in (jax.grad(scanned), jax.jit(jax.grad(jax.checkpoint(scanned)))):
        np.testing.assert_allclose(grad(x, keys), several, rtol=1e-5)
    of_key = jax.grad(jax.jit(loss), argnums=(0, 1), allow_int=True)(x, jax.random.key_data(KEY))
    assert np.array_equal(of_key[0], 2 * w * x)
    assert of_key[1].dtype == jax.dtypes.float0


def test_many_and_big_weights_under_jit():
    """16 MB from each of 6 callbacks, and small ones in between: no callback waits for JAX."""

    @jax.jit
    def model(key):
        return [INIT(k, (2048, 2048) if i % 2 else (3, 4)) for i, k in enumerate(jax.random.split(key, 12))]

    for i, (key, w) in enumerate(zip(jax.random.split(KEY, 12), model(KEY), strict=True)):
        seed, stream = fj.seed_and_stream(key)
        shape = (2048, 2048) if i % 2 else (3, 4)
        same(w, fi.initialize(shape, "he_truncated_normal", seed=seed, stream=stream, layout="...io"))


def test_over_devices():
    """tests/jax_shards.py, on 8 devices of a process of its own."""
    file = pathlib.Path(__file__).with_name("jax_shards.py")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    root = str(pathlib.Path(fi.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout


# ---- Flax and Equinox ----


def test_flax_linen():
    nn = peer("flax.linen")
    embedding = fj.variance_scaling(1.0, "fan_in", "normal", out_axis=0)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, ids):
            x = nn.Embed(11, 8, embedding_init=embedding, name="embed")(ids)
            x = nn.Dense(5, kernel_init=INIT, bias_init=fj.zeros, param_dtype=jnp.bfloat16, name="dense")(x)
            return nn.Dense(3, kernel_init=fj.orthogonal(), bias_init=fj.constant(0.5), name="last")(x)

    ids, found = jnp.arange(4), {}

    def recorded(key, shape, dtype=jnp.float32):
        found["key"] = key
        return INIT(key, shape, dtype)

    eager = Model().init(KEY, ids)
    assert jax.tree.all(jax.tree.map(np.array_equal, eager, jax.jit(Model().init)(KEY, ids)))
    weights = eager["params"]
    assert weights["dense"]["kernel"].dtype == jnp.bfloat16
    assert (weights["dense"]["bias"] == 0).all()
    assert (weights["last"]["bias"] == 0.5).all()
    np.testing.assert_allclose(weights["last"]["kernel"].T @ weights["last"]["kernel"], np.eye(3), atol=1e-6)
    dense = nn.Dense(5, kernel_init=recorded)
    drawn = dense.init(KEY, jnp.ones((1, 8)))["params"]["kernel"]
    seed, stream = fj.seed_and_stream(found["key"])
    same(drawn, fi.initialize((8, 5), "he_truncated_normal", seed=seed, stream=stream, layout="...io"))


def test_flax_nnx():
    nnx = peer("flax.nnx")
    key = nnx.Rngs(params=0).params()  # the first that a model takes
    seed, stream = fj.seed_and_stream(key)

    def model():
        return nnx.Linear(8, 5, kernel_init=INIT, bias_init=fj.ones, rngs=nnx.Rngs(params=0))

    for layer in (model(), nnx.jit(model)()):
        kernel = fi.initialize((8, 5), "he_truncated_normal", seed=seed, stream=stream, layout="...io")
        same(layer.kernel[...], kernel)
        assert (layer.bias[...] == 1).all()
    conv = nnx.Conv(4, 6, (3, 3), kernel_init=fj.delta_orthogonal(), rngs=nnx.Rngs(0))
    assert int((conv.kernel[...] != 0).sum()) == 24
    assert nnx.eval_shape(model).kernel.get_value().shape == (8, 5)


def test_equinox():
    eqx = peer("equinox")
    model = eqx.nn.MLP(3, 2, 8, 2, key=KEY)

    def linears(model):
        return [layer.weight for layer in model.layers]

    init = fj.initializer("he_truncated_normal", layout="oi...")  # Equinox's weights are (out, in)

    @eqx.filter_jit
    def redrawn(model, key):
        keys = jax.random.split(key, len(linears(model)))
        return eqx.tree_at(
            linears, model, [init(k, w.shape, w.dtype) for k, w in zip(keys, linears(model), strict=True)]
        )

    drawn = linears(redrawn(model, KEY))
    assert len(drawn) == 3
    for key, weight, before in zip(jax.random.split(KEY, 3), drawn, linears(model), strict=True):
        seed, stream = fj.seed_and_stream(key)
        same(weight, fi.initialize(before.shape, "he_truncated_normal", seed=seed, stream=stream))


def test_a_tree_of_keys():
    shapes = {"a": (3, 4), "b": {"c": (4, 5)}}
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    keys = tree.unflatten(list(jax.random.split(KEY, len(leaves))))
    weights = jax.tree.map(INIT, keys, shapes)
    assert weights["b"]["c"].shape == (4, 5)
    assert np.array_equal(weights["a"], INIT(keys["a"], (3, 4)))
