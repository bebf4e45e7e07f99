"""Every directed method may be cancelled at any event, and nothing is left open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from plait.core import Plan
from plait.core.events import Ended, Event, Started
from plait.merge import Hierarchical
from plait.methods import Explore, Fixed, Refine, Skeleton
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace
from plait.verify import Judge
from tests.methods.play import chat
from tests.methods.test_others import ESSAY, OUTLINE


def script() -> Callable[..., Play]:
    """A model that answers differently each time and judges every third answer wrong."""
    calls = iter(range(10_000))

    def play(prompt: str, sampling: object) -> Play:
        k = next(calls)
        if "Plan an answer" in prompt:
            return Play(OUTLINE)
        if "Verdict:" in prompt:
            return Play("Verdict: wrong" if k % 3 == 0 else "I cannot say")
        return Play(f"<think>hm</think>so\nAnswer: {k % 4}", every=0.01 * (1 + k % 3))

    return play


METHODS: dict[str, Callable[[], Any]] = {
    "explore": lambda: Explore(attempts=6, verifier=Judge()),
    "explore-read": lambda: Explore(attempts=5, merge=Hierarchical(fan=2)),
    "fixed": lambda: Fixed(verifier=Judge()),
    "refine": lambda: Refine(rounds=(3, 2, 1)),
    "skeleton": lambda: Skeleton(),
}


def play(name: str, stop_at: int | None) -> tuple[Trace, ScriptedEngine]:
    engine, trace = ScriptedEngine(script()), Trace()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            def sink(event: Event) -> None:
                if stop_at is not None and len(trace) > stop_at:
                    scope.cancel()

            trace.subscribe(sink)
            await solve(chat(ESSAY), engine=engine, method=METHODS[name](), trace=trace,
                        plan=Plan(name, retries=0))

    run_virtual(main)
    return trace, engine


@pytest.mark.parametrize("name", METHODS)
def test_cancelling_at_any_event_leaks_nothing(name: str) -> None:
    whole, _ = play(name, None)
    for step in range(0, len(whole), 3):
        trace, engine = play(name, step)
        calls = engine.calls
        assert calls.open == 0
        assert calls.started == calls.finished + calls.failed + calls.left
        started = {e.thread for e in trace.events if isinstance(e, Started)}
        assert started == {e.thread for e in trace.events if isinstance(e, Ended)}


@pytest.mark.parametrize("name", METHODS)
def test_the_same_script_gives_the_same_trace(name: str) -> None:
    first, second = play(name, None)[0], play(name, None)[0]
    assert list(first.events[1:]) == list(second.events[1:])
