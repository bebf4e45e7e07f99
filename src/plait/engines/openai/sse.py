"""Server-sent events, cut out of bytes that arrive in any pieces. Pure.

Follows the event-stream grammar of the WHATWG HTML standard (section 9.2.6), and forgives what
servers and proxies get wrong: lines end in LF, CR LF or CR; comments (heartbeats) and unknown
fields are skipped; the blank line after the last event may be missing; so may ``[DONE]``. Older
llama.cpp servers report a failure in a field named ``error``; it is given as an event of that
name.
"""

from __future__ import annotations

from typing import NamedTuple

LONGEST = 16 * 1024 * 1024
"""Bytes in one event above which what we read is no event stream."""


class NotEvents(ValueError):
    """The bytes are not a stream of events."""


class Event(NamedTuple):
    """One event. ``name`` is ``message`` unless the server named it."""

    data: str
    name: str = "message"


class Decoder:
    """Feed it bytes, take events."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._data: list[str] = []
        self._size = 0
        self._name = "message"

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises `NotEvents` when one grows beyond bounds."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        lines = (self._rest + data).splitlines(keepends=True)
        self._rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if len(self._rest) + self._size > LONGEST:
            raise NotEvents(f"an event of more than {LONGEST} bytes")
        events: list[Event] = []
        for line in lines:
            if line == b"\n" and len(self._data) == 1:  # nearly every event is one line and this
                events.append(Event(self._data.pop(), self._name))
                self._size, self._name = 0, "message"
            elif line.startswith(b"data: "):
                self._data.append(line[6:].rstrip(b"\r\n").decode("utf-8", "replace"))
                self._size += len(line)
            else:
                self._take(line.rstrip(b"\r\n"), events)
        return events

    def close(self) -> list[Event]:
        """The bytes are over: the event that lacks its blank line, if any."""
        events: list[Event] = []
        rest, self._rest = self._rest, b""
        self._take(rest, events)
        self._take(b"", events)
        return events

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event("\n".join(self._data), self._name))
            self._data, self._size, self._name = [], 0, "message"
            return
        field, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"data":
            self._data.append(value)
            self._size += len(line)
        elif field == b"event":
            self._name = value
        elif field == b"error":
            events.append(Event(value, "error"))
