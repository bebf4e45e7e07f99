"""The score that a search is about, and the split that keeps it honest.

    score = right - latency * seconds / s - tokens * generated / g

with s and g the mean seconds and tokens of *always sequential* on the same problems: being as slow
as sequential reasoning costs ``latency``, being twice as fast half of that. The weights are written
down before anything runs and cannot be changed in a search that goes on. A problem that has a
weight of its own counts as that many. The split of the
problems depends on their ids alone, so that it is the same in every run and at every limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from plait.errors import UsageError
from plait.evals import Sample
from plait.tune.bench import Taken
from plait.viewer.words import number


@dataclass(frozen=True, slots=True)
class Goal:
    """The weights of latency and tokens against accuracy; ``weights`` of problems by their ids,
    1 for others. Raises `UsageError` below 0."""

    latency: float = 0.3
    tokens: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("latency", "tokens"):
            if getattr(self, name) < 0:
                raise UsageError(f"the weight of {name} is {getattr(self, name)} but must be 0"
                                 " or more")

    def scores(self, taken: Sequence[Taken], sequential: Sequence[Taken]) -> list[float]:
        """The score of each problem, times its weight over the mean weight, so that their mean is
        the weighted one; ``sequential`` are the same problems answered that way."""
        weights = [self.weights.get(t.sample, 1.0) for t in taken]
        mean = fmean(weights)
        seconds = fmean(t.seconds for t in sequential) or 1.0
        tokens = fmean(t.tokens for t in sequential) or 1.0
        return [(t.right - self.latency * t.seconds / seconds - self.tokens * t.tokens / tokens)
                * weight / mean for t, weight in zip(taken, weights, strict=True)]

    def words(self) -> str:
        """The score as a formula."""
        text = f"score = right - {self.latency:g} * seconds / those of always sequential"
        if self.tokens:
            text += f" - {self.tokens:g} * tokens / those of always sequential"
        if self.weights:
            text += ", weighted by problem"
        return text


def weights_of(samples: Sequence[Sample]) -> dict[str, float]:
    """The weights of those samples that have one."""
    return {s.id: s.weight for s in samples if s.weight != 1}


def split(samples: Sequence[Sample], seed: int = 0) -> tuple[list[Sample], list[Sample]]:
    """Two halves of the problems of each group: to search on, and to confirm with.

    Raises `UsageError` where a half would hold fewer than two problems.
    """
    search: list[Sample] = []
    confirm: list[Sample] = []
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    for group in groups.values():
        for place, sample in enumerate(sorted(group, key=lambda s: _rank(s, seed))):
            (search if place % 2 == 0 else confirm).append(sample)
    if min(len(search), len(confirm)) < 2:
        raise UsageError(f"the suite has {number(len(samples), 'problem')}: too few to search on"
                         " one half and confirm on the other", hint="Take at least 8, better 100.")
    return sorted(search, key=lambda s: _rank(s, seed)), sorted(
        confirm, key=lambda s: _rank(s, seed))


def _rank(sample: Sample, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{sample.id}".encode("utf-8", "surrogatepass")).hexdigest()
