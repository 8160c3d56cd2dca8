"""Sharded parameters of PyTorch: each process draws its own part, of the same whole on any number of processes."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi

from .helpers import peer

torch = peer("torch")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("PyTorch was built without gloo", allow_module_level=True)

from torch import nn  # noqa: E402
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor  # noqa: E402
from torch.distributed.tensor._dtensor_spec import DTensorSpec  # noqa: E402
from torch.distributed.tensor._utils import _compute_local_shape_and_global_offset  # noqa: E402
from torch.distributed.tensor.debug import _clear_sharding_prop_cache  # noqa: E402
from torch.distributed.tensor.placement_types import _StridedShard  # noqa: E402
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

import fastinit.torch  # noqa: E402
from fastinit.torch import _pieces  # noqa: E402

from . import torch_process as process  # noqa: E402

# ---- the arithmetic of placements, as every process of many meshes, without any ----


def mesh_of(sizes, rank):
    """A mesh as one of its processes sees it, which can cut but not communicate."""
    ranks = torch.arange(math.prod(sizes)).reshape(sizes)
    return DeviceMesh("cpu", ranks, _init_backend=False, _rank=rank)


def numbered(shape):
    """A tensor whose every element says where in it it is."""
    return torch.arange(math.prod(shape)).reshape(shape)


def in_place(tensor):
    """What a DTensor's part in memory is of the whole, by its pieces: as `_parts.Part` says it, in both its ways."""
    whole = numbered(tensor.shape).numpy()
    with torch.no_grad():
        local = tensor.to_local().fill_(-1)
    for memory, part in _pieces(tensor):
        assert (memory == -1).all()  # no two write the same
        steps = zip(part.shape, part.steps, strict=True)
        numbers = part.start + sum(np.ix_(*[step * np.arange(n) for n, step in steps]))
        assert np.array_equal(numbers, whole[np.ix_(*part.ranges)])
        memory.copy_(torch.as_tensor(numbers))
    return local


def at(mesh, dimension, tensor, axis):
    """What `torch.chunk` gives this process of an axis; nothing if it makes fewer chunks than are asked for."""
    chunks, mine = torch.chunk(tensor, mesh.size(dimension), axis), mesh.get_coordinate()[dimension]
    return chunks[mine] if mine < len(chunks) else tensor.narrow(axis, 0, 0)


def cut_by_pytorch(whole, mesh, placements):
    """PyTorch's part of this process: in the order of cuts that it reads from the placements, where it can read one."""
    for axis in range(whole.ndim):
        alone = tuple(p if getattr(p, "dim", None) == axis else Replicate() for p in placements)
        order = DTensorSpec._maybe_convert_StridedShard_to_shard_order(alone, mesh)
        if order is None:
            whole = distribute_tensor(whole, mesh, alone, src_data_rank=None).to_local()
            continue
        for entry in order:
            for dimension in entry.mesh_dims:
                whole = at(mesh, dimension, whole, axis)
    return whole.clone()


shapes = st.lists(st.integers(0, 13), max_size=5).map(tuple)
meshes = st.lists(st.integers(1, 5), min_size=1, max_size=3).filter(lambda sizes: math.prod(sizes) <= 24)


@st.composite
def cases(draw, strided=True):
    shape, sizes = draw(shapes), draw(meshes)
    one = st.just(Replicate())
    if shape:
        axis = st.integers(0, len(shape) - 1)
        one |= axis.map(Shard)
        if strided:
            one |= st.builds(lambda axis, n: _StridedShard(axis, split_factor=n), axis, st.integers(1, 6))
    return shape, sizes, draw(st.tuples(*[one] * len(sizes)))


@given(cases(strided=False))
@settings(deadline=None)
def test_shards_are_where_pytorch_has_them(case):
    shape, sizes, placements = case
    for rank in range(math.prod(sizes)):
        mesh = mesh_of(sizes, rank)
        tensor = distribute_tensor(numbered(shape), mesh, placements, src_data_rank=None)
        expected = tensor.to_local().clone()
        got = in_place(tensor)
        assert torch.equal(got, expected)
        coordinate = list(mesh.get_coordinate())
        lengths, offsets = _compute_local_shape_and_global_offset(shape, sizes, coordinate, placements)
        assert got.shape == lengths
        if got.numel():
            first = sum(offset * step for offset, step in zip(offsets, numbered(shape).stride(), strict=True))
            assert got.flatten()[0] == first


@given(cases())
@settings(deadline=None)
def test_strided_shards(case):
    shape, sizes, placements = case
    for rank in range(math.prod(sizes)):
        mesh = mesh_of(sizes, rank)
        expected = cut_by_pytorch(numbered(shape), mesh, placements)
        assert torch.equal(in_place(from_local(expected.clone(), mesh, placements, shape)), expected)


@given(st.permutations(range(3)), st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 40), st.integers(0, 2))
@settings(deadline=None)
def test_any_order_of_cuts(order, sizes, n, axis):
    shape = tuple(n if k == axis else 2 for k in range(3))
    for rank in range(math.prod(sizes)):
        mesh, expected = mesh_of(sizes, rank), numbered(shape)
        for dimension in order:
            expected = at(mesh, dimension, expected, axis)
        factors = [math.prod(sizes[k] for k in order[: order.index(d)] if k > d) for d in range(3)]
        placements = [Shard(axis) if factor == 1 else _StridedShard(axis, split_factor=factor) for factor in factors]
        assert torch.equal(in_place(from_local(expected.clone(), mesh, placements, shape)), expected)


def from_local(local, mesh, placements, shape):
    return DTensor.from_local(
        local, mesh, placements, run_check=False, shape=torch.Size(shape), stride=torch.empty(shape).stride()
    )


@pytest.mark.parametrize(("data", "tensor", "n"), [(3, 2, 7), (3, 4, 27), (2, 3, 12)])
def test_what_fully_shard_makes_of_tensor_parallelism(data, tensor, n):
    """Cut for tensor parallelism first: 7 = 4 + 3 = (2 + 2 + 0) + (1 + 1 + 1), which a strided cut is not."""
    for rank in range(data * tensor):
        torch.distributed.init_process_group("fake", rank=rank, world_size=data * tensor, store=FakeStore())
        try:
            mesh = init_device_mesh("cpu", (data, tensor), mesh_dim_names=("data", "tensor"))
            module = nn.Module()
            whole = numbered((n, 2)).float()
            module.weight = nn.Parameter(distribute_tensor(whole, mesh["tensor"], [Shard(0)], src_data_rank=None))
            fully_shard(module, mesh=mesh["data"])
            assert module.weight.placements == (_StridedShard(0, split_factor=tensor), Shard(0))
            expected = module.weight.to_local().detach().clone()
            assert torch.equal(in_place(module.weight), expected)
        finally:
            torch.distributed.destroy_process_group()
            _clear_sharding_prop_cache()  # which holds this rank's mesh


# ---- what cannot be filled ----


class Two(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)


def both_refuse(tensor, text):
    """`initialize` names the parameter, and neither it nor a function writes, or takes from a generator."""
    module = Two(torch.full((4,), 7.0), tensor)
    state = torch.get_rng_state()
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fastinit.torch.initialize(module, fi.Recipe([("*", "uniform")]))
    assert str(raised.value) == f"b: {text}"
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fastinit.torch.normal_(tensor)
    assert str(raised.value) == text
    with pytest.raises(ValueError) as raised, fastinit.torch.accelerate():  # noqa: PT011
        tensor.detach().uniform_()
    assert str(raised.value) == text
    assert torch.equal(torch.get_rng_state(), state)
    assert (module.a == 7).all()
    assert (tensor.to_local() == 7).all()


@pytest.mark.parametrize(("placements", "name"), [([Partial()], "Partial(sum)"), ([Partial("avg")], "Partial(avg)")])
def test_a_sum_over_processes(placements, name):
    tensor = from_local(torch.full((3, 2), 7.0), mesh_of([2], 1), placements, (3, 2))
    both_refuse(
        tensor, f"placements must be Shard or Replicate; got {name}, a sum over processes: redistribute it first"
    )


@pytest.mark.parametrize(
    ("local", "shape", "placements", "lengths"),
    [
        ((3, 2), (5, 2), [Shard(0)], "(2, 2)"),
        ((2, 2), (5, 2), [Replicate()], "(5, 2)"),
        ((4,), (2, 4), [Shard(0)], "(1, 4)"),
        ((1,), (1,), [Shard(0)], "(0,)"),
        ((), (2,), [Shard(0)], "(1,)"),
    ],
)
def test_a_local_tensor_of_another_shape(local, shape, placements, lengths):
    tensor = from_local(torch.full(local, 7.0), mesh_of([2], 1), placements, shape)
    both_refuse(
        tensor, f"local tensor must have the shape {lengths} that {tuple(placements)} gives it; got {tuple(local)}"
    )


# ---- one, two and four processes ----

SECONDS = 150


def ends(processes, seconds):
    """Wait for all of them, or until one fails."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        codes = [one.poll() for one in processes]
        if None not in codes or any(codes):
            return
        time.sleep(0.05)


@pytest.fixture(scope="module", params=[1, 2, 4], ids=lambda world: f"{world} processes")
def saved(request, tmp_path_factory):
    """What each of so many processes has saved."""
    folder, world = tmp_path_factory.mktemp("gloo"), request.param
    command = [sys.executable, "-W", "error", process.__file__]
    logs = [folder / f"{rank}.log" for rank in range(world)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            with log.open("wb") as file:
                arguments = [str(rank), str(world), str(folder)]
                processes.append(subprocess.Popen(command + arguments, stdout=file, stderr=subprocess.STDOUT))
        ends(processes, SECONDS)
    finally:
        codes = [one.poll() for one in processes]
        for one in processes:
            one.kill()
            one.wait()
    said = "\n".join(f"{code}: {log.read_text()}" for code, log in zip(codes, logs, strict=False))
    assert codes == [0] * world, said
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def raw(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def by_core(name, tensor):
    rule = process.RECIPE.match([name])[name]
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = tuple(tensor.shape)
    return fi.initialize(shape, rule.strategy, seed=process.SEED, stream=name, dtype=dtype, **rule.options)


def shapes_of(model):
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def test_models_are_the_same_whole_everywhere(saved):
    for one in saved:
        assert len(one["models"]) == {1: 9, 2: 12, 4: 10}[len(saved)]
        for name, model in one["models"].items():
            expected = process.Placed() if name.startswith("placed") else process.Model()
            for whole in (model["gathered"], model["unsharded"]):
                assert {key: tensor.shape for key, tensor in whole.items()} == shapes_of(expected)
                for key, tensor in whole.items():
                    assert tensor.dtype is (torch.bfloat16 if name.startswith("bfloat16") else torch.float32)
                    assert raw(tensor) == by_core(key, tensor).tobytes(), (name, key)


def test_each_process_draws_its_own_part(saved):
    for one in saved:
        for model in one["models"].values():
            for key, whole in model["gathered"].items():
                held = model["held"].get(key, whole.numel())
                all_or_nothing = key == "inner.0.weight"  # orthogonal
                assert model["drawn"][key] == (whole.numel() * bool(held) if all_or_nothing else held)


def test_the_parts_share_out_the_whole(saved):
    def held(name, key):
        return [one["models"][name]["held"][key] for one in saved]

    for name in ("fsdp", "bfloat16 fsdp", "meta", "after forward"):
        for key, whole in saved[0]["models"][name]["gathered"].items():
            chunks = [chunk.numel() for chunk in whole.chunk(len(saved))]
            assert held(name, key) == chunks + [0] * (len(saved) - len(chunks))
    if len(saved) == 4:
        key = f"p{process.PLACED.index(process.LARGE)}"
        assert held("placed (2, 2)", key) == [40 * n * 20 for n in (8, 7, 8, 7)]


def test_processes_outside_of_the_mesh(saved):
    """They have nothing to fill, and their generators still keep step with the others'."""
    for rank, one in enumerate(saved):
        counts, state = one["outside"]
        assert counts == ([0, 0, 0] if rank else [1, 4, 15])
        assert torch.equal(state, saved[0]["outside"][1])


def test_functions(saved):
    for name, shape, _, arguments in process.FUNCTIONS:
        torch.manual_seed(11)
        expected = getattr(fastinit.torch, name)(torch.full(shape, 7.0), *arguments)
        for one in saved:
            tensor, state = one["functions"][name]
            assert raw(tensor) == raw(expected), name
            assert torch.equal(state, torch.get_rng_state()), name


def test_unchanged_code_in_accelerate(saved):
    model = process.Model()
    with fastinit.torch.accelerate(seed=process.SEED):
        process.reset(model)
    for one in saved:
        for parameters in one["accelerated"].values():
            assert shapes_of(model) == {key: tensor.shape for key, tensor in parameters.items()}
            for key, tensor in model.named_parameters():
                assert raw(parameters[key]) == raw(tensor), key
