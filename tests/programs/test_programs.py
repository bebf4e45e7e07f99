"""The four programs that prove the seams: what they show, and that no step of them can leak."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from plait.core import Result
from plait.core.events import Committed, Ended, Event, Joined, Noted, Rewrote, Started, Wrote
from plait.testing import ScriptedEngine, run_virtual
from plait.trace import Trace, measure

PROGRAMS = Path(__file__).parents[2] / "docs" / "programs"
NAMES = ["apr", "asyncthink", "streamed_plan", "exploration"]


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(PROGRAMS / f"{name}.py"))


def make_script(program: dict[str, Any]) -> Callable[..., Any]:
    return program["make_script"]() if "make_script" in program else program["script"]


def play(name: str, ids: bool = False) -> tuple[Any, Trace, ScriptedEngine]:
    program = load(name)
    engine = ScriptedEngine(make_script(program), ids=ids)
    trace = Trace()
    return run_virtual(program["main"], engine, trace), trace, engine


def of(trace: Trace, kind: type[Event]) -> list[Any]:
    return [e for e in trace.events if isinstance(e, kind)]


def test_apr_starts_children_while_the_parent_still_writes() -> None:
    _, trace, _ = play("apr")
    kinds = [(type(e), e.thread) for e in trace.events if isinstance(e, Wrote | Started)]
    first_child = kinds.index((Started, "0.0"))
    assert (Wrote, "0") in kinds[first_child:]
    assert (Wrote, "0.0") in kinds[: max(i for i, k in enumerate(kinds) if k == (Started, "0.2"))]


def test_apr_rewrites_the_parent_at_the_join_with_one_line_for_each_failed_child() -> None:
    result, trace, engine = play("apr")
    program = load("apr")
    assert isinstance(result, Result)
    (rewrote,) = of(trace, Rewrote)
    assert rewrote.text.startswith("<Calling Sub Searches>")
    assert engine.prompts[-1].endswith(program["JOINED"])
    assert "<Calling Sub Searches>" not in result.text
    assert result.wasted_tokens == rewrote.removed > 0


def test_asyncthink_goes_on_after_a_fork_and_joins_by_name() -> None:
    result, trace, engine = play("asyncthink")
    joins = [j.children for j in of(trace, Joined) if j.thread == "0"]
    assert joins == [("0.0",), ("0.2",), ("0.1",)]
    started = [e.at for e in of(trace, Started) if e.parent == "0"]
    assert started == sorted(started)
    assert started[0] < started[-1]
    assert engine.calls.most <= 1 + load("asyncthink")["POOL"]
    assert "<ANSWER>6</ANSWER>" in result.text


def test_a_streamed_plan_starts_subtasks_before_it_is_complete() -> None:
    _, trace, _ = play("streamed_plan")
    events = [(type(e), e.thread) for e in trace.events if isinstance(e, Wrote | Started)]
    assert (Wrote, "0") in events[events.index((Started, "0.0")):]


def test_a_dependent_subtask_is_requeued_after_the_one_it_needs() -> None:
    result, trace, _ = play("streamed_plan")
    again = [e for e in of(trace, Started) if e.after]
    assert [(e.label, e.after) for e in again] == [("roof", ("0.0",))]
    assert result.answer == "four walls | a roof on four walls | paint it white"


def test_judges_work_in_parallel_and_a_rejected_part_is_written_again() -> None:
    _, trace, _ = play("streamed_plan")
    judges = [e.parent for e in of(trace, Started) if e.role == "judge"]
    assert len(judges) == len(set(judges)) + 1
    assert measure(trace.events).verification_tokens == len(judges)


def test_exploration_stops_by_vote_and_commits_once() -> None:
    events, trace, engine = play("exploration")
    assert events == list(trace.events)
    assert [e.text for e in events if isinstance(e, Committed)] == ["42"]
    cancelled = [e for e in events if isinstance(e, Ended) and e.status == "cancelled"]
    assert len(cancelled) == engine.calls.left >= 3


@pytest.mark.parametrize("name", NAMES)
def test_the_program_is_short(name: str) -> None:
    lines = (PROGRAMS / f"{name}.py").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= 60


@pytest.mark.parametrize("name", NAMES)
def test_token_ids_give_the_same_run_as_text(name: str) -> None:
    def essence(trace: Trace) -> list[Any]:
        return [(e.thread, e.text) for e in trace.events if isinstance(e, Wrote)]

    assert essence(play(name, ids=True)[1]) == essence(play(name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_script_gives_the_same_trace(name: str) -> None:
    def untimed(trace: Trace) -> list[Event]:
        return list(trace.events[1:])  # the first holds the run's random name

    assert untimed(play(name)[1]) == untimed(play(name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_at_any_event_leaks_nothing(name: str) -> None:
    program = load(name)
    _, whole, _ = play(name)
    for step in range(len(whole.events)):
        engine = ScriptedEngine(make_script(program))
        trace = Trace()

        async def cancelled_at(step: int = step, engine: ScriptedEngine = engine,
                               trace: Trace = trace) -> None:
            with anyio.CancelScope() as scope:
                def sink(event: Event) -> None:
                    if len(trace) > step:
                        scope.cancel()
                trace.subscribe(sink)
                await program["main"](engine, trace)

        run_virtual(cancelled_at)
        calls = engine.calls
        assert calls.open == 0
        assert calls.started == calls.finished + calls.failed + calls.left
        open_threads = {e.thread for e in of(trace, Started)} - {e.thread for e in of(trace, Ended)}
        assert not open_threads
        assert not [e for e in of(trace, Noted) if "sink" in e.what]
