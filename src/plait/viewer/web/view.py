"""A run as the pages see it: the scene, its texts and its story, kept up to date by events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plait.core.events import Event, Joined, Wrote
from plait.trace.path import Stretch, critical_path
from plait.viewer.scene import Scene, Strand
from plait.viewer.web.journal import Journal
from plait.viewer.web.story import Story


@dataclass(frozen=True, slots=True)
class Join:
    """A thread had waited for ``children`` at time ``t``; its clock then stood at ``clock``."""

    t: float
    clock: int
    thread: str
    children: tuple[str, ...]


class View:
    """Everything that is shown of one run. Raises `TraceError` where the events make no sense."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.scene = Scene()
        self.journal = Journal()
        self.story = Story(self.scene)
        self.joins: list[Join] = []
        self.touched: set[str] = set()
        """Threads in which something happened since somebody last emptied this."""
        for event in events:
            self.feed(event)

    def feed(self, event: Event) -> None:
        """Take in what happened."""
        self.scene.feed(event)
        self.journal.feed(event)
        if isinstance(event, Wrote):  # nearly all events are chunks, and they tell no story
            self.touched.add(event.thread)
            return
        self.story.feed(event)
        thread = getattr(event, "thread", None)
        if thread is None:
            return
        self.touched.add(thread)
        strand = self.scene.strands.get(thread)
        if strand is not None and strand.parent is not None:
            self.touched.add(strand.parent.name)
        if isinstance(event, Joined):
            self.touched.update(event.children)
            clock = self.scene.meter.clocks[thread].clock
            self.joins.append(Join(event.t, clock, thread, event.children))

    @property
    def over(self) -> bool:
        return self.scene.ended is not None

    def path(self) -> list[Stretch]:
        """The critical path so far, from its first stretch to its last."""
        return critical_path(self.scene.meter.clocks)

    def order(self) -> list[tuple[Strand, int]]:
        """The threads, each below its parent, with their depth. No recursion: chains are long."""
        found: list[tuple[Strand, int]] = []
        stack = [(self.scene.root, 0)] if self.scene.root is not None else []
        while stack:
            strand, depth = stack.pop()
            found.append((strand, depth))
            stack.extend((child, depth + 1) for child in reversed(strand.children))
        return found
