"""Two policies on the same problems, until one is known to be better or the problems end.

After every problem the evidence is looked at (`plait.tune.betting`), and the experiment stops as
soon as it suffices: looking costs nothing in errors. Each problem gives one difference in [-1, 1],
above 0 where B did better:

    accuracy   right(B) - right(A)
    seconds    (A - B) / (A + B), so that twice as fast counts 1/3 whatever the problem takes
    tokens     the same of tokens
    score      accuracy + latency * seconds, over 1 + latency

The problems come in an order drawn from the seed, and A and B take turns in going first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Literal, cast, get_args

from plait.errors import UsageError
from plait.evals import Sample
from plait.evals.stats import Interval, wilson
from plait.policy import PolicyFile
from plait.tune.bench import Bench, Taken
from plait.tune.betting import ALPHA, Bets

Metric = Literal["score", "accuracy", "seconds", "tokens"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class Question:
    """What an experiment asks. Raises `UsageError` for values out of range."""

    metric: Metric = "score"
    latency: float = 0.3
    """The weight of seconds in the score."""
    alpha: float = ALPHA
    """How often a difference may be claimed where there is none."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(f"there is no metric `{self.metric}`",
                             hint=f"Known: {', '.join(METRICS)}.")
        if self.latency < 0:
            raise UsageError(f"the weight of latency is {self.latency} but must be 0 or more")
        if not 0 < self.alpha < 1:
            raise UsageError(f"`alpha` is {self.alpha} but must be between 0 and 1")

    def difference(self, a: Taken, b: Taken) -> float:
        """How much better B did, between -1 and 1."""
        right = float(b.right) - float(a.right)
        seconds = _relative(a.seconds, b.seconds)
        match self.metric:
            case "accuracy":
                return right
            case "seconds":
                return seconds
            case "tokens":
                return _relative(a.tokens, b.tokens)
            case "score":
                return (right + self.latency * seconds) / (1 + self.latency)


def metric_named(name: str) -> Metric:
    """The metric ``name``. Raises `UsageError` if there is none."""
    Question(cast("Metric", name))
    return cast("Metric", name)


@dataclass(frozen=True, slots=True)
class Arm:
    """One policy so far; means over the problems."""

    accuracy: Interval
    seconds: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """What it came to. ``effect`` is the mean difference, above 0 where B did better, ``low`` to
    ``high`` its confidence sequence, ``p`` valid at any time of looking."""

    question: Question
    problems: int
    of: int
    a: Arm
    b: Arm
    effect: float
    low: float
    high: float
    p: float
    better: Literal["A", "B"] | None

    @property
    def early(self) -> bool:
        """Did it stop before all problems were used?"""
        return self.problems < self.of


async def experiment(
    bench: Bench, samples: Sequence[Sample], a: PolicyFile, b: PolicyFile, question: Question, *,
    seed: int = 0, tell: Callable[[str], None] = lambda line: None,
) -> Experiment:
    """Compare ``a`` and ``b`` on ``samples``, at least one. ``tell`` gets a line now and then.
    Engine errors pass through."""
    if not samples:
        raise UsageError("an experiment needs at least one problem")
    order = sorted(samples, key=lambda s: s.id)
    Random(seed).shuffle(order)
    bets, one, two = Bets(question.alpha), list[Taken](), list[Taken]()
    for place, sample in enumerate(order):
        if place % 2:
            two.append(await bench.take(b, sample))
            one.append(await bench.take(a, sample))
        else:
            one.append(await bench.take(a, sample))
            two.append(await bench.take(b, sample))
        bets.add(question.difference(one[-1], two[-1]))
        if bets.decided:
            break
        if (place + 1) % 10 == 0:
            tell(f"{place + 1} of {len(order)} problems: difference {bets.mean:+.3f},"
                 f" p {bets.p:.3f}")
    held = bets.interval
    better: Literal["A", "B"] | None = None
    if bets.decided:
        better = "B" if bets.mean > 0 else "A"
    return Experiment(question, bets.count, len(order), _arm(one), _arm(two), bets.mean, held.low,
                      held.high, bets.p, better)


def lines(found: Experiment) -> list[str]:
    """The outcome in plain words."""
    of = f"after {found.problems:,} of {found.of:,} problems"
    verdict = (f"no difference was shown {of}" if found.better is None else
               f"{found.better} is better: known {of}" + (", so it stopped" if found.early else ""))
    rows = [f"  {name}  {arm.accuracy.estimate:>4.0%} right ({arm.accuracy.low:.0%} -"
            f" {arm.accuracy.high:.0%}) {arm.seconds:>8.2f} s {arm.tokens:>8,.0f} tokens"
            for name, arm in (("A", found.a), ("B", found.b))]
    return [verdict, *rows,
            f"  {found.question.metric}: B - A = {found.effect:+.3f} ({found.low:+.2f} to"
            f" {found.high:+.2f}, p {found.p:.3f}); valid whenever one looks"]


def _relative(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b > 0 else 0.0


def _arm(taken: Sequence[Taken]) -> Arm:
    return Arm(wilson(sum(t.right for t in taken), len(taken)), fmean(t.seconds for t in taken),
               fmean(t.tokens for t in taken))
