"""Spans of a run: the run, its threads, and every call of the engine.

    invoke_workflow plan                    the run, below the client's own span if it sent one
      invoke_agent thread                     the root
        plan planner                            a thread, below the one that started it
          chat MODEL                              a call: what it read and wrote, how it ended
        invoke_agent worker  ...

Parents are named, never taken from the task that happens to run, so the tree is right however many
threads and runs there are at once. Times are those of the trace. No span holds a text or a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from plait.core.events import Answered, Asked, Ended, Event, RunStarted, Started, Wrote
from plait.policy.reasons import reason_word
from plait.server.telemetry import names
from plait.server.watch import Ending, RunInfo
from plait.version import VERSION

_BILLION = 1_000_000_000
_BAD = ("failed", "malformed")


@dataclass(slots=True, eq=False)
class _Call:
    span: Span
    asked: float
    first: float | None = None


@dataclass(slots=True, eq=False)
class _Run:
    """The open spans of a run. ``base``: nanoseconds since the epoch at its time 0."""

    span: Span
    base: int
    protocol: str | None = None
    threads: dict[str, Span] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    calls: dict[str, _Call] = field(default_factory=dict)

    def at(self, t: float) -> int:
        return self.base + int(t * _BILLION)


def otlp() -> Spans:
    """Spans that are sent as the ``OTEL_`` variables say."""
    ours = Resource({SERVICE_NAME: "plait", SERVICE_VERSION: VERSION})
    told = OTELResourceDetector().detect()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    provider = TracerProvider(resource=Resource.create({}).merge(ours).merge(told))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)


class Spans:
    """A watcher that makes spans of what it sees, with ``provider``."""

    def __init__(
        self, provider: TracerProvider, *, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._provider = provider
        self._now = now
        self._tracer = provider.get_tracer(
            "plait", VERSION, attributes={"plait.conventions": names.CONVENTIONS})
        self._runs: dict[str, _Run] = {}

    def close(self) -> None:
        """Send what waits, for at most some seconds."""
        self._provider.shutdown()

    def started(self, info: RunInfo) -> None:
        carrier = {"traceparent": info.traceparent} if info.traceparent else {}
        above = TraceContextTextMapPropagator().extract(carrier, Context())
        method = info.method or "auto"
        span = self._open(f"{names.WORKFLOW} {method}", above, self._now(), SpanKind.INTERNAL, {
            names.OPERATION: names.WORKFLOW, names.AGENT: method, names.REQUEST_MODEL: info.model,
            names.RUN: info.run, names.KEY: info.key or None, names.POLICY: info.policy,
            names.CONVERSATION: info.session or None, names.REQUEST_SEED: info.seed})
        self._runs[info.run] = _Run(span, self._now())

    def event(self, info: RunInfo, event: Event) -> None:
        run = self._runs[info.run]
        if isinstance(event, Wrote):
            call = run.calls.get(event.thread)
            if call is not None and call.first is None:
                call.first = event.t
        elif isinstance(event, Asked):
            self._ask(run, info, event)
        elif isinstance(event, Answered):
            _answer(run, event)
        elif isinstance(event, Started):
            self._start(run, event)
        elif isinstance(event, Ended):
            _end(run, event)
        elif isinstance(event, RunStarted):
            run.base = self._now() - int(event.t * _BILLION)
            run.protocol = event.protocol
            run.span.update_name(f"{names.WORKFLOW} {event.method}")
            run.span.set_attribute(names.AGENT, event.method)

    def ended(self, info: RunInfo, ending: Ending) -> None:
        run = self._runs.pop(info.run)
        now = self._now()
        for call in run.calls.values():
            call.span.set_attribute(names.FINISH_REASONS, [names.FINISHES["left"]])
            call.span.end(now)
        for span in reversed(run.threads.values()):
            if span.is_recording():
                span.end(now)
        counted = ending.metrics
        _set(run.span, {
            names.OUTCOME: ending.outcome, names.FALLBACK: reason_word(ending.fallback) or None,
            names.INPUT_TOKENS: counted.prompt_tokens, names.CACHED_TOKENS: counted.cached_tokens,
            names.OUTPUT_TOKENS: counted.total_tokens, names.THREADS: counted.threads,
            names.CRITICAL_PATH: counted.critical_path_tokens,
            names.FIRST_CHUNK: ending.first_token})
        if ending.outcome == "failed":
            _fail(run.span, ending.error_type or "failed")
        run.span.end(now)

    def _start(self, run: _Run, event: Started) -> None:
        """A thread begins; one that is tried again ends its first try."""
        if event.attempt and event.thread in run.threads:
            _close(run, event.thread, run.at(event.t), failed="retried")
        above = run.threads.get(event.parent or "", run.span)
        known = [run.threads[name] for name in event.after if name in run.threads]
        operation = names.PLAN if event.role == "planner" else names.INVOKE
        run.roles[event.thread] = event.role
        run.threads[event.thread] = self._open(
            f"{operation} {event.role}", set_span_in_context(above, Context()), run.at(event.t),
            SpanKind.INTERNAL, {
                names.OPERATION: operation, names.AGENT: event.role, names.THREAD: event.thread,
                names.ATTEMPT: event.attempt or None},
            [Link(span.get_span_context()) for span in known])

    def _ask(self, run: _Run, info: RunInfo, event: Asked) -> None:
        above = run.threads.get(event.thread, run.span)
        # a wire format is written into a plain text, which other methods and the fallback are not
        raw = run.protocol is not None and run.roles.get(event.thread) != "fallback"
        operation = names.COMPLETION if raw else names.CHAT
        span = self._open(
            f"{operation} {info.model}", set_span_in_context(above, Context()), run.at(event.t),
            SpanKind.CLIENT, {
                names.OPERATION: operation, names.PROVIDER: info.engine or "unknown",
                names.REQUEST_MODEL: info.model, names.REQUEST_STREAM: True,
                names.REQUEST_MAX_TOKENS: event.limit, names.REQUEST_TEMPERATURE: info.temperature,
                names.CONVERSATION: info.session or None})
        run.calls[event.thread] = _Call(span, event.t)

    def _open(
        self, name: str, above: Context, at: int, kind: SpanKind,
        attributes: Mapping[str, AttributeValue | None], links: list[Link] | None = None,
    ) -> Span:
        given = {key: value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, above, kind, given, links, start_time=at)


def _answer(run: _Run, event: Answered) -> None:
    call = run.calls.pop(event.thread, None)
    if call is None:
        return
    _set(call.span, {
        names.INPUT_TOKENS: event.prompt, names.CACHED_TOKENS: event.cached,
        names.OUTPUT_TOKENS: event.generated, names.FINISH_REASONS: [names.FINISHES[event.finish]],
        names.FIRST_CHUNK: None if call.first is None else call.first - call.asked})
    if event.finish == "error":
        _fail(call.span, reason_word(event.error) or "error")
    call.span.end(run.at(event.t))


def _end(run: _Run, event: Ended) -> None:
    span = run.threads.get(event.thread)
    if span is not None:
        span.set_attribute(names.OUTCOME, event.status)
        failed = (reason_word(event.reason) or event.status) if event.status in _BAD else ""
        _close(run, event.thread, run.at(event.t), failed=failed)


def _close(run: _Run, thread: str, at: int, *, failed: str) -> None:
    """End the span of a thread, and of its call if that is still open."""
    if (call := run.calls.pop(thread, None)) is not None:
        call.span.set_attribute(names.FINISH_REASONS, [names.FINISHES["left"]])
        call.span.end(at)
    span = run.threads[thread]
    if failed:
        _fail(span, failed)
    span.end(at)


def _set(span: Span, attributes: Mapping[str, AttributeValue | None]) -> None:
    for key, value in attributes.items():
        if value is not None:
            span.set_attribute(key, value)


def _fail(span: Span, why: str) -> None:
    span.set_attribute(names.ERROR, why)
    span.set_status(Status(StatusCode.ERROR))
