"""The README's Python runs, a block after another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastinit import _catalog, available, he_normal

from .helpers import peer

README = (Path(__file__).parents[1] / "README.md").read_text()
CORE, FRAMEWORKS, _ = re.split(r"^(?=## In your framework)|^(?=## What is promised)", README, flags=re.MULTILINE)


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_readme():
    namespace = {}
    for block in blocks(README.replace(FRAMEWORKS, "")):
        exec(block, namespace)
    assert namespace["shard"].shape == (1024, 8192)


SECTIONS = {name: blocks(text) for name, text in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", FRAMEWORKS, re.M | re.S)}


def test_every_framework_has_its_lines():
    assert SECTIONS.keys() == {"PyTorch", "JAX", "Keras", "Dask"}
    assert all(SECTIONS.values())


@pytest.mark.parametrize("framework", SECTIONS)
def test_framework(framework):
    """Its blocks, one after another, in a process of their own: Keras chooses its backend as it is loaded."""
    code = "\n".join(SECTIONS[framework])
    for name in re.findall(r"^import fastinit\.(\w+)$", code, re.MULTILINE):
        peer(name)
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, timeout=300, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_tests_it_names_are_there():
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:tests|\.ci|bench)/[^`* ]+)`", README)
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_the_table_of_strategies_is_what_the_code_says():
    """`.ci/readme` writes it anew."""
    (table,) = re.findall(r"<!-- strategies: .*? -->\n(.*?)<!-- end of strategies -->", README, re.DOTALL)
    assert table == _catalog.markdown()


def test_the_command_prints_the_table():
    command = [sys.executable, "-m", "fastinit", "strategies"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert (result.stdout, result.stderr) == (_catalog.markdown(), "")


def cells(row):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_the_table_has_every_name_once_and_every_row_says_what_it_draws():
    header, _, *rows = map(cells, _catalog.markdown().splitlines())
    assert {len(row) for row in rows} == {len(header)}
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0])) == available()
    assert all(row[1] for row in rows)
    firsts = {re.match(r"`(\w+)`", row[0])[1] for row in rows}
    assert {name for name in _catalog.EQUIVALENTS if name in available()} <= firsts  # else no row would have them


def test_a_new_strategy_needs_no_entry(monkeypatch):
    """One without a paper, one that sends its reader elsewhere for it, and one without a docstring."""

    def bars(*, a=1, b="|"):
        """a | b; see `he_normal`."""

    def bare(x):
        pass

    monkeypatch.setattr(_catalog, "_MAKERS", {"bars": bars, "b": bars, "bare": bare, "he_normal": he_normal})
    first, second, third = map(cells, _catalog.markdown().splitlines()[2:])
    assert first[:3] == ["`bars`, `b`", r"a \| b.", r"`a=1`, `b='\|'`"]
    assert first[3] == third[3] != ""
    assert second == ["`bare`", "", "`x`", "", "", "", ""]
