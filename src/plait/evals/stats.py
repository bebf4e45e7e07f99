"""Statistics of paired comparisons. Pure: sequences in, frozen values out, seeds are arguments.

Rules of this file. The unit is the *problem*: several trials of one problem are averaged before
anything else happens (a cluster is one observation), and two arms are compared on the problems
that both have, in the same order. Every test is one of swaps: if two arms do not differ, the two
results of a problem might as well be exchanged. For right and wrong that is the exact McNemar
test, which never errs more often than it says; for means and their ratios random swaps
(`plait.evals.resampling`, which also makes the intervals, by a cluster bootstrap); for the median
of ratios the sign test, with order statistics as its interval. A verdict is ``better`` or
``worse`` only where the test says so; everything else is ``tied`` *at this sample size*, with the
number of further problems that would decide if the effect is what it looks like. With fewer than
`FEWEST` problems nothing is ever decided: even if all of them point the same way, chance does that
once in sixteen times.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Literal

import numpy as np

from plait.evals.resampling import FEWEST, LARGE, Floats, Found, LogRatio, Mean, resample

Verdict = Literal["better", "worse", "tied"]

CONFIDENCE = 0.95
POWER = 0.8
"""Chance of a decision that `Comparison.needed` gives if the effect is as large as it looks."""
SUBSETS = 5000
"""Sets of k trials that `maj_at_k` looks at before it draws some of them instead."""


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

    ``effect`` is a difference (neutral: 0) or a ratio (neutral: 1); ``p`` is two-sided.
    ``needed``: how many *more* problems would decide with a chance of `POWER` if the effect is
    what it looks like; 0 when it is decided, None when there is no effect to be seen.
    """

    effect: Interval
    verdict: Verdict
    p: float
    needed: int | None


# --- shares ------------------------------------------------------------------------------------


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
    return min(1.0, 2 * _binomial_below(min(gained, lost), gained + lost))


def compare_accuracy(
    arm: Sequence[float], base: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Accuracy of ``arm`` minus that of ``base``; both hold one share of right answers a problem.

    With one trial a problem (all shares are 0 or 1) the verdict is the exact McNemar test's, and
    the interval is Newcombe's (1998, method 10); the exact test is more careful and may say
    ``tied`` of an interval that lies just beside 0. With several trials both come from
    `compare_means`. Raises ValueError for sequences that are empty or of different lengths.
    """
    a, b = _paired(arm, base)
    if not np.isin(a, (0.0, 1.0)).all() or not np.isin(b, (0.0, 1.0)).all():
        return compare_means(arm, base, seed=seed, confidence=confidence)
    n = len(a)
    gained, lost = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    effect = _newcombe(int(a.sum()), int(b.sum()), int((a * b).sum()), n, confidence)
    p = mcnemar(gained, lost)
    verdict = _verdict(p, confidence, effect.estimate)
    needed: int | None = 0
    if verdict == "tied":
        needed = _needed_pairs((gained + lost) / n, (gained - lost) / n, n, confidence)
    return Comparison(effect, verdict, p, needed)


def _newcombe(arm: int, base: int, both: int, n: int, confidence: float) -> Interval:
    """The difference of two paired shares: square-and-add of Wilson limits, with the correlation
    of the pairs (Newcombe 1998, Statistics in Medicine 17, method 10)."""
    one, two = wilson(arm, n, confidence), wilson(base, n, confidence)
    none = n - arm - base + both
    cross = both * none - (arm - both) * (base - both)
    spread = arm * (n - arm) * base * (n - base)
    corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
    phi = corrected / math.sqrt(spread) if spread else 0.0

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * phi * up * down + down * down))

    difference = (arm - base) / n
    low = difference - reach(one.estimate - one.low, two.high - two.estimate)
    high = difference + reach(one.high - one.estimate, two.estimate - two.low)
    return Interval(difference, max(-1.0, low), min(1.0, high), n, confidence)


def _needed_pairs(discordant: float, difference: float, n: int, confidence: float) -> int | None:
    """More pairs until McNemar's test has `POWER` (Connor 1987, Biometrics 43)."""
    if difference == 0:
        return None
    z, power = _z(confidence), NormalDist().inv_cdf(POWER)
    root = z * math.sqrt(discordant) + power * math.sqrt(max(0.0, discordant - difference**2))
    return max(1, FEWEST - n, math.ceil(root**2 / difference**2) - n)


# --- means and ratios --------------------------------------------------------------------------


def mean_interval(
    values: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """A mean over problems with its interval. Raises ValueError when empty."""
    x = _checked(values)
    found = resample(Mean(x), seed, confidence)
    return Interval(found.estimate, found.low, found.high, len(x), confidence)


def compare_means(
    arm: Sequence[float], base: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Mean of ``arm`` minus mean of ``base``, paired; ``better`` means larger. Raises ValueError
    for sequences that are empty or of different lengths."""
    a, b = _paired(arm, base)
    found = resample(Mean(a - b), seed, confidence)
    effect = Interval(found.estimate, found.low, found.high, len(a), confidence)
    return _compared(effect, found, confidence)


def ratio_of_means(
    base: Sequence[float], arm: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Comparison:
    """Speedup as a ratio of sums: what all problems cost under ``base`` over what they cost under
    ``arm``. ``better`` means above 1.

    Raises ValueError for sequences that are empty, of different lengths, or with a mean that is
    not above 0.
    """
    x, y = _paired(base, arm)
    if x.mean() <= 0 or y.mean() <= 0:
        raise ValueError("a ratio needs means above 0")
    found = resample(LogRatio(x, y), seed, confidence)
    ratio, low, high = (_exp(v) for v in (found.estimate, found.low, found.high))
    return _compared(Interval(ratio, low, high, len(x), confidence), found, confidence)


def median_of_ratios(
    base: Sequence[float], arm: Sequence[float], *, confidence: float = CONFIDENCE
) -> Comparison:
    """Speedup of the typical problem: the median of base / arm over problems, with the interval
    of order statistics (David and Nagaraja 2003, section 7.1) and the sign test.

    Raises ValueError for sequences that are empty, of different lengths, or hold values that are
    not above 0.
    """
    x, y = _paired(base, arm)
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("ratios need values above 0")
    ratios = np.sort(x / y)
    n = len(ratios)
    k = _rank(n, confidence)
    low, high = (float(ratios[k - 1]), float(ratios[n - k])) if k else (0.0, math.inf)
    above, below = int((ratios > 1).sum()), int((ratios < 1).sum())
    p = mcnemar(above, below)
    effect = Interval(float(np.median(ratios)), low, high, n, confidence)
    verdict: Verdict = "tied"
    if p < 1 - confidence:
        verdict = "better" if above > below else "worse"
    return Comparison(effect, verdict, p,
                      0 if verdict != "tied" else _needed_signs(above, below, n, confidence))


def _rank(n: int, confidence: float) -> int:
    """The largest k for which the k-th smallest and k-th largest value enclose the median with
    the confidence; 0 if no k does."""
    if n > LARGE:
        return math.floor((n - _z(confidence) * math.sqrt(n)) / 2)
    below, k = 0.0, 0
    while (below := below + _binomial_at(k, n)) <= (1 - confidence) / 2:
        k += 1
    return k


def _needed_signs(above: int, below: int, n: int, confidence: float) -> int | None:
    """More problems until the sign test has `POWER` (normal approximation)."""
    signs = above + below
    if above == below:
        return None
    share = above / signs
    root = _z(confidence) / 2 + NormalDist().inv_cdf(POWER) * math.sqrt(share * (1 - share))
    wanted = (root / (share - 0.5)) ** 2 * n / signs
    return max(1, FEWEST - n, math.ceil(wanted) - n)


def _compared(effect: Interval, found: Found, confidence: float) -> Comparison:
    """What the test says, and how much more it would need."""
    verdict = _verdict(found.p, confidence, found.estimate)
    if verdict != "tied":
        return Comparison(effect, verdict, found.p, 0)
    needed: int | None = None
    if found.estimate and found.error:
        z, power = _z(confidence), NormalDist().inv_cdf(POWER)
        seen = abs(found.estimate) / found.error
        if found.p < 1:  # with skewed values the test sees less than the pivot does
            seen = min(seen, NormalDist().inv_cdf(1 - found.p / 2))
        wanted = effect.n * ((z + power) / seen) ** 2 if seen else math.inf
        needed = max(1, FEWEST - effect.n, math.ceil(min(wanted, 1e12)) - effect.n)
    elif found.estimate:
        needed = max(1, FEWEST - effect.n)
    return Comparison(effect, "tied", found.p, needed)


# --- several trials a problem ------------------------------------------------------------------


def avg_at_k(right: Sequence[bool], k: int) -> float:
    """The share of right ones among the first ``k`` trials of one problem."""
    return sum(right[:_some(len(right), k)]) / k


def pass_at_k(right: Sequence[bool], k: int) -> float:
    """The chance that at least one of ``k`` of the trials of one problem is right: the unbiased
    estimate 1 - C(n - c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374)."""
    n = len(right)
    return 1 - math.comb(n - sum(right), _some(n, k)) / math.comb(n, k)


def maj_at_k(
    answers: Sequence[str | None], right: Sequence[bool], k: int, *, seed: int = 0
) -> float:
    """The chance that the most frequent answer among ``k`` of the trials of one problem is right
    (self-consistency, arXiv 2203.11171), over all sets of k, or `SUBSETS` drawn ones.

    Trials without an answer do not vote; of answers with equally many votes each is as likely.
    """
    n = len(answers)
    if math.comb(n, _some(n, k)) <= SUBSETS:
        sets = list(combinations(range(n), k))
    else:
        random = np.random.default_rng(seed)
        sets = [tuple(random.permutation(n)[:k]) for _ in range(SUBSETS)]
    correct = {a for a, good in zip(answers, right, strict=True) if good and a is not None}
    return sum(_vote([answers[i] for i in chosen], correct) for chosen in sets) / len(sets)


def _vote(answers: Sequence[str | None], correct: set[str]) -> float:
    votes = Counter(a for a in answers if a is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    winners = [a for a, count in votes.items() if count == most]
    return sum(a in correct for a in winners) / len(winners)


def _some(n: int, k: int) -> int:
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}, but there are {n} trials")
    return k


# --- small pieces ------------------------------------------------------------------------------


def _verdict(p: float, confidence: float, effect: float) -> Verdict:
    if p >= 1 - confidence:
        return "tied"
    return "better" if effect > 0 else "worse"


def _binomial_at(k: int, n: int) -> float:
    """P(X = k) for X ~ Binomial(n, 1/2), by logarithms: 2**n does not fit a float."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                    - n * math.log(2))


def _binomial_below(k: int, n: int) -> float:
    """P(X <= k) for X ~ Binomial(n, 1/2)."""
    return math.fsum(_binomial_at(i, n) for i in range(k + 1))


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _exp(value: float) -> float:
    """e**value, infinite where that does not fit a float."""
    return math.exp(value) if value < 700 else math.inf


def _checked(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("there is nothing to measure")
    return array


def _paired(one: Sequence[float], two: Sequence[float]) -> tuple[Floats, Floats]:
    a, b = _checked(one), _checked(two)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values make no pairs")
    return a, b
