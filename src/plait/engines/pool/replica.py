"""One replica: its engine, what it does for us, and whether it has room for more.

A replica is full when it has as many streams of ours as it has slots (or, where it does not say,
far more than its share), when it reports requests that wait, after a 429 or 503 for as long as it
asked, and when none of its streams has said a word for long. Once full, it has to have a quarter
of its room free again before it counts as open: calls would move to and fro with every stream that
ends.
"""

from __future__ import annotations

from math import ceil

from plait.engines.openai import OpenAIEngine
from plait.interfaces import Load

LEAST, SPREAD = 16, 1.5
"""Streams of ours that are never too many for a server that tells no slots, and how many times the
mean of the pool are."""
ROOM = 0.75
REST_SECONDS = 1.0
"""For this long an overloaded server that names no time is spared."""
SILENT_SECONDS = 10.0


class Replica:
    """See the module's docstring. Times are seconds of the event loop's clock."""

    def __init__(self, engine: OpenAIEngine) -> None:
        self.engine = engine
        self.name = engine.base_url
        self.streams = 0
        """Streams of ours that it writes, or is about to."""
        self.load = Load()
        """What it last said."""
        self._full = False
        self._spared = float("-inf")
        self._heard = float("-inf")

    def __repr__(self) -> str:
        return f"Replica({self.name!r})"

    def begin(self, now: float) -> None:
        """A stream begins."""
        if self.streams == 0:
            self._heard = now
        self.streams += 1

    def end(self) -> None:
        """A stream has ended, however."""
        self.streams -= 1

    def heard(self, now: float) -> None:
        """Something of a stream has come."""
        self._heard = now

    def spare(self, seconds: float | None, now: float) -> None:
        """It has too much to do, and asked to be left alone for so long."""
        self._spared = max(self._spared, now + (REST_SECONDS if seconds is None else seconds))

    def room(self, mean: float) -> float:
        """How many streams of ours it can take; ``mean``: what a replica of the pool has now."""
        slots = self.engine.capabilities.slots
        return slots if slots is not None else max(LEAST, ceil(SPREAD * mean))

    def is_full(self, mean: float, now: float) -> bool:
        """Should new streams go elsewhere?"""
        room = self.room(mean)
        waiting = (self.load.waiting or 0) > 0
        silent = self.streams > 0 and now - self._heard > SILENT_SECONDS
        many = self.streams >= (ROOM * room if self._full else room)
        self._full = many or waiting
        return self._full or silent or now < self._spared
