"""What all adapters of frameworks have in common."""

import importlib
import subprocess
import sys

import pytest

NEEDS = {"torch": "PyTorch", "jax": "JAX", "keras": "Keras and a backend of it", "dask": "dask.array"}


@pytest.mark.parametrize("module", NEEDS)
def test_a_framework_that_is_missing(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"fastinit.{module}", raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"fastinit.{module}")
    assert str(caught.value) == f'fastinit.{module} needs {NEEDS[module]}: pip install "fastinit[{module}]"'


def test_the_core_loads_no_framework():
    """Not even where one is installed: its import takes seconds."""
    code = "import sys, fastinit; print(sorted({'torch', 'jax', 'keras', 'dask'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"
