"""Statistics of paired comparisons. Pure: NumPy arrays in, frozen values out, seeds are arguments.

Rules of this file. The unit is the *problem*: several trials of one problem are averaged before
anything else happens (a cluster is one observation), and two arms are compared on the problems
that both have. Accuracies are tested by the exact McNemar test, which never errs more often than
it says; means and their ratios by the studentised ("bootstrap-t") cluster bootstrap, since plain
percentile intervals are too narrow for the skewed, small samples that evaluations have (Efron and
Tibshirani 1993, section 12.5); medians by order statistics, which assume nothing. A verdict is
``better`` or ``worse`` only where the interval says so; everything else is ``tied`` *at this
sample size*, with the number of further problems that would decide if the effect is what it
looks like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["better", "worse", "tied"]
Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
POWER = 0.8
"""Chance of a decision that `needed` problems give if the effect is as large as it looks."""
RESAMPLES = 2000
LARGE = 20_000
"""Problems from which on the normal limit takes the bootstrap's place: they agree by then."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval around it. ``n`` is the number of problems."""

    estimate: float
    low: float
    high: float
    n: int
    confidence: float = CONFIDENCE

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm against another on the same problems.

    ``effect`` is a difference (neutral: 0) or a ratio (neutral: 1). ``p`` is two-sided where there
    is a test, else None. ``needed``: how many *more* problems would decide with a chance of
    `POWER` if the effect is what it looks like; 0 when it is decided, None when there is no effect
    to be seen.
    """

    effect: Interval
    verdict: Verdict
    p: float | None
    needed: int | None


def wilson(hits: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval in which a share lies that showed ``hits`` of ``n`` (Wilson 1927).

    ``n`` 0 gives the interval from 0 to 1. Raises ValueError unless 0 <= hits <= n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no share")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0, confidence)
    z = _z(confidence)
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == n else min(1.0, middle + half)
    return Interval(share, low, high, n, confidence)


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided exact p value of ``gained`` problems that only the one arm solved and ``lost``
    that only the other did: each was as likely as the other (McNemar 1947, exact form)."""
    n, few = gained + lost, min(gained, lost)
    if n == 0 or gained == lost:
        return 1.0
    below = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * below / 2**n) if n < 1000 else min(1.0, _tail(n, few))


def _tail(n: int, few: int) -> float:
    """2 P(X <= few) for X ~ Binomial(n, 1/2), by logarithms: 2**n does not fit a float."""
    base = math.lgamma(n + 1) - n * math.log(2)
    terms = [base - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(few + 1)]
    return 2 * math.fsum(math.exp(t) for t in terms)


def compare_accuracy(
    arm: Sequence[float], base: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Accuracy of ``arm`` minus that of ``base``; both hold one share of right answers a problem,
    in the same order. With one trial a problem (shares are 0 or 1) the test is the exact McNemar
    test; with several, the bootstrap of the mean difference. Raises ValueError when empty."""
    raise NotImplementedError


def compare_means(
    arm: Sequence[float], base: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Mean of ``arm`` minus mean of ``base``, paired; ``better`` means larger."""
    raise NotImplementedError


def ratio_of_means(
    base: Sequence[float], arm: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Speedup as a ratio of sums: what the whole suite costs under ``base`` over what it costs
    under ``arm``. ``better`` means above 1."""
    raise NotImplementedError


def median_of_ratios(
    base: Sequence[float], arm: Sequence[float], *, confidence: float = CONFIDENCE
) -> Comparison:
    """Speedup of the typical problem: the median of base / arm over problems."""
    raise NotImplementedError


def mean_interval(
    values: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """A mean over problems with its interval."""
    raise NotImplementedError


def pass_at_k(trials: int, right: int, k: int) -> float:
    """The chance that one of ``k`` of the ``trials`` is right (Chen et al. 2021)."""
    raise NotImplementedError


def maj_at_k(answers: Sequence[str | None], right: Sequence[bool], k: int) -> float:
    """The chance that the most frequent answer among ``k`` of the trials is right."""
    raise NotImplementedError


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


_ = combinations
