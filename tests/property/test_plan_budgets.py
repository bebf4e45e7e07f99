"""Whatever a planner, its workers and its merger write: `plan` ends, within every budget."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core import Budget, Message, Plan, Request, Result, Sampling
from plait.core.events import Ended, Started
from plait.errors import EngineUnreachable
from plait.methods import PlanMethod, PlanOptions
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.property.test_tree_budgets import PRICE, check

IDS = [f"s{i}" for i in range(7)]
subtasks = st.fixed_dictionaries({
    "id": st.sampled_from([*IDS, 3, ""]),
    "task": st.sampled_from(["Do it.", "Use the result of s1.", "Call it X1.", "Double X1.", "",
                             "Add up the results above."]),
    "needs": st.lists(st.sampled_from([*IDS, "ghost"]), max_size=2),
    "tokens": st.sampled_from([5, 40, 100, 900, "many", -1]),
})
plans = st.one_of(
    st.lists(subtasks, max_size=7).map(lambda items: json.dumps({"split": True,
                                                                 "subtasks": items})),
    st.sampled_from(["", "{}", "[", "no plan", '{"split": false}', "[1, 2]", '{"subtasks": 3}',
                     "<think>" + "hm " * 300]),
    st.lists(subtasks, max_size=4).map(lambda items: json.dumps(items)[:-1]))
replies = st.one_of(
    st.sampled_from(["done", "LACKS: the result of s1", "LACKS: all", "TOO LARGE", "", "<think>",
                     "The height of it is 5 m.", "The height of it is 6 m.", "word " * 300]),
    st.just(EngineUnreachable("gone")))
budgets = st.builds(
    Budget, total_tokens=st.none() | st.integers(200, 1500),
    critical_tokens=st.none() | st.integers(200, 900),
    seconds=st.none() | st.floats(0.5, 20), width=st.none() | st.integers(1, 3),
    depth=st.integers(1, 4), threads=st.none() | st.integers(3, 20),
    live_tokens=st.none() | st.integers(600, 4000), window=st.none() | st.integers(400, 1000),
    cost=st.none() | st.floats(0.001, 0.02))
options = st.builds(
    PlanOptions, least=st.sampled_from([1, 60]), most=st.integers(1, 8),
    rounds=st.integers(0, 3), judge=st.booleans(), check=st.booleans(),
    straggler=st.sampled_from(["hedge", "cut", "off"]), split_above=st.none() | st.just(500),
    window=st.none() | st.just(600))


@settings(max_examples=120)
@given(st.data(), plans, budgets, options, st.booleans())
def test_a_plan_of_any_kind_ends_within_every_budget(
    data: st.DataObject, first: str, budget: Budget, wanted: PlanOptions, ids: bool
) -> None:
    written = data.draw(st.lists(replies, min_size=1, max_size=6))
    again = data.draw(plans)
    calls: list[str] = []

    def script(prompt: str, sampling: Sampling) -> Play:
        calls.append(prompt)
        if "Plan how several people" in prompt:
            planned = sum("Plan how several people" in p for p in calls)
            return Play(first if planned == 1 else again)
        if "does not say so?" in prompt:
            return Play("s1 needs s2\ns2 needs s1")
        if "contradict each other, so" in prompt:
            return Play("1 and 2: it")
        if "\n---\n" not in prompt:
            return Play("the sequential answer")
        reply = written[len(calls) % len(written)]
        pace = 0.3 if len(calls) % 5 == 0 else 0.01
        return Play("a b c", error=reply) if isinstance(reply, EngineUnreachable) else (
            Play(reply, every=pace))

    engine, trace = ScriptedEngine(script, ids=ids), Trace()

    async def main() -> Result:
        async with Runtime(engine, prices={engine.model: PRICE}) as runtime:
            request = Request(messages=(Message("user", "Build a house."),), budget=budget)
            return await solve(request, runtime=runtime, plan=Plan("plan"), trace=trace,
                               method=PlanMethod(wanted))

    result = run_virtual(main)
    check(budget, trace, ids=False)  # messages have no ids
    assert engine.calls.open == 0
    assert result.answer is not None or result.finish == "budget", result.warnings
    started = {e.thread for e in trace.events if isinstance(e, Started)}
    ended: Any = {e.thread for e in trace.events if isinstance(e, Ended)}
    assert started == ended
