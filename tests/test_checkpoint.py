"""Whole models in files: the same bytes as in memory, complete or not there at all."""

import json
import math
import os
import struct
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastinit as fi
from fastinit import checkpoint
from fastinit.recipes import DTYPES, PlannedTensor

MANIFEST = {
    "b.weight": {"shape": [17, 33], "dtype": "F32"},
    "b.bias": {"shape": [17], "dtype": "F32"},
    "a.weight": {"shape": [33, 5], "dtype": "F64"},
    "a.scale": {"shape": [], "dtype": "F64"},
    "a.none": {"shape": [0, 4], "dtype": "F32"},
    "b.half": {"shape": [3, 5], "dtype": "F16"},
    "b.brain": {"shape": [7, 3], "dtype": "BF16"},
    "é[1] 重み": {"shape": [2, 2, 3, 3], "dtype": "F32"},
}
RECIPE = fi.Recipe([("*.bias", "ones"), ("*.scale", "uniform"), ("a.weight", "xavier_uniform"), ("*", "he")])
STRATEGIES = {
    "b.weight": fi.he_normal(),
    "b.bias": fi.ones(),
    "a.weight": fi.xavier_uniform(),
    "a.scale": fi.uniform(),
    "a.none": fi.he_normal(),
    "b.half": fi.he_normal(),
    "b.brain": fi.he_normal(),
    "é[1] 重み": fi.he_normal(),
}


def parse(path):
    """The header of a .safetensors file and its data, by the format's own words."""
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :], length


def assert_same_tensors(path, expected):
    loaded = load_file(path)
    assert set(loaded) == set(expected)
    for name, array in expected.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet50") / "model.safetensors"
    return path, checkpoint.save(path, "resnet50", fi.load_recipe("resnet50"), seed=1)


# ---- what is written ----


def test_the_file_holds_each_tensors_own_fill(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, MANIFEST, RECIPE, seed=9)
    expected = {
        name: fi.initialize(info["shape"], STRATEGIES[name], seed=9, stream=name, dtype=DTYPES[info["dtype"]])
        for name, info in MANIFEST.items()
    }
    assert_same_tensors(path, expected)


def test_the_layout_is_that_of_the_safetensors_library(tmp_path):
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    checkpoint.save(ours, MANIFEST, RECIPE, seed=9)
    metadata = {"format": "pt", "fastinit_version": "0.1.0", "seed": "9", "stream_version": "1"}
    save_file(RECIPE.initialize(MANIFEST, seed=9), theirs, metadata=metadata)
    header, data, length = parse(ours)
    their_header, their_data, their_length = parse(theirs)
    assert header == their_header
    assert list(header) == list(their_header)
    assert data == their_data
    assert length == their_length
    with safe_open(ours, "numpy") as file:
        assert file.metadata() == metadata


def test_the_tensors_lie_one_after_another_on_their_alignment(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, MANIFEST, RECIPE, seed=0)
    header, data, length = parse(path)
    assert length % 8 == 0
    del header["__metadata__"]
    assert list(header) == ["a.scale", "a.weight", "a.none", "b.bias", "b.weight", "é[1] 重み", "b.brain", "b.half"]
    end = 0
    for info in header.values():
        begin, stop = info["data_offsets"]
        assert begin == end
        assert begin % {"F64": 8, "F32": 4}.get(info["dtype"], 2) == 0
        end = stop
    assert end == len(data)


def test_the_manifests_order_does_not_matter(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    checkpoint.save(a, MANIFEST, RECIPE, seed=0)
    checkpoint.save(b, dict(reversed(MANIFEST.items())), RECIPE, seed=0, threads=2)
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("buffer_bytes", [8, 40, 1000, 4096])
def test_a_tensor_larger_than_the_buffer_equals_its_whole_fill(tmp_path, monkeypatch, buffer_bytes):
    monkeypatch.setattr(checkpoint, "BUFFER_BYTES", buffer_bytes)
    path = tmp_path / "model.safetensors"
    report = checkpoint.save(path, MANIFEST, RECIPE, seed=4)
    whole = RECIPE.initialize(MANIFEST, seed=4)
    assert_same_tensors(path, whole)
    for tensor in report.tensors:
        if whole[tensor.name].size:
            values = whole[tensor.name].astype(np.float64)
            assert tensor.measured_std == pytest.approx(values.std(), rel=1e-12, abs=0)


def test_memory_stays_at_the_buffer_whatever_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "BUFFER_BYTES", 2**18)
    manifest = {"w": {"shape": [1024, 1024], "dtype": "F32"}}
    tracemalloc.start()
    try:
        checkpoint.save(tmp_path / "model.safetensors", manifest, fi.Recipe([("*", "he")]), seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The buffer, the float64 copy of what is measured, and as much again for everything else; the tensor is 4 MiB.
    assert 2**18 <= peak < 2 * (2**18 + 8 * checkpoint._MEASURED_ELEMENTS)


def test_dtype_overrules_the_manifest(tmp_path):
    path = tmp_path / "model.safetensors"
    manifest = {"w": {"shape": [5, 6], "dtype": "BF16"}, "v": {"shape": [5, 6], "dtype": "F32"}}
    report = checkpoint.save(path, manifest, RECIPE, seed=0, dtype="float64")
    assert_same_tensors(path, RECIPE.initialize(manifest, seed=0, dtype="float64"))
    assert [tensor.dtype for tensor in report.tensors] == ["float64", "float64"]
    assert report.nbytes == 480


def test_a_model_without_elements(tmp_path):
    path = tmp_path / "model.safetensors"
    report = checkpoint.save(path, {"w": {"shape": [3, 0], "dtype": "F32"}}, RECIPE, seed=0)
    assert_same_tensors(path, {"w": np.empty((3, 0), np.float32)})
    assert (report.parameters, report.nbytes) == (0, 0)


def test_no_seed_draws_one_that_repeats_the_file(tmp_path):
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    report = checkpoint.save(a, MANIFEST, RECIPE)
    checkpoint.save(b, MANIFEST, RECIPE, seed=report.seed)
    assert checkpoint.save(c, MANIFEST, RECIPE).seed != report.seed
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


# ---- the report ----


def test_the_report_tells_what_was_drawn(tmp_path):
    report = checkpoint.save(tmp_path / "model.safetensors", MANIFEST, RECIPE, seed=2)
    whole = RECIPE.initialize(MANIFEST, seed=2)
    assert report.seed == 2
    assert report.parameters == sum(w.size for w in whole.values())
    assert report.nbytes == sum(w.nbytes for w in whole.values())
    assert report.seconds > 0
    tensors = {tensor.name: tensor for tensor in report.tensors}
    assert list(tensors) == ["a.scale", "a.weight", "a.none", "b.bias", "b.weight", "é[1] 重み", "b.brain", "b.half"]
    for name, tensor in tensors.items():
        assert tensor.shape == tuple(MANIFEST[name]["shape"])
        assert tensor.dtype == whole[name].dtype.name
        assert eval(tensor.initialization, vars(fi)) == STRATEGIES[name]
    assert tensors["b.weight"].std == math.sqrt(2 / 33)
    assert tensors["a.scale"].std == 1 / math.sqrt(12)
    assert (tensors["a.scale"].measured_std, tensors["b.bias"].std, tensors["b.bias"].measured_std) == (0, 0, 0)
    assert (tensors["a.none"].std, tensors["a.none"].measured_std) == (None, None)


@pytest.mark.parametrize(
    "strategy",
    [
        fi.normal(),
        fi.normal(mean=1e6, std=1e-3),
        fi.normal(std=1e-300),
        fi.normal(std=1e300),
        fi.normal(mean=-1e200, std=1e190),
        fi.normal(mean=1.0, std=1e-300),
        fi.uniform(-1e307, 1e307),
        fi.constant(0.1),
        fi.constant(1.7e308),
        fi.normal(mean=3.0, std=0.0),
    ],
    ids=repr,
)
def test_the_measured_std_is_sound_at_any_size_and_mean(tmp_path, monkeypatch, strategy):
    monkeypatch.setattr(checkpoint, "BUFFER_BYTES", 4096)
    monkeypatch.setattr(checkpoint, "_MEASURED_ELEMENTS", 100)
    recipe, manifest = fi.Recipe([("*", strategy)]), {"w": {"shape": [3001], "dtype": "F64"}}
    (tensor,) = checkpoint.save(tmp_path / "model.safetensors", manifest, recipe, seed=0).tensors
    # Exactly rounded arithmetic, in units that keep the squares in range.
    values = recipe.initialize(manifest, seed=0)["w"].tolist()
    unit = 2.0 ** math.frexp(strategy.moments()[1] or 1.0)[1]
    distances = [(value - values[0]) / unit for value in values]
    mean = math.fsum(distances) / len(values)
    expected = unit * math.sqrt(math.fsum((d - mean) ** 2 for d in distances) / len(values))
    assert tensor.measured_std == pytest.approx(expected, rel=1e-12, abs=0)
    if strategy.moments()[1] == 0:
        assert tensor.measured_std == 0


def test_progress_counts_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "BUFFER_BYTES", 1024)
    seen = []
    path = tmp_path / "model.safetensors"
    report = checkpoint.save(path, MANIFEST, RECIPE, seed=0, progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(set(done))
    assert max(b - a for a, b in zip([0, *done], done, strict=False)) == 1024
    assert seen[-1] == (report.nbytes, report.nbytes)
    assert {step[1] for step in seen} == {report.nbytes}


# ---- all or nothing ----


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, kind, before):
    monkeypatch.setattr(checkpoint, "BUFFER_BYTES", 1024)
    path = tmp_path / "model.safetensors"
    if before is not None:
        path.write_bytes(before)
    files = []

    def progress(done, total):
        files.append({p.name for p in tmp_path.iterdir()})
        if done > total // 2:
            raise kind

    with pytest.raises(kind):
        checkpoint.save(path, MANIFEST, RECIPE, seed=0, progress=progress)
    was_there = set() if before is None else {path.name}
    assert all(len(names - was_there) == 1 for names in files)  # the temporary file, in the same folder
    assert {p.name for p in tmp_path.iterdir()} == was_there
    assert before is None or path.read_bytes() == before


def test_a_failure_in_the_kernels_leaves_nothing(tmp_path, monkeypatch):
    def fill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(PlannedTensor, "fill", fill)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "model.safetensors", MANIFEST, RECIPE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_the_end_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"what was there")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match=r"^\[Errno 5\] Input/output error$"):
        checkpoint.save(path, MANIFEST, RECIPE, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"what was there"


def test_a_file_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    events = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        events.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def noting_replace(source, target):
        events.append(("replace", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    checkpoint.save(path, MANIFEST, RECIPE, seed=0)
    size = path.stat().st_size
    assert events == [("fsync", size), ("replace", size)]


def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", os.fspath(source), None, os.fspath(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as raised:
        checkpoint.save(path, MANIFEST, RECIPE, seed=0)
    assert str(raised.value) == f"[Errno 13] Permission denied: {str(path)!r}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_file_has_the_permissions_of_any_new_file(tmp_path, umask):
    path = tmp_path / "model.safetensors"
    before = os.umask(umask)
    try:
        checkpoint.save(path, MANIFEST, RECIPE, seed=0)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_existing_file_is_replaced_and_a_link_goes_on_pointing_to_it(tmp_path):
    path, link = tmp_path / "model.safetensors", tmp_path / "latest"
    path.write_bytes(b"what was there")
    link.symlink_to(path)
    checkpoint.save(link, MANIFEST, RECIPE, seed=0)
    assert link.is_symlink()
    assert not path.is_symlink()
    assert_same_tensors(path, RECIPE.initialize(MANIFEST, seed=0))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"recipe": "gpt2"}, TypeError, "recipe must be a Recipe, such as load_recipe returns; got 'gpt2'"),
        ({"progress": 3}, TypeError, "progress must be callable with (bytes done, bytes in all); got 3"),
        ({"path": 3}, TypeError, "path must be a string or a path; got 3"),
        ({"path": "."}, ValueError, "path must name a regular file; got '.'"),
        ({"path": "no/model"}, ValueError, "path must be in an existing folder; got 'no/model'"),
        ({"dtype": "int8"}, TypeError, "dtype must be float32, float64, float16 or bfloat16; got int8"),
        ({"seed": 2**64}, ValueError, f"seed must be an integer in [0, {2**64 - 1}]; got {2**64}"),
        ({"threads": 0}, ValueError, "threads must be an integer of at least 1; got 0"),
        ({"manifest": {}}, ValueError, "manifest must hold at least one tensor; got none"),
        (
            {"recipe": fi.Recipe([("a.*", "zeros")])},
            ValueError,
            "every name must match a rule's pattern; got 5 that match none: "
            "'b.weight', 'b.bias', 'b.half', 'b.brain', 'é[1] 重み'",
        ),
        (
            {"recipe": fi.Recipe([("*", "he")])},
            ValueError,
            "b.bias: shape must have an axis for each letter of layout 'oi...', or fan_in= be given; got shape (17,)",
        ),
    ],
)
def test_wrong_input_is_told_before_any_file_is_made(tmp_path, monkeypatch, changes, error, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("opened a file"))
    arguments = {"path": "model.safetensors", "manifest": MANIFEST, "recipe": RECIPE, **changes}
    with pytest.raises(error) as raised:
        checkpoint.save(**arguments)
    assert str(raised.value) == text
    assert list(tmp_path.iterdir()) == []


def test_a_header_too_long_for_readers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_MOST_HEADER_BYTES", 100)
    with pytest.raises(ValueError, match=r"^manifest must give a safetensors header of at most 100 bytes; got \d+$"):
        checkpoint.save(tmp_path / "model.safetensors", MANIFEST, RECIPE)
    assert list(tmp_path.iterdir()) == []


# ---- a model of full size ----


def test_resnet50_has_its_shapes(resnet50):
    path, report = resnet50
    manifest = fi.load_manifest("resnet50")
    loaded = load_file(path)
    assert {name: array.shape for name, array in loaded.items()} == {n: i["shape"] for n, i in manifest.items()}
    assert {array.dtype for array in loaded.values()} == {np.dtype("float32")}
    assert Counter(tensor.name for tensor in report.tensors) == Counter(manifest.keys())
    assert report.parameters == sum(array.size for array in loaded.values()) == 25_610_152


def test_each_large_convolution_of_resnet50_has_the_std_of_its_formula(resnet50):
    path, report = resnet50
    loaded = load_file(path)
    measured = {tensor.name: tensor.measured_std for tensor in report.tensors}
    large = [name for name, w in loaded.items() if name.endswith("convolution.weight") and w.size > 100_000]
    assert len(large) == 34
    for name in large:
        weight = loaded[name]
        formula = math.sqrt(2 / (weight.shape[0] * weight.shape[2] * weight.shape[3]))
        assert abs(weight.std(dtype=np.float64) / formula - 1) < 0.01
        assert measured[name] == pytest.approx(weight.std(dtype=np.float64), rel=1e-12)


def test_resnet50_in_a_file_is_resnet50_in_memory(resnet50):
    path, _ = resnet50
    assert_same_tensors(path, fi.load_recipe("resnet50").initialize("resnet50", seed=1))
