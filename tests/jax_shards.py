"""Weights over 8 devices, which test_jax.py runs in a process of its own: each device draws its shard of the whole."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import fastinit.jax as fj

KEY = jax.random.key(7)
SHAPE = (16, 8, 24)
#: Meshes over all devices and over some, and specs: split by an axis or two at once, replicated in part or wholly.
CASES = [
    ((8,), P("a")),
    ((8,), P(None, "a")),
    ((8,), P()),
    ((4,), P(None, None, "a")),
    ((4, 2), P("a", "b")),
    ((4, 2), P("b", None, "a")),
    ((4, 2), P(("a", "b"))),
    ((4, 2), P(None, ("b", "a"))),
    ((4, 2), P("b")),
    ((2, 2), P(None, "a")),
    ((2, 4), P()),
]
KINDS = (AxisType.Explicit, AxisType.Auto)
cases = pytest.mark.parametrize(("lengths", "spec"), CASES)
kinds = pytest.mark.parametrize("kind", KINDS, ids=("explicit", "auto"))
INITS = {
    "truncated": fj.he_normal(),
    "complex": fj.normal(dtype="complex64"),
    "bfloat16": fj.glorot_uniform(dtype="bfloat16"),
    "finished": fj.initializer("dirac", layout="...io"),
    "orthogonal": fj.orthogonal(),
}


def mesh_of(lengths, kind):
    devices = np.array(jax.devices()[: math.prod(lengths)]).reshape(lengths)
    return Mesh(devices, ("a", "b")[: len(lengths)], axis_types=(kind,) * len(lengths))


@pytest.fixture
def drawn(monkeypatch):
    """The sizes of all arrays that are drawn into."""
    sizes, draw = [], fj._draw

    def spy(out, *arguments):
        sizes.append(out.size)
        draw(out, *arguments)

    monkeypatch.setattr(fj, "_draw", spy)
    return sizes


def check(array, whole, sharding):
    assert array.dtype == whole.dtype
    assert array.sharding.is_equivalent_to(sharding, array.ndim)
    assert len(array.addressable_shards) == sharding.mesh.size
    for shard in array.addressable_shards:
        assert shard.data.shape == sharding.shard_shape(array.shape)
        assert np.asarray(shard.data).tobytes() == np.asarray(whole)[shard.index].tobytes()


def test_devices():
    assert jax.device_count() == 8


@cases
@kinds
@pytest.mark.parametrize("name", INITS)
def test_each_device_draws_its_shard(lengths, spec, kind, name, drawn):
    init = INITS[name]
    whole = init(KEY, SHAPE)
    sharding = NamedSharding(mesh_of(lengths, kind), spec)
    drawn.clear()
    check(init(KEY, SHAPE, out_sharding=sharding), whole, sharding)
    if name == "orthogonal":
        assert drawn == [whole.size]
    else:
        assert set(drawn) == {math.prod(sharding.shard_shape(SHAPE))}
        assert len(drawn) == (1 if sharding.is_fully_replicated else sharding.mesh.size)


@cases
@kinds
@pytest.mark.parametrize("name", INITS)
def test_under_jit(lengths, spec, kind, name, drawn):
    init = INITS[name]
    whole = init(KEY, SHAPE)
    sharding = NamedSharding(mesh_of(lengths, kind), spec)
    drawn.clear()
    check(jax.jit(lambda key: init(key, SHAPE, out_sharding=sharding))(KEY), whole, sharding)
    assert drawn == [math.prod(sharding.shard_shape(SHAPE))] * sharding.mesh.size


@kinds
@pytest.mark.parametrize("init", [fj.he_normal(), fj.orthogonal(), fj.constant(3.0), fj.zeros])
@pytest.mark.parametrize("spec", [P("a", "b"), P(None, "b"), P(), None])
def test_a_mesh_that_is_set(kind, init, spec):
    """By a spec; by a sharding over the abstract mesh, as traced code has it; and by none, which replicates."""
    whole, mesh = init(KEY, SHAPE), mesh_of((4, 2), kind)
    sharding = NamedSharding(mesh, P() if spec is None else spec)
    with jax.set_mesh(mesh):
        asked = [spec] if spec is None else [spec, sharding, NamedSharding(mesh.abstract_mesh, spec)]
        for out_sharding in asked:
            check(init(KEY, SHAPE, out_sharding=out_sharding), whole, sharding)
            check(jax.jit(lambda key, s=out_sharding: init(key, SHAPE, out_sharding=s))(KEY), whole, sharding)


@kinds
@pytest.mark.parametrize("init", [fj.zeros, fj.ones, fj.constant(np.arange(24.0))])
@pytest.mark.parametrize("spec", [P("a", "b"), P(("b", "a")), P()])
def test_constants(kind, init, spec):
    sharding = NamedSharding(mesh_of((4, 2), kind), spec)
    whole = init(KEY, SHAPE, jnp.bfloat16)
    check(init(KEY, SHAPE, jnp.bfloat16, sharding), whole, sharding)
    check(jax.jit(lambda key: init(key, SHAPE, jnp.bfloat16, sharding))(KEY), whole, sharding)


@kinds
def test_transformed(kind):
    """Under vmap and scan over keys, with and without jit, and within shard_map, where each device has its own key."""
    mesh, init, keys = mesh_of((4, 2), kind), fj.lecun_normal(), jax.random.split(KEY, 8)
    sharding = NamedSharding(mesh, P("a", "b"))
    wholes = [np.asarray(init(key, (8, 4))) for key in keys]

    def draw(key):
        return init(key, (8, 4), out_sharding=sharding)

    for mapped in (
        jax.vmap(draw),
        jax.jit(jax.vmap(draw)),
        lambda ks: jax.lax.scan(lambda c, k: (c, draw(k)), 0, ks)[1],
    ):
        assert np.array_equal(mapped(keys), wholes)
    with jax.set_mesh(mesh):
        assert np.array_equal(jax.vmap(lambda key: init(key, (8, 4)))(keys), wholes)
        assert np.array_equal(jax.jit(jax.vmap(lambda key: init(key, (8, 4))))(keys), wholes)
    each = jax.shard_map(
        lambda ks: init(ks[0], (8, 4))[None], mesh=mesh, in_specs=P(("a", "b")), out_specs=P(("a", "b"))
    )
    apart = jax.device_put(keys, NamedSharding(mesh, P(("a", "b"))))
    assert np.array_equal(jax.jit(each)(apart), wholes)


@kinds
def test_what_jit_shards(kind):
    """By its own out_shardings, and beside an argument that is sharded already: the same numbers."""
    mesh, init = mesh_of((4, 2), kind), fj.he_normal()
    sharding, whole = NamedSharding(mesh, P("a")), init(KEY, SHAPE)
    check(jax.jit(lambda key: init(key, SHAPE), out_shardings=sharding)(KEY), whole, sharding)
    x = jax.device_put(whole, sharding)
    w, same = jax.jit(lambda key, x: (init(key, SHAPE), init(key, SHAPE) == x))(KEY, x)
    assert np.array_equal(w, whole)
    assert same.all()


def test_many_callbacks_at_once():
    """Layer after layer, megabytes each, from all devices: nothing waits for what waits for it."""
    mesh, init = mesh_of((8,), AxisType.Explicit), fj.he_normal()
    sharding = NamedSharding(mesh, P("a"))

    @jax.jit
    def model(key):
        return [init(k, (2048, 512), out_sharding=sharding) for k in jax.random.split(key, 8)]

    for seed in range(4):
        weights = model(jax.random.key(seed))
        for key, weight in zip(jax.random.split(jax.random.key(seed), 8), weights, strict=True):
            check(weight, init(key, (2048, 512)), sharding)


def test_replicas_may_be_donated():
    """Replicas on several CPU devices may share what was drawn; what one device overwrites, the others keep."""
    sharding = NamedSharding(mesh_of((8,), AxisType.Explicit), P())
    for _ in range(4):
        w = fj.he_normal()(KEY, (256, 256), out_sharding=sharding)
        whole = np.array(w)
        doubled = jax.jit(lambda w: 2 * w, donate_argnums=0)(w)
        check(doubled, 2 * whole, sharding)


def test_errors():
    init, mesh = fj.he_normal(), mesh_of((4, 2), AxisType.Explicit)
    theirs = jax.nn.initializers.he_normal()
    for bad, error in (("a", TypeError), (jax.devices()[0], TypeError), (P("a"), ValueError)):
        for each in (init, fj.zeros, theirs):
            with pytest.raises(error, match=r"sharding|mesh"):
                each(KEY, (8, 4), out_sharding=bad)
    uneven, too_many = NamedSharding(mesh, P("a")), NamedSharding(mesh, P("a", None, "b"))
    for each in (init, jax.jit(init, static_argnums=(1, 2, 3)), fj.zeros, theirs):
        with pytest.raises(ValueError, match=r"evenly"):
            each(KEY, (9, 4), None, uneven)
    for each in (init, jax.jit(init, static_argnums=(1, 2, 3)), fj.zeros):
        with pytest.raises(ValueError, match=r"^out_sharding must have at most an entry for each axis of \(8, 4\)"):
            each(KEY, (8, 4), None, too_many)
