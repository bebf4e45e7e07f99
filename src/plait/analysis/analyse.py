"""Everything that the traffic shows, in one value: the way from calls to findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plait.analysis.call import Traffic
from plait.analysis.gain import Read, TaskGain, parallel_share, rank, speedup
from plait.analysis.growth import Growth, find_growth
from plait.analysis.knee import Rot, find_rot
from plait.analysis.recommend import Recommendation, recommend
from plait.analysis.repeats import Repeats, find_repeats, most_repeated, total
from plait.analysis.shape import find_shape
from plait.errors import UsageError

WIDTHS = (2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Options:
    """What the reader of a report says about the engine it is for.

    ``threads``: how many are reckoned with for each task; ``slowdown``: the time of an engine's
    step with them over that of one (see `plait.analysis.gain`). ``methods`` and ``protocols``:
    what a recommendation may name.
    """

    threads: int = 8
    slowdown: float = 1.0
    methods: tuple[str, ...] = ("sequential", "native")
    protocols: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"`threads` is {self.threads} but must be at least 1")
        if self.slowdown < 1:
            raise UsageError(f"`slowdown` is {self.slowdown} but must be at least 1.0",
                             hint="It is the time of a step with all threads over that of one.")


@dataclass(frozen=True, slots=True)
class Analysis:
    """The findings. ``speedups``: what the texts allow, all calls together, at each of `WIDTHS`
    threads; ``bound`` at any number of them. ``share`` is weighted by tokens."""

    calls: int
    problems: int
    skipped: tuple[tuple[str, int], ...]
    estimated: bool
    """Some tokens were not logged but counted as words and signs."""
    options: Options
    growth: Growth
    rot: Rot | None
    repeats: Repeats
    again: tuple[tuple[str, int], ...]
    """The equations that were re-derived most often."""
    share: float
    speedups: tuple[tuple[int, float], ...]
    bound: float
    tasks: tuple[TaskGain, ...]
    recommendation: Recommendation


def analyse(traffic: Traffic, options: Options = Options()) -> Analysis:
    """The findings on ``traffic``. Raises `UsageError` when it holds no call with a text."""
    calls = traffic.calls
    if not calls:
        left = ", ".join(f"{why} ({count})" for why, count in traffic.skipped)
        raise UsageError("there is no answer to analyse" + (f": {left}" if left else ""),
                         hint="A log entry needs the text that the model wrote.")
    reads = [Read(c, find_shape(c.text, c.question), find_repeats(c.text)) for c in calls]
    rot = find_rot(calls, options.seed)
    knee = rot.knee if rot is not None else None
    repeats = total(r.repeats for r in reads)
    tasks = rank(reads, options.threads, options.slowdown, knee.tokens if knee else None)
    return Analysis(
        calls=len(calls), problems=len({(c.task, c.id) for c in calls}), skipped=traffic.skipped,
        estimated=any(c.estimated for c in calls), options=options, growth=find_growth(calls),
        rot=rot, repeats=repeats, again=tuple(most_repeated([c.text for c in calls])),
        share=parallel_share(reads),
        speedups=tuple((n, speedup(reads, n)) for n in WIDTHS),
        bound=_bound(reads), tasks=tasks,
        recommendation=recommend(
            reads, tasks, repeats, knee, methods=options.methods, protocols=options.protocols,
            slowdown=options.slowdown),
    )


def _bound(reads: Sequence[Read]) -> float:
    spent = sum(r.call.tokens for r in reads)
    after = sum(r.call.tokens / r.shape.bound for r in reads)
    return spent / after if after else 1.0
