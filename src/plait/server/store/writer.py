"""The one thread that writes to the store, in batches, and the sweep that keeps it small.

Whoever has something to write puts it into a queue and goes on. What comes within `PAUSE` is
written in one transaction. A batch that cannot be written (a full disk) is lost and counted, the
log says so, and the next one is tried; the gateway's answers do not depend on its memory.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from plait.core.events import Event
from plait.server.feedback import Feedback
from plait.server.store.base import open_writer, pack, used_bytes
from plait.server.store.records import COLUMNS, TEXT_COLUMNS, RunRecord

PAUSE = 0.05
"""Seconds for which a batch is gathered."""
MOST = 20_000
"""Entries of one batch."""
FULL = 200_000
"""Entries that may wait. Beyond that events are dropped, and their records say so."""
SWEEP = 30.0
"""Seconds between two looks at age and size."""
AT_ONCE = 20
"""Runs that are deleted in one transaction."""
ROOM = 0.9
"""A store that has grown too large is cut down to this share of its limit."""
DAY = 86_400.0

log = logging.getLogger("plait.server")


@dataclass(frozen=True, slots=True)
class Limits:
    """When runs are forgotten. ``days``: that started so long ago; ``size``: bytes of the file,
    the oldest first. None: never."""

    days: float | None = 30.0
    size: int | None = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Closing:
    """A run is over: what its record gains."""

    number: int
    values: dict[str, object]
    done: Callable[[], None]
    """Called once it is written, or lost."""


Entry = RunRecord | tuple[int, Event] | Closing | Feedback | Future[None]
"""A run that starts, an event, a run that ends, feedback; a future marks a place in the queue and
is done when all before it is written."""


class Writer:
    """Owns the connection that writes. `put` and `close` may be called from anywhere."""

    def __init__(self, path: Path, limits: Limits, now: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._now = now
        self._base, self._lock = open_writer(path)
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._hurry = threading.Event()
        self._parts: dict[int, int] = {}
        self._open: set[int] = set()
        self._sweep_at = 0.0
        self.lost = 0
        """Entries that could not be written."""
        self.failing = ""
        """Why the last batch could not be written; empty while all is well."""
        (last,) = self._base.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()
        self.last: int = last
        """The number of the latest run that was there when the file was opened."""
        self._thread = threading.Thread(target=self._work, name="plait-store", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Entries in the queue."""
        return self._queue.qsize()

    def put(self, entry: Entry) -> None:
        """Have ``entry`` written soon. Never waits."""
        self._queue.put(entry)
        if isinstance(entry, Future):
            self._hurry.set()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._queue.put(None)
        self._hurry.set()
        self._thread.join()
        os.close(self._lock)

    # --- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        more = True
        while more:
            batch, more = self._gather()
            marks = [entry for entry in batch if isinstance(entry, Future)]
            self._write([entry for entry in batch if not isinstance(entry, Future)])
            if marks or self._now() >= self._sweep_at:
                self._sweep()
            for mark in marks:
                mark.set_result(None)
        with suppress(sqlite3.Error):
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._base.close()

    def _gather(self) -> tuple[list[Entry], bool]:
        """The next batch, and whether there will be another."""
        batch: list[Entry] = []
        try:
            entry = self._queue.get(timeout=SWEEP)
            self._hurry.wait(PAUSE)
            self._hurry.clear()
            while entry is not None:
                batch.append(entry)
                if len(batch) >= MOST:
                    break
                entry = self._queue.get_nowait()
            else:
                return batch, False
        except Empty:
            pass
        return batch, True

    def _write(self, batch: Sequence[Entry]) -> None:
        if not batch:
            return
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._write_all(batch)
            self._base.execute("COMMIT")
            self.failing = ""
        except sqlite3.Error as error:
            self.lost += len(batch)
            if not self.failing:
                log.error("the store cannot be written, %d entries are lost: %s", len(batch), error)
            self.failing = str(error)
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            self._open -= {entry.number for entry in batch if isinstance(entry, RunRecord)}
        for entry in batch:
            if isinstance(entry, Closing):
                entry.done()

    def _write_all(self, batch: Sequence[Entry]) -> None:
        events: dict[int, list[Event]] = {}
        for entry in batch:
            if isinstance(entry, tuple):
                events.setdefault(entry[0], []).append(entry[1])
            elif isinstance(entry, RunRecord):
                self._insert(entry)
        for number in events.keys() & self._open:  # a run whose start was lost leaves no orphans
            some = events[number]
            part = self._parts[number] = self._parts.get(number, -1) + 1
            self._base.execute("INSERT INTO events VALUES (?, ?, ?)", (number, part, pack(some)))
        for entry in batch:  # after the events: who sees the end sees all of the trace
            if isinstance(entry, Closing):
                self._end(entry)
            elif isinstance(entry, Feedback):
                self._add_feedback(entry)

    def _insert(self, record: RunRecord) -> None:
        """Begin the record; a second run by the name of an old one is not remembered."""
        for table, columns in (("runs", COLUMNS), ("texts", ("number", *TEXT_COLUMNS))):
            made = self._base.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES"
                f" ({', '.join('?' * len(columns))})", [getattr(record, c) for c in columns])
            if not made.rowcount:
                log.error("a run `%s` is in the store already: the new one is left out", record.run)
                return
        self._open.add(record.number)

    def _end(self, closing: Closing) -> None:
        self._open.discard(closing.number)
        self._parts.pop(closing.number, None)
        for table, texts in (("runs", False), ("texts", True)):
            values = {n: v for n, v in closing.values.items() if (n in TEXT_COLUMNS) == texts}
            if values:
                self._base.execute(
                    f"UPDATE {table} SET {', '.join(f'{n} = ?' for n in values)} WHERE number = ?",
                    [*values.values(), closing.number])

    def _add_feedback(self, said: Feedback) -> None:
        self._base.execute(
            "INSERT INTO feedback (number, at, rating, label, comment, answer, coherent, key)"
            " SELECT number, ?, ?, ?, ?, ?, ?, ? FROM runs WHERE run = ?",
            (said.at, said.rating, said.label, said.comment, said.answer, said.coherent, said.key,
             said.run))
        if said.rating is not None:
            self._base.execute("UPDATE runs SET rating = ? WHERE run = ?", (said.rating, said.run))

    # --- forgetting ------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Delete what is too old or too much, and give its space back to the file system."""
        self._sweep_at = self._now() + SWEEP
        try:
            days, size = self._limits.days, self._limits.size
            deleted = 0
            if days is not None:
                oldest = self._now() - days * DAY
                while some := self._delete("started < ?", "started", oldest):
                    deleted += some
            if size is not None and used_bytes(self._base) > size:
                while used_bytes(self._base) > size * ROOM and (
                        some := self._delete("1", "number")):
                    deleted += some
            if deleted:
                self._base.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.error("old runs cannot be deleted from the store: %s", error)

    def _delete(self, condition: str, order: str, *values: object) -> int:
        """Delete the first runs in ``order`` for which ``condition`` holds, some at a time; how
        many. Runs that go on are not among them."""
        rows = self._base.execute(
            f"SELECT number FROM runs WHERE {condition} AND state != 'running'"
            f" ORDER BY {order} LIMIT {AT_ONCE}", values).fetchall()
        if not rows:
            return 0
        self._base.execute("BEGIN IMMEDIATE")
        for table in ("events", "texts", "feedback", "runs"):
            self._base.executemany(f"DELETE FROM {table} WHERE number = ?", rows)
        self._base.execute("COMMIT")
        return len(rows)
