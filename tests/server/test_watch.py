"""The seam to what watches: how runs end, and that watching never breaks one."""

from __future__ import annotations

import logging

import anyio
import pytest

from plait.core.events import Event
from plait.errors import EngineUnreachable
from plait.server.watch import Ending, RunInfo, watching
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.server.watched import about, answered, weaver


class Memory:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[RunInfo] = []
        self.events: list[Event] = []
        self.endings: list[Ending] = []

    def started(self, info: RunInfo) -> None:
        self.begun.append(info)

    def event(self, info: RunInfo, event: Event) -> None:
        self.events.append(event)

    def ended(self, info: RunInfo, ending: Ending) -> None:
        self.endings.append(ending)


class Broken(Memory):
    def event(self, info: RunInfo, event: Event) -> None:
        super().event(info, event)
        raise ValueError("secret words of a user")


def test_a_run_is_told_from_beginning_to_end_with_its_numbers() -> None:
    memory = Memory()
    engine = ScriptedEngine(weaver, every=0.5)

    async def main() -> None:
        result, trace = await answered([memory], about(), engine)
        assert tuple(memory.events) == trace.events
        (ending,) = memory.endings
        assert (ending.outcome, ending.result, ending.error) == ("answered", result, None)
        assert (ending.method, ending.protocol, ending.fallback) == ("native", "threadweaver", None)
        assert ending.metrics.total_tokens == result.total_tokens
        assert ending.metrics.critical_path_tokens == result.critical_path_tokens
        assert ending.first_token is not None

    run_virtual(main)


def test_an_error_is_how_a_run_fails_and_passes_through() -> None:
    memory = Memory()
    engine = ScriptedEngine(lambda p, s: Play("", error=EngineUnreachable("gone")))

    async def main() -> None:
        with pytest.raises(EngineUnreachable):
            await answered([memory], about(), engine, method="sequential")

    run_virtual(main)
    (ending,) = memory.endings
    assert (ending.outcome, ending.error_type) == ("failed", "EngineUnreachable")
    assert ending.result is None


def test_a_client_that_leaves_cancels_the_run() -> None:
    memory = Memory()
    engine = ScriptedEngine(lambda p, s: Play("word " * 100, every=1.0))

    async def main() -> None:
        with anyio.move_on_after(5):
            await answered([memory], about(), engine, method="sequential")

    run_virtual(main)
    (ending,) = memory.endings
    assert ending.outcome == "cancelled"
    assert 0 < ending.metrics.total_tokens < 100
    assert engine.calls.open == 0


def test_what_breaks_after_the_result_changes_nothing() -> None:
    memory = Memory()

    async def send() -> None:
        async with Runtime(ScriptedEngine(weaver)) as runtime:
            with watching([memory], about()) as watched:
                watched.result = await solve("1+2?", runtime=runtime, protocol="threadweaver")
                raise BrokenPipeError

    async def main() -> None:
        with pytest.raises(BrokenPipeError):
            await send()

    run_virtual(main)
    assert memory.endings[0].outcome == "answered"


def test_an_error_in_a_group_is_taken_out() -> None:
    memory = Memory()

    async def main() -> None:
        with pytest.raises(ExceptionGroup), watching([memory], about()):
            raise ExceptionGroup("tasks", [EngineUnreachable("gone")])

    run_virtual(main)
    assert memory.endings[0].error_type == "EngineUnreachable"


def test_a_watcher_that_raises_is_left_out_and_said_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, memory = Broken(), Memory()

    async def main() -> Trace:
        return (await answered([broken, memory], about()))[1]

    with caplog.at_level(logging.ERROR, "plait.server"):
        trace = run_virtual(main)
    assert tuple(memory.events) == trace.events
    assert len(broken.events) == 1
    assert broken.endings == []
    assert [r.getMessage() for r in caplog.records] == [
        "Broken failed and no longer watches the run r1"]
