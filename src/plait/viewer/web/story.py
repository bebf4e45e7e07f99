"""What happened in a run, told in lines: decisions, forks, joins, verdicts, merges, warnings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from plait.core.events import (
    Answered,
    Decided,
    Ended,
    Event,
    Joined,
    Noted,
    Rewrote,
    Role,
    RunEnded,
    RunStarted,
    Started,
)
from plait.viewer.scene import Scene
from plait.viewer.words import number, way

Tone = Literal["start", "decision", "fork", "join", "verify", "merge", "note", "warning",
               "fallback", "end"]
_SAYS = re.compile(r"^\S+ says ")
_MERGES = ("merge", "best:", "vote", "hierarchical", "explore:", "refine:")
_ROLES: dict[Role, tuple[Tone, str]] = {
    "planner": ("decision", "asks a planner"), "judge": ("verify", "asks a judge"),
    "merger": ("merge", "asks for a merge"), "fallback": ("fallback", "starts the fallback")}


@dataclass(slots=True)
class Line:
    """Something of note at ``t`` in a thread (empty: of the run)."""

    t: float
    thread: str
    tone: Tone
    text: str
    detail: str = ""


class Story:
    """The lines so far. ``feed`` takes each event after the scene took it."""

    def __init__(self, scene: Scene) -> None:
        self.lines: list[Line] = []
        self._scene = scene
        self._block: tuple[str, Role] | None = None
        self._size = 0

    def feed(self, event: Event) -> None:
        """Add a line for ``event`` if it is of note."""
        if isinstance(event, Started):
            self._started(event)
        elif (line := self._line(event)) is not None:
            self.lines.append(line)
            self._block = None

    def _started(self, event: Started) -> None:
        """Children that one thread starts in a row share a line."""
        if event.parent is None:
            return
        if event.attempt:
            self._block = None
            self.lines.append(Line(event.t, event.thread, "warning",
                                   f"is tried again (attempt {event.attempt + 1})"))
            return
        if self._block == (event.parent, event.role):
            self._size += 1
        else:
            self._block, self._size = (event.parent, event.role), 1
            tone = _ROLES.get(event.role, ("fork", ""))[0]
            self.lines.append(Line(event.t, event.parent, tone, ""))
        verb = _ROLES.get(event.role, ("", f"starts {number(self._size, 'thread')}"))[1]
        times = f" ({self._size} times)" if event.role in _ROLES and self._size > 1 else ""
        self.lines[-1].text = verb + times

    def _line(self, event: Event) -> Line | None:
        match event:
            case RunStarted():
                return Line(event.t, "", "start",
                            f"{event.model or 'the model'} is asked: {way(event)}")
            case Decided():
                return Line(event.t, "", "decision",
                            f"the policy {event.policy} chose {event.method}: {event.why}",
                            ", ".join(event.inputs))
            case Joined():
                return Line(event.t, event.thread, "join", self._joined(event))
            case Noted():
                return Line(event.t, event.thread, _tone(event), event.what)
            case Rewrote(reset=True):
                return Line(event.t, event.thread, "note", "goes on in a clean context")
            case Answered(finish="error"):
                return Line(event.t, event.thread, "warning", f"the engine failed: {event.error}")
            case Ended(status="failed" | "malformed" | "budget"):
                state = self._scene.strands[event.thread].state
                about = f": {event.reason}" if event.reason else ""
                return Line(event.t, event.thread, "warning", f"ended: {state}{about}")
            case RunEnded():
                return Line(event.t, "", "end", _end(event))
            case _:
                return None

    def _joined(self, event: Joined) -> str:
        states = Counter(self._scene.strands[name].state for name in event.children)
        parts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        return f"joins {number(len(event.children), 'thread')}: {parts}"


def _tone(note: Noted) -> Tone:
    if note.what.startswith("falling back"):
        return "fallback"
    if _SAYS.match(note.what):
        return "verify"
    if note.what.startswith(_MERGES):
        return "merge"
    return "warning" if note.warning else "note"


def _end(event: RunEnded) -> str:
    how = {"answered": "the question is answered", "budget": "the budget ended",
           "failed": "no answer was found"}[event.finish]
    checked = {True: "; the answer checks out", False: "; the answer does not check out", None: ""}
    return how + checked[event.correct]
