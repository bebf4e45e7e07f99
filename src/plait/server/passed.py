"""The record of a request that was passed through, in the events of any other run, so that store,
metrics and viewer need to know of no second kind. Its texts are not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import anyio

from plait.core import Result
from plait.core.events import Answered, Asked, Ended, RunEnded, RunStarted, Started, Wrote
from plait.server.runs import Tokens
from plait.server.watch import RunInfo, Watcher, watching
from plait.trace import Meter, Metrics, Trace
from plait.version import VERSION


class Passage:
    """Use as a context manager around the forwarding of a request."""

    def __init__(self, watchers: Sequence[Watcher], info: RunInfo) -> None:
        self._info = info
        self._watching = watching(watchers, info)
        self._began = anyio.current_time()
        self._trace, self._meter = Trace(), Meter()
        self._spoken = 0
        self._ended = False
        self.prompt = self.generated = 0
        """Tokens, as far as the engine told; before, one for each piece that came."""

    def _now(self) -> float:
        return anyio.current_time() - self._began

    def __enter__(self) -> Passage:
        self._watched = self._watching.__enter__()
        self._trace.subscribe(self._watched.event)
        self._trace.subscribe(self._meter.feed)
        info, emit = self._info, self._trace.emit
        emit(RunStarted(0.0, info.run, info.question, info.engine, info.model, info.method or "",
                        None, 0))
        emit(Started(0.0, "0", None, "root", "thread", 0))
        emit(Asked(0.0, "0", 0, info.max_tokens))
        return self

    def token(self) -> None:
        """Something of the reply has come."""
        self.generated += 1
        if not self._spoken:
            self._spoken = 1
            self._trace.emit(Wrote(self._now(), "0", "", 1, estimated=True))

    def used(self, usage: Mapping[str, Any], status: int) -> None:
        """The reply is complete. ``usage`` as the engine reported it, in either API's words."""
        if status >= 400:
            return
        told = tokens_in(usage)
        self.prompt, self.generated = told.prompt, told.generated
        now, emit = self._now(), self._trace.emit
        if (more := self.generated - self._spoken) > 0:
            emit(Wrote(now, "0", "", more))
        emit(Answered(now, "0", "eos", told.prompt, told.cached, told.generated, not usage))
        emit(Ended(now, "0", "done"))
        emit(RunEnded(now, "answered", None, None, self._info.method or "", None))
        self._watched.result = _result(self._info, self._meter.metrics())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.__exit__(kind, error, trace)


def tokens_in(usage: Mapping[str, Any]) -> Tokens:
    """What an engine says that it used, in either API's words; 0 where it does not say."""
    return Tokens(
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(_details(usage, "prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
        _count(_details(usage, "completion_tokens_details", "output_tokens_details"),
               "reasoning_tokens"))


def _count(found: Mapping[str, Any], *names: str) -> int:
    """The first of ``names`` that is a count; 0 if none is."""
    return next((v for n in names if type(v := found.get(n)) is int and v >= 0), 0)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((v for n in names if isinstance(v := usage.get(n), Mapping)), {})


def _result(info: RunInfo, metrics: Metrics) -> Result:
    return Result(
        VERSION, None, None, "answered", info.method or "", None, None, metrics.threads,
        metrics.forks, metrics.max_parallel, metrics.depth, metrics.total_tokens,
        metrics.critical_path_tokens, metrics.prompt_tokens, metrics.cached_tokens,
        metrics.inserted_tokens, metrics.wasted_tokens, metrics.estimated, metrics.wall_seconds)
