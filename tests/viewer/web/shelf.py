"""A source that keeps runs in memory, as a gateway's store would hand them out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import anyio

from plait.core.events import Event
from plait.viewer.web import Entry, Feedback, Filter, Listing


@dataclass
class Shelf:
    """Runs by key. ``steps``: the events of a live run as they come, pauses between them."""

    entries: dict[str, Entry] = field(default_factory=dict)
    kept: dict[str, Sequence[Event]] = field(default_factory=dict)
    said: dict[str, Sequence[Feedback]] = field(default_factory=dict)
    steps: dict[str, Sequence[Sequence[Event]]] = field(default_factory=dict)
    asked: list[Filter] = field(default_factory=list)

    def put(self, entry: Entry, events: Sequence[Event], *said: Feedback) -> None:
        self.entries[entry.key], self.kept[entry.key] = entry, events
        self.said[entry.key] = said

    async def runs(self, wanted: Filter) -> Listing:
        self.asked.append(wanted)
        entries = [e for e in self.entries.values() if wanted.text.lower() in e.question.lower()]
        first = int(wanted.page or 0)
        last = first + wanted.most
        older = str(last) if last < len(entries) else None
        return Listing(entries[first:last], older, len(entries),
                       sorted({e.method for e in entries}), sorted({e.model for e in entries}))

    async def entry(self, key: str) -> Entry | None:
        return self.entries.get(key)

    async def events(self, key: str) -> Sequence[Event]:
        return self.kept[key]

    async def follow(self, key: str) -> AsyncIterator[Event]:
        for step in self.steps.get(key, [self.kept[key]]):
            for event in step:
                yield event
            await anyio.sleep(0.05)

    async def alike(self, key: str) -> Sequence[Entry]:
        mine = self.entries[key]
        return [e for e in self.entries.values() if e.question == mine.question and e.key != key]

    async def feedback(self, key: str) -> Sequence[Feedback]:
        return self.said.get(key, ())
