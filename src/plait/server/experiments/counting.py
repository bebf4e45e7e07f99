"""What a live experiment has seen, and what that is worth.

Both kinds give one difference in [-1, 1] an observation, above 0 where B did better, to
`plait.tune.betting`, whose verdict holds whenever one looks.

*Split*: a unit (a user, say) is A or B for good, so it counts once, with its first run; further
runs of it would be no independent observations. With x in [0, 1] what its run was worth, p the
share of B and m the mean worth so far,

    d = min(p, 1 - p) * (x - m) / p        for B,
    d = -min(p, 1 - p) * (x - m) / (1 - p)  for A

has the mean min(p, 1 - p) * (worth of B - worth of A), given all that came before, since m does
not depend on the unit (inverse probability weighting with a baseline; Horvitz and Thompson 1952).

*Shadow*: both policies answered one question, so d is their relative difference.

A run that gave no answer, or that nobody waited for, is worth nothing. Observations count in the
order in which they *began*: in the order of ending the quick ones would come first, and the faster
policy would look better than it is whenever one looks early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from plait.core.answers import canonical
from plait.evals.stats import Interval, mean_interval, wilson
from plait.server.experiments.settings import Arm, ExperimentSettings, Metric
from plait.tune.betting import Bets


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run came to. ``answered``: it gave an answer, and somebody took it."""

    answered: bool
    seconds: float
    tokens: int
    answer: str | None = None


@dataclass(slots=True, eq=False)
class Place:
    """An observation in the order of beginning. ``seen`` comes when it ends."""

    arm: Arm = "A"
    seen: tuple[Seen, ...] | None = None


@dataclass(slots=True)
class ArmSeen:
    """What one policy did so far, an entry an observation."""

    answered: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        self.answered.append(seen.answered)
        self.seconds.append(seen.seconds)
        self.tokens.append(seen.tokens)


@dataclass(frozen=True, slots=True)
class ArmReport:
    """Of one policy: the share of runs that answered, and means, with intervals for a look at one
    moment; None before the first run."""

    runs: int
    answered: Interval | None
    seconds: Interval | None
    tokens: Interval | None


class Counting:
    """One experiment in progress."""

    def __init__(self, settings: ExperimentSettings) -> None:
        self.settings = settings
        self.bets = Bets(settings.alpha, reach=self.least)
        self.arms: dict[Arm, ArmSeen] = {"A": ArmSeen(), "B": ArmSeen()}
        self.same: list[bool] = []
        """Of pairs in which both answered: was it the same answer?"""
        self._waiting: deque[Place] = deque()
        self._worth, self._sum = 0, 0.0

    @property
    def full(self) -> bool:
        """Is nothing more to be counted?"""
        return self.bets.count + len(self._waiting) >= self.settings.most

    def begin(self, arm: Arm = "A") -> Place:
        """An observation begins; to be given to `end`, or to `drop`."""
        place = Place(arm)
        self._waiting.append(place)
        return place

    def end(self, place: Place, *seen: Seen) -> None:
        """It is over: a run of its arm, or a pair of A's and B's."""
        place.seen = seen
        while self._waiting and self._waiting[0].seen is not None:
            first = self._waiting.popleft()
            self._count(first.arm, first.seen or ())

    def drop(self, place: Place) -> None:
        """It came to nothing, for reasons that have nothing to do with its arm."""
        self.end(place)

    def rate(self, arm: Arm, rating: float) -> None:
        """A unit's first rating, from -1 to 1."""
        self._bet(arm, (rating + 1) / 2)

    def _count(self, arm: Arm, seen: tuple[Seen, ...]) -> None:
        if len(seen) == 2:
            one, two = seen
            self.arms["A"].add(one)
            self.arms["B"].add(two)
            if one.answered and two.answered and one.answer is not None is not two.answer:
                self.same.append(canonical(one.answer) == canonical(two.answer or ""))
            self.bets.add(difference(self.settings.metric, one, two))
        elif seen:
            self.arms[arm].add(seen[0])
            if self.settings.metric != "rating":
                self._bet(arm, worth(self.settings, seen[0]))

    def _bet(self, arm: Arm, value: float) -> None:
        share = self.settings.share
        baseline = self._sum / self._worth if self._worth else 0.5
        weight = 1 / share if arm == "B" else -1 / (1 - share)
        self.bets.add(self.least * weight * (value - baseline))
        self._worth += 1
        self._sum += value

    @property
    def least(self) -> float:
        """What differences were multiplied by to lie in [-1, 1]."""
        if self.settings.mode == "shadow":
            return 1.0
        return min(self.settings.share, 1 - self.settings.share)

    def arm(self, name: Arm) -> ArmReport:
        """What the policy ``name`` did."""
        seen = self.arms[name]
        if not seen.answered:
            return ArmReport(0, None, None, None)
        return ArmReport(len(seen.answered), wilson(sum(seen.answered), len(seen.answered)),
                         _mean(seen.seconds), _mean(seen.tokens))


def _mean(values: Sequence[float]) -> Interval:
    return mean_interval([float(v) for v in values])


def worth(settings: ExperimentSettings, seen: Seen) -> float:
    """What a run is worth alone, from 0 to 1: 1/2 where it took what counts half."""
    if not seen.answered:
        return 0.0
    if settings.metric == "answered":
        return 1.0
    taken = seen.seconds if settings.metric == "seconds" else seen.tokens
    return settings.half / (settings.half + taken)


def difference(metric: Metric, one: Seen, two: Seen) -> float:
    """How much better the second did, from -1 to 1: twice as fast is 1/3."""
    if metric == "answered" or one.answered != two.answered:
        return float(two.answered) - float(one.answered)
    if not one.answered:
        return 0.0
    a, b = ((one.seconds, two.seconds) if metric == "seconds" else (one.tokens, two.tokens))
    return (a - b) / (a + b) if a + b > 0 else 0.0
