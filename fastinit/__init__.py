"""Neural-network weights at the speed of memory, with the same bits on every machine, thread count and shard."""

try:
    from . import _kernels as _kernels
except ImportError as error:
    raise ImportError(
        f"fastinit's kernels are not built in {__path__[0]}: start Python in another folder to use an installed "
        "fastinit, or build them here with: pip install -e ."
    ) from error

from . import checkpoint
from ._config import show_config
from ._fans import gain
from ._fill import fill, initialize
from .distributions import Constant, Normal, TruncatedNormal, Uniform
from .recipes import Recipe, load_manifest, load_recipe
from .strategies import (
    VarianceScaling,
    available,
    constant,
    get,
    glorot_normal,
    glorot_truncated_normal,
    glorot_uniform,
    he_normal,
    he_truncated_normal,
    he_uniform,
    kaiming_normal,
    kaiming_truncated_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    normal,
    ones,
    random,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_truncated_normal,
    xavier_uniform,
    zeros,
)
from .structured import Identity, Sparse, dirac, eye, identity, sparse

__all__ = [
    "Constant",
    "Identity",
    "Normal",
    "Recipe",
    "Sparse",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "available",
    "checkpoint",
    "constant",
    "dirac",
    "eye",
    "fill",
    "gain",
    "get",
    "glorot_normal",
    "glorot_truncated_normal",
    "glorot_uniform",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "identity",
    "initialize",
    "kaiming_normal",
    "kaiming_truncated_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "load_manifest",
    "load_recipe",
    "normal",
    "ones",
    "random",
    "show_config",
    "sparse",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_truncated_normal",
    "xavier_uniform",
    "zeros",
]
