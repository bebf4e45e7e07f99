"""Runs under watch, for tests: made up from events, or answered by a scripted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.core import Request, Result
from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Committed,
    Ended,
    Event,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.server.watch import RunInfo, Watcher, watching
from plait.solve import Runtime, solve
from plait.testing import ScriptedEngine
from plait.trace import Trace, measure
from tests.woven import weaver


def about(run: str = "r1", **fields: Any) -> RunInfo:
    """What is known of a run."""
    return RunInfo(**{"run": run, "model": "script", "engine": "scripted", "question": "1+2?",
                      "started": 1000.0, **fields})


async def answered(
    watchers: Sequence[Watcher], info: RunInfo, engine: ScriptedEngine | None = None,
    runtime: Runtime | None = None, **options: Any,
) -> tuple[Result, Trace]:
    """One request to a scripted model, watched."""
    trace = Trace()
    engine = engine or ScriptedEngine(weaver, every=0.0)
    options.setdefault("protocol", None if "method" in options else "threadweaver")
    async with runtime or Runtime(engine) as own:
        with watching(watchers, info) as watched:
            trace.subscribe(watched.event)
            watched.result = await solve(Request(prompt=info.question), runtime=own, trace=trace,
                                         **options)
            return watched.result, trace


def made_up(info: RunInfo, *words: str, answer: str | None = "42") -> list[Event]:
    """The events of a run in one thread that writes ``words``."""
    events: list[Event] = [
        RunStarted(0.0, info.run, info.question, info.engine, info.model, "sequential", None, 0),
        Started(0.0, "0", None, "root", "thread", 0),
        Appended(0.0, "0", "prompt", info.question, 5), Asked(0.1, "0", 5, None)]
    events += [Wrote(0.2 + i / 100, "0", word, 1) for i, word in enumerate(words)]
    end = 0.3 + len(words) / 100
    events.append(Answered(end, "0", "eos", 5, 2, len(words)))
    if answer is not None:
        events.append(Committed(end, "0", answer))
    return [*events, Ended(end, "0", "done", "", answer),
            RunEnded(end, "answered" if answer is not None else "failed", answer, None,
                     "sequential", None)]


def result_of(events: Sequence[Event], answer: str | None = "42") -> Result:
    """The result that a run of ``events`` would have."""
    m = measure(events)
    return Result("0", answer, None, "answered" if answer is not None else "failed", "sequential",
                  None, None, m.threads, m.forks, m.max_parallel, m.depth, m.total_tokens,
                  m.critical_path_tokens, m.prompt_tokens, m.cached_tokens, m.inserted_tokens,
                  m.wasted_tokens, False, m.wall_seconds)


def play(
    watchers: Sequence[Watcher], info: RunInfo, *words: str, answer: str | None = "42",
    seconds: float = 1.0,
) -> list[Event]:
    """A made-up run under watch, which takes ``seconds`` by the clock; its events."""
    events = made_up(info, *words, answer=answer)
    moment = 0.0
    with watching(watchers, info, clock=lambda: moment) as watched:
        for event in events:
            watched.event(event)
        watched.result = result_of(events, answer)
        moment = seconds
    return events
