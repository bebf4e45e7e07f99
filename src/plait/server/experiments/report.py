"""What the live experiments came to, as JSON values and in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Literal

from plait.evals.stats import Interval, wilson
from plait.policy import PolicyFile
from plait.server.experiments.counting import ArmReport, Counting
from plait.server.experiments.settings import Arm

ARMS: tuple[Arm, ...] = ("A", "B")


def report(experiments: Iterable[tuple[Counting, int]]) -> list[dict[str, object]]:
    """Each experiment as JSON values. ``effect`` is B's worth minus A's, with the confidence
    sequence ``low`` to ``high`` and the p value, valid whenever one looks; the intervals of the
    arms are for a look at one moment."""
    return [_one(counting, skipped) for counting, skipped in experiments]


def _one(counting: Counting, skipped: int) -> dict[str, object]:
    settings, bets = counting.settings, counting.bets
    held, scale = bets.interval, 1 / counting.least
    return {
        "name": settings.name, "mode": settings.mode, "metric": settings.metric,
        "by": settings.by, "share": settings.share, "a": _policy(settings.a),
        "b": _policy(settings.b), "counted": bets.count, "most": settings.most,
        "better": better(counting), "effect": bets.mean * scale, "low": held.low * scale,
        "high": held.high * scale, "p": bets.p, "alpha": settings.alpha,
        "arms": {name: asdict(counting.arm(name)) for name in ARMS},
        "same_answers": asdict(wilson(sum(counting.same), len(counting.same)))
        if counting.same else None,
        "skipped": skipped}


def better(counting: Counting) -> Literal["A", "B"] | None:
    """Which policy is known to be better; None while nothing is."""
    if not counting.bets.decided:
        return None
    return "B" if counting.bets.mean > 0 else "A"


def lines(experiments: Iterable[tuple[Counting, int]]) -> list[str]:
    """The same for people."""
    return [line for counting, skipped in experiments for line in _lines(counting, skipped)]


def _lines(counting: Counting, skipped: int) -> Iterator[str]:
    settings, bets = counting.settings, counting.bets
    found = better(counting)
    what = "pairs" if settings.mode == "shadow" else "units"
    verdict = f"{found} is better" if found else "no difference is shown yet"
    yield f"{settings.name} ({settings.mode}): {verdict}, after {bets.count:,} {what}"
    held, scale = bets.interval, 1 / counting.least
    yield (f"  {settings.metric}: B - A = {bets.mean * scale:+.3f} in worth"
           f" ({held.low * scale:+.2f} to {held.high * scale:+.2f}, p {bets.p:.3f}); valid"
           " whenever one looks")
    for name in ARMS:
        policy = _policy(settings.a if name == "A" else settings.b)
        yield f"  {name}  {policy}: {_arm(counting.arm(name))}"
    if counting.same:
        share = wilson(sum(counting.same), len(counting.same))
        yield f"  the same answer in {share.estimate:.0%} ({share.low:.0%} - {share.high:.0%})"
    if skipped:
        yield f"  {skipped:,} runs were not repeated, for lack of room"


def _arm(seen: ArmReport) -> str:
    if seen.answered is None or seen.seconds is None or seen.tokens is None:
        return "no runs"
    return (f"{seen.runs:,} runs, {_share(seen.answered)} answered,"
            f" {_number(seen.seconds, '.2f')} s, {_number(seen.tokens, ',.0f')} tokens")


def _share(found: Interval) -> str:
    return f"{found.estimate:.0%} ({found.low:.0%} - {found.high:.0%})"


def _number(found: Interval, form: str) -> str:
    return f"{found.estimate:{form}} ({found.low:{form}} - {found.high:{form}})"


def _policy(policy: str | PolicyFile | None) -> str:
    if isinstance(policy, PolicyFile):
        return f"{policy.method}:{policy.protocol}" if policy.protocol else policy.method
    return policy or "the gateway's own policy"
