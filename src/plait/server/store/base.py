"""The store's database file: its tables, how it is opened, and that one process writes to it.

    runs       one narrow row a run (`RunRecord` without its texts)
    texts      question, answer and error of a run
    events     the trace in parts: JSON lines by `plait.trace.codec`, packed
    feedback   what was said of runs

WAL mode: readers never wait for the writer. A commit outlives the process however that ends; a
machine that loses power may lose the last commits, never the file (``synchronous = NORMAL``).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from plait.core.events import Event
from plait.errors import UsageError
from plait.server.store.records import COLUMNS, TEXT_COLUMNS
from plait.trace.codec import encode, from_dict

VERSION = 1
APPLICATION = 0x504C4954
"""Marks the file as a store of plait (``PRAGMA application_id``): "PLIT"."""
_INDEXED = ("state", "model", "method", "key", "user", "experiment", "started")
_WAIT = 10.0
"""Seconds that a connection waits for a lock; with WAL only schema changes ever lock."""
_JOURNAL = 16_000_000
"""Bytes to which the write-ahead log shrinks once all of it is in the file."""
_LEVEL = 1
"""Of zlib: the fastest, since it runs beside the gateway."""

_SCHEMA = [
    f"CREATE TABLE runs ({', '.join(f'{c}' for c in COLUMNS)}, PRIMARY KEY (number))"
    .replace("(number,", "(number INTEGER,", 1),
    "CREATE UNIQUE INDEX runs_run ON runs (run)",
    *(f"CREATE INDEX runs_{c} ON runs ({c})" for c in _INDEXED),
    f"CREATE TABLE texts (number INTEGER PRIMARY KEY, {', '.join(TEXT_COLUMNS)})",
    "CREATE TABLE events (number INTEGER, part INTEGER, data BLOB, PRIMARY KEY (number, part))",
    "CREATE TABLE feedback (id INTEGER PRIMARY KEY, number INTEGER, at REAL, rating REAL,"
    " label TEXT, comment TEXT, answer TEXT, coherent INTEGER, key TEXT)",
    "CREATE INDEX feedback_number ON feedback (number)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
]


def open_writer(path: Path) -> tuple[sqlite3.Connection, int]:
    """A connection that writes, and the lock that keeps other processes from it (a file to close).

    Makes the file if there is none. Raises `UsageError` if it cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write the store {path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        base = sqlite3.connect(path, isolation_level=None, timeout=_WAIT, check_same_thread=False)
        _prepare(base, path)
    except BlockingIOError:
        os.close(lock)
        raise UsageError(f"another gateway writes to the store {path}",
                         hint="Give each gateway a store of its own.") from None
    except (OSError, sqlite3.Error, UsageError) as error:
        os.close(lock)
        if isinstance(error, UsageError):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot write the store {path}: {why}") from None
    return base, lock


def _prepare(base: sqlite3.Connection, path: Path) -> None:
    _check(base, path, empty=True)
    if not _value(base, "PRAGMA application_id"):
        base.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or never
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            base.execute(statement)
        base.execute("COMMIT")
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    base.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
    base.execute("UPDATE runs SET state = 'lost' WHERE state = 'running'")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads, with rows by name. Raises `UsageError` if it is no store."""
    if not path.is_file():
        raise UsageError(f"there is no store {path}",
                         hint="`plait serve --store FILE` makes one.")
    try:
        base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True,
                               isolation_level=None, timeout=_WAIT)
    except sqlite3.Error as error:
        raise UsageError(f"cannot read the store {path}: {error}") from None
    try:
        base.row_factory = sqlite3.Row
        _check(base, path, empty=False)
        yield base
    finally:
        base.close()


def _check(base: sqlite3.Connection, path: Path, *, empty: bool) -> None:
    """Raise `UsageError` unless it is a store of this version, or new where that is allowed."""
    try:
        mark, version = (_value(base, f"PRAGMA {p}") for p in ("application_id", "user_version"))
        tables = _value(base, "SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} is no store of plait: {error}") from None
    if empty and not mark and not tables:
        return
    if mark != APPLICATION:
        raise UsageError(f"{path} is no store of plait", hint="Name another file.")
    if version != VERSION:
        raise UsageError(f"the store {path} is of version {version}, this plait knows {VERSION}",
                         hint="Use the plait that wrote it, or another file.")


def _value(base: sqlite3.Connection, query: str) -> int:
    return int(base.execute(query).fetchone()[0])


def used_bytes(base: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages = _value(base, "PRAGMA page_count") - _value(base, "PRAGMA freelist_count")
    return pages * _value(base, "PRAGMA page_size")


def pack(events: Iterable[Event]) -> bytes:
    """Events as stored."""
    return zlib.compress(b"\n".join(encode(e) for e in events), _LEVEL)


def unpack(data: bytes) -> list[Event]:
    """The events of a part. Raises `TraceError` if it holds something else."""
    return [from_dict(orjson.loads(line)) for line in zlib.decompress(data).split(b"\n") if line]
