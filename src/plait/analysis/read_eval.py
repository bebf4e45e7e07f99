"""The folder of a `plait eval`: its sequential answers, with the verdicts of its grader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plait.analysis.call import Call
from plait.analysis.read_trace import call_from
from plait.evals import Record
from plait.evals.store import PLAN, RECORDS, read_plan, read_records
from plait.trace import read_trace


def is_evaluation(folder: Path) -> bool:
    """Is it a folder that `plait eval` wrote?"""
    return (folder / PLAN).is_file() and (folder / RECORDS).is_file()


def from_evaluation(folder: Path) -> Iterator[Call | str]:
    """The records of the evaluation. Raises `UsageError` or `TraceError` for broken files."""
    suite = str(read_plan(folder).get("suite") or "suite")
    latest: dict[tuple[str, str, int], Record] = {r.key: r for r in read_records(folder)}
    for record in latest.values():
        yield _call(folder, record, suite)


def _call(folder: Path, record: Record, suite: str) -> Call | str:
    if record.status == "error":
        return "failed request"
    if record.method != "sequential":
        return "run that was not sequential"
    if record.trace is None or not (folder / record.trace).is_file():
        return "record without a trace"
    events = read_trace(folder / record.trace).events
    return call_from(events, record.group or suite, name=record.sample, correct=record.right)
