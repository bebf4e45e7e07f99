"""What is searched over: which method, from how many expected tokens on, how wide, how deep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.errors import UsageError
from plait.evals import Sample
from plait.policy import Expected, PolicyFile

if TYPE_CHECKING:
    from optuna.trial import Trial  # an extra: the choices can be named without it

MERGING = ("explore", "fixed")
"""Methods that take attempts, and a merge by name."""


@dataclass(frozen=True, slots=True)
class Way:
    """A method, with the wire format if it drives one: ``native:apr``."""

    method: str
    protocol: str | None = None

    def __str__(self) -> str:
        return f"{self.method}:{self.protocol}" if self.protocol else self.method


@dataclass(frozen=True, slots=True)
class Space:
    """The choices. ``ways`` are the parallel ones; *always sequential* is always tried too.

    Raises `UsageError` where there is nothing to choose from.
    """

    ways: tuple[Way, ...]
    widths: tuple[int, ...] = (2, 4, 8, 16)
    depths: tuple[int, ...] = (1, 2)
    merges: tuple[str, ...] = ("vote", "adaptive")

    def __post_init__(self) -> None:
        for name in ("ways", "widths", "depths", "merges"):
            if not getattr(self, name):
                raise UsageError(f"there are no {name} to search over")

    def starts(self) -> list[dict[str, object]]:
        """The first trials: always parallel, once for each way, as wide and deep as it goes."""
        return [{"way": str(way), "easy": 0.0, "width": max(self.widths),
                 "depth": max(self.depths), "early_stop": True, "merge": self.merges[0]}
                for way in self.ways]

    def suggest(self, trial: Trial, levels: Sequence[float], expected: Expected | None
                ) -> PolicyFile:
        """A policy of the search's choice. ``levels`` are the expected tokens of the problems,
        each once, in ascending order; ``easy`` is the share of them that stays sequential."""
        names = {str(way): way for way in self.ways}
        way = names[trial.suggest_categorical("way", list(names))]
        threshold = 0
        if expected is not None:
            threshold = threshold_at(levels, trial.suggest_float("easy", 0.0, 1.0))
        width = trial.suggest_categorical("width", list(self.widths))
        depth = trial.suggest_categorical("depth", list(self.depths))
        early = trial.suggest_categorical("early_stop", [True, False])
        merging = way.method in MERGING
        merge = trial.suggest_categorical("merge", list(self.merges)) if merging else None
        return PolicyFile(
            way.method, way.protocol, threshold=threshold, width=width, depth=depth,
            early_stop=early, attempts=width if merging else None, merge=merge,
            expected=expected if threshold else None)


def levels_of(samples: Sequence[Sample], expected: Expected | None) -> list[float]:
    """The expected tokens of ``samples``, each value once, in ascending order."""
    return [] if expected is None else sorted({expected.tokens(s.question) for s in samples})


def threshold_at(levels: Sequence[float], easy: float) -> int:
    """The threshold below which the share ``easy`` of ``levels`` lies; 0 for none of them."""
    below = min(len(levels), round(easy * len(levels)))
    return 0 if below == 0 else math.floor(levels[below - 1]) + 1
