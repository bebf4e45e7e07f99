"""Resets: contexts stay within their window, nothing that counts is lost, the trace says so."""

from typing import Any

import pytest

from plait.context import Notes, Window, report_contexts, write_on
from plait.core import Budget, Outcome, Plan, Request, Result, Sampling
from plait.core.events import Asked, Noted, Rewrote
from plait.errors import EngineUnreachable, UsageError
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure

NOTES = Notes("\nSTATE:", "\nGO ON:\n")


class WriteOn:
    """A method that writes on the root, within a window."""

    def __init__(self, tokens: int, keep: bool = False) -> None:
        self.window, self.keep = Window(tokens), keep

    async def run(self, root: Any, *rest: object) -> Outcome:
        text = await write_on(root, self.window, NOTES, keep=self.keep)
        return Outcome("done", root.text, text)


def counting(last: int) -> Any:
    """A model that counts up to ``last``, and knows where it stands."""

    def script(prompt: str, sampling: Sampling) -> str:
        said = [int(w) for w in prompt.split() if w.isdecimal()]
        at = said[-1] if said else 0
        if prompt.rstrip().endswith("STATE:"):
            return f" reached {at} "
        return "".join(f" {n}" for n in range(at + 1, last + 1))

    return script


def play(method: WriteOn, script: Any, ids: bool = False, **budget: Any) -> tuple[Result, Trace]:
    trace = Trace()

    async def main() -> Result:
        request = Request(prompt="Count.", budget=Budget(**budget))
        return await solve(request, engine=ScriptedEngine(script, ids=ids), method=method,
                           plan=Plan("counting"), trace=trace)

    return run_virtual(main), trace


@pytest.mark.parametrize("ids", [False, True])
def test_a_thread_resets_as_often_as_its_window_demands_and_comes_to_its_end(ids: bool) -> None:
    result, trace = play(WriteOn(64), counting(200), ids)
    assert result.answer is not None
    assert result.answer.split()[-1] == "200"
    resets = [e for e in trace.events if isinstance(e, Rewrote)]
    assert len(resets) >= 3
    assert all(e.reset for e in resets)
    assert max(e.context for e in trace.events if isinstance(e, Asked)) <= 64
    assert report_contexts(trace.events).peak <= 64


def test_what_a_reset_removes_is_not_wasted() -> None:
    result, trace = play(WriteOn(64), counting(200))
    assert result.wasted_tokens == 0
    assert measure(trace.events).useful_tokens == result.total_tokens > 200


def test_with_keep_the_text_is_whole_and_states_are_not_in_it() -> None:
    result, _ = play(WriteOn(96, keep=True), counting(150), ids=True)
    assert result.answer is not None
    assert [int(w) for w in result.answer.split()] == list(range(1, 151))


def test_the_report_sets_the_peak_beside_a_sequential_run() -> None:
    _, trace = play(WriteOn(64), counting(200), ids=True)
    report = report_contexts(trace.events)
    assert report.sequential > 200
    assert report.resets >= 3
    assert report.share is not None
    assert report.share < 0.35


def test_open_thoughts_stay_thoughts_after_a_reset() -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        if prompt.rstrip().endswith("STATE:"):
            return "half of it"
        return "on</think> 42" if "GO ON" in prompt else "<think>" + " hm" * 100

    result, _ = play(WriteOn(64), script)
    assert result.answer == "<think>on</think> 42"
    assert "<think>\nhalf of it\nGO ON:" in result.text


def test_a_model_that_never_ends_is_given_up_and_noted() -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        return " on" * 100

    result, _ = play(WriteOn(64), script)
    assert any("given up after 16 resets" in w for w in result.warnings)


def test_a_budget_that_ends_in_a_reset_ends_the_thread() -> None:
    result, trace = play(WriteOn(64), counting(500), total_tokens=100)
    assert result.total_tokens <= 100
    assert any(isinstance(e, Noted) and "total tokens" in e.what for e in trace.events)


def test_a_failing_engine_passes_through() -> None:


    with pytest.raises(EngineUnreachable, match="gone"):
        play(WriteOn(64), lambda p, s: Play("", error=EngineUnreachable("gone")))


def test_windows_have_a_least_size_and_a_hard_limit() -> None:
    with pytest.raises(UsageError, match="at least 64"):
        Window(10)
    assert Window.within(None, None).tokens == 4096
    assert Window.within(None, 1024).tokens == 1024
    assert Window.within(512, 1024).tokens == 512
    assert Window.within(512, 10).tokens == 64
    with pytest.raises(UsageError, match="at least 64"):
        Window.within(10, None)
