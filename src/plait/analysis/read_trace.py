"""plait's own traces: what a sequential run wrote, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plait.analysis.call import Call
from plait.core.events import Event, RunEnded, RunStarted, Wrote
from plait.trace import measure, read_trace


def from_trace(file: Path) -> Iterator[Call | str]:
    """The run in a trace file. Raises `TraceError` if it cannot be read."""
    recording = read_trace(file)
    events = recording.events
    started = next((e for e in events if isinstance(e, RunStarted)), None)
    if recording.truncated or started is None or not isinstance(events[-1], RunEnded):
        yield "unfinished run"
        return
    yield call_from(events, f"{started.engine} {started.model}")


def call_from(
    events: Sequence[Event], task: str, *, name: str | None = None,
    correct: bool | None = None,
) -> Call | str:
    """The call in the events of one run. ``correct`` is a grader's word, which beats the trace's
    own; ``name`` identifies the problem (default: the question itself)."""
    metrics = measure(events)
    started = next((e for e in events if isinstance(e, RunStarted)), None)
    ended = next((e for e in reversed(events) if isinstance(e, RunEnded)), None)
    if started is None or ended is None:
        return "unfinished run"
    if metrics.forks:
        return "run that forked"
    text = "".join(e.text for e in events if isinstance(e, Wrote))
    if not text.strip():
        return "empty answer"
    right = ended.correct if correct is None else correct
    return Call(
        id=name or started.question, task=task, question=started.question, text=text,
        tokens=metrics.total_tokens, estimated=metrics.estimated,
        prompt_tokens=metrics.prompt_tokens, seconds=metrics.wall_seconds, correct=right)
