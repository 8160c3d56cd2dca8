"""The table of all strategies: what each draws, its parameters, its paper, and what other libraries call it.

All of it is taken from the functions behind `available()` and their docstrings, but for the other libraries' calls.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .strategies import _MAKERS


class Peers(NamedTuple):
    """What draws from the same law, with the same parameters, in other libraries; empty where nothing does.

    A call of `torch.nn.init` on a weight `w`; what gives an initializer in `jax.nn.initializers`, in
    `keras.initializers`.
    """

    torch: str = ""
    jax: str = ""
    keras: str = ""


#: By the name of the function, with its default parameters (a sparsity of 0.9, where there is no default).
EQUIVALENTS = {
    "zeros": Peers("zeros_(w)", "zeros", "Zeros()"),
    "ones": Peers("ones_(w)", "ones", "Ones()"),
    "constant": Peers("constant_(w, 0.0)", "constant(0.0)", "Constant(0.0)"),
    "random": Peers("normal_(w, std=0.01)", "normal()", "RandomNormal(stddev=0.01)"),
    "uniform": Peers("uniform_(w)", "uniform(1.0)", "RandomUniform(0.0, 1.0)"),
    "normal": Peers("normal_(w)", "normal(1.0)", "RandomNormal(stddev=1.0)"),
    "truncated_normal": Peers("trunc_normal_(w)", "truncated_normal(1.0)", "TruncatedNormal(stddev=1.0)"),
    "variance_scaling": Peers(
        'kaiming_normal_(w, nonlinearity="linear")',
        'variance_scaling(1.0, "fan_in", "normal")',
        'VarianceScaling(1.0, "fan_in", "untruncated_normal")',
    ),
    "xavier_normal": Peers(
        "xavier_normal_(w)",
        'variance_scaling(1.0, "fan_avg", "normal")',
        'VarianceScaling(1.0, "fan_avg", "untruncated_normal")',
    ),
    "xavier_uniform": Peers("xavier_uniform_(w)", "glorot_uniform()", "GlorotUniform()"),
    "xavier_truncated_normal": Peers("", "glorot_normal()", "GlorotNormal()"),
    "he_normal": Peers(
        "kaiming_normal_(w)",
        'variance_scaling(2.0, "fan_in", "normal")',
        'VarianceScaling(2.0, "fan_in", "untruncated_normal")',
    ),
    "he_uniform": Peers("kaiming_uniform_(w)", "he_uniform()", "HeUniform()"),
    "he_truncated_normal": Peers("", "he_normal()", "HeNormal()"),
    "lecun_normal": Peers(
        'kaiming_normal_(w, nonlinearity="linear")',
        'variance_scaling(1.0, "fan_in", "normal")',
        'VarianceScaling(1.0, "fan_in", "untruncated_normal")',
    ),
    "lecun_uniform": Peers('kaiming_uniform_(w, nonlinearity="linear")', "lecun_uniform()", "LecunUniform()"),
    "lecun_truncated_normal": Peers("", "lecun_normal()", "LecunNormal()"),
    "eye": Peers("eye_(w)", "", "Identity()"),
    "dirac": Peers("dirac_(w)", "", ""),
    "sparse": Peers("sparse_(w, 0.9)", "", ""),
    "orthogonal": Peers("orthogonal_(w)", "orthogonal()", "Orthogonal()"),
    "delta_orthogonal": Peers("", "delta_orthogonal()", ""),
}

_HEADERS = ("name", "draws", "parameters", "paper", "PyTorch", "JAX", "Keras")


def markdown() -> str:
    """The table in Markdown, a row for each strategy, in the order of the code."""
    rows = [_HEADERS, ("---",) * len(_HEADERS), *_rows()]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _rows() -> Iterator[tuple[str, ...]]:
    names: dict[Callable[..., Any], list[str]] = {}
    for name, maker in _MAKERS.items():
        names.setdefault(maker, [maker.__name__])
        if name != maker.__name__:
            names[maker].append(name)
    for maker, known_as in names.items():
        peers = EQUIVALENTS.get(maker.__name__, Peers())
        yield ", ".join(map(_code, known_as)), _summary(maker), _parameters(maker), _paper(maker), *map(_code, peers)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _summary(maker: Callable[..., Any]) -> str:
    """The first paragraph of the docstring, on one line, without its reference to another function."""
    paragraph = (inspect.getdoc(maker) or "").partition("\n\n")[0]
    return re.sub(r"; see `\w+`", "", " ".join(paragraph.split()))


def _parameters(maker: Callable[..., Any]) -> str:
    parameters = inspect.signature(maker).parameters.values()
    return ", ".join(_code(str(each.replace(annotation=each.empty, kind=each.KEYWORD_ONLY))) for each in parameters)


def _paper(maker: Callable[..., Any]) -> str:
    """The References of the docstring or, where it has none, of the function that its first paragraph names."""
    doc = inspect.getdoc(maker) or ""
    section = re.search(r"^References\n-+\n(.*?)(?=\n\n\w+\n---|\Z)", doc, re.MULTILINE | re.DOTALL)
    if section is not None:
        return " ".join(section[1].split())
    elsewhere = re.search(r"; see `(\w+)`", doc.partition("\n\n")[0])
    return _paper(_MAKERS[elsewhere[1]]) if elsewhere is not None else ""
