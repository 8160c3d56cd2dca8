"""How long does a whole model take, against torch.nn.init by the same rules, and against the frameworks' own code?

    pytest bench/test_models.py

Every tensor is new, so both pay for fresh memory; a model for which memory is short is skipped.
"""

import functools
import math

import frameworks
import peers
import pytest

import fastinit as fi

RECIPES = {"resnet50": "resnet50", "gpt2": "gpt2", "llama3-1b": "llama3"}
PROCESSORS = fi.show_config("dict")["threads"]["default"]


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
    if 5 * elements > frameworks.available_memory():
        pytest.skip(f"{model} needs {4 * elements:.2g} bytes")
    run = library(recipe, manifest, threads)
    benchmark.group = f"{model}, {elements} float32, {threads} threads"
    benchmark.extra_info["elements"] = elements
    benchmark.pedantic(lambda: run() and None, rounds=3, warmup_rounds=1)  # no result outlives its call


@pytest.mark.parametrize("whose", ["fastinit", "theirs"])
@pytest.mark.parametrize(
    ("how", "model"), [(how, model) for how, (_, models) in frameworks.ROWS.items() for model in models]
)
def test_framework(benchmark, how, model, whose):
    if not frameworks.fits(model):
        pytest.skip(f"{model} needs more memory")
    make, _ = frameworks.ROWS[how]
    try:
        ours, theirs = make(model)
    except ImportError as error:
        pytest.skip(str(error))
    benchmark.group = f"{how}, {model}"
    benchmark.pedantic(ours if whose == "fastinit" else theirs, rounds=3, warmup_rounds=1)
