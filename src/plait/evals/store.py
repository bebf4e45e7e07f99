"""The folder of an evaluation: what was asked for, and every record as it finishes.

    DIR/eval.json        the plan: suite, arms, engine, seed... (written once)
    DIR/records.jsonl    one record a line, appended by one write each: this is the truth
    DIR/records.sqlite   the same as a table, for queries; brought up to date when it is opened
    DIR/steps.jsonl      step times of the engine, as they were measured between tasks
    DIR/traces/          one trace a task, if they are kept

A process that is killed loses nothing but the record that it was writing: a last line without its
end is cut off when the folder is opened again. A task that failed and ran again has two lines; the
later one counts. Only one process may write at a time (a lock on ``records.jsonl``).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import orjson

from plait.errors import UsageError
from plait.evals.values import Record

PLAN, RECORDS, TABLE, STEPS = "eval.json", "records.jsonl", "records.sqlite", "steps.jsonl"
BATCH, PAUSE = 256, 1.0
"""Rows and seconds after which rows are committed to the table."""
MAY_CHANGE = ("suite_fingerprint", "samples", "arms", "at_once", "limit", "shuffle", "version",
              "trials", "cache", "traces")
"""Parts of the plan that a resumed evaluation may change: more of the same is no other thing."""
_COLUMNS = [f.name for f in fields(Record)]
_REQUIRED = {f.name for f in fields(Record)
             if f.default is MISSING and f.default_factory is MISSING}


class Store:
    """An evaluation's folder, opened for writing. Use as a context manager.

    ``plan`` is what is being evaluated, as JSON values. Raises `UsageError` if the folder holds
    records and ``resume`` is not set, if it holds another evaluation, or is written to by another
    process.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / RECORDS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
        try:
            self._begin(plan, resume)
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self, plan: Mapping[str, Any], resume: bool) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another evaluation is writing to {self.folder}",
                             hint="Wait for it, or choose another folder with --out.") from None
        if os.fstat(self._file).st_size and not resume:
            raise UsageError(f"{self.folder} already holds an evaluation",
                             hint="Go on with it by --resume, or choose another folder by --out.")
        _cut_torn_line(self._file)
        self._write_plan(plan)
        self.records = {r.key: r for r in read_records(self.folder)}
        """What is there already; later lines replace earlier ones. Not kept up to date."""
        self._table = _Table(self.folder / TABLE)
        self._table.fill(self.records.values())

    def _write_plan(self, plan: Mapping[str, Any]) -> None:
        path = self.folder / PLAN
        if path.exists() and os.fstat(self._file).st_size:
            before = read_plan(self.folder)
            for key in plan.keys() | before.keys():
                if key not in MAY_CHANGE and before.get(key) != plan.get(key):
                    raise UsageError(
                        f"{self.folder} was made with {key} {_shown(before.get(key))},"
                        f" not {_shown(plan.get(key))}",
                        hint="Say the same again, or choose another folder with --out.")
            arms = before.get("arms", {})
            for name, arm in plan["arms"].items():
                if arms.get(name, arm) != arm:
                    raise UsageError(f"{self.folder} was made with other settings of `{name}`",
                                     hint="Say the same again, or choose another folder (--out).")
            plan = {**plan, "arms": {**arms, **plan["arms"]}}
        temporary = path.with_suffix(".new")
        temporary.write_bytes(orjson.dumps(plan, option=orjson.OPT_INDENT_2))
        temporary.replace(path)

    def add(self, record: Record) -> None:
        """Append a record. On return it survives the end of this process, however it ends."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        written = os.write(self._file, line)
        while written < len(line):  # a full disk raises OSError; a short write goes on
            written += os.write(self._file, line[written:])
        self._table.add(record)

    def note_step(self, width: int, seconds: float) -> None:
        """Keep what a step of the engine took with ``width`` threads at once."""
        with (self.folder / STEPS).open("ab") as file:
            file.write(orjson.dumps([width, seconds], option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Commit the table and give up the lock."""
        self._table.close()
        os.close(self._file)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.60}"


def _cut_torn_line(file: int) -> None:
    """Cut off what follows the last line's end: the writer died in the middle of it."""
    size = os.fstat(file).st_size
    end = size
    while end:
        start = max(0, end - (1 << 16))
        block = os.pread(file, end - start, start)
        place = block.rfind(b"\n")
        if place >= 0:
            end = start + place + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)


def read_plan(folder: Path) -> dict[str, Any]:
    """What an evaluation's folder is about. Raises `UsageError` if it is none."""
    try:
        plan = orjson.loads((folder / PLAN).read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no evaluation",
                         hint="Make one: plait eval SUITE --out DIR.") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(f"cannot read {folder / PLAN}: {error}") from error
    if not isinstance(plan, dict):
        raise UsageError(f"{folder / PLAN} holds no plan of an evaluation")
    return plan


def read_records(folder: Path) -> Iterator[Record]:
    """Every line of an evaluation in the order of writing; a torn last line is left out.

    Raises `UsageError` for what cannot be read, with the number of the line.
    """
    path = folder / RECORDS
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield _record(line, f"{path}, line {number}")


def read_steps(folder: Path) -> dict[int, float]:
    """Threads at once -> seconds a step of the engine took, the median of all measurements; empty
    where there are none. Raises `UsageError` for what cannot be read."""
    path = folder / STEPS
    found: dict[int, list[float]] = defaultdict(list)
    try:
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if line.endswith(b"\n"):
                width, seconds = orjson.loads(line)
                found[int(width)].append(float(seconds))
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return {width: median(values) for width, values in sorted(found.items())}


def latest(records: Iterable[Record]) -> list[Record]:
    """One record a task: where there are several, the last one."""
    return list({r.key: r for r in records}.values())


def _record(line: bytes, where: str) -> Record:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON: {error.msg}") from error
    if not isinstance(values, dict) or not values.keys() >= _REQUIRED:
        raise UsageError(f"{where} is no record of an evaluation")
    if unknown := values.keys() - set(_COLUMNS):
        raise UsageError(f"{where}: a record has no `{min(unknown)}`",
                         hint="It was written by another version of plait.")
    values["warnings"] = tuple(values.get("warnings", ()))
    values["steps"] = tuple(map(tuple, values.get("steps", ())))
    return Record(**values)


class _Table:
    """Records as a SQLite table, one row a task. A copy: it can be deleted and comes back."""

    def __init__(self, path: Path) -> None:
        try:
            self._base = self._open(path)
        except sqlite3.DatabaseError:  # a copy that is broken is made again
            path.unlink()
            self._base = self._open(path)
        self._waiting: list[tuple[object, ...]] = []
        self._committed = time.monotonic()
        marks = ", ".join("?" * len(_COLUMNS))
        self._insert = f"INSERT OR REPLACE INTO records VALUES ({marks})"

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        base = sqlite3.connect(path, isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        names = ", ".join(f'"{name}"' for name in _COLUMNS)  # `group` is a word of SQL
        if [row[1] for row in base.execute("PRAGMA table_info(records)")] != _COLUMNS:
            base.execute("DROP TABLE IF EXISTS records")  # written by another version
        base.execute(f"CREATE TABLE IF NOT EXISTS records ({names}, "
                     "PRIMARY KEY (sample, arm, trial)) WITHOUT ROWID")
        return base

    def fill(self, records: Iterable[Record]) -> None:
        """Make the table hold ``records``."""
        self._waiting += [_row(r) for r in records]
        self._commit()

    def add(self, record: Record) -> None:
        self._waiting.append(_row(record))
        if len(self._waiting) >= BATCH or time.monotonic() - self._committed > PAUSE:
            self._commit()

    def _commit(self) -> None:
        if self._waiting:
            self._base.execute("BEGIN")
            self._base.executemany(self._insert, self._waiting)
            self._base.execute("COMMIT")
            self._waiting.clear()
        self._committed = time.monotonic()

    def close(self) -> None:
        self._commit()
        self._base.close()


def _row(record: Record) -> tuple[object, ...]:
    return tuple(orjson.dumps(v).decode() if isinstance(v, tuple) else v
                 for v in (getattr(record, name) for name in _COLUMNS))
