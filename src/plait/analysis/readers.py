"""Logs of many kinds as calls. What a file holds decides how it is read, never its name alone.

    evaluations             a folder that `plait eval` wrote: its sequential answers
    plait traces            a first line with `plait_trace`; runs that forked are left out
    inspect                 a JSON object with `eval` and `samples`, or an .eval archive of it
    lm-eval                 lines with `doc_id` and `resps` (--log_samples)
    OpenAI style            lines with a request and its response, batch output, bare responses,
                            or conversations that end in an assistant's turn

A line that is no JSON is an error with its place, except a last one that was cut off. Entries that
hold nothing to analyse (failed requests, empty answers) are counted by reason, never dropped in
silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import orjson

from plait.analysis.call import Call, Traffic
from plait.analysis.read_eval import from_evaluation, is_evaluation
from plait.analysis.read_harness import from_inspect, from_lm_eval
from plait.analysis.read_openai import from_openai
from plait.analysis.read_trace import from_trace
from plait.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".eval")
Entry = Call | str
"""A call, or why there is none."""


def read_traffic(paths: Iterable[str | Path]) -> Traffic:
    """All calls in ``paths``: files, or folders with files that end in `SUFFIXES`.

    Raises `UsageError` (`TraceError` for a plait trace) with the place of what cannot be read.
    """
    calls: list[Call] = []
    skipped: Counter[str] = Counter()
    for file in _files(paths):
        for entry in from_evaluation(file) if file.is_dir() else _read(file):
            if isinstance(entry, Call):
                calls.append(entry)
            else:
                skipped[entry] += 1
    return Traffic(tuple(calls), tuple(sorted(skipped.items())))


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Files, and the folders of evaluations."""
    for path in map(Path, paths):
        if not path.is_dir() or is_evaluation(path):
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
        if not found:
            raise UsageError(f"the folder {path} holds no log",
                             hint=f"Logs end in {', '.join(SUFFIXES)}.")
        yield from found


def _read(file: Path) -> Iterator[Entry]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}",
                         hint="Name a log file, or a folder of log files.") from None
    if data[:4] == b"PK\x03\x04":
        yield from from_inspect(_unpack(file))
        return
    if data.startswith(b'{"plait_trace"'):
        yield from from_trace(file)
        return
    whole = _whole(data)
    if isinstance(whole, Mapping) and "samples" in whole and "eval" in whole:
        yield from from_inspect(whole)
        return
    items = whole if isinstance(whole, list) else None
    documents: set[str] = set()
    for place, item in (enumerate(items, 1) if items is not None else _lines(file, data)):
        if not isinstance(item, Mapping):
            raise UsageError(f"{file}, entry {place} is no JSON object",
                             hint="Each entry must be one logged answer.")
        if "resps" in item and "doc_id" in item:  # one line for each filter of an answer
            key = str(item["doc_id"])
            if key in documents:
                yield "same answer under another filter"
                continue
            documents.add(key)
        yield _entry(item, file, place)


def _entry(item: Mapping[str, object], file: Path, place: int) -> Entry:
    task = file.stem.removeprefix("samples_")
    if "resps" in item and "doc_id" in item:
        return from_lm_eval(item, task)
    entry = from_openai(item, task, place)
    if entry is None:
        raise UsageError(
            f"{file}, entry {place} is of no known kind",
            hint="Known: plait traces, inspect and lm-eval sample logs, OpenAI-style requests"
                 " with their responses. `docs/analyze.md` shows each.")
    return entry


def _whole(data: bytes) -> object:
    """The file as one JSON value; None if it is none."""
    if data.count(b"\n", 0, 1 << 16) == 0 or data.lstrip()[:1] == b"[" or b"\n" in data[:3]:
        pass
    elif data.lstrip()[:1] == b"{" and _is_json(data.split(b"\n", 1)[0]):
        return None  # its first line is whole: one object a line
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(file: Path, data: bytes) -> Iterator[tuple[int, object]]:
    lines = data.split(b"\n")
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield place, orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if place == len(lines) and place > 1:
                return  # the writer was stopped in the middle of its last line
            raise UsageError(f"{file}, line {place} is no JSON: {error}",
                             hint="A log holds one JSON object a line.") from None


def _unpack(file: Path) -> Mapping[str, object]:
    """An .eval archive of inspect as the JSON log that it stands for."""
    try:
        with ZipFile(file) as archive:
            names = archive.namelist()
            header = orjson.loads(archive.read("header.json")) if "header.json" in names else {}
            samples = [orjson.loads(archive.read(n)) for n in sorted(names)
                       if n.startswith("samples/") and n.endswith(".json")]
    except (BadZipFile, orjson.JSONDecodeError, NotImplementedError) as error:
        raise UsageError(f"cannot read the archive {file}: {error}",
                         hint="Convert it: inspect log convert --to json.") from None
    if not isinstance(header, dict) or not samples:
        raise UsageError(f"{file} is no log of inspect: it holds no samples")
    return {**header, "samples": samples}
