"""A policy to start from, and why: what the analysis suggests to try first, never a verdict.

The threshold is where a fork begins to pay: with speedup s a call of x tokens saves x (1 - 1/s)
tokens of waiting, which must exceed what planning and joining cost, `OVERHEAD`. A knee found in
the accuracy caps it: what is longer than the knee is better split in any case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from plait.analysis.expect import fit_expected
from plait.analysis.gain import Read, TaskGain, parallel_share, speedup
from plait.analysis.knee import Knee
from plait.analysis.repeats import Repeats
from plait.policy import Expected, PolicyFile

OVERHEAD = 100
"""Tokens on the longest path that a fork and its join are taken to cost."""
WORTH = 1.2
"""Expected speedups below this are not worth the tokens."""
ENOUGH = 0.95
"""The width is the smallest that reaches this part of the speedup of many threads."""
MANY = 64
CIRCLES = 0.15
"""Repeated shares from here on are worth a word."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Settings in the words of a policy file (None: leave it), and a sentence for each reason."""

    method: str
    protocol: str | None = None
    threshold: int | None = None
    width: int | None = None
    early_stop: bool = False
    reasons: tuple[str, ...] = ()
    expected: Expected | None = None
    """How the expected tokens of a question are reckoned, as far as the traffic shows it."""

    @property
    def policy(self) -> PolicyFile:
        """The same as a policy file."""
        threshold = self.threshold or 0 if self.expected is not None else 0
        return PolicyFile(
            self.method, self.protocol, threshold=threshold, width=self.width,
            early_stop=self.early_stop, expected=self.expected if threshold else None,
            attempts=self.width if self.method == "explore" else None)


def recommend(
    reads: Sequence[Read], tasks: Sequence[TaskGain], repeats: Repeats, knee: Knee | None, *,
    methods: Sequence[str], protocols: Sequence[str] = (), slowdown: float = 1.0,
) -> Recommendation:
    """A start for the traffic ``reads``. ``methods`` are those there are, ``protocols`` the wire
    formats that the model is known to write."""
    width = _width(reads)
    faster = speedup(reads, width, slowdown)
    shown = f"{parallel_share(reads):.0%} of the tokens stand in parts that do not need each other"
    if faster < WORTH:
        return Recommendation("sequential", reasons=(
            f"{shown}; even {MANY} threads would make it only"
            f" {speedup(reads, MANY, slowdown):.2f} times faster, which forks would eat up",))
    reasons = [f"{shown}: {width} threads would be up to {faster:.1f} times faster"]
    method, why = _method(reads, repeats, methods, protocols)
    reasons.append(why)
    if method == "sequential":
        return Recommendation(method, reasons=tuple(reasons))
    threshold = math.ceil(OVERHEAD / (1 - 1 / faster))
    reasons.append(f"answers below {threshold:,} tokens would not pay for a fork and a join"
                   f" (taken to cost {OVERHEAD} tokens)")
    if knee is not None:
        threshold = min(threshold, knee.tokens)
        reasons.append(f"accuracy falls beyond {knee.tokens:,} tokens"
                       f" ({knee.before.estimate:.0%} to {knee.beyond.estimate:.0%}): keep the"
                       " contexts of threads shorter than that")
    if repeats.share >= CIRCLES:
        reasons.append(f"{repeats.share:.0%} of the text repeats itself; threads that cannot see"
                       " each other must each be told what is already ruled out")
    if tasks and len(tasks) > 1 and tasks[-1].speedup < WORTH:
        calm = [t.task for t in tasks if t.speedup < WORTH]
        reasons.append("answer these tasks sequentially: " + ", ".join(calm[:5]))
    return Recommendation(method, protocols[0] if method == "native" else None, threshold, width,
                          method in ("native", "explore"), tuple(reasons),
                          fit_expected([(r.call.question, r.call.tokens) for r in reads]))


def _method(
    reads: Sequence[Read], repeats: Repeats, methods: Sequence[str], protocols: Sequence[str]
) -> tuple[str, str]:
    if protocols and "native" in methods:
        return "native", f"the model writes {protocols[0]} and decides for itself where to fork"
    searching = sum(r.shape.width > 0 for r in reads) >= len(reads) / 2
    wanted = "explore" if searching or repeats.state_share >= CIRCLES else "plan"
    because = ("most answers try alternatives one after the other" if wanted == "explore"
               else "the parts are steps of one problem rather than alternatives")
    for method in (wanted, "plan", "explore"):
        if method in methods:
            return method, because
    return "sequential", (f"{because}, but no method here splits the work of a model that was not"
                          " trained to fork; name the wire format if yours was (--protocol)")


def _width(reads: Sequence[Read]) -> int:
    most = speedup(reads, MANY, 1.0)
    width = 2
    while width < MANY and speedup(reads, width, 1.0) < ENOUGH * most:
        width += 1
    return width
