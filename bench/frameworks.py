"""Whole models as each framework builds them, and by fastinit, as a Markdown table.

    python bench/frameworks.py [--quick] > bench/results/DATE-PROCESSOR-frameworks.md

Each function makes a pair of calls, ours and theirs, that make a new model, or all its matrices, and drop it. The laws
are the same, and all processors may be used; the frameworks draw on one. What is not installed is left out.
"""

import datetime
import functools
import importlib
import math
import os
import sys

import instructions
import numpy as np
from measuring import QUICK, as_ratio, in_turn, verdict, versions

import fastinit as fi

#: What is in none of the shipped recipes; the names are those of transformers.
VIT = fi.Recipe(
    [
        ("*norm*.weight", "ones"),
        ("*bias", "zeros"),
        ("*.cls_token", fi.truncated_normal(std=0.02)),
        ("*.position_embeddings", fi.truncated_normal(std=0.02)),
        ("*.weight", fi.truncated_normal(std=0.02)),
    ]
)


def available_memory():
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 0


# ---- PyTorch: models of the transformers library, built from their configurations ----


@functools.cache
def transformers_models():
    """For each name, what builds the model, and a recipe for its parameters."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers

    llama = transformers.LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=True,
    )
    in_bfloat16 = functools.partial(transformers.AutoModelForCausalLM.from_config, llama, dtype=torch.bfloat16)
    resnet, vit = transformers.ResNetConfig(num_labels=1000), transformers.ViTConfig(num_labels=1000)
    return {
        "ResNet-50 float32": (functools.partial(transformers.ResNetForImageClassification, resnet), "resnet50"),
        "ViT-B/16 float32": (functools.partial(transformers.ViTForImageClassification, vit), VIT),
        "GPT-2 124M float32": (functools.partial(transformers.GPT2LMHeadModel, transformers.GPT2Config()), "gpt2"),
        "Llama 1B bfloat16": (in_bfloat16, "llama3"),
    }


MODELS = ("ResNet-50 float32", "ViT-B/16 float32", "GPT-2 124M float32", "Llama 1B bfloat16")


def torch_accelerated(name):
    """The same code, as it is and in `fastinit.torch.accelerate`."""
    import fastinit.torch

    build, _ = transformers_models()[name]

    def ours():
        with fastinit.torch.accelerate(seed=0):
            build()

    return ours, lambda: build() and None


def torch_initialized(name):
    """The same code as it is, and on the meta device, to be filled by `fastinit.torch.initialize`."""
    import torch

    import fastinit.torch

    build, recipe = transformers_models()[name]

    def ours():
        with torch.device("meta"):
            model = build()
        model.to_empty(device="cpu").tie_weights()
        fastinit.torch.initialize(model, recipe, seed=0)

    return ours, lambda: build() and None


# ---- JAX and Keras: new arrays of a manifest's shapes, as the layers of a model would make them one by one ----

MANIFESTS = {"ResNet-50 float32": "resnet50", "GPT-2 124M float32": "gpt2", "Llama 1B bfloat16": "llama3-1b"}


def shapes(name):
    """A manifest's matrices and convolutions, turned to have their inputs and outputs last, and the dtype."""
    manifest = fi.load_manifest(MANIFESTS[name])
    turned = [info["shape"][2:] + info["shape"][1::-1] for info in manifest.values() if len(info["shape"]) > 1]
    return turned, name.split()[-1]


def jax_normal(name):
    """`jax.nn.initializers.normal`, compiled for each shape, and ours."""
    import jax

    import fastinit.jax

    matrices, dtype = shapes(name)
    keys = list(jax.random.split(jax.random.key(0), len(matrices)))
    theirs, ours = jax.jit(jax.nn.initializers.normal(0.02), static_argnums=(1, 2)), fastinit.jax.normal(0.02)

    def call(draw):
        pairs = list(zip(keys, matrices, strict=True))
        return lambda: [draw(key, shape, dtype).block_until_ready() is None for key, shape in pairs]

    return call(ours), call(theirs)


def keras_glorot(name):
    """`keras.initializers.GlorotUniform` on the backend that is set, and ours."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    import fastinit.keras

    matrices, dtype = shapes(name)
    ready = getattr(importlib.import_module(keras.backend.backend()), "block_until_ready", id)  # JAX only begins

    def call(initializers):
        initializer = initializers.GlorotUniform(seed=0)
        return lambda: [ready(initializer(shape, dtype)) is None for shape in matrices]

    return call(fastinit.keras), call(keras.initializers)


#: Every kind of row: what makes its pair of calls, and for which models.
ROWS = {
    "PyTorch, in `accelerate`": (torch_accelerated, MODELS),
    "PyTorch, from the meta device by `initialize`": (torch_initialized, MODELS),
    "JAX, `normal` for every matrix": (jax_normal, tuple(MANIFESTS)),
    "Keras, `GlorotUniform` for every matrix": (keras_glorot, tuple(MANIFESTS)),
}
TARGETS = {(torch_accelerated, "GPT-2 124M float32"): 1 / 6}


def nbytes(name):
    """About how much memory a model takes while it is built."""
    weights = {"ResNet-50": 3e7, "ViT-B/16": 9e7, "GPT-2": 1.7e8, "Llama": 1.6e9}[name.split()[0]]
    return int(weights * (2 if name.endswith("bfloat16") else 4))


def fits(name):
    return 2 * nbytes(name) < (available_memory() or math.inf)


def supply(size):
    """Touch and free memory: a virtual machine's host has given it then, which is neither side's work to wait for.

    What stays is the operating system's part in the first touch of new memory.
    """
    np.empty(size, np.uint8).fill(1)


def row(what, make, name):
    target = TARGETS.get((make, name))
    if not fits(name) or (QUICK and not name.startswith("ResNet")):
        return [what, name, "", "", "", as_ratio(target), "not run"]
    print(what, name, file=sys.stderr)
    try:
        calls = make(name)
    except ImportError as error:
        return [what, name, "", f"not installed: {error}", "", as_ratio(target), "not run"]
    least = 2 if name.startswith("Llama") else 15
    ours, theirs = in_turn(*calls, least=least, before=functools.partial(supply, nbytes(name)))
    texts = f"{ours * 1e3:.0f}", f"{theirs * 1e3:.0f}", as_ratio(ours / theirs), as_ratio(target)
    return [what, name, *texts, verdict(ours / theirs, target)]


HEADER = ["how", "model", "ours, ms", "theirs, ms", "ours / theirs", "at most", ""]

if __name__ == "__main__":
    rows = [row(what, make, name) for what, (make, names) in ROWS.items() for name in names]
    config = fi.show_config("dict")
    packages = {"PyTorch": "torch", "transformers": "transformers", "JAX": "jax", "Keras": "keras"}
    print(f"# Whole models, {datetime.date.today().isoformat()}\n")
    print(
        "Made by `python bench/frameworks.py`. Each row calls both in turn and compares the medians. Memory is new to"
    )
    print("the process; just before each call, as much was touched and freed, so that a host has supplied it.\n")
    print(f"{config['isa']['processor']}, {config['threads']['default']} for this process; {versions(packages)}.\n")
    print(instructions.table(HEADER, rows))
