"""Traces as files: a header line, then one event a line.

    {"plait_trace": 1, "version": "0.1.0"}
    {"kind": "run_started", "t": 0.0, ...}

A file can be read while it is written, and after the writer died: events reach the file in small
batches, at once for everything but the chunks of a stream. A last line that was cut off is
left out and reported in `Recording.truncated`; every other oddity is a `TraceError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import orjson

from plait.core.events import SCHEMA, Event, Wrote
from plait.errors import TraceError
from plait.trace.codec import encode, from_dict
from plait.version import VERSION

_HEADER = orjson.dumps({"plait_trace": SCHEMA, "version": VERSION})
BATCH = 32
"""Chunks of streams that may wait for the next write."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A trace as read from a file."""

    events: tuple[Event, ...]
    version: str
    """The plait that wrote it."""
    truncated: bool = False
    """The last line was cut off, as by a crash of the writer, and is not among the events."""


class JsonlWriter:
    """Writes a trace to a file; a sink for `plait.trace.Trace.subscribe`.

    Replaces the file if there is one. Raises `TraceError` if it cannot be opened; as a sink,
    `OSError` if it cannot be written to (the trace then drops it with a warning).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise TraceError(f"cannot write the trace file {path}: {error.strerror}") from error
        self._waiting: list[bytes] = [_HEADER]
        self.flush()

    def __call__(self, event: Event) -> None:
        self._waiting.append(encode(event))
        if not isinstance(event, Wrote) or len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand everything that waits to the operating system."""
        if self._waiting:
            data = memoryview(b"\n".join(self._waiting) + b"\n")
            self._waiting.clear()
            while data:
                data = data[self._file.write(data):]

    def close(self) -> None:
        """Write what waits and close the file. Harmless when closed."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def __enter__(self) -> JsonlWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def write_trace(path: str | Path, events: Iterable[Event]) -> None:
    """Write a whole trace. Raises `TraceError` if the file cannot be written."""
    with JsonlWriter(path) as writer:
        try:
            for event in events:
                writer(event)
        except OSError as error:
            raise TraceError(f"cannot write the trace file {path}: {error.strerror}") from error


def encode_trace(events: Iterable[Event]) -> bytes:
    """A whole trace as the bytes of its file."""
    return b"\n".join([_HEADER, *map(encode, events)]) + b"\n"


def read_trace(path: str | Path) -> Recording:
    """Read a trace file. Raises `TraceError`, with the line where it matters."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TraceError(f"cannot read the trace file {path}: {error.strerror}") from error
    header, *lines = data.split(b"\n")
    version = _read_header(path, header)
    events: list[Event] = []
    cut = lines.pop() if lines else b""  # what follows the last line's end: nothing, or a cut line
    for number, line in enumerate(lines, start=2):
        events.append(_read_event(path, number, line))
    if cut:
        try:
            orjson.loads(cut)
        except orjson.JSONDecodeError:
            return Recording(tuple(events), version, truncated=True)
        events.append(_read_event(path, len(lines) + 2, cut))
    return Recording(tuple(events), version)


def _read_header(path: str | Path, line: bytes) -> str:
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or "plait_trace" not in header:
        raise TraceError(f"{path} is not a plait trace: line 1 is no header",
                         hint="Record one with `plait solve PROMPT --trace FILE`.")
    if header["plait_trace"] != SCHEMA or type(header["plait_trace"]) is not int:
        raise TraceError(
            f"{path}, line 1: trace version {header['plait_trace']!r}, but this plait reads "
            f"version {SCHEMA}", hint="Use the plait that wrote it.")
    version = header.get("version")
    if not isinstance(version, str):
        raise TraceError(f"{path}, line 1: the header lacks the version of plait")
    return version


def _read_event(path: str | Path, number: int, line: bytes) -> Event:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise TraceError(f"{path}, line {number}: not JSON: {error.msg}") from error
    if not isinstance(data, dict):
        raise TraceError(f"{path}, line {number}: not an event but {data!r:.40}")
    try:
        return from_dict(data)
    except TraceError as error:
        raise TraceError(f"{path}, line {number}: {error}") from error
