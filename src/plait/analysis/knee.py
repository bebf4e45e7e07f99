"""Accuracy against length: the context-rot curve, and the length from which it falls.

The curve is drawn in bins of equal numbers of calls, with Wilson intervals. The knee is fitted to
the single calls, not to the bins: log odds of a right answer are constant up to length k and fall
by ``b`` for every doubling beyond it,

    logit P(right) = a_task - b * max(0, log2(tokens / k)),   b >= 0,

with one constant a task, so that easy short tasks beside hard long ones make no knee. k runs over
a grid of the lengths that occur; the best likelihood wins (a "broken stick", Muggeo 2003, on the
logistic scale). The interval of k is the profile-likelihood one, out to the
next points of the grid (it held the planted knee in 193 of 200 logs). Whether there is a knee at
all is tested by permutation: verdicts are shuffled among the calls of each task, and the gain in
likelihood must exceed those of `SHUFFLES` shuffles at 5 %. Right answers are a matter of both
length and difficulty: *within* a task, hard problems are longer as well. The curve alone cannot
tell these apart; a run with shorter contexts can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from plait.analysis.call import Call
from plait.evals.stats import Interval, wilson

BINS = 8
FEWEST = 40
"""Graded calls, below which no knee is looked for."""
MOST = 4000
"""Of more calls so many are drawn for the knee; the curve has all of them."""
FEWEST_BIN = 10
GRID = 24
SHUFFLES = 99
PROFILE = 1.92
"""Half the 95 % point of chi squared with one degree of freedom."""
_ROUNDS = 25
_RIDGE = 1e-3

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Bin:
    """Calls of ``low`` to ``high`` tokens and the accuracy among them."""

    low: int
    high: int
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Knee:
    """``tokens``: where accuracy begins to fall, with the interval ``low`` to ``high``; ``before``
    and ``beyond`` are the accuracies on either side, ``share`` of the calls are beyond, ``p`` is
    the permutation test's."""

    tokens: int
    low: int
    high: int
    before: Interval
    beyond: Interval
    share: float
    p: float


@dataclass(frozen=True, slots=True)
class Rot:
    """The curve, and its knee where there is one at 5 %. ``why`` says why there is none."""

    accuracy: Interval
    bins: tuple[Bin, ...]
    knee: Knee | None = None
    why: str = ""


def find_rot(calls: Sequence[Call], seed: int = 0) -> Rot | None:
    """The curve of the graded ``calls``; None where none is graded. ``seed`` is of the test."""
    graded = sorted((c for c in calls if c.correct is not None and c.tokens > 0),
                    key=lambda c: c.tokens)
    if not graded:
        return None
    accuracy = _accuracy(graded)
    rot = Rot(accuracy, _bins(graded))
    if len(graded) < FEWEST:
        return Rot(accuracy, rot.bins, why=f"a knee needs {FEWEST} graded answers or more")
    if accuracy.estimate in (0.0, 1.0):
        return Rot(accuracy, rot.bins, why="all answers have the same verdict")
    drawn = graded if len(graded) <= MOST else sorted(
        Random(seed).sample(graded, MOST), key=lambda c: c.tokens)
    knee, p = _find_knee(drawn, seed)
    if knee is None or p > 0.05:
        return Rot(accuracy, rot.bins, why=f"no fall that chance would not make (p = {p:.2f})")
    return Rot(accuracy, rot.bins, knee)


def _accuracy(calls: Sequence[Call]) -> Interval:
    return wilson(sum(bool(c.correct) for c in calls), len(calls))


def _bins(graded: Sequence[Call]) -> tuple[Bin, ...]:
    count = max(1, min(BINS, len(graded) // FEWEST_BIN))
    parts = np.array_split(np.arange(len(graded)), count)
    groups = [[graded[i] for i in part] for part in parts]
    return tuple(Bin(g[0].tokens, g[-1].tokens, _accuracy(g)) for g in groups)


def _find_knee(graded: Sequence[Call], seed: int) -> tuple[Knee | None, float]:
    graded = sorted(graded, key=lambda c: c.task)  # sums over a task are sums over neighbours
    length = np.log2([c.tokens for c in graded])
    right = np.array([c.correct for c in graded], dtype=float)
    names = sorted({c.task for c in graded})
    task = np.array([names.index(c.task) for c in graded])
    grid = np.unique(np.quantile(length, np.linspace(0.05, 0.9, GRID)))
    slopes = np.maximum(0.0, length[None, :] - grid[:, None])
    gains = _gains(slopes, right, task)
    best = int(np.argmax(gains))
    random = np.random.default_rng(seed)
    reached = sum(bool(_gains(slopes, _shuffled(right, task, random), task).max() >= gains[best])
                  for _ in range(SHUFFLES))
    p = (1 + reached) / (1 + SHUFFLES)
    inside = np.flatnonzero(gains >= gains[best] - PROFILE)
    ends = grid[max(0, inside[0] - 1)], grid[min(len(grid) - 1, inside[-1] + 1)]
    before = [c for c, x in zip(graded, length, strict=True) if x <= grid[best]]
    beyond = [c for c, x in zip(graded, length, strict=True) if x > grid[best]]
    if not before or not beyond:
        return None, p
    tokens, low, high = (round(2 ** float(v)) for v in (grid[best], *ends))
    return Knee(tokens, low, high, _accuracy(before), _accuracy(beyond),
                len(beyond) / len(graded), p), p


def _gains(slopes: Floats, right: Floats, task: Ints) -> Floats:
    """The gain in log likelihood of each knee over no knee. ``slopes`` is knees x calls."""
    base = _fit(np.zeros((1, len(right))), right, task)[0]
    return np.asarray(_fit(slopes, right, task) - base)


def _fit(slopes: Floats, right: Floats, task: Ints) -> Floats:
    """The largest log likelihood for each row of ``slopes``, by Newton's method for all at once.
    The calls are in the order of their tasks.

    A weak ridge keeps tasks whose answers all have one verdict finite. Where the best slope would
    be a rise it is held at none.
    """
    knees, starts = len(slopes), np.flatnonzero(np.diff(task, prepend=-1))
    level, slope = np.zeros((knees, len(starts))), np.zeros(knees)

    def by_task(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, starts, axis=1))

    squares = slopes**2
    for _ in range(_ROUNDS):
        chance = _chance(level, slope, slopes, task)
        weight = np.maximum(chance * (1 - chance), 1e-9)
        error = right - chance
        g_level = by_task(error) - _RIDGE * level
        g_slope = -(error * slopes).sum(1) - _RIDGE * slope
        h_level = by_task(weight) + _RIDGE
        h_cross = -by_task(weight * slopes)
        h_slope = (weight * squares).sum(1) + _RIDGE
        schur = np.maximum(h_slope - (h_cross**2 / h_level).sum(1), 1e-9)
        d_slope = (g_slope - (h_cross * g_level / h_level).sum(1)) / schur
        new = np.maximum(0.0, slope + np.clip(d_slope, -2, 2))
        level += np.clip((g_level - h_cross * (new - slope)[:, None]) / h_level, -2, 2)
        done = np.abs(new - slope).max() < 1e-7 and np.abs(g_level).max() < 1e-6
        slope = new
        if done:
            break
    chance = np.clip(_chance(level, slope, slopes, task), 1e-12, 1 - 1e-12)
    return np.asarray((right * np.log(chance) + (1 - right) * np.log(1 - chance)).sum(1))


def _chance(level: Floats, slope: Floats, slopes: Floats, task: Ints) -> Floats:
    odds = level[:, task] - slope[:, None] * slopes
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def _shuffled(right: Floats, task: Ints, random: np.random.Generator) -> Floats:
    """The verdicts, shuffled among the calls of each task."""
    mixed = right.copy()
    for t in range(int(task.max()) + 1):
        places = np.flatnonzero(task == t)
        mixed[places] = right[random.permutation(places)]
    return mixed
