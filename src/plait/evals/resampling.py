"""The interval and the test of a mean difference and of a ratio of means, by resampling problems.

*Interval*: the symmetric studentised cluster bootstrap (Hall 1988, J. R. Statist. Soc. B 50). Each
resample draws problems with replacement and is divided by its own standard error; the quantile of
that pivot's size gives the half width. *Test*: if two arms do not differ, the two results of a
problem might as well be swapped; the p value is the share of random swaps that look at least as
extreme, studentised, so that it also holds (in the limit) where the arms have equal means but
unequal spreads (Janssen 1997; Chung and Romano 2013). On right and wrong this is McNemar's test.

Measured on lognormal times with 15 to 100 problems: the test errs in 4 - 6 % of experiments where
there is no effect, the interval of a ratio misses the truth in 4 - 6 %; plain percentile and
equal-tailed bootstrap-t intervals erred in 7 - 12 %. All that a resample needs are means of a few
columns (values, squares, products), so resampling is a matrix product. Everything here is on the
scale on which "no effect" is 0: differences, and logarithms of ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST = 6
"""Problems below which nothing is decided: 2 / 2**6 is the first two-sided chance below 5 %."""
RESAMPLES = 2000
LARGE = 5000
"""Problems from which on the normal limit takes resampling's place: they agree by then."""
_CELLS = 2_000_000
"""Resamples times problems that are held at once (16 MB)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A statistic with its interval and two-sided ``p``, on the scale where no effect is 0."""

    estimate: float
    low: float
    high: float
    p: float
    error: float
    """Standard error of the estimate."""


class Mean:
    """The mean of paired differences, and its standard error, from the moments of its columns."""

    def __init__(self, differences: Floats) -> None:
        self.columns = np.stack([differences, differences**2], axis=1)
        self.swapped = np.stack([-differences, differences**2], axis=1)

    def at(self, moments: Floats) -> tuple[Floats, Floats]:
        """Values and standard errors of ``moments`` (resamples x columns)."""
        mean, square = moments.T
        return mean, np.sqrt(np.maximum(square - mean * mean, 0.0) / len(self.columns))


class LogRatio:
    """log(mean x / mean y), with the standard error of the delta method."""

    def __init__(self, x: Floats, y: Floats) -> None:
        scale = (x.mean() + y.mean()) / 2  # keeps sums of squares well scaled
        x, y = x / scale, y / scale
        self.columns = np.stack([x, y, x * x, x * y, y * y], axis=1)
        self.swapped = self.columns[:, [1, 0, 4, 3, 2]]

    def at(self, moments: Floats) -> tuple[Floats, Floats]:
        """Values and standard errors of ``moments`` (resamples x columns)."""
        x, y, xx, xy, yy = moments.T
        with np.errstate(divide="ignore", invalid="ignore"):  # resamples may hold zeros alone
            variance = xx / (x * x) - 2 * xy / (x * y) + yy / (y * y)
            return np.log(x / y), np.sqrt(np.maximum(variance, 0.0) / len(self.columns))


def resample(statistic: Mean | LogRatio, seed: int, confidence: float) -> Found:
    """Interval and test of ``statistic``; with fewer than `FEWEST` problems an endless interval."""
    n = len(statistic.columns)
    values, errors = statistic.at(statistic.columns.mean(axis=0, keepdims=True))
    estimate, error = float(values[0]), float(errors[0])
    if n < FEWEST:
        return Found(estimate, -math.inf, math.inf, 1.0, error)
    if error <= 1e-9 * abs(estimate) or error == 0:  # every problem says the same
        p = 2 / 2.0 ** min(n, 1000) if estimate else 1.0
        return Found(estimate, estimate, estimate, p, 0.0)
    if n > LARGE:
        reach = NormalDist().inv_cdf(0.5 + confidence / 2)
        p = 2 * NormalDist().cdf(-abs(estimate) / error)
    else:
        random = np.random.default_rng(seed)
        reach = _pivot(statistic, estimate, confidence, random)
        p = _swap_test(statistic, abs(estimate) / error, random)
    return Found(estimate, estimate - reach * error, estimate + reach * error, p, error)


def _pivot(
    statistic: Mean | LogRatio, estimate: float, confidence: float, random: np.random.Generator
) -> float:
    """The quantile of the resampled pivot's size. Resamples without spread say nothing."""
    n = len(statistic.columns)

    def draw(rows: int) -> Floats:
        places = random.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)
        means: Floats = counts @ statistic.columns / n
        return means

    values, errors = statistic.at(_in_pieces(draw, n))
    usable = np.isfinite(values) & (errors > 0)
    if usable.sum() < RESAMPLES / 2:
        return math.inf
    return float(np.quantile(np.abs(values[usable] - estimate) / errors[usable], confidence))


def _swap_test(statistic: Mean | LogRatio, seen: float, random: np.random.Generator) -> float:
    """The p value of a pivot as large as ``seen``, among random swaps of the two arms."""
    n = len(statistic.columns)
    middle = (statistic.columns + statistic.swapped).mean(axis=0) / 2
    reach = (statistic.columns - statistic.swapped) / 2

    def draw(rows: int) -> Floats:
        signs = random.integers(0, 2, size=(rows, n), dtype=np.int8) * 2.0 - 1.0
        means: Floats = middle + signs @ reach / n
        return means

    values, errors = statistic.at(_in_pieces(draw, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.nan_to_num(np.abs(values) / errors, nan=0.0)
    extreme = int((sizes >= seen * (1 - 1e-9)).sum())
    return (1 + extreme) / (RESAMPLES + 1)


def _in_pieces(draw: Callable[[int], Floats], n: int) -> Floats:
    """`RESAMPLES` rows of ``draw``, a few at a time: all at once may not fit."""
    rows = max(1, _CELLS // n)
    return np.concatenate([draw(min(rows, RESAMPLES - start))
                           for start in range(0, RESAMPLES, rows)])
