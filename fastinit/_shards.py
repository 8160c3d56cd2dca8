"""Which coordinates of a tensor a process holds, where the dimensions of a mesh of processes cut its axes."""

from __future__ import annotations

import itertools
import operator
from typing import NamedTuple


class Shard(NamedTuple):
    """A dimension of a mesh that an axis is cut over: into how many chunks, and which of them is this process's."""

    chunks: int
    mine: int
    split_factor: int


def cut(runs: list[range], shards: list[Shard]) -> list[range]:
    """What of an axis this process has, where the dimensions of a mesh in this order cut it, as `torch.chunk` does."""
    for chunks, mine, split_factor in _in_order_of_cuts(shards):
        strides = [_chunk(runs, split_factor, i) for i in range(split_factor)]
        runs = [run for stride in strides for run in _chunk(stride, chunks, mine)]
    return runs


def _in_order_of_cuts(shards: list[Shard]) -> list[Shard]:
    """The shards that a mesh has of an axis in the order that they were cut in: the mesh's own, mostly.

    What `fully_shard` makes of tensor parallelism is cut over later dimensions first, and says by `split_factor` into
    how many chunks. Only where no later ones make so many does a shard have a piece of each of that many chunks.
    """
    order: list[Shard] = []
    for shard in reversed(shards):
        cuts = list(itertools.accumulate((later.chunks for later in order), operator.mul, initial=1))
        if shard.split_factor not in cuts:
            return shards
        order.insert(cuts.index(shard.split_factor), shard._replace(split_factor=1))
    return order


def _chunk(runs: list[range], chunks: int, i: int) -> list[range]:
    """The i-th of as many chunks, all of one length but the last ones, which may be shorter or empty."""
    length = -(-sum(map(len, runs)) // chunks)
    start, stop, chunk = i * length, (i + 1) * length, []
    for run in runs:
        chunk.append(run[max(start, 0) : max(stop, 0)])
        start, stop = start - len(run), stop - len(run)
    return [run for run in chunk if run]


def placed(runs: list[range]) -> list[tuple[slice, range]]:
    """Where in the shard each run of an axis is."""
    ends = itertools.accumulate(map(len, runs))
    return [(slice(end - len(run), end), run) for run, end in zip(runs, ends, strict=True)]
