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

from plait.engines.openai.sse import LONGEST

TWINS = ("reasoning", "reasoning_content")
_LAST = ("response.completed", "response.incomplete", "response.failed", "error")
"""Types of events that end a stream of ``/v1/responses``."""


class Garbage(ValueError):
    """What an engine streams is no stream of JSON."""


class StreamTap:
    """Takes the bytes of a stream of events and gives those that go on, event by event.

    ``hidden``: the usage was asked for by us, so the event that holds nothing else is left out.
    """

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden
        self._rest = b""
        self.whole = False
        """The stream has said that it is over."""
        self.usage: Mapping[str, Any] = {}
        """The usage that the stream reported; empty if none."""

    def feed(self, data: bytes) -> bytes:
        """What goes on now: the events that ``data`` completes. Raises `Garbage`."""
        data = self._rest + data
        mark = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
        *events, self._rest = data.split(mark)
        if len(self._rest) > LONGEST:
            raise Garbage(f"an event of more than {LONGEST} bytes")
        return b"".join(self._event(event, mark) for event in events)

    def close(self) -> bytes:
        """What was held back at the end of the stream. Raises `Garbage`."""
        rest, self._rest = self._rest, b""
        return self._event(rest, b"\n\n") if rest.strip() else b""

    def _event(self, event: bytes, mark: bytes) -> bytes:
        """One event as it goes on; empty if it does not."""
        lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
        said = b"\n".join(lines).strip()
        if not said:
            return event + mark
        if said == b"[DONE]":
            self.whole = True
            return event + mark
        try:
            data = orjson.loads(said)
        except orjson.JSONDecodeError:
            raise Garbage(f"it sent {said[:80]!r}") from None
        if not isinstance(data, dict):
            return event + mark
        if self._report(data):
            return b""
        return b"data: " + orjson.dumps(data) + mark if twin(data) else event + mark

    def _report(self, data: dict[str, Any]) -> bool:
        """Note what ``data`` says of usage and end; is it the event that only we asked for?"""
        choices = data.get("choices")
        if isinstance(choices, list) and any(
                isinstance(c, Mapping) and c.get("finish_reason") for c in choices):
            self.whole = True
        if "error" in data or data.get("type") in _LAST:
            self.whole = True
        inner = data.get("response")  # the last event of a response holds all of it
        usage = data.get("usage") or (inner.get("usage") if isinstance(inner, Mapping) else None)
        if not isinstance(usage, Mapping):
            return False
        self.usage = usage
        return self._hidden and not choices and not isinstance(inner, Mapping)


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
