"""Rows of a data set: from JSONL, JSON, CSV and Parquet files, or from the Hugging Face hub.

A row is a plain dictionary. Everything that can be wrong with a file is a `UsageError` that names
the file, the line and what to do. The hub's files are fetched by huggingface_hub (which keeps them
in its own cache) and then read like any other; both it and pyarrow (Parquet) are extras.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from plait.errors import UsageError

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a data set lies on the hub: ``files`` are patterns within its repository."""

    repository: str
    files: tuple[str, ...]
    revision: str = "main"


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, or of all known files of a folder in the order of their names.

    Raises `UsageError` for what cannot be read.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
        if not files:
            raise UsageError(f"{path} holds no data", hint=f"Known: {', '.join(SUFFIXES)}.")
        for file in files:
            yield from read_rows(file)
        return
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise UsageError(f"{path} is of no known kind", hint=f"Known: {', '.join(SUFFIXES)}.")
    try:
        yield from reader(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {path}: it is no UTF-8") from error


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _row(_parse(line, f"{path}, line {number}"), f"{path}, line {number}")


def _json(path: Path) -> Iterator[Row]:
    value = _parse(path.read_bytes(), str(path))
    if not isinstance(value, list):
        raise UsageError(f"{path} holds no list", hint="It must be a list of objects, or JSONL.")
    for number, item in enumerate(value, start=1):
        yield _row(item, f"{path}, item {number}")


def _parse(data: bytes, where: str) -> object:
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON: {error.msg}") from error
    return value


def _row(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: not an object but {value!r:.40}")
    return value


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            yield from csv.DictReader(file)
        except csv.Error as error:
            raise UsageError(f"cannot read {path}: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    if find_spec("pyarrow") is None:
        raise UsageError(f"reading {path} needs pyarrow, which is not installed",
                         hint="Install it: pip install 'plait[data]'.")
    import pyarrow  # noqa: PLC0415 - optional
    from pyarrow import parquet  # noqa: PLC0415 - optional
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise UsageError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def fetch(hub: Hub) -> list[Path]:
    """The data set's files on this machine, fetched where they are not there yet.

    Raises `UsageError` where huggingface_hub is missing, the hub cannot be reached, the data set
    is gated, or has no such files; the hint always names the way with a local file.
    """
    local = "Fetch it elsewhere and pass its file or folder: --data PATH."
    if find_spec("huggingface_hub") is None:
        raise UsageError(f"{hub.repository} is fetched by huggingface_hub, which is not installed",
                         hint=f"Install it: pip install 'plait[data]'. Or: {local}")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - optional
    try:
        folder = Path(snapshot_download(hub.repository, repo_type="dataset",
                                        revision=hub.revision, allow_patterns=list(hub.files)))
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"cannot fetch {hub.repository} from the hub: {why}",
                         hint=local) from error
    found = sorted(p for p in folder.rglob("*") if p.is_file() and any(
        fnmatch(p.relative_to(folder).as_posix(), pattern) for pattern in hub.files))
    if not found:
        raise UsageError(f"{hub.repository} has no {' or '.join(hub.files)}", hint=local)
    return found
