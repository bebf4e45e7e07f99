"""Logs as JSON, one line each, on standard error; and one line for every run.

    {"at": "2026-05-01T10:00:00.123Z", "level": "info", "event": "run", "run": "…", "outcome": …}

A run's line holds names, numbers and words of fixed lists, never a key, and never a text of the
user's or a model's; an error is named by its kind.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

import orjson

from plait.core.events import Event
from plait.policy.reasons import reason_word
from plait.server.watch import Ending, RunInfo

FIELDS = "plait_fields"
"""The attribute of a log record that holds further fields of its line."""
LOGGERS = ("plait", "uvicorn.error")

log = logging.getLogger("plait.server.runs")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON. Of an exception the place is shown, not what it says."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower()}
        fields = getattr(record, FIELDS, None)
        line |= fields if fields is not None else {
            "event": "log", "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["where"] = _where(record.exc_info[2])
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _where(trace: TracebackType | None) -> str:
    """``module:line`` of the innermost frame."""
    place = ""
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def configure_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the logs of plait and of its HTTP server to ``stream`` (standard error) as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


class RunLog:
    """A watcher that logs one line for each run that ended."""

    def started(self, info: RunInfo) -> None:
        pass

    def event(self, info: RunInfo, event: Event) -> None:
        pass

    def ended(self, info: RunInfo, ending: Ending) -> None:
        counted = ending.metrics
        log.info("run %s %s", info.run, ending.outcome, extra={FIELDS: {
            "event": "run", "run": info.run, "outcome": ending.outcome, "key": info.key,
            "endpoint": info.endpoint, "stream": info.stream, "model": info.model,
            "method": ending.method, "protocol": ending.protocol,
            "fallback": reason_word(ending.fallback) or None, "error": ending.error_type or None,
            "experiment": info.experiment or None, "arm": info.arm or None,
            "shadow": bool(info.shadow_of), "queued": _ms(info.queued),
            "seconds": _ms(ending.seconds), "first_token": _ms(ending.first_token),
            "first_answer": _ms(ending.first_answer), "threads": counted.threads,
            "width": counted.max_parallel, "tokens": counted.total_tokens,
            "wasted_tokens": counted.wasted_tokens, "prompt_tokens": counted.prompt_tokens,
            "cached_tokens": counted.cached_tokens,
            "critical_path_tokens": counted.critical_path_tokens}})


def _ms(seconds: float | None) -> float | None:
    """Seconds, to the millisecond."""
    return None if seconds is None else round(seconds, 3)
