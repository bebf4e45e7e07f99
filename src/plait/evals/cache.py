"""Answers of earlier runs, keyed by everything that could change them.

The key is a hash of the engine and its model (for the embedded one its weights too), the version
of plait, the question and the whole way of asking: method, format, plan, sampling, budget,
directions, seed. A changed suite or grader needs no new key: answers are graded anew. Never kept:
what failed, fell back, or was cut off by a limit. Times in it are those of the first run, so a
record that comes from here says so, and speedups by the clock leave it out.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

import orjson

from plait.core import Result
from plait.errors import UsageError
from plait.evals.measures import Spent, clean
from plait.evals.values import Task
from plait.trace import Metrics
from plait.version import VERSION


class Cache:
    """A file of answers; several processes may share it. Raises `UsageError` if it is none."""

    def __init__(self, path: Path, identity: str) -> None:
        self._identity = identity
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, run BLOB)"
                               " WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"cannot use {path} as a cache: {error}",
                             hint="Name a new file, or an earlier cache.") from error

    def key(self, task: Task, seed: int) -> str:
        """Everything that matters, as 64 hexadecimal digits."""
        arm = asdict(replace(task.arm, name=""))
        parts = [VERSION, self._identity, task.sample.question, task.seed(seed), arm]
        text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(text).hexdigest()

    def get(self, key: str) -> tuple[Result, Metrics, Spent] | None:
        """What is known under ``key``."""
        found = self._base.execute("SELECT run FROM answers WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        result, metrics, spent = orjson.loads(found[0])
        result["warnings"] = tuple(result["warnings"])
        spent["steps"] = tuple(map(tuple, spent.get("steps", ())))
        return Result(**result), Metrics(**metrics), Spent(**spent)

    def put(self, key: str, result: Result, metrics: Metrics, spent: Spent) -> None:
        """Keep a run if it is whole and its own: see the module's docstring."""
        if result.finish != "answered" or result.fallback is not None or not spent.whole:
            return
        kept = replace(result, text="", trace=None, warnings=tuple(map(clean, result.warnings)))
        run = orjson.dumps([kept, metrics, spent])
        self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, run))

    def close(self) -> None:
        self._base.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def file_identity(path: Path) -> str:
    """A hash of a file's content, or of all files of a folder, for the ``identity`` of weights."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.name.encode("utf-8", "surrogateescape"))
            with file.open("rb") as data:
                while block := data.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:16]
