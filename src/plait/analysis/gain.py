"""Where parallel threads would help most: tasks by the seconds (else tokens) that they would save.

Of each call the shape (`plait.analysis.shape`) gives what Amdahl's law and the span allow with a
number of threads. What a task would gain is the sum over its calls, with the weight of each: long
calls count for what they take. It is assumed that an engine writes n threads as fast as one,
which is nearly true of servers that decode in batches and far from saturated, and false on a busy
one: `slowdown` is the time of a step with all threads over that of one (1.0: none), and divides
the parallel part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plait.analysis.call import Call
from plait.analysis.repeats import Repeats, total
from plait.analysis.shape import Shape
from plait.evals.stats import Interval, wilson


@dataclass(frozen=True, slots=True)
class Read:
    """A call with what its text shows."""

    call: Call
    shape: Shape
    repeats: Repeats


@dataclass(frozen=True, slots=True)
class TaskGain:
    """A task. ``share`` is weighted by tokens; ``speedup`` is the whole task's at ``threads``
    threads, ``bound`` at any number; ``saved`` is in ``unit``, out of ``spent``."""

    task: str
    calls: int
    accuracy: Interval | None
    mean_tokens: float
    share: float
    speedup: float
    bound: float
    branches: float
    """Mean number of branches in the texts that have any."""
    repeated: float
    spent: float
    saved: float
    unit: str
    beyond_knee: float | None = None
    """Share of its calls longer than the knee; None where there is no knee."""


def rank(
    reads: Sequence[Read], threads: int, slowdown: float = 1.0, knee: int | None = None
) -> tuple[TaskGain, ...]:
    """The tasks, the one that would save most first. Seconds are the unit if all calls have them.

    Raises ValueError unless ``threads`` >= 1 and ``slowdown`` >= 1.
    """
    if threads < 1 or slowdown < 1:
        raise ValueError("threads and slowdown are at least 1")
    timed = all(r.call.seconds is not None for r in reads)
    groups: Mapping[str, list[Read]] = defaultdict(list)
    for read in reads:
        groups[read.call.task].append(read)
    gains = [_gain(name, group, threads, slowdown, timed, knee) for name, group in groups.items()]
    return tuple(sorted(gains, key=lambda g: (-g.saved, g.task)))


def _gain(
    task: str, reads: Sequence[Read], threads: int, slowdown: float, timed: bool, knee: int | None,
) -> TaskGain:
    cost = [_cost(r.call, timed) for r in reads]
    spent = sum(cost)
    after = sum(c / expected(r.shape, threads, slowdown) for c, r in zip(cost, reads, strict=True))
    best = sum(c / r.shape.bound for c, r in zip(cost, reads, strict=True))
    tokens = sum(r.call.tokens for r in reads)
    graded = [r.call.correct for r in reads if r.call.correct is not None]
    branched = [r.shape.width for r in reads if r.shape.width]
    return TaskGain(
        task=task, calls=len(reads),
        accuracy=wilson(sum(graded), len(graded)) if graded else None,
        mean_tokens=tokens / len(reads),
        share=parallel_share(reads),
        speedup=spent / after if after else 1.0,
        bound=spent / best if best else 1.0,
        branches=sum(branched) / len(branched) if branched else 0.0,
        repeated=total(r.repeats for r in reads).share,
        spent=spent, saved=spent - after, unit="seconds" if timed else "tokens",
        beyond_knee=None if knee is None
        else sum(r.call.tokens > knee for r in reads) / len(reads),
    )


def parallel_share(reads: Sequence[Read]) -> float:
    """The share of all tokens in parts that do not need each other."""
    tokens = sum(r.call.tokens for r in reads)
    return sum(r.call.tokens * r.shape.share for r in reads) / tokens if tokens else 0.0


def speedup(reads: Sequence[Read], threads: int, slowdown: float = 1.0) -> float:
    """All calls together, in tokens, at ``threads`` threads; see `expected`."""
    spent = sum(r.call.tokens for r in reads)
    after = sum(r.call.tokens / expected(r.shape, threads, slowdown) for r in reads)
    return spent / after if after else 1.0


def expected(shape: Shape, threads: int, slowdown: float) -> float:
    """The speedup at ``threads`` threads on an engine that then takes ``slowdown`` times as long
    for a step; never below 1, since nothing forces a fork that does not pay."""
    ideal = shape.speedup(threads)
    return max(1.0, 1 / ((1 - shape.share) + (1 / ideal - (1 - shape.share)) * slowdown))


def _cost(call: Call, timed: bool) -> float:
    return call.seconds or 0.0 if timed else float(call.tokens)
