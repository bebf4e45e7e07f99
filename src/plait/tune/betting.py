"""An experiment that may be looked at after every problem, and stopped at any: testing by betting.

Each problem gives a paired difference d in [-1, 1]. Under the hypothesis that its mean is m, the
capital of a gambler who bets the share b of what he has,

    K_t(b) = prod over i <= t of (1 + b (d_i - m) / (1 + |m|)),   -1 < b < 1,

is a fair game, and so is the mean over a fixed grid of bets b. By Ville's inequality the chance
that it ever reaches 1/alpha is at most alpha, whenever and why ever one stops (Ville 1939;
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024,
whose hedged capital process this is, with a mixture in place of tuned bets). Nothing is assumed of
the distribution but its bounds and that no problem's expectation depends on the ones before it. The
means m that were never rejected form a confidence sequence, which holds the true mean at all times
at once with a chance of 1 - alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
BETS = 10
"""Sizes of bets on each side, from `SMALLEST` to `LARGEST` in equal factors."""
SMALLEST, LARGEST = 0.06, 0.7
STEP = 0.01
"""How fine the confidence sequence is, as a share of the reach of the mean."""

Floats = npt.NDArray[np.float64]
_SIZES = np.geomspace(SMALLEST, LARGEST, BETS)
_BETS = np.concatenate((-_SIZES[::-1], _SIZES))


@dataclass(frozen=True, slots=True)
class Sequence95:
    """Where the mean lies, at all times at once with a chance of 1 - alpha."""

    low: float
    high: float


def evidence(differences: Sequence[float] | Floats, mean: float = 0.0) -> Floats:
    """The e-value after each of ``differences`` against the hypothesis of ``mean``, shape (t,).

    Raises ValueError where a difference is not in [-1, 1].
    """
    d = np.asarray(differences, dtype=float)
    if d.size and not (np.abs(d) <= 1).all():
        raise ValueError("differences must be between -1 and 1")
    steps = np.log1p(np.outer((d - mean) / (1 + abs(mean)), _BETS))
    return _mixture(np.cumsum(steps, axis=0))


def _mixture(logs: Floats) -> Floats:
    """The mean capital over the last axis of log capitals, without overflow below e**700."""
    top = logs.max(axis=-1, keepdims=True)
    mixed = np.log(np.exp(logs - top).mean(axis=-1)) + top[..., 0]
    return np.asarray(np.exp(np.minimum(mixed, 700)))


class Bets:
    """An experiment in progress. `add` a difference, look, stop when you like.

    ``reach``: the mean is known to lie between -reach and reach.
    """

    def __init__(self, alpha: float = ALPHA, *, reach: float = 1.0) -> None:
        self.alpha = alpha
        self.count = 0
        self._reach = reach
        self._means = np.arange(-1 + STEP, 1, STEP).round(10) * reach
        self._centre = int(np.argmin(np.abs(self._means)))
        self._logs = np.zeros((len(self._means), len(_BETS)))
        self._top = np.ones(len(self._means))
        self._sum = 0.0

    def add(self, difference: float) -> None:
        """Count one problem. Raises ValueError unless -1 <= difference <= 1."""
        if not -1 <= difference <= 1:
            raise ValueError(f"a difference of {difference} is not between -1 and 1")
        self.count += 1
        self._sum += difference
        share = (difference - self._means) / (1 + np.abs(self._means))
        self._logs += np.log1p(np.outer(share, _BETS))
        self._top = np.maximum(self._top, _mixture(self._logs))

    @property
    def mean(self) -> float:
        """The mean difference so far; 0.0 before the first."""
        return self._sum / self.count if self.count else 0.0

    @property
    def evidence(self) -> float:
        """The largest e-value so far against "there is no difference"."""
        return float(self._top[self._centre])

    @property
    def p(self) -> float:
        """The always-valid p value: 1 over the evidence."""
        return min(1.0, 1 / self.evidence)

    @property
    def decided(self) -> bool:
        """Is there a difference, at level alpha?"""
        return self.evidence >= 1 / self.alpha

    @property
    def interval(self) -> Sequence95:
        """The confidence sequence, out to the next points of its grid."""
        held = np.flatnonzero(self._top < 1 / self.alpha)
        if not len(held):
            return Sequence95(self.mean, self.mean)
        step = STEP * self._reach
        low, high = self._means[held[0]] - step, self._means[held[-1]] + step
        return Sequence95(max(-self._reach, float(low)), min(self._reach, float(high)))
