"""How many threads a fill uses, and what `show_config` tells."""

import math
import os
import platform
from importlib import metadata

import numpy as np
import pytest

import fastinit as fi
from fastinit import _config, _kernels

VARIABLES = ("FASTINIT_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def machine(monkeypatch, processors, quota):
    monkeypatch.setattr(_config, "affinity", lambda: processors)
    monkeypatch.setattr(_config, "cgroup_quota", lambda: quota)


# ---- the number of threads ----


@pytest.mark.parametrize(
    ("processors", "quota", "expected"),
    [
        (8, None, 8),
        (1, None, 1),
        (8, 4.0, 4),
        (8, 2.5, 3),
        (8, 0.1, 1),
        (2, 16.0, 2),
        (8, 8.0, 8),
    ],
)
def test_usable_processors(monkeypatch, processors, quota, expected):
    """Those of the affinity mask, or the quota rounded up where that is fewer."""
    machine(monkeypatch, processors, quota)
    assert _config.usable_processors() == _config.default_threads() == expected


@pytest.mark.parametrize(
    ("own", "openmp", "expected"),
    [
        ("3", None, 3),
        ("3", "5", 3),
        (" 3 ", "5", 3),
        ("100", None, 100),
        (None, "5", 5),
        (None, "5,2", 5),
        (None, " 5 , 2", 5),
        (None, "", 7),
        (None, "0", 7),
        (None, "-2", 7),
        (None, "many", 7),
        (None, "2.5", 7),
        (None, ",2", 7),
    ],
)
def test_variables(monkeypatch, own, openmp, expected):
    """FASTINIT_NUM_THREADS, else OMP_NUM_THREADS where that is a positive number, else the processors."""
    machine(monkeypatch, 7, None)
    for name, value in zip(VARIABLES, (own, openmp), strict=True):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert _config.default_threads() == expected


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "2.0", "1,2", "9" * 5000])
def test_own_variable_must_be_a_number(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("FASTINIT_NUM_THREADS", value)
    text = f"FASTINIT_NUM_THREADS must be a positive integer; got {value!r}"
    for ask in (_config.default_threads, lambda: fi.show_config("dict")):
        with pytest.raises(ValueError, match=f"^{text}$"):
            ask()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_affinity():
    """The mask of this process, not the machine's processors."""
    before = os.sched_getaffinity(0)
    assert _config.affinity() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert _config.affinity() == _config.usable_processors() == _config.default_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_affinity_where_there_is_none(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert _config.affinity() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _config.affinity() == 1


# ---- control groups ----


def quota(tmp_path, entries, files):
    """What a process with this /proc/self/cgroup may use under a tree of these files."""
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("".join(f"{entry}\n" for entry in entries))
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return _config.cgroup_quota(proc, root)


@pytest.mark.parametrize(
    ("path", "files", "expected"),
    [
        ("/", {}, None),
        ("/", {"cpu.max": "max 100000"}, None),
        ("/", {"cpu.max": "150000 100000"}, 1.5),
        ("/a", {"a/cpu.max": "200000 100000"}, 2.0),
        ("/a", {"a/cpu.max": "max 100000"}, None),
        ("/a", {"a/cpu.max": "max 100000", "cpu.max": "300000 100000"}, 3.0),
        # the least of all levels
        ("/a/b", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        ("/a/b", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "100000 50000"}, 2.0),
        ("/a/b/c", {"a/cpu.max": "100000 100000"}, 1.0),
        # another group's, and what is above the root, are not
        ("/a", {"b/cpu.max": "100000 100000"}, None),
        ("/a", {"../cpu.max": "100000 100000"}, None),
        # what cannot be read is no limit
        ("/a", {"a/cpu.max": ""}, None),
        ("/a", {"a/cpu.max": "100000"}, None),
        ("/a", {"a/cpu.max": "100000 0"}, None),
        ("/a", {"a/cpu.max": "lots 100000"}, None),
    ],
)
def test_cgroup_version_2(tmp_path, path, files, expected):
    assert quota(tmp_path, [f"0::{path}"], files) == expected


def v1(folder, quota, period=100000):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("controllers", "path", "files", "expected"),
    [
        ("cpu", "/", {}, None),
        ("cpu", "/", v1("cpu", -1), None),
        ("cpu", "/", v1("cpu", 250000), 2.5),
        ("cpu,cpuacct", "/a", v1("cpu/a", 50000, 25000), 2.0),
        ("cpuacct,cpu", "/a/b", v1("cpu/a/b", 300000) | v1("cpu", 100000), 1.0),
        # a container sees its own group's files at the root
        ("cpu,cpuacct", "/docker/0123", v1("cpu", 100000), 1.0),
        ("cpu", "/a", v1("cpu/a", -1) | v1("cpu", -1), None),
        ("cpu", "/a", v1("cpu/b", 100000), None),
        ("cpu", "/a", {"cpu/a/cpu.cfs_quota_us": 100000}, None),
        # other controllers have their own groups
        ("memory", "/a", v1("cpu/a", 100000), None),
        ("cpuset", "/a", v1("cpu/a", 100000), None),
        ("name=systemd", "/a", v1("cpu/a", 100000), None),
    ],
)
def test_cgroup_version_1(tmp_path, controllers, path, files, expected):
    entries = ["7:pids:/x", f"3:{controllers}:{path}", "1:name=systemd:/y"]
    assert quota(tmp_path, entries, files) == expected


def test_cgroup_versions_together(tmp_path):
    """Version 1 for the processor beside version 2 for the rest."""
    files = v1("cpu/a", 400000) | {"b/cpu.max": "300000 100000"}
    assert quota(tmp_path, ["3:cpu,cpuacct:/a", "0::/b"], files) == 3.0


def test_a_path_with_colons(tmp_path):
    assert quota(tmp_path, ["0::/a:b"], {"a:b/cpu.max": "100000 100000"}) == 1.0


def test_no_cgroups(tmp_path):
    assert _config.cgroup_quota(tmp_path / "absent", tmp_path) is None
    assert quota(tmp_path, [], {"cpu.max": "100000 100000"}) is None


# ---- what is told ----

KEYS = {
    "versions": ["fastinit", "stream", "numpy", "python", "compiler"],
    "isa": ["processor", "built", "available", "chosen", "FASTINIT_ISA"],
    "threads": ["default", *VARIABLES, "affinity", "cgroup_quota", "elements_per_thread"],
}


def test_show_config(monkeypatch):
    monkeypatch.setenv("FASTINIT_NUM_THREADS", "5")
    config = fi.show_config("dict")
    assert {section: list(entries) for section, entries in config.items()} == KEYS
    versions, isa, threads = config.values()
    assert versions == {
        "fastinit": metadata.version("fastinit"),
        "stream": 1,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "compiler": _kernels.COMPILER,
    }
    assert isa["built"] == list(_kernels.BUILT_ISAS)
    assert isa["available"] == list(_kernels.AVAILABLE_ISAS)
    assert isa["chosen"] == _kernels.chosen_isa()
    assert isa["processor"]
    assert (threads["default"], threads["FASTINIT_NUM_THREADS"], threads["OMP_NUM_THREADS"]) == (5, "5", None)
    assert threads["affinity"] == _config.affinity()
    assert threads["elements_per_thread"] == 1 << 20


def test_show_config_prints(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert fi.show_config() is None
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        name for section, names in KEYS.items() for name in (section, *names)
    ]
    assert f"  built: {', '.join(_kernels.BUILT_ISAS)}" in lines
    assert "  OMP_NUM_THREADS: 2" in lines
    assert "  FASTINIT_NUM_THREADS: -" in lines
    assert "  stream: 1" in lines
    assert "  default: 2" in lines


@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("dicts", ValueError, r"mode must be one of print, dict; got 'dicts' \(did you mean 'dict'\?\)"),
        (1, TypeError, "mode must be one of print, dict; got 1"),
    ],
)
def test_show_config_errors(mode, error, text):
    with pytest.raises(error, match=f"^{text}$"):
        fi.show_config(mode)


def test_quota_of_this_machine():
    """Whatever it is, it is no limit or a positive one."""
    found = _config.cgroup_quota()
    assert found is None or 0 < found < math.inf
