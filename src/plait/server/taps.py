"""Reading the usage out of a stream of events that passes by, touching nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

TAIL = 16384
"""Bytes of the end of a stream in which its usage is looked for."""


class UsageTap:
    """Takes the bytes of a stream and gives those that go on. ``hidden``: the usage was asked for
    by us, so the event that holds nothing else is left out."""

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden
        self._tail = b""
        self._usage: Mapping[str, Any] = {}

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` goes on now. A usage event is recognised once it is whole."""
        if not self._hidden:
            self._tail = (self._tail + data)[-TAIL:]
            return data
        self._tail += data
        end = max(self._tail.rfind(b"\n\n"), self._tail.rfind(b"\r\n\r\n") + 2)
        if end < 2:
            return b""
        whole, self._tail = self._tail[: end + 2], self._tail[end + 2 :]
        if b'"usage"' not in whole:
            return whole
        return b"".join(event for event in _events(whole) if not self._is_usage(event))

    def rest(self) -> bytes:
        """What was held back at the end of the stream."""
        if not self._hidden or self._is_usage(self._tail):
            return b""
        return self._tail

    def usage(self) -> Mapping[str, Any]:
        """The usage that the stream reported; empty if none."""
        if not self._usage:
            for event in reversed(_events(self._tail)):
                if (found := _usage_of(event)) is not None:
                    self._usage = found[0]
                    break
        return self._usage

    def _is_usage(self, event: bytes) -> bool:
        """Is it the event that reports the usage and nothing else?"""
        found = _usage_of(event)
        if found is None:
            return False
        self._usage = found[0]
        return found[1]


def _events(data: bytes) -> list[bytes]:
    """``data`` cut behind each blank line."""
    mark = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    return [part + mark for part in data.split(mark) if part] if data.endswith(mark) else (
        [*(part + mark for part in data.split(mark)[:-1]), data.split(mark)[-1]])


def _usage_of(event: bytes) -> tuple[Mapping[str, Any], bool] | None:
    """The usage in an event, and whether it has no choices; None if it has no usage."""
    if b'"usage"' not in event:
        return None
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        data = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, Mapping):
        return None
    inner = data.get("response")  # the last event of a response holds all of it
    usage = data.get("usage") or (inner.get("usage") if isinstance(inner, Mapping) else None)
    if not isinstance(usage, Mapping):
        return None
    return usage, not data.get("choices") and not isinstance(inner, Mapping)
