"""What happened in a run, told in lines: decisions, forks, joins, verdicts, merges, warnings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
from plait.viewer.words import number, seconds, way

Tone = Literal["start", "decision", "fork", "join", "verify", "merge", "note", "warning",
               "fallback", "end"]
_SAYS = re.compile(r"^\S+ says ")
_MERGES = ("merge", "best:", "vote", "hierarchical", "explore:", "refine:")
_ROLES: dict[Role, tuple[Tone, str]] = {
    "planner": ("decision", "asks a planner"), "judge": ("verify", "asks a judge"),
    "merger": ("merge", "asks for a merge"), "fallback": ("fallback", "starts the fallback")}


@dataclass(slots=True)
class Line:
    """Something of note at ``t`` in a thread (empty: of the run), and in ``others`` besides."""

    t: float
    thread: str
    tone: Tone
    text: str
    detail: str = ""
    others: int = 0


class Story:
    """The lines so far. ``feed`` takes each event after the scene took it.

    What many threads do alike is one line: children that a thread starts until it joins some, and
    notes and failures in the same words.
    """

    def __init__(self, scene: Scene) -> None:
        self.lines: list[Line] = []
        self.threads: dict[str, list[Line]] = {}
        """The lines of each thread, one by one."""
        self._scene = scene
        self._groups: dict[tuple[str, ...], tuple[Line, int]] = {}

    def feed(self, event: Event) -> None:
        """Add a line for ``event`` if it is of note."""
        if isinstance(event, Started) and event.parent is not None and not event.attempt:
            self._started(event, event.parent)
        elif isinstance(event, Ended) and event.status == "cancelled":
            self._cancelled(event)
        elif (line := self._line(event)) is not None:
            self._told(event, line)

    def _told(self, event: Event, line: Line) -> None:
        self.threads.setdefault(line.thread, []).append(line)
        if isinstance(event, Joined):
            for key in [key for key in self._groups if key[0] == event.thread]:
                del self._groups[key]
        if isinstance(event, Noted | Ended | Answered):
            first, size = self._grouped(("", line.tone, line.text), replace(line))
            first.others = size - 1
        else:
            self.lines.append(line)

    def _started(self, event: Started, parent: str) -> None:
        tone, verb = _ROLES.get(event.role, ("fork", "starts"))
        line, size = self._grouped((parent, event.role), Line(event.t, parent, tone, ""))
        if event.role in _ROLES:
            line.text = verb + (f" {size} times" if size > 1 else "")
        else:
            line.text = f"{verb} {number(size, 'thread')}"
        if event.t - line.t >= 0.1:
            line.detail = f"the last at {seconds(event.t)}"

    def _cancelled(self, event: Ended) -> None:
        parent = self._scene.strands[event.thread].parent
        name = "" if parent is None else parent.name
        line, size = self._grouped((name, "cancels", event.reason), Line(event.t, name, "join", ""))
        about = f": {event.reason}" if event.reason else ""
        line.text = f"cancels {number(size, 'thread')}{about}"

    def _grouped(self, group: tuple[str, ...], new: Line) -> tuple[Line, int]:
        """The line that tells of the group already, else ``new``, and how many it now is for."""
        line, size = self._groups.get(group, (new, 0))
        if not size:
            self.lines.append(new)
            if group[0]:
                self.threads.setdefault(new.thread, []).append(new)
        self._groups[group] = line, size + 1
        return line, size + 1

    def _line(self, event: Event) -> Line | None:
        match event:
            case RunStarted():
                return Line(event.t, "", "start",
                            f"{event.model or 'the model'} is asked: {way(event)}")
            case Decided():
                return Line(event.t, "", "decision",
                            f"the policy {event.policy} chose {event.method}: {event.why}",
                            ", ".join(event.inputs))
            case Started(attempt=attempt) if attempt:
                return Line(event.t, event.thread, "warning",
                            f"is tried again (attempt {attempt + 1})")
            case Joined():
                return Line(event.t, event.thread, "join", self._scene.joined(event))
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
