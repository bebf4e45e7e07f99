"""How a request is to be answered: what the caller insists on, and what the policy says to that."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from plait.core import Plan, Request
from plait.errors import UsageError
from plait.interfaces import Engine
from plait.policy import (
    Breaker,
    Decision,
    History,
    PolicyFile,
    Situation,
    choose,
    decide,
    read_signals,
)
from plait.registry import AUTO, METHODS, make_method, protocol_of


class Chosen(NamedTuple):
    """What to do. ``request`` has the limits and directions that a policy file adds; ``remark``
    says what was found, or not, if the protocol was to be found out."""

    request: Request
    decision: Decision
    remark: str = ""


async def decide_how(
    engine: Engine, request: Request, method: str | None, protocol: str | None,
    policy: str | PolicyFile | None, history: History | None = None,
) -> Chosen:
    """What to do by ``policy``, which is told by ``history`` of similar requests. A named method is
    how to go parallel, should the policy want that; a policy file leaves no room for one.
    Raises `UsageError`."""
    if isinstance(policy, PolicyFile):
        if method is not None or protocol is not None:
            raise UsageError("a policy file decides on method and protocol",
                             hint="Leave these out, or the policy.")
        return Chosen(*policy.apply(request, await engine.load()))
    return Chosen(request, *await _decide(engine, request, method, protocol, policy, history))


async def _decide(
    engine: Engine, request: Request, method: str | None, protocol: str | None,
    policy: str | None, history: History | None,
) -> tuple[Decision, str]:
    if method not in (None, "auto", *METHODS):
        make_method(Plan(method or ""))
    if method == "tools" and protocol is not None:
        raise UsageError(f"the method `tools` drives no wire format, so not `{protocol}`",
                         hint="Leave the protocol out, or use the method `native`.")
    situation = Situation(engine.capabilities, await engine.load(), request.budget, history)
    signals = read_signals(request.question)
    remark = ""
    if protocol == AUTO and method != "sequential":
        protocol, remark = protocol_of(engine, request)
        if protocol is None and method == "native":
            raise UsageError(remark)
    if policy not in (None, "auto"):
        decision = decide(policy or "", signals, situation,
                          **_given(threshold=request.directions.threshold))
        if method in (None, "auto") or decision.plan.method == "sequential":
            return decision, remark
        named = replace(decision.plan, method=method or "", protocol=protocol)
        return replace(decision, plan=named), remark
    plan = choose(engine.protocols(request), situation.load, method=method, protocol=protocol)
    if method == "native" and plan.method != "native":
        plan = Plan("native", protocol)
    if remark:
        plan = replace(plan, reason=remark)
    return Decision("auto", plan, (*signals.lines(), *situation.lines())), remark


def heed(decision: Decision, breaker: Breaker | None, model: str, now: float) -> Decision:
    """``decision``, or one thread where the breaker has switched off what was decided on."""
    plan = decision.plan
    refusal = breaker.refusal(plan.method, model, now) if breaker is not None else None
    if refusal is None:
        return decision
    return replace(decision, plan=Plan("sequential", reason=refusal), instead=refusal,
                   inputs=(*decision.inputs, f"breaker={plan.method} off"))


def _given(**values: int | None) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}
