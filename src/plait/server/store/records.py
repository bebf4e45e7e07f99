"""What the store holds of a run: one flat record, and how records are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from plait.server.redact import RunTexts
from plait.server.watch import Ended, Ending, RunInfo
from plait.trace import Metrics

State = Ended | Literal["running", "lost"]
"""``lost``: the gateway died while it ran."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. ``number`` counts runs in the order in which they came. Seconds are since
    ``started`` (seconds since the epoch); tokens are counted as in `plait.trace.Metrics`.

    Texts (``question``, ``answer``, ``error``, ``fallback``, ``user``, ``session``) are as the
    run's rule ``texts`` left them; see `plait.server.redact`.
    """

    number: int
    run: str
    started: float
    state: State = "running"
    texts: str = "keep"
    endpoint: str = "chat"
    stream: bool = False
    key: str = ""
    user: str = ""
    session: str = ""
    engine: str = ""
    model: str = ""
    asked: str = ""
    """The method asked for; empty if that was left to the policy."""
    policy: str = ""
    method: str = ""
    """The method that ran."""
    protocol: str | None = None
    fallback: str | None = None
    experiment: str = ""
    arm: str = ""
    shadow_of: str = ""
    turns: int = 1
    queued: float = 0.0
    seconds: float | None = None
    first_token: float | None = None
    first_answer: float | None = None
    threads: int = 0
    forks: int = 0
    max_parallel: int = 0
    depth: int = 0
    total_tokens: int = 0
    useful_tokens: int = 0
    wasted_tokens: int = 0
    verification_tokens: int = 0
    inserted_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    critical_path_tokens: int = 0
    estimated: bool = False
    cost: float | None = None
    correct: bool | None = None
    verified: bool | None = None
    conflicts: int = 0
    error_type: str = ""
    incomplete: bool = False
    """Events are missing from the trace, since they came faster than they could be written."""
    rating: float | None = None
    """Of the latest feedback."""
    question: str | None = None
    answer: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, object]:
        """The record as JSON values."""
        return asdict(self)


TEXT_COLUMNS = ("question", "answer", "error")
"""Columns of a table of their own, so that lists are read without them."""
COLUMNS = tuple(f.name for f in fields(RunRecord) if f.name not in TEXT_COLUMNS)
_BOOLEANS = ("stream", "estimated", "correct", "verified", "incomplete")
_COUNTED = tuple(f.name for f in fields(Metrics) if f.name in COLUMNS)


def opened(number: int, info: RunInfo, texts: RunTexts) -> RunRecord:
    """The record of a run that starts."""
    return RunRecord(
        number, info.run, info.started, texts=texts.rule, endpoint=info.endpoint,
        stream=info.stream, key=info.key, user=texts.name(info.user),
        session=texts.name(info.session), engine=info.engine, model=info.model,
        asked=info.method or "", policy=info.policy or "", protocol=info.protocol,
        experiment=info.experiment, arm=info.arm, shadow_of=info.shadow_of, turns=info.turns,
        queued=info.queued, question=texts.text(info.question))


def closing(ending: Ending, texts: RunTexts) -> dict[str, object]:
    """What a record gains when its run ends, as columns."""
    result = ending.result
    values: dict[str, object] = {name: getattr(ending.metrics, name) for name in _COUNTED}
    values |= {
        "state": ending.outcome, "method": ending.method, "protocol": ending.protocol,
        "fallback": texts.reason(ending.fallback), "seconds": ending.seconds,
        "first_token": ending.first_token, "first_answer": ending.first_answer,
        "error_type": ending.error_type,
        "error": texts.text(str(ending.error)) if ending.error is not None else None}
    if result is not None:
        values |= {"cost": result.cost, "correct": result.correct, "verified": result.verified,
                   "conflicts": result.conflicts, "answer": texts.text(result.answer)}
    return values


def from_row(row: Mapping[str, Any]) -> RunRecord:
    """The record in a row of the store."""
    values = dict(row)
    for name in _BOOLEANS:
        if values.get(name) is not None:
            values[name] = bool(values[name])
    return RunRecord(**values)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; None and empty: all. ``contains`` looks into questions, which reads
    every one of them; ``since`` and ``until`` are seconds since the epoch."""

    state: str = ""
    model: str = ""
    method: str = ""
    key: str = ""
    user: str = ""
    session: str = ""
    experiment: str = ""
    fallback: bool | None = None
    rated: bool | None = None
    shadows: bool = False
    """Runs that only measured another policy, too."""
    since: float | None = None
    until: float | None = None
    contains: str = ""

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL, with its values."""
        parts: list[str] = []
        values: list[object] = []
        for name in ("state", "model", "method", "key", "user", "session", "experiment"):
            if wanted := getattr(self, name):
                parts.append(f"r.{name} = ?")
                values.append(wanted)
        for name, column in (("fallback", "fallback"), ("rated", "rating")):
            wanted = getattr(self, name)
            if wanted is not None:
                parts.append(f"r.{column} IS {'NOT ' if wanted else ''}NULL")
        if not self.shadows:
            parts.append("r.shadow_of = ''")
        for name, sign in (("since", ">="), ("until", "<")):
            if (moment := getattr(self, name)) is not None:
                parts.append(f"r.started {sign} ?")
                values.append(moment)
        if self.contains:
            parts.append("instr(lower(t.question), lower(?)) > 0")
            values.append(self.contains)
        return " AND ".join(parts) or "1", values


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, the latest first. ``next``: pass it as ``before`` for those behind them; None at
    the end."""

    runs: tuple[RunRecord, ...]
    next: int | None
