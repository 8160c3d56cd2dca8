"""The initializations of today's models, each a line over the laws that are there."""

from __future__ import annotations

import dataclasses
import decimal
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import ParamSpec, TypeVar

from . import _checks, _kernels
from ._fans import Fans
from .coordinates import bilinear, hadamard, lstm_bias, mamba_a_log
from .derived import icnr, mamba_dt_bias
from .distributions import Constant, Distribution, Normal, TruncatedNormal, Uniform
from .strategies import _MAKERS, VarianceScaling, xavier_normal, zeros

P = ParamSpec("P")
T = TypeVar("T")


def _in_default_environment(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, whose arithmetic decides bits, in the default floating-point environment."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _kernels.default_float_environment():
            return function(*args, **kwargs)

    return run


def _count(argument: str, value: int, least: int = 1) -> int:
    return _checks.integer(argument, value, least=least, most=2**53)


def _power(base: int, exponent: Fraction) -> float:
    """The double nearest to base^exponent, on any machine: libraries' own pow differ in the last bit."""
    context = decimal.Context(prec=40)
    quotient = context.divide(decimal.Decimal(exponent.numerator), decimal.Decimal(exponent.denominator))
    return float(context.power(decimal.Decimal(base), quotient))


# ---- a law divided by a fan ----

#: The parameters of each distribution that scale with what is drawn.
_SCALED: dict[type[Distribution], tuple[str, ...]] = {
    Constant: ("value",),
    Uniform: ("low", "high"),
    Normal: ("mean", "std"),
    TruncatedNormal: ("mean", "std"),
}


@dataclass(frozen=True)
class OverFan:
    """What `distribution` draws, divided by n^power, n counted from the weight's shape.

    Parameters
    ----------
    distribution : Constant, Uniform, Normal or TruncatedNormal
        What a weight with n = 1 is drawn from.
    power : float
        1 or 0.5.
    mode : {"fan_in", "fan_out"}
        What n is: the inputs that each output sums over, or the outputs that each input feeds.

    Examples
    --------
    >>> import fastinit as fi
    >>> w = fi.initialize((64, 4), fi.OverFan(fi.uniform(-1, 1)), seed=0, stream="first.weight")
    >>> bool(abs(w).max() <= 1 / 4)
    True
    """

    distribution: Distribution
    power: float = 1.0
    mode: str = "fan_in"

    def __post_init__(self) -> None:
        if type(self.distribution) not in _SCALED:
            names = ", ".join(each.__name__ for each in _SCALED)
            raise TypeError(f"distribution must be one of {names}; got {self.distribution!r}")
        power = _checks.real("power", self.power)
        if power not in (0.5, 1.0):  # what IEEE 754 rounds exactly
            raise ValueError(f"power must be 0.5 or 1; got {power!r}")
        object.__setattr__(self, "power", power)
        _checks.choice("mode", self.mode, ("fan_in", "fan_out"))

    def resolve(self, fans: Fans) -> Distribution:
        """The distribution that a weight with these fans is drawn from."""
        n: float = fans.fan_in if self.mode == "fan_in" else fans.fan_out
        divisor = n if self.power == 1 else math.sqrt(n)
        law = self.distribution
        divided = {name: getattr(law, name) / divisor for name in _SCALED[type(law)]}
        return dataclasses.replace(law, **divided)  # type: ignore[type-var]


# ---- plain normals ----


def cutoff_normal(std: float = 0.02, cutoff: float = 3.0) -> TruncatedNormal:
    """N(0, std^2) without what lies more than `cutoff` standard deviations out: of Megatron, OLMo and others.

    std is that before the cut; with a cutoff of 3, that of what is drawn is 0.9866 std, with 2, 0.8796 std.

    Parameters
    ----------
    std : float
        The standard deviation before the cut, positive.
    cutoff : float
        Where the cut is, in standard deviations, positive.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a positive number.

    References
    ----------
    Groeneveld et al., "OLMo: accelerating the science of language models", ACL 2024, and its program
    (`init_cutoff_factor`).

    Examples
    --------
    >>> cutoff_normal()
    TruncatedNormal(mean=0.0, std=0.02, low=-3.0, high=3.0)
    """
    cutoff = _checks.positive("cutoff", cutoff)
    return TruncatedNormal(0.0, std, -cutoff, cutoff)


@_in_default_environment
def scaled_normal(layers: int, std: float = 0.02) -> Normal:
    """N(0, std^2 / (2 L)), for the projections that end the two residual branches of each of L layers.

    With the layer's own number, counted from 1, instead of L it is the variant that grows with depth.

    Parameters
    ----------
    layers : int
        L, 1 or more.
    std : float
        The standard deviation of the other weights, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Radford, Wu, Child, Luan, Amodei, Sutskever, "Language models are unsupervised multitask learners", 2019, section
    2.3; Shoeybi et al., "Megatron-LM", 2019.

    Examples
    --------
    >>> scaled_normal(layers=8)
    Normal(mean=0.0, std=0.005)
    """
    return Normal(0.0, _checks.real("std", std, least=0) / math.sqrt(2 * _count("layers", layers)))


@_in_default_environment
def mitchell(layer: int | None = None, cutoff: float = 3.0) -> OverFan:
    """Mitchell Wortsman's N(0, 1 / n), n the fan_in, or N(0, 1 / (2 (l + 1) n)) where layer l ends a residual branch.

    Both without what lies more than `cutoff` standard deviations out; the variance is that before the cut.

    Parameters
    ----------
    layer : int, optional
        l, counted from 0, for the projections that end a residual branch.
    cutoff : float
        Where the cut is, in standard deviations, positive.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Groeneveld et al., "OLMo: accelerating the science of language models", ACL 2024, and its program.

    Examples
    --------
    >>> mitchell(layer=1)
    OverFan(distribution=TruncatedNormal(mean=0.0, std=0.5, low=-3.0, high=3.0), power=0.5, mode='fan_in')
    """
    std = 1.0 if layer is None else 1 / math.sqrt(2 * (_count("layer", layer, least=0) + 1))
    return OverFan(cutoff_normal(std, cutoff), 0.5)


def small_init() -> VarianceScaling:
    """N(0, 2 / (5 d)), d the model's dimension: Xavier's variance for (d, 4 d), for every matrix.

    d is counted as the fan_in; for a weight of another fan_in, such as that from 4 d to d, give ``fan_in=d``.

    References
    ----------
    Nguyen, Salazar, "Transformers without tears: improving the normalization of self-attention", IWSLT 2019.

    Examples
    --------
    >>> small_init()
    VarianceScaling(scale=0.4, mode='fan_in', distribution='normal')
    """
    return VarianceScaling(0.4, "fan_in", "normal")


@_in_default_environment
def wang_init(layers: int) -> VarianceScaling:
    """N(0, (2 / L)^2 / d), for the projections that end the residual branches of L layers.

    d, the model's dimension, is counted as the fan_in; for a weight of another fan_in, such as that from 4 d to d,
    give ``fan_in=d``.

    Parameters
    ----------
    layers : int
        L, 1 or more.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not such an integer.

    References
    ----------
    Wang, Komatsuzaki, "Mesh-Transformer-JAX", 2021; Black et al., "GPT-NeoX-20B", 2022, section 2.1.3.

    Examples
    --------
    >>> wang_init(layers=4)
    VarianceScaling(scale=0.25, mode='fan_in', distribution='normal')
    """
    ratio = 2 / _count("layers", layers)
    return VarianceScaling(ratio * ratio, "fan_in", "normal")


def embedding_normal() -> VarianceScaling:
    """N(0, 1/d) for an embedding of shape (vocabulary, d), which the default layout counts as d inputs.

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017, whose embeddings are scaled by sqrt(d) where they are used;
    that they are drawn so is tensor2tensor's and fairseq's.

    Examples
    --------
    >>> embedding_normal()
    VarianceScaling(scale=1.0, mode='fan_in', distribution='normal')
    """
    return VarianceScaling(1.0, "fan_in", "normal")


# ---- LoRA ----


def lora_a(distribution: str = "uniform") -> VarianceScaling:
    """LoRA's A, of shape (r, n): U[-b, b) with b = 1 / sqrt(n), or N(0, 1/r).

    Parameters
    ----------
    distribution : {"uniform", "normal"}
        U[-b, b) is what the authors' program draws (PyTorch's ``kaiming_uniform_(a=sqrt(5))``). The paper has a
        Gaussian of a variance that it leaves open. One of std 1/r, as in PEFT, is
        ``OverFan(normal(), mode="fan_out")``.

    Raises
    ------
    TypeError, ValueError
        If `distribution` is unknown.

    References
    ----------
    Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.

    Examples
    --------
    >>> lora_a()
    VarianceScaling(scale=0.3333333333333333, mode='fan_in', distribution='uniform')
    >>> lora_a("normal")
    VarianceScaling(scale=1.0, mode='fan_out', distribution='normal')
    """
    if _checks.choice("distribution", distribution, ("uniform", "normal")) == "uniform":
        return VarianceScaling(1 / 3, "fan_in", "uniform")
    return VarianceScaling(1.0, "fan_out", "normal")


def lora_b() -> Constant:
    """LoRA's B: zeros, so that the adapted layer begins as the one that it adapts.

    References
    ----------
    Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.

    Examples
    --------
    >>> lora_b()
    Constant(value=0.0)
    """
    return zeros()


# ---- width ----


@_in_default_environment
def mup(
    role: str, std: float = 0.02, *, base_fan_in: int | None = None, table: int = 8
) -> Normal | VarianceScaling | OverFan:
    """The maximal update parametrization: `std` is that of a base model, and the width does not change what it does.

    With m = fan_in / base_fan_in, how much wider the weight is than that of the base model:

    =======  ===============  =============  ============================================
    table    "input", biases  "hidden"       "output"
    =======  ===============  =============  ============================================
    8        std              std / sqrt(m)  std; the model multiplies the outputs by 1/m
    3        std              std / sqrt(m)  std / m
    =======  ===============  =============  ============================================

    In the tables' own words the variances are 1/fan_in for input weights, whose fan_in does not grow, 1/fan_in for
    hidden ones, and 1 (table 8, with a multiplier of 1/fan_in) or 1/fan_in^2 (table 3) for output ones. Learning rates
    follow the same tables, and are not this package's.

    Parameters
    ----------
    role : {"input", "hidden", "output"}
        Whether the weight maps a fixed number of inputs (an embedding, too) to the width, the width to the width,
        or the width to a fixed number of outputs.
    std : float
        The standard deviation in the base model, positive.
    base_fan_in : int, optional
        The base model's fan_in, for those whose std depends on it.
    table : {8, 3}
        Which of the paper's equivalent tables the model follows.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Yang et al., "Tensor programs V: tuning large neural networks via zero-shot hyperparameter transfer", 2022, tables
    3 and 8.

    Examples
    --------
    >>> mup("input", std=0.5)
    Normal(mean=0.0, std=0.5)
    >>> mup("hidden", std=0.5, base_fan_in=64)
    VarianceScaling(scale=16.0, mode='fan_in', distribution='normal')
    >>> mup("output", std=0.5, base_fan_in=64, table=3)
    OverFan(distribution=Normal(mean=0.0, std=32.0), power=1.0, mode='fan_in')
    """
    _checks.choice("role", role, ("input", "hidden", "output"))
    std = _checks.positive("std", std)
    if isinstance(table, bool) or table not in (3, 8):
        raise ValueError(f"table must be 3 or 8; got {table!r}")
    if role == "input" or (role == "output" and table == 8):
        return Normal(0.0, std)
    if base_fan_in is None:
        raise ValueError(f"base_fan_in must be given for role {role!r} and table {table}; got None")
    base = _count("base_fan_in", base_fan_in)
    return (
        VarianceScaling(std * std * base, "fan_in", "normal") if role == "hidden" else OverFan(Normal(0.0, std * base))
    )


# ---- depth ----


def _depths(encoder_layers: int, decoder_layers: int, part: str | None) -> tuple[int, int, str]:
    """N, M and whose weights are asked about."""
    n, m = _count("encoder_layers", encoder_layers, least=0), _count("decoder_layers", decoder_layers, least=0)
    if not n and not m:
        raise ValueError("encoder_layers or decoder_layers must be at least 1; got 0 and 0")
    if part is None:
        if n and m:
            raise ValueError("part must be 'encoder' or 'decoder' where there are both; got None")
        part = "encoder" if n else "decoder"
    _checks.choice("part", part, ("encoder", "decoder"))
    if not (n if part == "encoder" else m):
        raise ValueError(f"part must have layers; got {part!r} of encoder_layers={n}, decoder_layers={m}")
    return n, m, part


@_in_default_environment
def deepnorm_alpha(encoder_layers: int = 0, decoder_layers: int = 0, *, part: str | None = None) -> float:
    """DeepNorm's alpha, by which residuals are multiplied: LayerNorm(alpha x + f(x)).

    With N encoder and M decoder layers: (2 N)^(1/4) for an encoder alone, (2 M)^(1/4) for a decoder alone; where
    there are both, 0.81 (N^4 M)^(1/16) in the encoder and (3 M)^(1/4) in the decoder.

    Parameters
    ----------
    encoder_layers, decoder_layers : int
        N and M, 0 where there is none.
    part : {"encoder", "decoder"}, optional
        Whose layers; wanted where there are both.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, there are no layers, or `part` is missing or has none.

    References
    ----------
    Wang, Ma, Dong, Huang, Zhang, Wei, "DeepNet: scaling transformers to 1,000 layers", 2022, figure 2.

    Examples
    --------
    >>> deepnorm_alpha(decoder_layers=8)
    2.0
    """
    n, m, part = _depths(encoder_layers, decoder_layers, part)
    if not n or not m:
        return _power(2 * (n + m), Fraction(1, 4))
    return _power(3 * m, Fraction(1, 4)) if part == "decoder" else 0.81 * _power(n**4 * m, Fraction(1, 16))


@_in_default_environment
def deepnorm_beta(encoder_layers: int = 0, decoder_layers: int = 0, *, part: str | None = None) -> float:
    """DeepNorm's beta, the gain of the feed-forward, value and output projections.

    With N encoder and M decoder layers: (8 N)^(-1/4) for an encoder alone, (8 M)^(-1/4) for a decoder alone; where
    there are both, 0.87 (N^4 M)^(-1/16) in the encoder and (12 M)^(-1/4) in the decoder.

    Parameters
    ----------
    encoder_layers, decoder_layers, part
        As for `deepnorm_alpha`.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As for `deepnorm_alpha`.

    References
    ----------
    Wang, Ma, Dong, Huang, Zhang, Wei, "DeepNet: scaling transformers to 1,000 layers", 2022, figure 2.

    Examples
    --------
    >>> deepnorm_beta(encoder_layers=2)
    0.5
    """
    n, m, part = _depths(encoder_layers, decoder_layers, part)
    if not n or not m:
        return _power(8 * (n + m), Fraction(-1, 4))
    return _power(12 * m, Fraction(-1, 4)) if part == "decoder" else 0.87 * _power(n**4 * m, Fraction(-1, 16))


def deepnorm(encoder_layers: int = 0, decoder_layers: int = 0, *, part: str | None = None) -> VarianceScaling:
    """DeepNorm's feed-forward, value and output projections: Xavier's normal with gain `deepnorm_beta`.

    N(0, beta^2 * 2 / (fan_in + fan_out)). Query and key projections have gain 1: ``xavier_normal()``.

    Parameters
    ----------
    encoder_layers, decoder_layers, part
        As for `deepnorm_alpha`.

    Raises
    ------
    TypeError, ValueError
        As for `deepnorm_alpha`.

    References
    ----------
    Wang, Ma, Dong, Huang, Zhang, Wei, "DeepNet: scaling transformers to 1,000 layers", 2022.

    Examples
    --------
    >>> deepnorm(decoder_layers=32)
    VarianceScaling(scale=0.0625, mode='fan_avg', distribution='normal')
    """
    return xavier_normal(gain=deepnorm_beta(encoder_layers, decoder_layers, part=part))


@_in_default_environment
def fixup(branches: int, layers: int = 2, *, mode: str = "fan_in") -> VarianceScaling:
    """Fixup's layers within a residual branch, but the last: He's normal times L^(-1 / (2 m - 2)).

    N(0, L^(-1 / (m - 1)) * 2 / n). The last layer of each branch, and the classifier, are zeros.

    Parameters
    ----------
    branches : int
        L, the number of residual branches, 1 or more.
    layers : int
        m, the layers of each branch, 2 or more.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        What n counts; the authors' program has "fan_out".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Zhang, Dauphin, Ma, "Fixup initialization: residual learning without normalization", ICLR 2019.

    Examples
    --------
    >>> fixup(branches=16, layers=3)
    VarianceScaling(scale=0.5, mode='fan_in', distribution='normal')
    """
    exponent = Fraction(-1, _count("layers", layers, least=2) - 1)
    return VarianceScaling(2 * _power(_count("branches", branches), exponent), mode, "normal")


@_in_default_environment
def tfixup(layers: int, part: str = "encoder", *, distribution: str = "uniform") -> VarianceScaling:
    """T-Fixup's value, output and feed-forward projections: Xavier's, times 0.67 N^(-1/4) or (9 N)^(-1/4).

    The variance is g^2 * 2 / (fan_in + fan_out), g = 0.67 N^(-1/4) in the encoder and (9 N)^(-1/4) in the decoder.
    Query and key projections have g = 1: ``xavier_uniform()``; embeddings are `tfixup_embedding`.

    Parameters
    ----------
    layers : int
        N, the layers of the encoder or of the decoder, 1 or more.
    part : {"encoder", "decoder"}
        Whose projections.
    distribution : {"uniform", "normal"}
        The paper says Xavier's; the authors' program draws the uniform one.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Huang, Perez, Ba, Volkovs, "Improving transformer optimization through better initialization", ICML 2020.

    Examples
    --------
    >>> tfixup(9, "decoder")
    VarianceScaling(scale=0.1111111111111111, mode='fan_avg', distribution='uniform')
    """
    _checks.choice("part", part, ("encoder", "decoder"))
    _checks.choice("distribution", distribution, ("uniform", "normal"))
    n, half = _count("layers", layers), Fraction(-1, 2)
    scale = 0.67 * 0.67 * _power(n, half) if part == "encoder" else _power(9 * n, half)
    return VarianceScaling(scale, "fan_avg", distribution)


@_in_default_environment
def tfixup_embedding(layers: int) -> VarianceScaling:
    """T-Fixup's embeddings, of shape (vocabulary, d): a normal of std d^(-1/2), times (9 N)^(-1/4).

    The paper writes N(0, d^(-1/2)); that d^(-1/2) is the std, not the variance, is the authors' program's (fairseq's).

    Parameters
    ----------
    layers : int
        N, the layers of the encoder or of the decoder that the embedding feeds, 1 or more.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not such an integer.

    References
    ----------
    Huang, Perez, Ba, Volkovs, "Improving transformer optimization through better initialization", ICML 2020.

    Examples
    --------
    >>> tfixup_embedding(9)
    VarianceScaling(scale=0.1111111111111111, mode='fan_in', distribution='normal')
    """
    return VarianceScaling(_power(9 * _count("layers", layers), Fraction(-1, 2)), "fan_in", "normal")


# ---- implicit representations ----


@_in_default_environment
def siren(omega_0: float = 30.0, *, first: bool = False) -> VarianceScaling | OverFan:
    """SIREN's U[-b, b): b = sqrt(6 / n) / omega_0, or 1 / n in the first layer, n the fan_in.

    Parameters
    ----------
    omega_0 : float
        The factor within the sines, sin(omega_0 (W x + b)), positive; the first layer's bound does without it.
    first : bool
        Whether this is the first layer.

    Raises
    ------
    TypeError, ValueError
        If `omega_0` is not a positive number, or `first` not True or False.

    References
    ----------
    Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit neural representations with periodic activation
    functions", NeurIPS 2020.

    Examples
    --------
    >>> siren(first=True)
    OverFan(distribution=Uniform(low=-1.0, high=1.0), power=1.0, mode='fan_in')
    >>> siren(omega_0=2.0)
    VarianceScaling(scale=0.5, mode='fan_in', distribution='uniform')
    """
    omega_0 = _checks.positive("omega_0", omega_0)
    if not isinstance(first, bool):
        raise TypeError(f"first must be True or False; got {first!r}")
    if first:
        return OverFan(Uniform(-1.0, 1.0))
    return VarianceScaling(2 / (omega_0 * omega_0), "fan_in", "uniform")


_MAKERS.update(
    {
        "cutoff_normal": cutoff_normal,
        "scaled_normal": scaled_normal,
        "mitchell": mitchell,
        "small_init": small_init,
        "wang_init": wang_init,
        "embedding_normal": embedding_normal,
        "lora_a": lora_a,
        "lora_b": lora_b,
        "mup": mup,
        "deepnorm": deepnorm,
        "fixup": fixup,
        "tfixup": tfixup,
        "tfixup_embedding": tfixup_embedding,
        "siren": siren,
        "hadamard": hadamard,
        "bilinear": bilinear,
        "lstm_bias": lstm_bias,
        "icnr": icnr,
        "mamba_a_log": mamba_a_log,
        "mamba_dt_bias": mamba_dt_bias,
    }
)
