"""A run as plain lines, one an event of note, for pipes and logs."""

from __future__ import annotations

from collections.abc import Callable

from plait.core.events import Ended, Event, Joined, Noted, RunStarted, Started
from plait.viewer.scene import Scene, Strand
from plait.viewer.words import fit, gist, harmless, number, one_line, way

LONGEST = 160
"""Signs of foreign text in a line."""


class PlainLines:
    """A sink for `plait.trace.Trace` that hands each line, without its end, to ``write``."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.scene = Scene()
        self._write = write

    def feed(self, event: Event) -> None:
        """Take in an event; write a line if it is of note."""
        self.scene.feed(event)
        if (line := self._line(event)) is not None:
            self._write(harmless(f"{event.t:8.2f} s  {line}"))

    def _line(self, event: Event) -> str | None:
        match event:
            case RunStarted():
                about = f"{event.engine} {event.model}: {way(event)}, seed {event.seed}"
                return one_line(f"run  {about}")
            case Started():
                return f"{event.thread}  {_start(event)}"
            case Joined():
                return f"{event.thread}  {self.scene.joined(event)}"
            case Ended():
                return f"{event.thread}  {_end(self.scene.strands[event.thread])}"
            case Noted():
                word = "warning" if event.warning else "note"
                return f"{event.thread}  {word}: {fit(one_line(event.what), LONGEST)}"
            case _:
                return None


def _start(event: Started) -> str:
    text = "starts" if event.parent is None else f"starts at token {event.at} of {event.parent}"
    if event.attempt:
        text = f"is tried again (attempt {event.attempt + 1})"
    role = "" if event.role == "thread" else f" as {event.role}"
    label = f": {fit(one_line(event.label), LONGEST)}" if event.label else ""
    return text + role + label


def _end(strand: Strand) -> str:
    text = f"{strand.state} after {number(strand.tokens, 'token')}"
    said = gist(strand.value) if strand.value is not None else one_line(strand.reason)
    return f"{text}: {fit(said, LONGEST)}" if said else text
