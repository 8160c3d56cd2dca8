"""Parameter names to strategies, for whole models."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np

from . import _checks, _parts
from ._fans import parse_layout
from ._fill import Plan, Seed, _draw, as_dtype, as_seed, as_shape, as_stream, as_threads, checked_plan
from .strategies import Strategy, VarianceScaling, as_strategy, get, he_normal, normal, ones, zeros

Manifest: TypeAlias = Mapping[str, Mapping[str, object]]
PathOrName: TypeAlias = str | os.PathLike[str]

#: The shipped manifests, each with the shipped recipe that fits it.
MODELS = {"gpt2": "gpt2", "llama3-1b": "llama3", "llama3-8b": "llama3", "resnet50": "resnet50"}

#: The names that safetensors gives to floating-point types, in its order, and NumPy's names for them.
DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}

#: What a rule may say of the tensors that it matches: keyword arguments of `fill`.
OPTIONS = ("layout", "fan_in", "fan_out", "groups")

#: A tensor's bytes can be counted in a signed 64-bit word, whatever its dtype.
_MOST_ELEMENTS = 2**60 - 1


class TensorInfo(TypedDict):
    """What a manifest says of one tensor."""

    shape: tuple[int, ...]
    dtype: str


@contextlib.contextmanager
def _about(subject: str) -> Iterator[None]:
    """Begin what an error says with what it concerns: a tensor, a rule or a file."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{subject}: {error}") from error


# ---- recipes ----


@dataclass(frozen=True)
class Rule:
    """A glob pattern over parameter names, and what to draw for those that match.

    The fields after `strategy` are the keyword arguments of `fill`.
    """

    pattern: str
    strategy: Strategy
    layout: str = "oi..."
    fan_in: int | None = None
    fan_out: int | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise TypeError(f"pattern must be a non-empty string; got {self.pattern!r}")
        if not self.pattern:
            raise ValueError(f"pattern must be a non-empty string; got {self.pattern!r}")
        parse_layout(self.layout)
        for option in ("fan_in", "fan_out"):
            value = getattr(self, option)
            if value is not None:
                object.__setattr__(self, option, _checks.integer(option, value, least=1))
        object.__setattr__(self, "groups", _checks.integer("groups", self.groups, least=1))

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from the defaults of `fill`."""
        return {name: getattr(self, name) for name in OPTIONS if getattr(self, name) != getattr(Rule, name)}


def _as_rule(entry: Any) -> Rule:
    if isinstance(entry, Rule):
        return entry
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        raise TypeError(f"rule must be (pattern, initialization) or (pattern, initialization, options); got {entry!r}")
    pattern, initialization = entry[:2]
    options = entry[2] if len(entry) == 3 else {}
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping; got {options!r}")
    for option in options:
        _checks.choice("option", option, OPTIONS)
    return Rule(pattern, as_strategy(initialization), **options)


@dataclass(frozen=True, init=False, repr=False)
class Recipe:
    """Rules that give each parameter of a model, by its name, what to draw; the first rule that matches wins.

    A recipe never holds a seed. Each tensor's stream is its name, so its values depend neither on the order of the
    tensors nor on which others there are.

    Parameters
    ----------
    rules : sequence of (pattern, initialization) or (pattern, initialization, options)
        `pattern` is a case-sensitive glob over whole names, in which `*` matches anything, dots included, `?` any one
        character, and `[12]` either of these (`fnmatch.fnmatchcase`). `initialization` is a name of `available()` or
        a strategy. `options` is a mapping of keyword arguments of `fill`: `layout`, `fan_in`, `fan_out`, `groups`.
        The `rules` of another recipe may stand among them.

    Attributes
    ----------
    rules : tuple of Rule
        The rules, each with `pattern`, `strategy` and `options`.

    Raises
    ------
    TypeError, ValueError
        If a rule is not what it must be; the error names it by its position.

    Examples
    --------
    >>> import fastinit as fi
    >>> recipe = fi.Recipe([("*.bias", "zeros"), ("head.*", fi.normal(std=0.02)), ("*", "he", {"layout": "io"})])
    >>> manifest = {
    ...     "body.weight": {"shape": [784, 512], "dtype": "F32"},
    ...     "body.bias": {"shape": [512], "dtype": "F32"},
    ...     "head.weight": {"shape": [512, 10], "dtype": "F32"},
    ... }
    >>> weights = recipe.initialize(manifest, seed=0)
    >>> alone = fi.initialize((784, 512), "he", seed=0, stream="body.weight", layout="io")
    >>> bool((weights["body.weight"] == alone).all())
    True
    >>> fi.Recipe([("lm_head.weight", "zeros"), *fi.load_recipe("gpt2").rules]).rules[0]
    Rule(pattern='lm_head.weight', strategy=Constant(value=0.0), layout='oi...', fan_in=None, fan_out=None, groups=1)
    """

    rules: tuple[Rule, ...]

    def __init__(
        self,
        rules: Iterable[Rule | tuple[str, str | Strategy] | tuple[str, str | Strategy, Mapping[str, Any]]],
    ) -> None:
        if isinstance(rules, (str, bytes, Mapping)) or not isinstance(rules, Iterable):
            raise TypeError(f"rules must be a sequence of (pattern, initialization) pairs; got {rules!r}")
        clean = []
        for position, entry in enumerate(rules):
            with _about(f"rules[{position}]"):
                clean.append(_as_rule(entry))
        if not clean:
            raise ValueError("rules must hold at least one (pattern, initialization) pair; got none")
        object.__setattr__(self, "rules", tuple(clean))

    def __repr__(self) -> str:
        entries = [(rule.pattern, rule.strategy, *([rule.options] if rule.options else [])) for rule in self.rules]
        return f"Recipe({entries!r})"

    def match(self, names: Iterable[str]) -> dict[str, Rule]:
        """Each name with the first rule that matches it.

        Parameters
        ----------
        names : iterable of str
            Parameter names, or a manifest.

        Returns
        -------
        dict of str to Rule
            In the order of `names`.

        Raises
        ------
        TypeError
            If `names` is not an iterable of strings.
        ValueError
            If no rule matches some of the names; the error lists them, the first ten of many.

        Examples
        --------
        >>> import fastinit as fi
        >>> rules = fi.load_recipe("gpt2").match(fi.load_manifest("gpt2"))
        >>> rules["transformer.h.0.mlp.c_fc.weight"].strategy
        Normal(mean=0.0, std=0.02)
        """
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise TypeError(f"names must be an iterable of strings; got {names!r}")
        matched, unmatched = {}, []
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"names must be an iterable of strings; got {name!r} in it")
            rule = next((rule for rule in self.rules if fnmatchcase(name, rule.pattern)), None)
            if rule is None:
                unmatched.append(name)
            else:
                matched[name] = rule
        if unmatched:
            listed = ", ".join(map(repr, unmatched[:10]))
            more = f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else ""
            raise ValueError(
                f"every name must match a rule's pattern; got {len(unmatched)} that match none: {listed}{more}"
            )
        return matched

    def initialize(
        self, manifest: Manifest | PathOrName, *, seed: Seed = None, dtype: Any = None, threads: int | None = None
    ) -> dict[str, np.ndarray]:
        """New arrays of initialized weights for a whole model, in memory.

        Parameters
        ----------
        manifest : mapping, str or path
            The tensors' names, shapes and dtypes: what `load_manifest` takes.
        seed : int, numpy.random.Generator, numpy.random.SeedSequence or None
            The whole model's seed, as for `fill`; None draws one from the operating system.
        dtype : dtype-like, optional
            The dtype of every array, instead of the manifest's.
        threads : int, optional
            As for `fill`.

        Returns
        -------
        dict of str to numpy.ndarray
            In the manifest's order. Each equals ``initialize(shape, strategy, seed=seed, stream=name)``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be, a name matches no rule, or a tensor cannot be drawn, which the error
            names; nothing is filled then.

        Examples
        --------
        >>> import fastinit as fi
        >>> weights = fi.Recipe([("*", "lecun")]).initialize({"w": {"shape": [8, 8], "dtype": "F64"}}, seed=0)
        >>> weights["w"].shape, weights["w"].dtype
        ((8, 8), dtype('float64'))
        """
        tensors = plan_model(self, manifest, seed=seed, dtype=dtype, threads=threads)
        arrays = {}
        for tensor in tensors:
            with _about(tensor.name):
                arrays[tensor.name] = np.empty(tensor.shape, tensor.dtype)
        for tensor in tensors:
            tensor.fill(arrays[tensor.name])
        return arrays


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of a model, ready to be drawn whole or in parts."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    strategy: Strategy
    plan: Plan | None
    seed: int
    stream: int
    threads: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def fill(self, out: np.ndarray, start: int = 0) -> None:
        """Fill `out`, C-contiguous and of this tensor's dtype, with its elements from `start` on, in C order."""
        _draw(out, self.plan, _parts.Span(self.shape, start), self.seed, self.stream, self.threads)


def plan_model(
    recipe: Recipe, manifest: Manifest | PathOrName, *, seed: Seed, dtype: Any, threads: int | None
) -> list[PlannedTensor]:
    """Every tensor of a model ready to be drawn, in the manifest's order; every error comes from here."""
    infos = load_manifest(manifest)
    one_dtype = None if dtype is None else as_dtype(dtype, real=True)
    tensors = {
        name: (info["shape"], DTYPES[info["dtype"]] if one_dtype is None else one_dtype) for name, info in infos.items()
    }
    return plan_tensors(recipe, tensors, seed=seed, threads=threads)


def plan_tensors(
    recipe: Recipe, tensors: Mapping[str, tuple[tuple[int, ...], Any]], *, seed: Seed, threads: int | None
) -> list[PlannedTensor]:
    """Tensors of these shapes and dtypes ready to be drawn."""
    rules = recipe.match(tensors)
    plans = {}
    for name, (shape, dtype) in tensors.items():
        with _about(name):
            rule, own_dtype = rules[name], as_dtype(dtype)
            planned = checked_plan(rule.strategy, shape, own_dtype, rule.layout, rule.fan_in, rule.fan_out, rule.groups)
            plans[name] = shape, own_dtype, rule.strategy, planned
    most_threads = {name: as_threads(threads, math.prod(shape)) for name, (shape, *_) in plans.items()}
    seed = as_seed(seed)
    return [PlannedTensor(name, *plans[name], seed, as_stream(name), most_threads[name]) for name in plans]


# ---- manifests ----


def load_manifest(source: Manifest | PathOrName) -> dict[str, TensorInfo]:
    """The names, shapes and dtypes of a model's tensors, checked.

    Parameters
    ----------
    source : mapping, str or path
        The path of a JSON file ``{name: {"shape": [...], "dtype": "F32"}, ...}``, whose dtypes are safetensors' names
        (F16, BF16, F32 or F64); the name of a shipped model ("gpt2", "llama3-1b", "llama3-8b" or "resnet50"); or such
        a mapping.

    Returns
    -------
    dict of str to dict
        ``{"shape": tuple of int, "dtype": str}`` for each tensor, in the file's order.

    Raises
    ------
    TypeError, ValueError
        If there is no such file or model, or the content is not as above; the error names the file and the tensor.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import fastinit as fi
    >>> manifest = fi.load_manifest("resnet50")
    >>> len(manifest), manifest["classifier.1.weight"]
    (267, {'shape': (1000, 2048), 'dtype': 'F32'})
    """
    if isinstance(source, Mapping):
        return _checked_manifest(source)
    if isinstance(source, str) and source in MODELS:
        from importlib.resources import files

        return _checked_manifest(_parse(files("fastinit").joinpath("models", f"{source}.json").read_bytes()))
    content = _read("manifest", source, MODELS)
    with _about(os.fspath(source)):
        return _checked_manifest(_parse(content))


def _checked_manifest(manifest: object) -> dict[str, TensorInfo]:
    if not isinstance(manifest, Mapping):
        rule = 'a mapping {name: {"shape": [...], "dtype": "F32"}, ...}'
        raise TypeError(f"manifest must be {rule}; got {type(manifest).__name__}")
    if not manifest:
        raise ValueError("manifest must hold at least one tensor; got none")
    return {_tensor_name(name): _tensor_info(name, info) for name, info in manifest.items()}


def _tensor_name(name: object) -> str:
    rule = "a non-empty string, not '__metadata__', which safetensors reserves"
    if not isinstance(name, str):
        raise TypeError(f"tensor name must be {rule}; got {name!r}")
    if name in ("", "__metadata__"):
        raise ValueError(f"tensor name must be {rule}; got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"tensor name must be valid Unicode; got {name!r}") from None
    return name


def _tensor_info(name: str, info: object) -> TensorInfo:
    with _about(name):
        if not isinstance(info, Mapping):
            raise TypeError(f'tensor must be {{"shape": [...], "dtype": "F32"}}; got {info!r}')
        if set(info) != {"shape", "dtype"}:
            raise ValueError(f"keys must be 'shape' and 'dtype'; got {', '.join(map(repr, info)) or 'none'}")
        shape = as_shape(info["shape"])
        if math.prod(n for n in shape if n) > _MOST_ELEMENTS:
            raise ValueError(f"shape must hold fewer than 2^60 elements; got {shape}")
        return TensorInfo(shape=shape, dtype=_checks.choice("dtype", info["dtype"], DTYPES))


def _read(argument: str, source: Any, shipped: Iterable[str]) -> bytes:
    """The content of the file at `source`; where there is none, the error tells what is shipped."""
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"{argument} must be one of {', '.join(shipped)}, or the path of a file; got {source!r}")
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        _checks.choice(argument, os.fspath(source), [*shipped, "or the path of a file"])
        raise


def _parse(content: bytes) -> object:
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"content must be JSON; got {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's content; Python's parser would keep the last of equal keys."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key!r} twice in an object")
        content[key] = value
    return content


# ---- recipes from files, and shipped ----


def load_recipe(source: PathOrName) -> Recipe:
    """The recipe in a JSON file, or a shipped one.

    The file holds a list of rules, each an object with `pattern`, `initialization` (a name of `available()`) and, where
    needed, `parameters` (an object: what the function of that name takes) and the options `layout`, `fan_in`, `fan_out`
    and `groups`::

        [
          {"pattern": "*.bias", "initialization": "zeros"},
          {"pattern": "*", "initialization": "normal", "parameters": {"std": 0.02}, "layout": "io"}
        ]

    Parameters
    ----------
    source : str or path
        The file's path, or a shipped recipe's name:

        - "resnet50": convolutions N(0, 2 / fan_out), normalizations 1 and 0, the classifier's weight
          U[-b, b) with b = 1 / sqrt(fan_in), its bias 0.
        - "gpt2": matrices and embeddings N(0, 0.02^2), but those that end a residual branch N(0, 0.02^2 / 24); layer
          norms 1 and 0, biases 0. The 24 counts the residual branches of the 12 layers.
        - "llama3": matrices and embeddings N(0, 0.02^2), norms 1.

    Returns
    -------
    Recipe

    Raises
    ------
    TypeError, ValueError
        If there is no such file or recipe, or the content is not as above; the error names the file and the rule.
    OSError
        If the file cannot be read.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015 (resnet50). Radford, Wu, Child, Luan, Amodei,
    Sutskever, "Language models are unsupervised multitask learners", 2019, section 2.3 (gpt2). Hugging Face
    transformers, `_init_weights` of the three models, for what the papers leave open.

    Examples
    --------
    >>> import fastinit as fi
    >>> fi.load_recipe("llama3")
    Recipe([('*norm.weight', Constant(value=1.0)), ('*.weight', Normal(mean=0.0, std=0.02))])
    """
    if isinstance(source, str) and source in RECIPES:
        return RECIPES[source]
    content = _read("recipe", source, RECIPES)
    with _about(os.fspath(source)):
        entries = _parse(content)
        if not isinstance(entries, list):
            raise TypeError(f"recipe must be a list of rules; got {type(entries).__name__}")
        rules = []
        for position, entry in enumerate(entries):
            with _about(f"rules[{position}]"):
                rules.append(_json_rule(entry))
        return Recipe(rules)


def _json_rule(entry: object) -> Rule:
    if not isinstance(entry, dict):
        raise TypeError(f'rule must be an object {{"pattern": ..., "initialization": ...}}; got {entry!r}')
    for key in entry:
        _checks.choice("key", key, ("pattern", "initialization", "parameters", *OPTIONS))
    for key in ("pattern", "initialization"):
        if key not in entry:
            raise ValueError(f"keys must include {key!r}; got {', '.join(map(repr, entry)) or 'none'}")
    parameters = entry.get("parameters", {})
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters must be an object; got {parameters!r}")
    options = {option: entry[option] for option in OPTIONS if option in entry}
    return Rule(entry["pattern"], get(entry["initialization"], **parameters), **options)


RECIPES = {
    # He et al., ICCV 2015, with fan_out, as ResNet implementations have it (transformers' modeling_resnet.py,
    # torchvision's resnet.py). The classifier's weight is PyTorch's default for linear layers; its bias, which PyTorch
    # draws from the same interval, starts at 0 here, so that no class is favoured.
    "resnet50": Recipe(
        [
            ("*.convolution.weight", he_normal(mode="fan_out")),
            ("*.normalization.weight", ones()),
            ("*.normalization.running_var", ones()),
            ("*.normalization.running_mean", zeros()),
            ("classifier.*.weight", VarianceScaling(1 / 3, "fan_in", "uniform")),
            ("*.bias", zeros()),
        ]
    ),
    # Radford et al., 2019: "scale the weights of residual layers at initialization by a factor of 1/sqrt(N) where N is
    # the number of residual layers", two a block; 0.02 is initializer_range in transformers' modeling_gpt2.py, for the
    # positions too (OpenAI's released model.py has 0.01 there, and leaves the residual factor out). The matrices are
    # stored (in, out).
    "gpt2": Recipe(
        [
            ("*ln_[12f].weight", ones()),
            ("*.bias", zeros()),
            ("*.c_proj.weight", normal(std=0.02 / math.sqrt(2 * 12)), {"layout": "io"}),
            ("*.c_attn.weight", normal(std=0.02), {"layout": "io"}),
            ("*.c_fc.weight", normal(std=0.02), {"layout": "io"}),
            ("*wte.weight", normal(std=0.02)),
            ("*wpe.weight", normal(std=0.02)),
        ]
    ),
    # initializer_range = 0.02 in transformers' configuration_llama.py, for linear layers and embeddings alike; RMS
    # norms start at 1. There are no biases.
    "llama3": Recipe(
        [
            ("*norm.weight", ones()),
            ("*.weight", normal(std=0.02)),
        ]
    ),
}
