"""Recipes: rules, manifests, and the shipped ones."""

import itertools
import json
import math
import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import numpy as np
import pytest

import fastinit as fi
from fastinit import recipes
from fastinit.recipes import MODELS, RECIPES

MANIFEST = {
    "embed.weight": {"shape": [30, 7], "dtype": "F32"},
    "body.weight": {"shape": [7, 11], "dtype": "F64"},
    "body.bias": {"shape": [11], "dtype": "F32"},
    "scale": {"shape": [], "dtype": "F32"},
    "none": {"shape": [0, 3], "dtype": "F32"},
}
RECIPE = fi.Recipe(
    [
        ("*.bias", fi.uniform(-1, 1)),
        ("embed.*", "xavier_uniform"),
        ("body.*", "he", {"layout": "io"}),
        ("scale", "random"),
        ("none", "lecun"),
    ]
)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ---- rules ----


def test_the_first_matching_rule_wins():
    recipe = fi.Recipe([("a.weight", "ones"), ("a.*", "zeros"), ("*", "he")])
    strategies = {name: rule.strategy for name, rule in recipe.match(["b.c", "a.bias", "a.weight"]).items()}
    assert strategies == {"a.weight": fi.ones(), "a.bias": fi.zeros(), "b.c": fi.he_normal()}
    assert list(strategies) == ["b.c", "a.bias", "a.weight"]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.bias", "a.b.bias", True),
        ("*.bias", "a.Bias", False),
        ("bias", "a.bias", False),
        ("ln_?.w", "ln_1.w", True),
        ("ln_?.w", "ln_10.w", False),
        ("ln_[12].w", "ln_2.w", True),
        ("ln_[12].w", "ln_3.w", False),
    ],
)
def test_patterns_are_case_sensitive_globs_over_whole_names(pattern, name, matches):
    recipe = fi.Recipe([(pattern, "ones"), ("*", "zeros")])
    assert recipe.match([name])[name].strategy == (fi.ones() if matches else fi.zeros())


def test_names_and_strategies_make_equal_recipes():
    assert fi.Recipe([("*", "he")]) == fi.Recipe([["*", fi.he_normal()]])
    assert hash(fi.Recipe([("*", "he")])) == hash(fi.Recipe([("*", fi.he_normal())]))
    assert fi.Recipe([("*", "he")]) != fi.Recipe([("*", "lecun")])
    assert fi.Recipe([("*", "he")]) != fi.Recipe([("*", "he", {"layout": "io"})])
    assert fi.Recipe([("*", "he", {"layout": "oi...", "groups": 1})]) == fi.Recipe([("*", "he")])


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        *RECIPES.values(),
        fi.Recipe([("*", "he", {"layout": "io", "fan_in": np.int64(3), "fan_out": 4, "groups": np.uint8(2)})]),
    ],
)
def test_the_repr_of_a_recipe_evaluates_back(recipe):
    assert eval(repr(recipe), vars(fi)) == recipe


def test_a_recipe_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        RECIPE.rules = ()
    with pytest.raises(FrozenInstanceError):
        RECIPE.rules[0].strategy = fi.zeros()
    options = {"groups": 2}
    recipe = fi.Recipe([("*", "he", options)])
    options["groups"] = 3
    assert recipe.rules[0].options == {"groups": 2}


def test_the_rules_of_a_recipe_can_be_used_in_another():
    longer = fi.Recipe([("scale", "ones"), *RECIPE.rules])
    assert longer.rules[1:] == RECIPE.rules
    assert longer.match(["scale"])["scale"].strategy == fi.ones()


@pytest.mark.parametrize(
    ("rules", "error", "text"),
    [
        (
            {"*": "he"},
            TypeError,
            "rules must be a sequence of (pattern, initialization) pairs; got {'*': 'he'}",
        ),
        ("ab", TypeError, "rules must be a sequence of (pattern, initialization) pairs; got 'ab'"),
        (3, TypeError, "rules must be a sequence of (pattern, initialization) pairs; got 3"),
        ([], ValueError, "rules must hold at least one (pattern, initialization) pair; got none"),
        (
            [("*", "he"), "ab"],
            TypeError,
            "rules[1]: rule must be (pattern, initialization) or (pattern, initialization, options); got 'ab'",
        ),
        (
            [("*",)],
            TypeError,
            "rules[0]: rule must be (pattern, initialization) or (pattern, initialization, options); got ('*',)",
        ),
        ([(3, "he")], TypeError, "rules[0]: pattern must be a non-empty string; got 3"),
        ([("", "he")], ValueError, "rules[0]: pattern must be a non-empty string; got ''"),
        (
            [("*", 3)],
            TypeError,
            "rules[0]: initialization must be a name or a strategy, such as 'he' or he_normal(); got 3",
        ),
        (
            [("*", fi.he_normal)],
            TypeError,
            "rules[0]: initialization must be a name or a strategy; got the function he_normal: call it, he_normal()",
        ),
        ([("*", "he", 3)], TypeError, "rules[0]: options must be a mapping; got 3"),
        (
            [("*", "he", {"fanin": 3})],
            ValueError,
            "rules[0]: option must be one of layout, fan_in, fan_out, groups; got 'fanin' (did you mean 'fan_in'?)",
        ),
        (
            [("*", "he", {3: 3})],
            TypeError,
            "rules[0]: option must be one of layout, fan_in, fan_out, groups; got 3",
        ),
        ([("*", "he", {"fan_in": 0})], ValueError, "rules[0]: fan_in must be an integer of at least 1; got 0"),
        ([("*", "he", {"fan_out": 1.0})], TypeError, "rules[0]: fan_out must be an integer of at least 1; got 1.0"),
        ([("*", "he", {"groups": None})], TypeError, "rules[0]: groups must be an integer of at least 1; got None"),
        (
            [("*", "he", {"layout": "oo"})],
            ValueError,
            "rules[0]: layout must name 'o' at most once; got 'oo'",
        ),
    ],
)
def test_a_wrong_rule_is_named(rules, error, text):
    with pytest.raises(error) as raised:
        fi.Recipe(rules)
    assert str(raised.value) == text


def test_an_unknown_initialization_gives_the_nearest():
    with pytest.raises(
        ValueError, match=r"^rules\[1\]: initialization must be one of .*; got 'hee' \(did you mean 'he"
    ):
        fi.Recipe([("*.bias", "zeros"), ("*", "hee")])


@pytest.mark.parametrize("names", ["abc", 3, ["a", 3]])
def test_names_to_match_must_be_strings(names):
    with pytest.raises(TypeError, match=r"^names must be an iterable of strings; got "):
        RECIPE.match(names)


def test_names_without_a_rule_are_listed():
    recipe = fi.Recipe([("*.bias", "zeros")])
    with pytest.raises(ValueError, match="every name") as raised:
        recipe.match(["a.weight", "a.bias", "b.weight"])
    assert str(raised.value) == "every name must match a rule's pattern; got 2 that match none: 'a.weight', 'b.weight'"
    with pytest.raises(ValueError, match="every name") as raised:
        recipe.match(f"w{i}" for i in range(12))
    assert str(raised.value) == (
        "every name must match a rule's pattern; got 12 that match none: "
        "'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9' and 2 more"
    )
    with pytest.raises(ValueError, match=r"got 10 that match none: .* 'w9'$"):
        recipe.match(f"w{i}" for i in range(10))


# ---- initialize ----


def test_each_tensor_equals_its_own_fill():
    weights = RECIPE.initialize(MANIFEST, seed=5)
    assert list(weights) == list(MANIFEST)
    expected = {
        "embed.weight": fi.initialize((30, 7), "xavier_uniform", seed=5, stream="embed.weight"),
        "body.weight": fi.initialize((7, 11), "he", seed=5, stream="body.weight", dtype="float64", layout="io"),
        "body.bias": fi.initialize(11, fi.uniform(-1, 1), seed=5, stream="body.bias"),
        "scale": fi.initialize((), "random", seed=5, stream="scale"),
        "none": np.empty((0, 3), np.float32),
    }
    assert all(same(weights[name], expected[name]) for name in MANIFEST)


@pytest.mark.parametrize(
    "options", [{"fan_in": 50}, {"fan_out": 50}, {"groups": 2}, {"layout": "oi"}, {"layout": "io", "fan_in": 3}]
)
def test_every_option_reaches_the_fill(options):
    strategy = fi.VarianceScaling(1.0, "fan_avg", "normal")
    recipe = fi.Recipe([("*", strategy, options)])
    weight = recipe.initialize({"w": {"shape": [6, 20], "dtype": "F32"}}, seed=1)["w"]
    assert same(weight, fi.initialize((6, 20), strategy, seed=1, stream="w", **options))


def test_neither_order_nor_the_other_tensors_matter():
    whole = RECIPE.initialize(MANIFEST, seed=3)
    backwards = RECIPE.initialize(dict(reversed(MANIFEST.items())), seed=3)
    assert list(backwards) == list(reversed(MANIFEST))
    alone = {name: RECIPE.initialize({name: info}, seed=3)[name] for name, info in MANIFEST.items()}
    assert all(same(whole[name], backwards[name]) and same(whole[name], alone[name]) for name in MANIFEST)


def test_tensors_alike_are_no_copies_of_each_other():
    info = {"shape": [64], "dtype": "F32"}
    weights = fi.Recipe([("*", "normal")]).initialize({name: info for name in "abc"}, seed=0)
    assert all(not same(x, y) for x, y in itertools.combinations(weights.values(), 2))


def test_no_seed_draws_one_for_the_whole_model(monkeypatch):
    drawn = []

    def urandom(count):
        drawn.append(count)
        return b"\x07" + bytes(count - 1)

    monkeypatch.setattr("os.urandom", urandom)
    weights = RECIPE.initialize(MANIFEST)
    assert drawn == [8]
    again = RECIPE.initialize(MANIFEST, seed=7)
    assert all(same(weights[name], again[name]) for name in MANIFEST)


def test_a_generator_gives_one_seed():
    weights = RECIPE.initialize(MANIFEST, seed=np.random.default_rng(1))
    seed = int(np.random.default_rng(1).integers(2**64 - 1, dtype=np.uint64, endpoint=True))
    again = RECIPE.initialize(MANIFEST, seed=seed)
    assert all(same(weights[name], again[name]) for name in MANIFEST)


def test_dtype_overrules_the_manifest():
    weights = RECIPE.initialize(MANIFEST, seed=0, dtype="float64")
    assert {w.dtype for w in weights.values()} == {np.dtype("float64")}
    assert same(weights["scale"], fi.initialize((), "random", seed=0, stream="scale", dtype="float64"))
    assert (
        fi.Recipe([("*", "he")]).initialize({"w": {"shape": [2, 2], "dtype": "BF16"}}, dtype="float32")["w"].size == 4
    )


@pytest.mark.parametrize(("name", "dtype"), [("F16", "float16"), ("BF16", "bfloat16")])
def test_dtypes_of_16_bits(name, dtype):
    recipe = fi.Recipe([("*", "he", {"layout": "io"})])
    weight = recipe.initialize({"w": {"shape": [5, 6], "dtype": name}}, seed=1)["w"]
    assert weight.dtype.name == dtype
    assert same(weight, fi.initialize((5, 6), "he", seed=1, stream="w", dtype=dtype, layout="io"))


def test_bfloat16_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    recipe, manifest = fi.Recipe([("*", "he")]), {"w": {"shape": [2, 2], "dtype": "BF16"}}
    text = "w: dtype bfloat16 must come from the package ml_dtypes: pip install ml_dtypes"
    with pytest.raises(TypeError) as raised:
        recipe.initialize(manifest, seed=0)
    assert str(raised.value) == text
    assert recipe.initialize(manifest, seed=0, dtype="float32")["w"].dtype == np.float32


def test_a_strategy_of_ones_own_need_not_be_hashable():
    @dataclass
    class Own:
        std: float

        def resolve(self, fans):
            return fi.normal(std=self.std / fans.fan_in)

    weight = fi.Recipe([("*", Own(3.0))]).initialize({"w": {"shape": [5, 6], "dtype": "F32"}}, seed=0)["w"]
    assert same(weight, fi.initialize((5, 6), fi.normal(std=0.5), seed=0, stream="w"))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"dtype": "int8"}, TypeError, "dtype must be float32, float64, float16 or bfloat16; got int8"),
        ({"seed": -1}, ValueError, "seed must be an integer in [0, 18446744073709551615]; got -1"),
        ({"threads": 0}, ValueError, "threads must be an integer of at least 1; got 0"),
    ],
)
def test_a_wrong_argument_is_named(arguments, error, text):
    with pytest.raises(error) as raised:
        RECIPE.initialize(MANIFEST, **arguments)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("info", "rule", "error", "text"),
    [
        (
            {"shape": [3], "dtype": "F32"},
            ("*", "he"),
            ValueError,
            "b: shape must have an axis for each letter of layout 'oi...', or fan_in= be given; got shape (3,)",
        ),
        (
            {"shape": [3, 3], "dtype": "F32"},
            ("*", fi.constant(1e39)),
            ValueError,
            "b: value must be at most 3.40282e+38 in magnitude for float32; got 1e+39",
        ),
        (
            {"shape": [3, 3], "dtype": "F16"},
            ("*", fi.constant(1e5)),
            ValueError,
            "b: value must be at most 65504 in magnitude for float16; got 100000.0",
        ),
    ],
)
def test_a_tensor_that_cannot_be_drawn_is_named_and_nothing_filled(monkeypatch, info, rule, error, text):
    monkeypatch.setattr(recipes.PlannedTensor, "fill", lambda *_: pytest.fail("filled"))
    with pytest.raises(error) as raised:
        fi.Recipe([("a", "zeros"), rule]).initialize({"a": {"shape": [3], "dtype": "F32"}, "b": info}, seed=0)
    assert str(raised.value) == text


def test_an_array_that_cannot_be_made_is_named_and_nothing_filled(monkeypatch):
    monkeypatch.setattr(recipes.PlannedTensor, "fill", lambda *_: pytest.fail("filled"))
    manifest = {"a": {"shape": [3], "dtype": "F32"}, "b": {"shape": [1] * 100, "dtype": "F32"}}
    with pytest.raises(ValueError, match=r"^b: maximum supported dimension"):
        fi.Recipe([("*", "zeros")]).initialize(manifest)


# ---- manifests ----


def test_a_manifest_is_the_same_from_a_mapping_a_path_and_itself(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(MANIFEST))
    manifest = fi.load_manifest(MANIFEST)
    assert manifest == {name: {**info, "shape": tuple(info["shape"])} for name, info in MANIFEST.items()}
    assert list(manifest) == list(MANIFEST)
    assert fi.load_manifest(path) == fi.load_manifest(str(path)) == fi.load_manifest(manifest) == manifest


F32 = {"shape": [3], "dtype": "F32"}
NAME_RULE = "tensor name must be a non-empty string, not '__metadata__', which safetensors reserves"


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (
            [],
            TypeError,
            'manifest must be a mapping {name: {"shape": [...], "dtype": "F32"}, ...}; got list',
        ),
        ({}, ValueError, "manifest must hold at least one tensor; got none"),
        ({"": F32}, ValueError, f"{NAME_RULE}; got ''"),
        ({"__metadata__": F32}, ValueError, f"{NAME_RULE}; got '__metadata__'"),
        ({"\ud800": F32}, ValueError, "tensor name must be valid Unicode; got '\\ud800'"),
        ({"a": F32, "b": 3}, TypeError, 'b: tensor must be {"shape": [...], "dtype": "F32"}; got 3'),
        ({"b": {}}, ValueError, "b: keys must be 'shape' and 'dtype'; got none"),
        ({"b": {"shape": [3]}}, ValueError, "b: keys must be 'shape' and 'dtype'; got 'shape'"),
        (
            {"b": {**F32, "std": 1}},
            ValueError,
            "b: keys must be 'shape' and 'dtype'; got 'shape', 'dtype', 'std'",
        ),
        (
            {"b": {"shape": "33", "dtype": "F32"}},
            TypeError,
            "b: shape must be an integer or a sequence of integers; got '33'",
        ),
        (
            {"b": {"shape": [3, -1], "dtype": "F32"}},
            ValueError,
            "b: each dimension of shape must be an integer of at least 0; got -1",
        ),
        (
            {"b": {"shape": [3.0], "dtype": "F32"}},
            TypeError,
            "b: each dimension of shape must be an integer of at least 0; got 3.0",
        ),
        (
            {"b": {"shape": [True], "dtype": "F32"}},
            TypeError,
            "b: each dimension of shape must be an integer of at least 0; got True",
        ),
        (
            {"b": {"shape": [2**30, 0, 2**30], "dtype": "F32"}},
            ValueError,
            "b: shape must hold fewer than 2^60 elements; got (1073741824, 0, 1073741824)",
        ),
        (
            {"b": {"shape": [3], "dtype": "f32"}},
            ValueError,
            "b: dtype must be one of F16, BF16, F32, F64; got 'f32' (did you mean 'F32'?)",
        ),
        (
            {"b": {"shape": [3], "dtype": "FP32"}},
            ValueError,
            "b: dtype must be one of F16, BF16, F32, F64; got 'FP32'",
        ),
        (
            {"b": {"shape": [3], "dtype": 32}},
            TypeError,
            "b: dtype must be one of F16, BF16, F32, F64; got 32",
        ),
    ],
)
def test_a_wrong_manifest_is_told_by_its_tensor_and_its_file(tmp_path, content, error, text):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(content))
    with pytest.raises(error) as raised:
        fi.load_manifest(path)
    assert str(raised.value) == f"{path}: {text}"
    if isinstance(content, dict):
        with pytest.raises(error) as raised:
            fi.load_manifest(content)
        assert str(raised.value) == text


def test_the_names_in_a_mapping_must_be_strings():
    with pytest.raises(TypeError, match=r"^tensor name must be a non-empty string, .*; got 3$"):
        fi.load_manifest({3: F32})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "content must be JSON; got Expecting property name enclosed in double quotes"),
        (b"", "content must be JSON; got Expecting value"),
        (b"\xff", "content must be JSON; got 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "content must be JSON; got maximum recursion depth exceeded"),
        (
            b'{"a": {"shape": [3], "dtype": "F32"}, "a": {"shape": [4], "dtype": "F32"}}',
            "content must be JSON; got the key 'a' twice in an object",
        ),
        (
            b'{"a": {"shape": [3], "dtype": "F32", "shape": [4]}}',
            "content must be JSON; got the key 'shape' twice in an object",
        ),
    ],
)
@pytest.mark.parametrize("load", [fi.load_manifest, fi.load_recipe])
def test_a_file_that_is_not_json_is_named(tmp_path, load, content, text):
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="JSON") as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize(
    ("load", "name", "text"),
    [
        (
            fi.load_manifest,
            "resnet5",
            "manifest must be one of gpt2, llama3-1b, llama3-8b, resnet50, or the path of a file; "
            "got 'resnet5' (did you mean 'resnet50'?)",
        ),
        (
            fi.load_recipe,
            "llama",
            "recipe must be one of resnet50, gpt2, llama3, or the path of a file; got 'llama' (did you mean 'llama3'?)",
        ),
    ],
)
def test_a_missing_file_tells_what_is_shipped(tmp_path, monkeypatch, load, name, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="must be one of") as raised:
        load(name)
    assert str(raised.value) == text
    with pytest.raises(TypeError, match=r"must be one of .*, or the path of a file; got 3$"):
        load(3)
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_a_path_object_is_never_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gpt2").write_text(json.dumps(MANIFEST))
    assert set(fi.load_manifest(Path("gpt2"))) == set(MANIFEST)
    assert len(fi.load_manifest("gpt2")) == 148


# ---- recipes from files ----


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "recipe.json"
    rules = [
        {"pattern": "*.bias", "initialization": "uniform", "parameters": {"low": -1, "high": 1}},
        {"pattern": "embed.*", "initialization": "xavier_uniform", "parameters": {}},
        {"pattern": "body.*", "initialization": "he", "layout": "io"},
        {"pattern": "scale", "initialization": "random", "fan_in": None},
        {"pattern": "none", "initialization": "lecun", "groups": 1},
    ]
    path.write_text(json.dumps(rules))
    assert fi.load_recipe(path) == fi.load_recipe(str(path)) == RECIPE


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        ({}, TypeError, "recipe must be a list of rules; got dict"),
        ([], ValueError, "rules must hold at least one (pattern, initialization) pair; got none"),
        (
            ["*"],
            TypeError,
            'rules[0]: rule must be an object {"pattern": ..., "initialization": ...}; got \'*\'',
        ),
        ([{"initialization": "he"}], ValueError, "rules[0]: keys must include 'pattern'; got 'initialization'"),
        ([{"pattern": "*"}], ValueError, "rules[0]: keys must include 'initialization'; got 'pattern'"),
        ([{}], ValueError, "rules[0]: keys must include 'pattern'; got none"),
        (
            [{"pattern": "*", "initialisation": "he"}],
            ValueError,
            "rules[0]: key must be one of pattern, initialization, parameters, layout, fan_in, fan_out, groups; "
            "got 'initialisation' (did you mean 'initialization'?)",
        ),
        (
            [{"pattern": "*", "initialization": "normal", "parameters": [0.02]}],
            TypeError,
            "rules[0]: parameters must be an object; got [0.02]",
        ),
        (
            [{"pattern": "*", "initialization": "normal", "parameters": {"stdev": 0.02}}],
            TypeError,
            "rules[0]: parameter of 'normal' must be one of mean, std; got 'stdev'",
        ),
        (
            [{"pattern": "*", "initialization": "normal", "parameters": {"std": float("nan")}}],
            ValueError,
            "rules[0]: std must be a finite number of at least 0; got nan",
        ),
        (
            [{"pattern": "*", "initialization": "he"}, {"pattern": 3, "initialization": "he"}],
            TypeError,
            "rules[1]: pattern must be a non-empty string; got 3",
        ),
        (
            [{"pattern": "*", "initialization": "he", "groups": 0}],
            ValueError,
            "rules[0]: groups must be an integer of at least 1; got 0",
        ),
    ],
)
def test_a_wrong_recipe_is_told_by_its_rule_and_its_file(tmp_path, content, error, text):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(content))
    with pytest.raises(error) as raised:
        fi.load_recipe(path)
    assert str(raised.value) == f"{path}: {text}"


def test_an_initialization_in_a_file_must_be_a_known_name(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('[{"pattern": "*", "initialization": "zeroes"}]')
    with pytest.raises(ValueError, match=r"rules\[0\]: initialization must be one of .* \(did you mean 'zeros'\?\)$"):
        fi.load_recipe(path)
    path.write_text('[{"pattern": "*", "initialization": 3}]')
    with pytest.raises(TypeError, match=r"rules\[0\]: initialization must be one of .*; got 3$"):
        fi.load_recipe(path)


# ---- what is shipped ----


def test_every_shipped_manifest_is_known_and_every_recipe_used():
    shipped = {path.stem for path in (Path(fi.__file__).parent / "models").glob("*.json")}
    assert shipped == set(MODELS)
    assert set(MODELS.values()) == set(RECIPES)


@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_name_matches_its_recipe_and_every_rule_a_name(model):
    recipe = fi.load_recipe(MODELS[model])
    rules = recipe.match(fi.load_manifest(model))
    assert set(rules.values()) == set(recipe.rules)


@pytest.mark.parametrize(
    ("model", "count", "parameters"),
    [
        ("gpt2", 148, 124_439_808),
        ("llama3-1b", 146, 1_235_814_400),
        ("llama3-8b", 291, 8_030_261_248),
        ("resnet50", 267, 25_557_032 + 53_120),  # and the running means and variances
    ],
)
def test_the_shipped_models_have_their_known_sizes(model, count, parameters):
    manifest = fi.load_manifest(model)
    assert len(manifest) == count
    assert sum(math.prod(info["shape"]) for info in manifest.values()) == parameters


def distributions(model):
    """Each tensor of a shipped model with what its shipped recipe draws it from."""
    recipe = fi.load_recipe(MODELS[model])
    planned = recipes.plan_model(recipe, model, seed=0, dtype="float32", threads=1)
    return {t.name: t.plan.distribution for t in planned}


def test_resnet50_is_hes():
    manifest = fi.load_manifest("resnet50")
    for name, drawn in distributions("resnet50").items():
        shape = manifest[name]["shape"]
        if name.endswith("convolution.weight"):
            assert drawn == fi.normal(std=math.sqrt(2 / (shape[0] * shape[2] * shape[3])))
        elif name == "classifier.1.weight":
            assert drawn == fi.uniform(-math.sqrt(1 / 2048), math.sqrt(1 / 2048))
        else:
            assert drawn == (fi.ones() if name.endswith((".weight", "running_var")) else fi.zeros())


def test_gpt2_shrinks_what_ends_a_residual_branch():
    for name, drawn in distributions("gpt2").items():
        if ".ln_" in name or name.endswith(".bias"):
            assert drawn == (fi.zeros() if name.endswith(".bias") else fi.ones())
        else:
            assert drawn == fi.normal(std=0.02 / math.sqrt(24) if "c_proj" in name else 0.02)


@pytest.mark.parametrize("model", ["llama3-1b", "llama3-8b"])
def test_llama3_has_one_std(model):
    for name, drawn in distributions(model).items():
        assert drawn == (fi.ones() if name.endswith("norm.weight") else fi.normal(std=0.02))
