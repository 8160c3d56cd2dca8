"""What each process of `test_torch_sharded` does: fill sharded models, and save what all have of them together."""

import datetime
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import _StridedShard

import fastinit as fi
import fastinit.torch

SEED = 2**63 + 5
RECIPE = fi.Recipe(
    [
        ("embedding.weight", "normal"),
        ("inner.0.weight", "orthogonal"),
        ("inner.2.weight", fi.sparse(0.4)),
        ("convolution.weight", "dirac"),
        ("mix.weight", "eye"),
        ("norm.weight", "ones"),
        ("head.weight", fi.truncated_normal(std=0.1)),
        ("*.bias", "uniform"),
        ("*", "he_normal", {"fan_in": 5}),
    ]
)
TOKENS = torch.arange(6)


class Model(nn.Module):
    """Of axes that two and four processes share out evenly, unevenly, and not to each."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.inner = nn.Sequential(nn.Linear(8, 13), nn.GELU(), nn.Linear(13, 8))
        self.convolution = nn.Conv1d(6, 5, 3)
        self.mix = nn.Linear(8, 8, bias=False)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        x = self.embedding(tokens)
        return self.head(self.norm(x + self.mix(self.inner(x)) + self.convolution(x).mean()))


class Placed(nn.Module):
    """Parameters of any placements on a mesh; whole without one."""

    def __init__(self, mesh=None):
        super().__init__()
        for k, (shape, placements) in enumerate(PLACED):
            whole = torch.zeros(shape)
            tensor = whole if mesh is None else distribute_tensor(whole, mesh, placements, src_data_rank=None)
            self.register_parameter(f"p{k}", nn.Parameter(tensor))


LARGE = ((40, 30, 20), [Shard(1), Shard(1)])
PLACED = [
    ((), [Replicate(), Replicate()]),
    ((7,), [Shard(0), Replicate()]),
    ((7,), [Replicate(), Shard(0)]),
    ((7,), [Shard(0), Shard(0)]),
    ((1,), [Shard(0), Shard(0)]),
    ((5, 0), [Shard(0), Shard(1)]),
    ((5, 3), [Shard(1), Shard(0)]),
    ((9, 5), [Shard(-1), Shard(-1)]),
    ((10, 3), [_StridedShard(0, split_factor=3), Replicate()]),
    ((3, 11), [Shard(0), _StridedShard(1, split_factor=2)]),
    ((2, 3, 2, 5, 3), [Shard(3), Shard(1)]),
    LARGE,
]

#: Functions of `fastinit.torch`, a shape, how it is placed, and arguments.
FUNCTIONS = [
    ("uniform_", (9, 5), [Shard(0), Shard(1)], (-1.0, 2.0)),
    ("normal_", (9, 5), [Shard(0), Shard(0)], (1.0, 0.5)),
    ("trunc_normal_", (9, 5), [Shard(1), Replicate()], (0.0, 1.0, -0.5, 1.5)),
    ("xavier_uniform_", (9, 5), [Replicate(), Shard(1)], (2.0,)),
    ("xavier_normal_", (3, 5, 3), [Shard(0), Shard(2)], ()),
    ("kaiming_uniform_", (7, 5, 3, 3), [Shard(1), Shard(0)], (0.1, "fan_out")),
    ("kaiming_normal_", (7, 5), [Shard(0), Shard(1)], (0.0, "fan_in", "relu")),
    ("orthogonal_", (9, 5), [Shard(0), Shard(1)], (1.5,)),
    ("sparse_", (9, 5), [Shard(0), Shard(1)], (0.4,)),
    ("eye_", (9, 5), [Shard(0), Shard(0)], ()),
    ("dirac_", (6, 4, 3), [Shard(0), Shard(1)], (2,)),
    ("constant_", (9, 5), [Shard(0), Shard(1)], (3.0,)),
    ("ones_", (9, 5), [Shard(0), Shard(1)], ()),
    ("zeros_", (9, 5), [Shard(0), Shard(1)], ()),
]


def reset(model):
    """Unchanged model code: what `torch.nn`'s modules draw in their constructors, and a truncated normal."""
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    nn.init.trunc_normal_(model.head.weight, std=0.02)
    return model


def run(model):
    with torch.no_grad():
        return model(TOKENS)


# ---- ways to shard a model ----


def sharded(mesh, dtype=None, model=None, **options):
    model = (Model() if model is None else model).to(dtype)
    fully_shard(model.inner, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def by_columns(mesh):
    def placement(parameter):
        return Shard(1) if parameter.ndim > 1 and parameter.shape[1] % mesh.size() == 0 else None

    return sharded(mesh, shard_placement_fn=placement)


def tensor_parallel(mesh):
    plan = {
        "embedding": RowwiseParallel(input_layouts=Replicate()),
        "inner.0": ColwiseParallel(),
        "inner.2": RowwiseParallel(),
        "mix": ColwiseParallel(output_layouts=Replicate()),
        "head": ColwiseParallel(output_layouts=Replicate()),
    }
    return parallelize_module(Model(), mesh, plan)


def from_meta(mesh):
    with torch.device("meta"):
        model = Model()
    return sharded(mesh, model=model).to_empty(device="cpu")


def after_forward(mesh, reshard_after_forward):
    model = sharded(mesh, reshard_after_forward=reshard_after_forward)
    run(model)
    return model


def models(world):
    line, grids = init_device_mesh("cpu", (world,)), [(1, 1), (2, 1), (1, 2), (2, 2)]
    yield "fsdp", sharded(line)
    yield "bfloat16 fsdp", sharded(line, torch.bfloat16)
    yield "fsdp by columns", by_columns(line)
    yield "tensor parallel", tensor_parallel(line)
    yield "meta", from_meta(line)
    yield "after forward", after_forward(line, False)
    if world == 4:
        yield "on a smaller mesh after forward", after_forward(line, 2)
    for grid in (grid for grid in grids if grid[0] * grid[1] == world):
        mesh = init_device_mesh("cpu", grid, mesh_dim_names=("outer", "inner"))
        yield f"fsdp of tensor parallel {grid}", sharded(mesh["outer"], model=tensor_parallel(mesh["inner"]))
        yield f"hsdp {grid}", sharded(mesh)
        yield f"placed {grid}", Placed(mesh)


# ---- what each process saves ----


def whole(tensor):
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def initialized(model, drawn):
    """A model's parameters: gathered, as a forward pass gathers them, and how much of each is, and was drawn, here."""
    drawn.clear()
    assert fastinit.torch.initialize(model, RECIPE, seed=SEED) is model
    counts, parameters = dict(drawn), dict(model.named_parameters())
    saved = {
        "gathered": {name: whole(parameter) for name, parameter in parameters.items()},
        "held": {name: parameter.to_local().numel() for name, parameter in parameters.items() if is_sharded(parameter)},
        "drawn": {name: counts.get(fi._fill.as_stream(name), 0) for name in parameters},
    }
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
            module.unshard()
    saved["unsharded"] = {name: whole(parameter) for name, parameter in model.named_parameters()}
    if isinstance(model, FSDPModule) and not any(map(is_sharded, model.parameters())):
        assert run(model).isfinite().all()  # tensor parallelism cannot, of axes that it shares out unevenly
    return saved


def is_sharded(parameter):
    return isinstance(parameter, DTensor)


def function(mesh, name, shape, placements, arguments):
    tensor = distribute_tensor(torch.full(shape, 7.0), mesh, placements, src_data_rank=None)
    torch.manual_seed(11)
    assert getattr(fastinit.torch, name)(tensor, *arguments) is tensor
    return whole(tensor), torch.get_rng_state()


def outside(mesh):
    """Replicas on a mesh of the first process alone: how much each fills of them, and where its generator is after."""
    model = nn.Module()
    torch.manual_seed(13)
    for k, shape in enumerate([(), (4,), (3, 5)]):
        tensor = distribute_tensor(torch.zeros(shape), mesh, [Replicate()], src_data_rank=None)
        model.register_parameter(f"p{k}", nn.Parameter(fastinit.torch.normal_(tensor)))
    fastinit.torch.initialize(model, RECIPE)
    pieces = map(fastinit.torch._pieces, model.parameters())
    return [sum(memory.numel() for memory, _ in own) for own in pieces], torch.get_rng_state()


def accelerated(model):
    with fastinit.torch.accelerate(seed=SEED):
        reset(model)
    return {name: whole(parameter) for name, parameter in model.named_parameters()}


def main(rank, world, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=datetime.timedelta(seconds=60))
    drawn, fill = {}, fi._kernels.fill

    def counted(out, kind, parameters, seed, stream, *rest):
        drawn[stream] = drawn.get(stream, 0) + out.size
        fill(out, kind, parameters, seed, stream, *rest)

    fi._kernels.fill = counted
    saved = {"models": {name: initialized(model, drawn) for name, model in models(world)}}
    fi._kernels.fill = fill
    line = init_device_mesh("cpu", (world,))
    grid = init_device_mesh("cpu", {1: (1, 1), 2: (2, 1), 4: (2, 2)}[world])
    saved["functions"] = {arguments[0]: function(grid, *arguments) for arguments in FUNCTIONS}
    saved["accelerated"] = {"fsdp": accelerated(sharded(line)), "tensor parallel": accelerated(tensor_parallel(line))}
    saved["outside"] = outside(DeviceMesh("cpu", [0]))
    torch.save(saved, folder / f"{rank}.pt")
    store.set(f"{rank} is done", "")
    store.wait([f"{other} is done" for other in range(world)])  # who leaves first would cut others off
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
