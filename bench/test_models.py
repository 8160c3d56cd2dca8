"""How long does a whole model in memory take, against torch.nn.init by the same rules?

    pytest bench/test_models.py

Every tensor is new and float32, so both pay for fresh memory; a model for which memory is short is skipped.
"""

import functools
import math
import os

import peers
import pytest

import fastinit as fi

RECIPES = {"resnet50": "resnet50", "gpt2": "gpt2", "llama3-1b": "llama3"}
PROCESSORS = fi.show_config("dict")["threads"]["default"]


def available_memory():
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 0


def fastinit(recipe, manifest, threads):
    return functools.partial(recipe.initialize, manifest, seed=0, dtype="float32", threads=threads)


def torch(recipe, manifest, threads):
    pytest.importorskip("torch").set_num_threads(threads)
    return functools.partial(peers.torch_model, recipe, manifest)


@pytest.mark.parametrize("library", [fastinit, torch])
@pytest.mark.parametrize("threads", sorted({1, PROCESSORS}))
@pytest.mark.parametrize("model", RECIPES)
def test_model(benchmark, model, threads, library):
    manifest, recipe = fi.load_manifest(model), fi.load_recipe(RECIPES[model])
    elements = sum(math.prod(info["shape"]) for info in manifest.values())
    if 5 * elements > available_memory():
        pytest.skip(f"{model} needs {4 * elements:.2g} bytes")
    run = library(recipe, manifest, threads)
    benchmark.group = f"{model}, {elements} float32, {threads} threads"
    benchmark.extra_info["elements"] = elements
    benchmark.pedantic(lambda: run() and None, rounds=3, warmup_rounds=1)  # no result outlives its call
