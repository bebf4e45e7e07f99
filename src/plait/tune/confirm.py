"""Does the winner hold up on problems that the search did not see?

Best of many on the same problems is partly luck, so the winner, *always sequential* and the best
*always parallel* policy answer other problems, each problem under all of them one after the other
so that a drift of the machine hits them alike. The score is the one that was written down
before; the comparisons are paired by problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from plait.evals import Sample
from plait.evals.stats import Comparison, Interval, compare_means, wilson
from plait.policy import PolicyFile
from plait.tune.bench import SEQUENTIAL, Bench, Taken
from plait.tune.goal import Goal

TUNED, ALWAYS_SEQUENTIAL, ALWAYS_PARALLEL = "tuned", "always sequential", "always parallel"


@dataclass(frozen=True, slots=True)
class Side:
    """A policy on the held-out problems; seconds, tokens and score are means."""

    name: str
    policy: PolicyFile
    accuracy: Interval
    seconds: float
    tokens: float
    score: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The sides, the tuned one first, and how it compares with each of the others in score."""

    problems: int
    sides: tuple[Side, ...]
    against: tuple[tuple[str, Comparison], ...]

    @property
    def holds(self) -> bool:
        """Is no other policy known to score more than the tuned one?"""
        return all(c.verdict != "worse" for _, c in self.against)

    @property
    def kept(self) -> Side:
        """The side to use: the one with the best score here, the tuned one among equals."""
        return max(self.sides, key=lambda s: s.score)


async def confirm(
    bench: Bench, samples: Sequence[Sample], tuned: PolicyFile, parallel: PolicyFile, goal: Goal,
    seed: int = 0,
) -> Confirmation:
    """Run all three on ``samples``, at least two. Engine errors pass through."""
    policies = {TUNED: tuned, ALWAYS_SEQUENTIAL: SEQUENTIAL, ALWAYS_PARALLEL: parallel}
    taken: dict[str, list[Taken]] = {name: [] for name in policies}
    for place, sample in enumerate(samples):
        names = list(policies)
        for turn in range(len(names)):  # each goes first as often as the others
            name = names[(place + turn) % len(names)]
            taken[name].append(await bench.take(policies[name], sample))
    scores = {name: goal.scores(t, taken[ALWAYS_SEQUENTIAL]) for name, t in taken.items()}
    sides = tuple(_side(name, policies[name], taken[name], scores[name]) for name in policies)
    against = tuple((name, compare_means(scores[TUNED], scores[name], seed=seed))
                    for name in policies if name != TUNED)
    return Confirmation(len(samples), sides, against)


def _side(name: str, policy: PolicyFile, taken: Sequence[Taken], scores: Sequence[float]) -> Side:
    return Side(name, policy, wilson(sum(t.right for t in taken), len(taken)),
                fmean(t.seconds for t in taken), fmean(t.tokens for t in taken), fmean(scores))
