"""The seam between the gateway and everything that watches it: store, metrics, traces, logs.

    with watching(watchers, info) as watched:
        trace.subscribe(watched.event)
        watched.result = await solve(request, trace=trace, ...)

Leaving the block says how the run ended, whatever happened inside: with a result, with an error,
cancelled. The numbers of the run are counted once, here, for all watchers. A watcher that raises is
left out of the rest of this run and reported in the log; the run goes on, and so do the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import anyio

from plait.core import Result
from plait.core.events import Committed, Event, RunEnded, RunStarted, Wrote
from plait.trace import Meter, Metrics

Endpoint = Literal["chat", "completions", "responses"]
Ended = Literal["answered", "budget", "failed", "cancelled"]
"""``cancelled``: the client left, or asked for it; the others as in `Result.finish`."""

log = logging.getLogger("plait.server")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run when it is accepted. Never holds a key, only the name of one.

    ``model`` is the engine's name for it; ``method``, ``protocol`` and ``policy`` are what was
    asked for, None where the choice was left. ``started`` is in seconds since the epoch.
    """

    run: str
    model: str
    question: str = ""
    started: float = 0.0
    endpoint: Endpoint = "chat"
    stream: bool = False
    key: str = ""
    user: str = ""
    """The request's ``user``, or ``safety_identifier``."""
    session: str = ""
    """What ties the turns of one conversation together, where the client says so."""
    engine: str = ""
    method: str | None = None
    protocol: str | None = None
    policy: str | None = None
    queued: float = 0.0
    """Seconds that it waited for admission before it started."""
    turns: int = 1
    """User messages in the conversation; ``question`` is the last one."""
    texts: bool = True
    """May texts be stored? False for a request with ``"store": false``."""
    experiment: str = ""
    arm: Literal["", "A", "B"] = ""
    shadow_of: str = ""
    """The run that this one repeats under another policy; nobody waits for its answer."""
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    traceparent: str = ""
    """The client's W3C trace context header, so that its trace goes on here."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, and what it took.

    ``method`` and ``protocol`` are those that ran, ``fallback`` why they gave way to sequential
    reasoning; empty or None where nothing began. ``seconds`` are since `RunInfo.started`;
    ``first_token`` and ``first_answer`` too, None where there was none.
    """

    outcome: Ended
    metrics: Metrics
    seconds: float
    method: str = ""
    protocol: str | None = None
    fallback: str | None = None
    first_token: float | None = None
    first_answer: float | None = None
    result: Result | None = None
    error: BaseException | None = None

    @property
    def error_type(self) -> str:
        """The class of the error; empty if there was none."""
        return type(self.error).__name__ if self.error is not None else ""


class Watcher(Protocol):
    """Somebody who watches runs. Called from the event loop: must not block, should not raise."""

    def started(self, info: RunInfo) -> None: ...
    def event(self, info: RunInfo, event: Event) -> None: ...
    def ended(self, info: RunInfo, ending: Ending) -> None: ...


class Watched:
    """One run under watch. `event` is a sink for `plait.trace.Trace.subscribe`."""

    def __init__(
        self, watchers: Sequence[Watcher], info: RunInfo, clock: Callable[[], float]
    ) -> None:
        self.info = info
        self.result: Result | None = None
        """To be set by whoever runs it, before the block is left."""
        self._watchers = list(watchers)
        self._clock = clock
        self._began = clock()
        self._meter = Meter()
        self._method, self._protocol = "", info.protocol
        self._fallback: str | None = None
        self._first_token: float | None = None
        self._first_answer: float | None = None
        self._tell(lambda watcher: watcher.started(info))

    def event(self, event: Event) -> None:
        """Take a trace event of the run."""
        if isinstance(event, Wrote):
            if self._first_token is None and (event.tokens or event.text):
                self._first_token = self._clock() - self._began
        elif isinstance(event, Committed):
            if self._first_answer is None and event.text:
                self._first_answer = self._clock() - self._began
        elif isinstance(event, RunStarted):
            self._method, self._protocol = event.method, event.protocol
        elif isinstance(event, RunEnded):
            self._fallback = event.fallback
        self._meter.feed(event)
        self._tell(lambda watcher: watcher.event(self.info, event))

    def end(self, error: BaseException | None) -> None:
        """The run is over."""
        error = _inner(error)
        outcome: Ended = "failed"
        if self.result is not None:  # what breaks while the last words are sent changes nothing
            outcome = self.result.finish
        elif error is not None and isinstance(
                error, (anyio.get_cancelled_exc_class(), GeneratorExit)):
            outcome = "cancelled"
        ending = Ending(
            outcome, self._meter.metrics(), self._clock() - self._began, self._method,
            self._protocol, self._fallback, self._first_token, self._first_answer, self.result,
            error)
        self._tell(lambda watcher: watcher.ended(self.info, ending))

    def _tell(self, call: Callable[[Watcher], None]) -> None:
        for watcher in tuple(self._watchers):
            try:
                call(watcher)
            except Exception as error:  # boundary: watching never breaks a run
                self._watchers.remove(watcher)
                log.error("%s failed and no longer watches the run %s", type(watcher).__name__,
                          self.info.run, exc_info=error)


def _inner(error: BaseException | None) -> BaseException | None:
    """The error that a task group wrapped."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


@contextmanager
def watching(
    watchers: Sequence[Watcher], info: RunInfo, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Watched]:
    """Watch one run inside the block. Exceptions pass through; a cancellation counts as a client
    that left."""
    watched = Watched(watchers, info, clock)
    try:
        yield watched
    except BaseException as error:
        watched.end(error)
        raise
    watched.end(None)
