"""Queries on an open store. Each takes one connection and returns values; nothing is kept open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from plait.core.events import Event
from plait.errors import UsageError
from plait.server.feedback import Feedback
from plait.server.store.base import unpack
from plait.server.store.records import COLUMNS, Page, RunFilter, RunRecord, from_row

MOST = 1000
"""Runs on one page."""
_ROW = ", ".join(f"r.{c}" for c in COLUMNS)
_SAID = "f.at, f.rating, f.label, f.comment, f.answer, f.coherent, f.key"


class Reader:
    """Reads from ``base``, whose rows have names."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def runs(self, wanted: RunFilter, limit: int, before: int | None) -> Page:
        """A page of runs with their questions, the latest first."""
        limit = max(1, min(limit, MOST))
        where, values = wanted.where()
        if before is not None:
            where, values = f"{where} AND r.number < ?", [*values, before]
        rows = self._base.execute(
            f"SELECT {_ROW}, t.question FROM runs r LEFT JOIN texts t USING (number)"
            f" WHERE {where} ORDER BY r.number DESC LIMIT ?", [*values, limit + 1]).fetchall()
        found = tuple(from_row(row) for row in map(_named, rows[:limit]))
        return Page(found, found[-1].number if len(rows) > limit else None)

    def run(self, run: str) -> RunRecord:
        """The whole record of ``run``. Raises `UsageError` if there is none."""
        row = self._base.execute(
            f"SELECT {_ROW}, t.question, t.answer, t.error FROM runs r"
            " LEFT JOIN texts t USING (number) WHERE r.run = ?", (run,)).fetchone()
        if row is None:
            raise UsageError(f"there is no run `{run:.60}`",
                             hint="It may have been deleted for its age, or to save space.")
        return from_row(_named(row))

    def trace(self, run: str) -> list[Event]:
        """The events of ``run``, as far as they were written."""
        number = self.run(run).number
        parts = self._base.execute("SELECT data FROM events WHERE number = ? ORDER BY part",
                                   (number,))
        return [event for part in parts for event in unpack(part["data"])]

    def feedback(self, run: str) -> list[Feedback]:
        """What was said of ``run``."""
        rows = self._base.execute(
            f"SELECT {_SAID} FROM feedback f WHERE f.number = ? ORDER BY f.id",
            (self.run(run).number,))
        return [_feedback(run, _named(row)) for row in rows]

    def all_feedback(self) -> list[tuple[RunRecord, Feedback]]:
        """Everything that was said, each with the run it is about."""
        return list(self._all_feedback())

    def _all_feedback(self) -> Iterator[tuple[RunRecord, Feedback]]:
        rows = self._base.execute(
            f"SELECT r.run AS of_run, {_SAID} FROM feedback f JOIN runs r USING (number)"
            " ORDER BY f.id").fetchall()
        for row in map(_named, rows):
            run = row.pop("of_run")
            yield self.run(run), _feedback(run, row)


def _named(row: sqlite3.Row) -> dict[str, Any]:
    return dict(zip(row.keys(), row, strict=True))


def _feedback(run: str, row: Mapping[str, Any]) -> Feedback:
    coherent = row["coherent"]
    return Feedback(run, **{**row, "coherent": None if coherent is None else bool(coherent)})
