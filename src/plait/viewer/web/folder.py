"""Trace files as a source of runs: what `plait view` shows.

A list must not read every file whole, so what a filter asks for is taken from the first and the
last lines of each; threads and tokens are counted for the runs that are on the page. Both are kept
as long as a file's size and time stay the same.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import orjson

from plait.core.events import Event, RunEnded, RunStarted
from plait.errors import TraceError, UsageError
from plait.trace import measure, read_trace
from plait.trace.codec import from_dict
from plait.viewer.web.source import Entry, Feedback, Filter, Listing, State

TAIL = 1 << 14
"""Bytes that are read at first to find the last line of a file."""
STILL = 60.0
"""Seconds after which a file without an end that nobody wrote to is taken for a lost run."""
POLL = 0.25
"""Seconds between two looks at a file that is followed."""


class Folder:
    """Runs in trace files, and in the ``*.jsonl`` files of folders, however deep.

    Raises `UsageError` for a path that is not there, and `TraceError` for a file that was named
    and is no trace.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if path.is_file():
                _check(path)
            elif not path.is_dir():
                raise UsageError(f"there is no file or folder {path}")
        self._paths = tuple(paths)
        self._glances: dict[Path, tuple[tuple[int, int], Entry | None]] = {}
        self._counted: dict[Path, tuple[tuple[int, int], Entry]] = {}

    def keys(self) -> list[str]:
        """The keys of all runs."""
        return list(self._files())

    async def runs(self, wanted: Filter) -> Listing:
        return await anyio.to_thread.run_sync(self._runs, wanted)

    async def entry(self, key: str) -> Entry | None:
        path = self._files().get(key)
        return None if path is None else await anyio.to_thread.run_sync(self._count, path, key)

    async def events(self, key: str) -> Sequence[Event]:
        path = self._files().get(key)
        if path is None:
            return ()
        return (await anyio.to_thread.run_sync(read_trace, path)).events

    async def follow(self, key: str) -> AsyncIterator[Event]:
        path = self._files().get(key)
        done, still = 0, time.monotonic()
        while path is not None and time.monotonic() - still < STILL:
            batch, done = await anyio.to_thread.run_sync(_new_events, path, done)
            for event in batch:
                yield event
                still = time.monotonic()
            if batch and isinstance(batch[-1], RunEnded):
                return
            await anyio.sleep(POLL)

    async def alike(self, key: str) -> Sequence[Entry]:
        return await anyio.to_thread.run_sync(self._alike, key)

    async def feedback(self, key: str) -> Sequence[Feedback]:
        return ()

    def _files(self) -> dict[str, Path]:
        """The files by key: the path within its folder, or the name, made different if need be."""
        found: dict[str, Path] = {}
        for path, name in self._named():
            key = name.encode("utf-8", "replace").decode()
            while key in found and found[key] != path:
                key = f"{path.parent.name}/{key}" if path.parent.name not in key else f"{key}~"
            found[key] = path
        return found

    def _named(self) -> Iterator[tuple[Path, str]]:
        for path in self._paths:
            if path.is_dir():
                for file in sorted(path.rglob("*.jsonl")):
                    yield file, file.relative_to(path).as_posix()
            else:
                yield path, path.name

    def _runs(self, wanted: Filter) -> Listing:
        files = self._files()
        seen = [entry for key, path in files.items() if (entry := self._glance(path, key))]
        kept = sorted((e for e in seen if _passes(e, wanted)), key=lambda e: -(e.started or 0.0))
        first = wanted.place or 0
        last = first + wanted.most
        counted = [self._count(files[e.key], e.key) or e for e in kept[first:last]]
        return Listing(counted, str(last) if last < len(kept) else None, len(kept),
                       sorted({e.method for e in seen if e.method}),
                       sorted({e.model for e in seen if e.model}))

    def _alike(self, key: str) -> Sequence[Entry]:
        seen = {name: entry for name, path in self._files().items()
                if (entry := self._glance(path, name))}
        mine = seen.get(key)
        if mine is None or not mine.question:
            return ()
        return sorted((e for e in seen.values() if e.question == mine.question and e.key != key),
                      key=lambda e: (e.method != "sequential", e.model != mine.model))

    def _glance(self, path: Path, key: str) -> Entry | None:
        """What the ends of a file say; None if it is no trace."""
        mark = _mark(path)
        known = self._glances.get(path)
        if mark is None:
            return None
        if known is None or known[0] != mark or (known[1] and known[1].state == "running"):
            known = self._glances[path] = mark, _look(path, key)
        return known[1]

    def _count(self, path: Path, key: str) -> Entry | None:
        """The same with threads and tokens."""
        glance, mark = self._glance(path, key), _mark(path)
        if glance is None or mark is None:
            return None
        known = self._counted.get(path)
        if known is None or known[0] != mark or known[1].state != glance.state:
            known = self._counted[path] = mark, _counted(path, glance)
        return known[1]


def _check(path: Path) -> None:
    """Raise `TraceError` unless the file can be read and is a trace."""
    try:
        if _is_trace(path):
            return
    except OSError as error:
        raise TraceError(f"cannot read the trace file {path}: {error.strerror}") from error
    raise TraceError(f"{path} is not a plait trace: line 1 is no header",
                     hint="Record one with `plait solve PROMPT --trace FILE`.")


def _counted(path: Path, glance: Entry) -> Entry:
    try:
        recording = read_trace(path)
        metrics = measure(recording.events)
    except TraceError as error:
        return replace(glance, note=str(error))
    cut = recording.truncated and glance.state != "running"
    return replace(
        glance, threads=metrics.threads, total_tokens=metrics.total_tokens,
        critical_path_tokens=metrics.critical_path_tokens, seconds=metrics.wall_seconds,
        note="the recording was cut off in its last line" if cut else "")


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _passes(entry: Entry, wanted: Filter) -> bool:
    outcome = wanted.outcome
    return ((not wanted.method or entry.method == wanted.method)
            and (not wanted.model or entry.model == wanted.model)
            and (wanted.since is None or (entry.started or 0.0) >= wanted.since)
            and wanted.text.casefold() in f"{entry.question}\n{entry.key}".casefold()
            and (not outcome or entry.state == outcome
                 or (outcome == "right" and entry.correct is True)
                 or (outcome == "wrong" and entry.correct is False)
                 or (outcome == "fallback" and entry.fallback is not None)))


def _look(path: Path, key: str) -> Entry | None:
    """A run as the ends of its file tell it; None if that is no trace."""
    try:
        if not _is_trace(path):
            return None
        written = path.stat().st_mtime
        started, ended = _read_start(path), _read_end(path)
    except OSError:
        return None
    except TraceError as error:
        return Entry(key, "lost", started=written, note=str(error))
    fresh = time.time() - written < STILL
    state: State = ended.finish if ended else "running" if fresh else "lost"
    known = started or RunStarted(0.0, "", "", "", "", "", None, 0)
    return Entry(
        key, state, known.question, known.engine, known.model, known.method, known.protocol,
        ended.correct if ended and ended.answer is not None else None,
        ended.fallback if ended else None,
        written - (ended.t if ended else 0.0), ended.t if ended else None)


def _is_trace(path: Path) -> bool:
    with path.open("rb") as file:
        return "plait_trace" in _json(file.readline())


def _read_start(path: Path) -> RunStarted | None:
    """The first event, if it is there already. Raises `TraceError` if it is no event."""
    with path.open("rb") as file:
        file.readline()
        event = _json(file.readline())
    found = from_dict(event) if event else None
    return found if isinstance(found, RunStarted) else None


def _read_end(path: Path) -> RunEnded | None:
    """The last event, if it is the run's end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        length = TAIL
        while True:
            file.seek(max(0, size - length))
            lines = file.read().rstrip(b"\n").split(b"\n")
            if len(lines) > 1 or length >= size:
                break
            length *= 8
    event = _json(lines[-1])
    if event.get("kind") != RunEnded.kind:
        return None
    found = from_dict(event)
    return found if isinstance(found, RunEnded) else None


def _json(line: bytes) -> dict[str, Any]:
    """The object on a line; empty if there is none, or only a part of it."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _new_events(path: Path, done: int) -> tuple[list[Event], int]:
    """The events of the whole lines after the first ``done`` bytes, and where they end.

    Raises `TraceError` if the file is gone or holds something else.
    """
    try:
        with path.open("rb") as file:
            file.seek(done)
            data = file.read()
    except OSError as error:
        raise TraceError(f"cannot read the trace file {path}: {error.strerror}") from error
    whole = data[:data.rfind(b"\n") + 1]
    objects = [_json(line) for line in whole.splitlines()]
    return [from_dict(one) for one in objects if "plait_trace" not in one], done + len(whole)
