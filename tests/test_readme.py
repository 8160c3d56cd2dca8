"""The README's Python runs, a block after another."""

import re
import subprocess
import sys
from pathlib import Path

from fastinit import _catalog, available, he_normal


def test_readme():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    assert namespace["shard"].shape == (1024, 8192)


def test_the_tests_it_names_are_there():
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:tests|\.ci|bench)/[^`* ]+)`", (root / "README.md").read_text())
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_the_table_of_strategies_is_what_the_code_says():
    """`.ci/readme` writes it anew."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (table,) = re.findall(r"<!-- strategies: .*? -->\n(.*?)<!-- end of strategies -->", text, re.DOTALL)
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
