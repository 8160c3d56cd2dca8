"""The draws have the law that they claim: moments, whole distribution, tails, bits and independence.

Each check is a p-value, two-sided where a statistic can be off to both sides, from the statistic's sampling
distribution; a check fails below ALARM, the chance of a false alarm for each check of a new seed. The seeds are fixed,
so what passes once always passes. Each check is shown a sample that it must reject.
"""

import math

import numpy as np
import pytest
from scipy import special, stats

from fastinit import _kernels

from .helpers import draw

ALARM = 1e-6
CHUNK = 1 << 20
BINS = 1 << 16


def two_sided(z):
    """Of a standard normal statistic."""
    return float(2 * stats.norm.sf(abs(z)))


def binomial(count, n, p):
    return float(min(1, 2 * min(stats.binom.cdf(count, n, p), stats.binom.sf(count - 1, n, p))))


def kolmogorov(counts):
    """Of the counts in bins of equal probability.

    The greatest distance at the edges is never more than the greatest anywhere, so its limit holds; what lies within a
    bin adds at most 1 / BINS, here a seventeenth of the distance that 10^8 draws can tell.
    """
    n = counts.sum()
    distance = np.abs(np.cumsum(counts) / n - np.arange(1, counts.size + 1) / counts.size).max()
    return float(stats.kstwobign.sf(distance * math.sqrt(n)))


def chi_square(counts):
    """Two-sided: counts that are too even are as wrong as counts that are too uneven."""
    expected = counts.sum() / counts.size
    statistic, freedom = ((counts - expected) ** 2).sum() / expected, counts.size - 1
    return float(min(1, 2 * min(stats.chi2.sf(statistic, freedom), stats.chi2.cdf(statistic, freedom))))


def mean_of(total, n, mean, variance):
    """Of a sum of n independent terms."""
    return two_sided((total - n * mean) / math.sqrt(n * variance))


# ---- the checks, fed chunk by chunk ----


class NormalChecks:
    """A standard normal sample: E x^2k = 1, 3, 15, 105 give every variance below."""

    # power, its mean, its variance
    MOMENTS = ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96))
    TAILS = (3.0, 4.0, 5.0)
    LAGS = (1, 2, 3)

    def __init__(self):
        self.n = self.lagged = 0
        self.powers, self.tails = np.zeros(4), np.zeros((3, 2), np.int64)
        self.products, self.squares = np.zeros(3), np.zeros(3)
        self.counts = np.zeros(BINS, np.int64)

    def add(self, chunk):
        x = chunk.astype(np.float64)
        square = x * x
        self.n += x.size
        self.powers += x.sum(), square.sum(), (square * x).sum(), (square * square).sum()
        self.tails += [((x > t).sum(), (x < -t).sum()) for t in self.TAILS]
        longest = x.size - max(self.LAGS)
        self.lagged += longest
        centred = square - 1
        for i, lag in enumerate(self.LAGS):
            self.products[i] += x[:longest] @ x[lag:][:longest]
            self.squares[i] += centred[:longest] @ centred[lag:][:longest]
        quantile = np.minimum((special.ndtr(x) * BINS).astype(np.int64), BINS - 1)
        self.counts += np.bincount(quantile, minlength=BINS)

    def p_values(self):
        p = {f"moment {k}": mean_of(self.powers[k - 1], self.n, m, v) for k, m, v in self.MOMENTS}
        for t, sides in zip(self.TAILS, self.tails, strict=True):
            for side, count in zip(("above", "below"), sides, strict=True):
                p[f"tail {side} {t:g}"] = binomial(int(count), self.n, stats.norm.sf(t))
        for lag, product, square in zip(self.LAGS, self.products, self.squares, strict=True):
            p[f"correlation at {lag}"] = mean_of(product, self.lagged, 0, 1)
            p[f"correlation of squares at {lag}"] = mean_of(square, self.lagged, 0, 4)
        p["Kolmogorov-Smirnov"] = kolmogorov(self.counts)
        p["chi-square"] = chi_square(self.counts)
        return p


class UniformChecks:
    """A sample of [0, 1) whose values are multiples of 2^-bits."""

    SIDE = 64

    def __init__(self, bits):
        self.bits = bits
        self.n = self.pairs = self.lagged = 0
        self.powers, self.ones = np.zeros(4), np.zeros(bits, np.int64)
        self.counts, self.plane = np.zeros(BINS, np.int64), np.zeros(self.SIDE**2, np.int64)
        self.product = 0.0

    def add(self, chunk):
        u = chunk.astype(np.float64)
        self.n += u.size
        self.powers += [(u**k).sum() for k in (1, 2, 3, 4)]
        integers = (u * 2.0**self.bits).astype(np.int64)
        self.ones += [np.count_nonzero(integers & 1 << b) for b in range(self.bits)]
        self.counts += np.bincount((u * BINS).astype(np.int64), minlength=BINS)
        cells = (u * self.SIDE).astype(np.int64)
        even, odd = cells[: u.size & ~1 : 2], cells[1::2]
        self.plane += np.bincount(even * self.SIDE + odd, minlength=self.SIDE**2)
        self.product += (u[:-1] - 0.5) @ (u[1:] - 0.5)
        self.lagged += u.size - 1

    def p_values(self):
        # E u^k = 1 / (k + 1), less half a step of the grid, which no sample here can tell
        p = {
            f"moment {k}": mean_of(self.powers[k - 1], self.n, 1 / (k + 1), 1 / (2 * k + 1) - 1 / (k + 1) ** 2)
            for k in (1, 2, 3, 4)
        }
        p |= {f"bit {b}": binomial(int(ones), self.n, 0.5) for b, ones in enumerate(self.ones)}
        p["correlation at 1"] = mean_of(self.product, self.lagged, 0, 1 / 144)
        p["serial pairs"] = chi_square(self.plane)
        p["Kolmogorov-Smirnov"] = kolmogorov(self.counts)
        p["chi-square"] = chi_square(self.counts)
        return p


BITS = {"float32": 24, "float64": 53}


def feed(checks, chunks):
    for chunk in chunks:
        checks.add(chunk)
    return checks.p_values()


def alarms(p):
    return {name: value for name, value in p.items() if value < ALARM}


def chunks_of(kind, dtype, n, seed, stream):
    """The first n elements of a draw, one chunk after the other in the same memory."""
    parameters = (0.0, 1.0) if kind == "normal" else (0.0, 1.0, 1.0)
    out = np.empty(min(n, CHUNK), dtype)
    for start in range(0, n, CHUNK):
        part = out[: n - start]
        _kernels.fill(part, _kernels.KINDS[kind, dtype], parameters, seed, stream, start, 1)
        yield part


SIZES = [
    ("float32", 1 << 22),
    ("float64", 1 << 21),
    pytest.param("float32", 10**8, marks=pytest.mark.slow),
    pytest.param("float64", 2 * 10**7, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("dtype", "n"), SIZES)
def test_normal(dtype, n):
    assert not alarms(feed(NormalChecks(), chunks_of("normal", dtype, n, seed=20, stream=1)))


@pytest.mark.parametrize(("dtype", "n"), SIZES)
def test_uniform(dtype, n):
    assert not alarms(feed(UniformChecks(BITS[dtype]), chunks_of("uniform", dtype, n, seed=20, stream=2)))


# ---- a seed, a stream and their neighbours ----


def crossed(rows):
    """Of all correlations between rows of independent standard normal values."""
    count, n = rows.shape
    off_diagonal = (rows @ rows.T / math.sqrt(n))[np.triu_indices(count, 1)]  # each N(0, 1), pairwise uncorrelated
    greatest = two_sided(np.abs(off_diagonal).max())
    total = (off_diagonal**2).sum()
    return {
        "greatest": min(1.0, greatest * off_diagonal.size),  # Bonferroni
        "all": min(1.0, 2 * min(stats.chi2.sf(total, off_diagonal.size), stats.chi2.cdf(total, off_diagonal.size))),
    }


ROWS, COLUMNS = 64, 1 << 15


def normal_rows(keys):
    return np.stack([draw("normal", "float64", (0.0, 1.0), seed, stream, 0, COLUMNS) for seed, stream in keys])


NEIGHBOURS = {
    "streams": [(0, stream) for stream in range(ROWS)],
    "seeds": [(seed, 0) for seed in range(ROWS)],
    "seeds and streams": [(k % 8, k // 8) for k in range(ROWS)],
    "one bit of the seed": [(1 << k, 0) for k in range(ROWS)],
    "one bit of the stream": [(0, 1 << k) for k in range(ROWS)],
}


@pytest.mark.parametrize("keys", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_neighbours_are_independent(keys):
    rows = normal_rows(keys)
    assert not alarms(crossed(rows))
    assert not alarms(crossed((rows**2 - 1) / math.sqrt(2)))


# ---- the checks can fail ----

N = 1 << 21


def numpy_normal(seed=1):
    return np.random.default_rng(seed).standard_normal(N)


def smoothed(x, weight):
    """Each value holds `weight` of the one before, at the same variance."""
    return math.sqrt(1 - weight**2) * x + weight * np.roll(x, 1)


def volatile(x):
    """Uncorrelated neighbours whose sizes go together."""
    return x * np.where(np.arange(N) // 64 % 2, 1.1, math.sqrt(2 - 1.1**2))


WRONG_NORMAL = {
    "shifted": (lambda x: x + 0.01, "moment 1"),
    "wide": (lambda x: x * 1.01, "moment 2"),
    "skewed": (lambda x: x + 0.01 * (x * x - 1), "moment 3"),
    "heavy": (lambda x: x + 0.003 * x**3, "moment 4"),
    "cut at 4": (lambda x: np.clip(x, -4, 4), "tail above 4"),
    "cut below -4": (lambda x: np.maximum(x, -4), "tail below 4"),
    "long above 5": (lambda x: np.where(x > 4.5, 5.5, x), "tail above 5"),
    "thin past 3": (lambda x: np.where(np.abs(x) > 3, x * 0.97, x), "tail above 3"),
    "correlated": (lambda x: smoothed(x, 0.01), "correlation at 1"),
    "echoed": (lambda x: np.where(np.arange(N) % 100 < 2, np.roll(x, 2), x), "correlation at 2"),
    "paired in size": (volatile, "correlation of squares at 1"),
    "coarse": (lambda x: np.round(x, 2), "Kolmogorov-Smirnov"),
    "gapped": (lambda x: np.where(np.abs(x) < 0.001, 0.0015, x), "chi-square"),
}


@pytest.mark.parametrize(("wrong", "check"), WRONG_NORMAL.values(), ids=WRONG_NORMAL)
def test_normal_checks_can_fail(wrong, check):
    assert check in alarms(feed(NormalChecks(), [wrong(numpy_normal())]))


def numpy_uniform(bits):
    return np.random.default_rng(2).integers(0, 1 << bits, N) * 2.0**-bits


WRONG_UNIFORM = {
    "squeezed": (lambda u: u * 0.995, "moment 1"),
    "bent": (lambda u: u**1.02, "moment 4"),
    "few bits": (lambda u: np.floor(u * 2**20) / 2**20, "bit 0"),
    "a heavy bit": (lambda u: np.where(np.arange(N) % 100 == 0, np.floor(u * 2) / 2 + 0.25 + u / 4, u), "bit 22"),
    "striped": (lambda u: np.where(np.arange(N) % 64 == 1, np.roll(u, 1), u), "serial pairs"),
    "correlated": (lambda u: np.where(np.arange(N) % 100 == 0, np.roll(u, 1), u), "correlation at 1"),
    "too high": (lambda u: np.maximum(u, 0.002), "Kolmogorov-Smirnov"),
    "too even": (lambda u: (np.arange(N) % BINS + u) / BINS, "chi-square"),
}


@pytest.mark.parametrize(("wrong", "check"), WRONG_UNIFORM.values(), ids=WRONG_UNIFORM)
def test_uniform_checks_can_fail(wrong, check):
    assert check in alarms(feed(UniformChecks(24), [wrong(numpy_uniform(24))]))


@pytest.mark.slow
def test_large_samples_tell_a_thousandth():
    """A std of 1.001 or a mean of 0.001, which 10^8 draws must not let pass."""
    for mean, std, check in ((0.0, 1.001, "moment 2"), (0.001, 1.0, "moment 1")):
        chunks = (chunk * std + mean for chunk in chunks_of("normal", "float32", 10**8, seed=20, stream=1))
        assert check in alarms(feed(NormalChecks(), chunks))


def test_right_samples_pass():
    """NumPy's, so that the checks are not fitted to these kernels."""
    assert not alarms(feed(NormalChecks(), [numpy_normal()]))
    assert not alarms(feed(UniformChecks(24), [numpy_uniform(24)]))
    assert not alarms(crossed(numpy_normal().reshape(ROWS, -1)))


def test_crossed_rows_are_told():
    rows = numpy_normal().reshape(ROWS, -1)
    rows[5] = 0.05 * rows[40] + math.sqrt(1 - 0.05**2) * rows[5]
    assert "greatest" in alarms(crossed(rows))
    common = 0.1 * np.random.default_rng(3).standard_normal(rows.shape[1]) + rows
    assert "all" in alarms(crossed(common))
