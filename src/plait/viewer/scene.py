"""What there is to see of a run: its threads and what each is doing, kept up to date by events.

Drawing is somewhere else (`plait.viewer.tree`, `plait.viewer.timeline`); a scene only knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from plait.context import ContextMeter
from plait.core.events import (
    Answered,
    Asked,
    Ended,
    Event,
    Joined,
    Noted,
    Role,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.core.outcome import Status
from plait.trace import Meter
from plait.viewer.words import number


@dataclass(slots=True)
class Request:
    """One engine request of a thread, in seconds since the run began. None: not yet."""

    asked: float
    first: float | None = None
    over: float | None = None


@dataclass(slots=True, eq=False)
class Strand:
    """One thread as a viewer sees it. A retry goes on in the same strand."""

    name: str
    parent: Strand | None
    role: Role
    label: str
    begin: float
    end: float | None = None
    tokens: int = 0
    attempt: int = 0
    status: Status | None = None
    reason: str = ""
    value: str | None = None
    children: list[Strand] = field(default_factory=list)
    running_children: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def open_request(self) -> Request | None:
        """The request that is at the engine now."""
        last = self.requests[-1] if self.requests else None
        return last if last is not None and last.over is None else None

    @property
    def state(self) -> str:
        """What it is doing, or how it ended, in a word or two."""
        if self.status is not None:
            return self._how_it_ended(self.status)
        if (request := self.open_request) is not None:
            return "reading" if request.first is None else "writing"
        if self.running_children:
            return f"waits for {self.running_children}"
        return "thinking" if self.requests else "queued"

    def _how_it_ended(self, status: Status) -> str:
        if status == "budget":
            return "out of budget"
        if status == "done" and self.value is None:
            return "no answer" if self.parent is None else "no solution"
        return status


class Scene:
    """The run so far. ``feed`` is a sink for `plait.trace.Trace`."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.meter = Meter()
        self.contexts = ContextMeter()
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.root: Strand | None = None
        self.strands: dict[str, Strand] = {}
        self.warnings: list[str] = []
        self.elapsed = 0.0
        self.tokens = 0
        for event in events:
            self.feed(event)

    def feed(self, event: Event) -> None:
        """Take in what happened. Raises `TraceError` where it makes no sense."""
        self.meter.feed(event)
        self.contexts.feed(event)
        self.elapsed = max(self.elapsed, event.t)
        match event:
            case Wrote():
                self._wrote(event)
            case Started():
                self._start(event)
            case Asked():
                self.strands[event.thread].requests.append(Request(event.t))
            case Answered():
                self._over(event.thread, event.t)
            case Ended():
                self._end(event)
            case Noted(warning=True):
                self.warnings.append(event.what)
            case RunStarted():
                self.started = event
            case RunEnded():
                self.ended = event
            case _:
                pass

    def joined(self, event: Joined) -> str:
        """A join in words: how many threads, and how they ended."""
        states = Counter(self.strands[name].state for name in event.children)
        parts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        return f"joins {number(len(event.children), 'thread')}: {parts}"

    def _wrote(self, event: Wrote) -> None:
        strand = self.strands[event.thread]
        strand.tokens += event.tokens
        self.tokens += event.tokens
        request = strand.open_request
        if request is not None and request.first is None:
            request.first = event.t

    def _start(self, event: Started) -> None:
        known = self.strands.get(event.thread)
        if known is not None:
            self._over(known.name, event.t)
            if known.status is not None and known.parent is not None:
                known.parent.running_children += 1
            known.status, known.reason, known.value, known.end = None, "", None, None
            known.attempt = max(known.attempt + 1, event.attempt)
            return
        parent = self.strands[event.parent] if event.parent is not None else None
        strand = Strand(event.thread, parent, event.role, event.label, event.t)
        self.strands[event.thread] = strand
        if parent is None:
            self.root = strand
        else:
            parent.children.append(strand)
            parent.running_children += 1

    def _over(self, thread: str, t: float) -> None:
        strand = self.strands.get(thread)
        if strand is not None and (request := strand.open_request) is not None:
            request.over = t

    def _end(self, event: Ended) -> None:
        strand = self.strands[event.thread]
        self._over(event.thread, event.t)
        if strand.status is None and strand.parent is not None:
            strand.parent.running_children -= 1
        strand.status, strand.reason, strand.value = event.status, event.reason, event.value
        strand.end = event.t
