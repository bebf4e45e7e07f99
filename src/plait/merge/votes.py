"""Votes: majority (self-consistency, arXiv 2203.11171) and weighted by confidence (DeepConf, arXiv
2508.15260), and when one may stop counting.

The order of the parts never matters. Ties are broken by the other measure (votes where weights
are equal, and the other way round), then by a draw that depends on the request's seed and on the
answers alone: not on who was first, and not on which answer sorts first, which would favour
small numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, fsum
from typing import Literal

from plait.core import Outcome, Part, Request
from plait.core.answers import canonical
from plait.interfaces import Thread

Weigh = Literal["majority", "confidence"]
SURE = 0.95
"""The posterior probability at which a vote counts as decided."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer with those who gave it. ``best`` is the most confident of them."""

    key: str
    votes: int
    weight: float
    best: Part


def tally(parts: Sequence[Part], question: str, weigh: Weigh, seed: int = 0) -> list[Candidate]:
    """The candidates among the usable parts that have a value, the winner first.

    With ``confidence`` a vote weighs as much as its part's confidence, from 0 to 1; where any
    part has none, every vote weighs 1 (see `weighs`).
    """
    groups: dict[str, list[Part]] = {}
    for part in parts:
        if part.usable and part.value is not None:
            groups.setdefault(canonical(part.value, question), []).append(part)
    by_confidence = weighs(parts, weigh) == "confidence"
    found = []
    for key, group in groups.items():
        total = fsum(sorted(p.confidence or 0.0 for p in group))
        best = max(group, key=lambda p: (p.confidence or 0.0, _draw(seed, p.text)))
        found.append(Candidate(key, len(group), total if by_confidence else len(group), best))
    return sorted(found, key=lambda c: (-c.weight, -c.votes, -(c.best.confidence or 0.0),
                                        _draw(seed, c.key)))


def weighs(parts: Sequence[Part], weigh: Weigh) -> Weigh:
    """What a vote of these parts can be weighed by: ``confidence`` only if all have one."""
    voters = [p for p in parts if p.usable and p.value is not None]
    return weigh if all(p.confidence is not None for p in voters) else "majority"


def is_tie(candidates: Sequence[Candidate]) -> bool:
    """Do the first two weigh the same?"""
    return len(candidates) > 1 and candidates[0].weight == candidates[1].weight


def cannot_turn(candidates: Sequence[Candidate], remaining: int) -> bool:
    """Is the winner certain, whatever ``remaining`` more voters (weight at most 1) say?"""
    if not candidates:
        return False
    second = candidates[1].weight if len(candidates) > 1 else 0.0
    return candidates[0].weight > second + remaining


def is_sure(candidates: Sequence[Candidate], least: float = SURE) -> bool:
    """Is the first answer's lead over the second beyond chance? (Adaptive-Consistency, arXiv
    2305.11860: the posterior probability, under a flat prior, that an undecided voter is likelier
    to name the first than the second.)"""
    if not candidates:
        return False
    second = candidates[1].votes if len(candidates) > 1 else 0
    return lead(candidates[0].votes, second) >= least


def lead(first: int, second: int) -> float:
    """P(p > 1/2) where p follows Beta(first + 1, second + 1): a sum of binomials, exactly."""
    n = first + second + 1
    return float(sum(comb(n, k) for k in range(first + 1))) / float(2**n) if n < 1000 else (
        1.0 if first > second else 0.0)


def least_votes(least: float = SURE, second: int = 0) -> int:
    """How many votes the first answer needs to be sure of its lead over ``second`` votes."""
    first = second + 1
    while lead(first, second) < least:
        first += 1
    return first


class Vote:
    """The answer that most parts gave. ``weigh``: each vote counts 1, or its confidence."""

    def __init__(self, weigh: Weigh = "majority") -> None:
        self.weigh = weigh
        self.name = "vote" if weigh == "majority" else f"vote:{weigh}"

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        """The winner's text. Asks no model."""
        outcome, why = decide(parts, request, self.weigh)
        thread.note(why, warning=not outcome.ok)
        return outcome


def decide(parts: Sequence[Part], request: Request, weigh: Weigh) -> tuple[Outcome, str]:
    """The outcome of a vote, and how it came about in a line."""
    candidates = tally(parts, request.question, weigh, request.seed)
    if not candidates:
        why = ("no part has a short answer to vote on (other merges read whole texts)"
               if any(p.usable for p in parts) else "no part can be used")
        return Outcome("failed", reason=why), why
    actual = weighs(parts, weigh)
    winner, voters = candidates[0], sum(c.votes for c in candidates)
    why = f"vote ({actual}): {winner.votes} of {voters} for {winner.best.value!r:.60}"
    if len(candidates) > 1:
        why += f", {candidates[1].votes} for {candidates[1].best.value!r:.60}"
    if is_tie(candidates):
        why += "; a tie, drawn by lot"
    if actual != weigh:
        why += "; the engine gave no log-probabilities"
    return winner.best.chosen(), why


def _draw(seed: int, text: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{text}".encode("utf-8", "replace"), digest_size=8).digest()
