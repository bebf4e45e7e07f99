"""Whether to go parallel, by a named policy, with everything that the decision was made from.

- ``sequential``: never.
- ``fixed``: always two or three threads on the same question.
- ``threshold``: only if an answer in one thread is estimated to cost more than ``threshold``
  tokens, and the longest path of a planned answer (plan, longest part, merge) is estimated to be
  shorter than that.
- ``auto``: the wire format that the model is known to write, else one thread (`choose`).

While requests queue at the engine, nothing is directed to go parallel: plans and merges would be
work on top. Threads of a model that forks by itself run as there is room (`plait.policy.admit`).
"""

from __future__ import annotations

from dataclasses import dataclass

from plait.core import Budget, EngineProfile, Plan
from plait.errors import UsageError
from plait.interfaces import Capabilities, Load
from plait.policy.admit import UNKNOWN, Step
from plait.policy.signals import Signals

POLICIES = ("auto", "sequential", "fixed", "threshold")
THRESHOLD = 400
"""Tokens of an answer in one thread above which it may pay to plan."""
PLAN_TOKENS, PART_TOKENS = 60, 40
"""What a plan takes: to begin with, and for each of its parts."""
MERGE_SHARE = 0.25
"""What a merge takes, as a share of the parts."""


@dataclass(frozen=True, slots=True)
class History:
    """Similar requests that were answered before. ``tokens``: of an answer in one thread, in the
    median; ``parts``: threads that worked side by side, in the median. None: not known."""

    count: int
    tokens: int | None = None
    parts: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, and what it was made from. ``inputs``: ``name=value`` each."""

    policy: str
    plan: Plan
    inputs: tuple[str, ...]
    instead: str = ""
    """Why what was decided on may not run, so that the plan is sequential; empty where it may."""

    @property
    def why(self) -> str:
        return self.plan.reason


@dataclass(frozen=True, slots=True)
class Situation:
    """What a policy may look at beside the question."""

    capabilities: Capabilities
    load: Load
    budget: Budget
    history: History | None = None
    profile: EngineProfile | None = None
    """What `plait engine check` found and kept of this engine and model; None: nothing is kept."""
    step: Step = UNKNOWN

    @property
    def width(self) -> int | None:
        """Threads that may work at once; None: no limit known."""
        free = None
        slots = self.capabilities.slots or (self.profile.slots if self.profile else None)
        if slots is not None:
            free = max(1, slots - (self.load.running or 0))
        return min((w for w in (self.budget.width, free) if w is not None), default=None)

    def lines(self) -> tuple[str, ...]:
        """``name=value`` for the trace."""
        load, history = self.load, self.history
        found: dict[str, object] = {
            "running": load.running, "waiting": load.waiting, "cache": load.cache,
            "width": self.width, "total_tokens": self.budget.total_tokens,
            "seconds": self.budget.seconds}
        if self.profile is not None:
            found["profile"] = self.profile.checked
        if self.step != UNKNOWN:
            found |= {"step_ms": f"{1000 * self.step.seconds(1):.3g}",
                      "step_ms_each": f"{1000 * self.step.each:.3g}"}
        if history is not None:
            found |= {"similar_requests": history.count, "similar_tokens": history.tokens,
                      "similar_parts": history.parts}
        return tuple(f"{name}={'unknown' if value is None else value}"
                     for name, value in found.items() if value is not None
                     or name in ("running", "waiting"))


def decide(
    policy: str, signals: Signals, situation: Situation, *, threshold: int = THRESHOLD
) -> Decision:
    """The decision of ``policy``, which is not ``auto``. Raises `UsageError` for unknown names."""
    inputs = (*signals.lines(), *situation.lines())
    match policy:
        case "sequential":
            return Decision(policy, Plan("sequential", reason="the policy is sequential"), inputs)
        case "fixed":
            plan = Plan("fixed", reason="the policy is fixed: always a few threads")
            return Decision(policy, _unless_busy(plan, situation.load), inputs)
        case "threshold":
            return _by_threshold(signals, situation, threshold, inputs)
    raise UsageError(f"there is no policy `{policy}`", hint=f"Known: {', '.join(POLICIES)}.")


def _by_threshold(
    signals: Signals, situation: Situation, threshold: int, inputs: tuple[str, ...]
) -> Decision:
    history = situation.history
    cost = history.tokens if history and history.tokens else signals.cost
    parts = history.parts if history and history.parts else signals.parts
    if situation.width is not None:
        parts = min(parts, situation.width)
    overhead = PLAN_TOKENS + PART_TOKENS * parts + int(MERGE_SHARE * cost)
    path = overhead + -(-cost // max(1, parts))
    total = situation.budget.total_tokens
    inputs = (*inputs, f"threshold={threshold}", f"estimated_cost={cost}",
              f"estimated_path={path}", f"estimated_overhead={overhead}")
    if cost <= threshold:
        why = f"about {cost} tokens in one thread are not above the threshold of {threshold}"
    elif parts < 2:
        why = "it does not seem to have independent parts"
    elif path >= cost:
        why = (f"planning and merging (about {overhead} tokens) would eat up the gain: {path}"
               f" tokens one after the other instead of {cost}")
    elif total is not None and total < cost + overhead:
        why = f"the budget of {total} tokens has no room for about {cost + overhead}"
    else:
        plan = Plan("plan", gain=True, reason=(
            f"about {cost} tokens in one thread, {path} one after the other if planned in"
            f" {parts} parts"))
        return Decision("threshold", _unless_busy(plan, situation.load), inputs)
    return Decision("threshold", Plan("sequential", reason=why), inputs)


def _unless_busy(plan: Plan, load: Load) -> Plan:
    if not load.waiting:
        return plan
    return Plan("sequential", reason=f"{load.waiting} requests are waiting at the engine")


