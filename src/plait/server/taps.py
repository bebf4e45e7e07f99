"""What is looked at, and set right, in a reply that passes by.

- its usage, for budgets and metrics; the event that was asked for by us alone is left out
- thoughts under both of their names, ``reasoning`` and ``reasoning_content``: half of the clients
  read one, half the other
- whether a stream is whole, so that one that broke off does not look like one that ended

Everything else goes on byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

TAIL = 4096
"""Bytes of the end of a stream that are looked at to see whether it is whole."""
TWINS = ("reasoning", "reasoning_content")
_WHOLE = (b"[DONE]", b'"error"', b'"response.completed"', b'"response.incomplete"',
          b'"response.failed"')


class StreamTap:
    """Takes the bytes of a stream of events and gives those that go on, event by event.

    ``hidden``: the usage was asked for by us, so the event that holds nothing else is left out.
    """

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden
        self._rest = b""
        self._last = b""
        self._finished = False
        self.usage: Mapping[str, Any] = {}
        """The usage that the stream reported; empty if none."""

    def feed(self, data: bytes) -> bytes:
        """What goes on now: the events that ``data`` completes."""
        data = self._rest + data
        end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
        if end < 4 and not data.startswith(b"\n\n"):
            self._rest = data
            return b""
        whole, self._rest = data[:end], data[end:]
        return self._pass(whole)

    def close(self) -> bytes:
        """What was held back at the end of the stream."""
        rest, self._rest = self._rest, b""
        return self._pass(rest)

    @property
    def whole(self) -> bool:
        """Has the stream said that it is over?"""
        return self._finished or any(mark in self._last for mark in _WHOLE)

    def _pass(self, data: bytes) -> bytes:
        self._last = (self._last + data)[-TAIL:]
        if b'"finish_reason":"' in data or b'"finish_reason": "' in data:
            self._finished = True
        if b'"reasoning' not in data and b'_tokens"' not in data:
            return data
        return b"".join(self._event(event) for event in _events(data))

    def _event(self, event: bytes) -> bytes:
        """One event as it goes on; empty if it does not."""
        if b'"reasoning' not in event and b'_tokens"' not in event:
            return event
        data = _object(event)
        if data is None:
            return event
        inner = data.get("response")  # the last event of a response holds all of it
        usage = data.get("usage") or (inner.get("usage") if isinstance(inner, Mapping) else None)
        if isinstance(usage, Mapping):
            self.usage = usage
            if self._hidden and not data.get("choices") and not isinstance(inner, Mapping):
                return b""
        return b"data: " + orjson.dumps(data) + b"\n\n" if twin(data) else event


def twin(data: Mapping[str, Any]) -> bool:
    """Give the thoughts in ``data``, a completion or a chunk of one, both of their names; was
    there anything to do?"""
    done = False
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        for place in ("delta", "message"):
            said = choice.get(place) if isinstance(choice, Mapping) else None
            if not isinstance(said, dict):
                continue
            there = [name for name in TWINS if isinstance(said.get(name), str)]
            if len(there) == 1:
                said |= dict.fromkeys(TWINS, said[there[0]])
                done = True
    return done


def _events(data: bytes) -> list[bytes]:
    """``data`` cut behind each blank line."""
    mark = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    *whole, last = data.split(mark)
    return [*(event + mark for event in whole), *([last] if last else [])]


def _object(event: bytes) -> dict[str, Any] | None:
    """The JSON object in an event; None if there is none."""
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        data = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None
