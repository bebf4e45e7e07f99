"""The random numbers of one sequence.

Each sequence brings its own, one a token, so what it draws does not depend on which others are in
the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from plait.core import Sampling


@dataclass(frozen=True, slots=True)
class Draw:
    """How one sequence draws. ``random`` is its own generator; None: the likeliest token."""

    sampling: Sampling
    random: Random | None

    @classmethod
    def of(cls, sampling: Sampling) -> Draw:
        greedy = sampling.temperature == 0 or sampling.top_k == 1
        return cls(sampling, None if greedy else Random(sampling.seed))
