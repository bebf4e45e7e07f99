"""How a request is to be answered: what the caller insists on, and what the policy says to that."""

from __future__ import annotations

from dataclasses import replace

from plait.core import Plan, Request
from plait.errors import UsageError
from plait.interfaces import Engine
from plait.policy import Decision, History, Situation, choose, decide, read_signals
from plait.registry import AUTO, METHODS, make_method, protocol_of


async def decide_how(
    engine: Engine, request: Request, method: str | None, protocol: str | None,
    wanted: tuple[str | None, History | None],
) -> tuple[Decision, str]:
    """What to do, and a remark if the protocol was to be found out: what was found, or not.

    ``wanted``: the policy, and what it is told of similar requests. A named method is how to go
    parallel, should the policy want that.
    """
    if method not in (None, "auto", *METHODS):
        make_method(Plan(method or ""))
    if method == "tools" and protocol is not None:
        raise UsageError(f"the method `tools` drives no wire format, so not `{protocol}`",
                         hint="Leave the protocol out, or use the method `native`.")
    policy, history = wanted
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


def _given(**values: int | None) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}
