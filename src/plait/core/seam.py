"""Stops that lie across the end of one request and the beginning of the next.

A stream may be made of several requests (see `plait.scheduler.writing` and
`plait.engines.pool.replay`). An engine looks for stops in what it writes itself, so one whose first
half ended the request before would be missed.
"""

from __future__ import annotations

from collections.abc import Sequence


class Seam:
    """Watches one stream. ``stops``: the strings that end it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._reach = max(map(len, self._stops), default=1) - 1
        self._recent = ""
        """The last `_reach` characters of the stream."""
        self._before = ""
        self._since = ""

    def cross(self) -> None:
        """The next text comes from another request."""
        self._before, self._since = self._recent, ""

    def take(self, text: str) -> tuple[int, str] | None:
        """Take the text that follows. If a stop that began in the request before ends in it:
        where in ``text``, and which stop."""
        found = None
        if self._before and len(self._since) < self._reach:
            found = self._find(text)
            self._since += text
        if self._reach:
            self._recent = (self._recent + text)[-self._reach :]
        return found

    def _find(self, text: str) -> tuple[int, str] | None:
        whole = self._before + self._since + text
        old, seen = len(self._before), len(self._before) + len(self._since)
        ends = [(place + len(stop) - seen, stop) for stop in self._stops
                if 0 <= (place := whole.find(stop)) < old and place + len(stop) > seen]
        return min(ends, default=None)
