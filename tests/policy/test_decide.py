"""Whether to go parallel: from words, load, budget and history, and said with its reasons."""

import pytest

from plait.core import Budget
from plait.errors import UsageError
from plait.interfaces import Capabilities, Load
from plait.policy import POLICIES, Decision, History, Situation, decide, read_signals

LIST = "Compare the climate, the food, the prices, the schools and the transport of both cities."
STEPS = "Compute 17 * 23, then add 12 to it, and divide that by 7."


def at(question: str, policy: str = "threshold", *, load: Load | None = None,
       slots: int | None = None, history: History | None = None, threshold: int = 400,
       **budget: int) -> Decision:
    situation = Situation(Capabilities(slots=slots), load or Load(), Budget(**budget), history)
    return decide(policy, read_signals(question), situation, threshold=threshold)


@pytest.mark.parametrize(("question", "kind", "parts"), [
    (LIST, "list", 5),
    (STEPS, "math", 1),
    ("Who wrote Faust?", "talk", 1),
    ("Write a Python function that sorts words.", "code", 1),
    ("Who was Goethe? Who was Schiller? Who was Kleist?", "talk", 3),
    ("Answer these:\n1. What is rain?\n2. What is snow?\n3. What is hail?\n", "list", 3),
    ("Make 24 from 3, 5, 7 and 9", "math", 1),
])
def test_signals_tell_kinds_and_parts(question: str, kind: str, parts: int) -> None:
    signals = read_signals(question)
    assert (signals.kind, signals.parts) == (kind, parts)


@pytest.mark.parametrize(("question", "method", "why"), [
    (LIST, "plan", "one after the other if planned in 5 parts"),
    (STEPS, "sequential", "independent parts"),
    ("Who wrote Faust?", "sequential", "not above the threshold of 400"),
])
def test_only_what_is_long_and_has_parts_is_planned(question: str, method: str, why: str) -> None:
    decision = at(question)
    assert decision.plan.method == method
    assert why in decision.why
    assert decision.plan.gain == (method == "plan")


def test_planning_and_merging_have_to_pay_for_themselves() -> None:
    assert at(LIST, threshold=100).plan.method == "plan"
    short = at("Who was Goethe? Who was Schiller?", threshold=100)
    assert short.plan.method == "sequential"
    assert "would eat up the gain" in short.why


def test_history_replaces_the_guess() -> None:
    assert at("Who wrote Faust?", history=History(20, 5000, 6)).plan.method == "plan"
    assert at(LIST, history=History(20, 80, 2)).plan.method == "sequential"
    assert at(LIST, history=History(0)).plan.method == "plan"
    assert "similar_tokens=5000" in at("x", history=History(20, 5000)).inputs


def test_a_busy_engine_is_spared() -> None:
    decision = at(LIST, load=Load(running=8, waiting=3))
    assert decision.plan.method == "sequential"
    assert decision.why == "3 requests are waiting at the engine"
    assert at(LIST, "fixed", load=Load(waiting=1)).plan.method == "sequential"


def test_an_engine_without_free_slots_leaves_no_gain() -> None:
    assert at(LIST, slots=8, load=Load(running=7)).plan.method == "sequential"
    assert at(LIST, slots=8, load=Load(running=1)).plan.method == "plan"
    assert at(LIST, width=1).plan.method == "sequential"


def test_a_budget_that_has_no_room_is_seen_before_anything_is_spent() -> None:
    decision = at(LIST, total_tokens=300)
    assert "the budget of 300 tokens has no room" in decision.why


def test_sequential_and_fixed_are_what_they_say() -> None:
    assert at(LIST, "sequential").plan.method == "sequential"
    assert at("Who wrote Faust?", "fixed").plan.method == "fixed"


def test_every_input_stands_beside_the_decision() -> None:
    inputs = dict(line.split("=") for line in at(LIST, total_tokens=9000, seconds=60).inputs)
    assert inputs["kind"] == "list"
    assert inputs["running"] == "unknown"
    assert inputs["total_tokens"] == "9000"
    assert int(inputs["estimated_path"]) < int(inputs["estimated_cost"])


def test_an_unknown_policy_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no policy `luck`") as caught:
        at(LIST, "luck")
    assert all(name in caught.value.hint for name in POLICIES)
