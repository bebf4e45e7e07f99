"""How latency grows with what is generated, and who pays for it.

Seconds are fitted as ``fixed + each * tokens`` by the Theil-Sen line (Theil 1950, Sen 1968): the
median slope over pairs of calls, which a few slow calls or retries cannot move. ``bend`` compares
the seconds a token of the longest quarter with those of the shortest half, so that a context that
gets slower as it grows shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.analysis.call import Call

FEWEST = 8
"""Calls with a time, below which no line is fitted."""
MOST_PAIRS = 200_000
TAIL = 0.1
"""The share of the longest calls whose part in all tokens and seconds is told."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 90th and 99th percentile and sum of some quantity over the calls."""

    p50: float
    p90: float
    p99: float
    total: float


@dataclass(frozen=True, slots=True)
class Growth:
    """``tail_tokens``, ``tail_seconds``: the shares of the longest tenth of the calls. Seconds are
    None where the log has (too few) times; ``fit`` is Spearman's rank correlation of tokens and
    seconds."""

    tokens: Spread
    tail_tokens: float
    seconds: Spread | None = None
    tail_seconds: float | None = None
    fixed: float | None = None
    each: float | None = None
    bend: float | None = None
    fit: float | None = None


def find_growth(calls: Sequence[Call]) -> Growth:
    """The growth of ``calls``, at least one."""
    tokens = np.array([c.tokens for c in calls], dtype=float)
    timed = [c for c in calls if c.seconds is not None and c.tokens > 0]
    growth = Growth(_spread(tokens), _tail(tokens, tokens))
    if len(timed) < FEWEST:
        return growth
    x = np.array([c.tokens for c in timed], dtype=float)
    y = np.array([c.seconds for c in timed], dtype=float)
    each = _slope(x, y)
    fixed = None if each is None else float(np.median(y - each * x))
    return Growth(growth.tokens, growth.tail_tokens, _spread(y), _tail(x, y), fixed, each,
                  _bend(x, y), _rank_correlation(x, y))


def _spread(values: Floats) -> Spread:
    p50, p90, p99 = (float(v) for v in np.percentile(values, (50, 90, 99)))
    return Spread(p50, p90, p99, float(values.sum()))


def _tail(by: Floats, of: Floats) -> float:
    """The part of the sum of ``of`` that the calls with the largest ``by`` have."""
    count = max(1, round(TAIL * len(by)))
    chosen = np.argsort(-by, kind="stable")[:count]
    return float(of[chosen].sum() / of.sum()) if of.sum() > 0 else 0.0


def _slope(x: Floats, y: Floats) -> float | None:
    """The median slope over pairs, a fixed sample of them where there are very many."""
    n = len(x)
    if n * (n - 1) // 2 <= MOST_PAIRS:
        i, j = np.triu_indices(n, 1)
    else:
        i, j = np.random.default_rng(0).integers(0, n, (2, MOST_PAIRS))
    apart = x[i] != x[j]
    if not apart.any():
        return None
    return float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart]))


def _bend(x: Floats, y: Floats) -> float | None:
    """Seconds a token of the longest quarter over those of the shortest half, sums over sums."""
    low, high = np.percentile(x, (50, 75))
    short, long = x <= low, x >= high
    if low == high or y[short].sum() <= 0:
        return None
    return float((y[long].sum() / x[long].sum()) / (y[short].sum() / x[short].sum()))


def _rank_correlation(x: Floats, y: Floats) -> float | None:
    a, b = _ranks(x), _ranks(y)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=float)
