"""The README's Python runs, a block after another."""

import re
from pathlib import Path


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
