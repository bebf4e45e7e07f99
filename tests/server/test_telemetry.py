"""Spans of runs: the right parents however much happens at once, the conventions' names, no texts;
and the way to a collector by the standard variables."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import anyio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from plait.core import Directions, Request, Sampling
from plait.core.events import Answered, Asked, Started
from plait.errors import EngineUnreachable, UsageError
from plait.server.telemetry import names, open_telemetry
from plait.server.telemetry.spans import Spans
from plait.server.watch import watching
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.server.watched import about, answered
from tests.woven import Rambler, weaver

SECOND = 1_000_000_000
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Seen:
    """Spans in memory, and what made them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.watcher = Spans(provider, now=lambda: int(anyio.current_time() * SECOND))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def of(self, operation: str, run: str | None = None) -> list[ReadableSpan]:
        return [s for s in self.spans if s.attributes and s.attributes[names.OPERATION] == operation
                and (run is None or self.run_of(s) == run)]

    def run_of(self, span: ReadableSpan) -> object:
        """The run in whose tree ``span`` is."""
        by_id = {s.context.span_id: s for s in self.spans}
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
        return (span.attributes or {})[names.RUN]


def thread_of(span: ReadableSpan) -> str:
    return str((span.attributes or {})[names.THREAD])


def slow(prompt: str, sampling: Sampling) -> Play:
    """Answers whose length depends on the seed, so that threads end in any order."""
    words = 3 + (sampling.seed or 0) % 17
    return Play("<think>" + "hm " * words + "</think>so\nAnswer: 1", every=0.01 * (1 + words % 5))


def test_the_tree_of_spans_is_the_tree_of_threads_with_two_runs_of_many_at_once() -> None:
    seen = Seen()
    traces: dict[str, Trace] = {}

    async def one(runtime: Runtime, run: str, attempts: int, parent: str) -> None:
        traces[run] = Trace()
        request = Request(prompt="1+2?", directions=Directions(attempts=attempts, merge="concat"))
        with watching([seen.watcher], about(run, traceparent=parent)) as watched:
            traces[run].subscribe(watched.event)
            watched.result = await solve(request, runtime=runtime, method="explore",
                                         trace=traces[run])

    async def main() -> None:
        async with Runtime(ScriptedEngine(slow)) as runtime, anyio.create_task_group() as tasks:
            tasks.start_soon(one, runtime, "r1", 24, PARENT)
            tasks.start_soon(one, runtime, "r2", 9, "")

    run_virtual(main)
    for run, trace in traces.items():
        started = [e for e in trace.events if isinstance(e, Started)]
        threads = {thread_of(s): s for s in seen.of(names.INVOKE, run)}
        assert len(threads) == len(started) > 9
        (top,) = seen.of(names.WORKFLOW, run)
        for event in started:
            span, above = threads[event.thread], threads.get(event.parent or "", top)
            assert span.parent is not None
            assert span.parent.span_id == above.context.span_id
            assert above.start_time <= span.start_time <= span.end_time <= above.end_time
        calls = seen.of(names.CHAT, run)
        assert len(calls) == sum(isinstance(e, Asked) for e in trace.events)
        by_id = {s.context.span_id: t for t, s in threads.items()}
        asked = sorted(e.thread for e in trace.events if isinstance(e, Asked))
        assert sorted(by_id[c.parent.span_id] for c in calls if c.parent) == asked
        tokens = sum(int((c.attributes or {})[names.OUTPUT_TOKENS]) for c in calls)
        assert tokens == sum(e.generated for e in trace.events if isinstance(e, Answered))
    (first,) = seen.of(names.WORKFLOW, "r1")
    assert f"{first.context.trace_id:032x}" == PARENT.split("-")[1]
    assert first.parent is not None
    assert f"{first.parent.span_id:016x}" == PARENT.split("-")[2]
    assert len({s.context.trace_id for s in seen.spans}) == 2


def test_names_kinds_and_numbers_are_those_of_the_conventions() -> None:
    seen = Seen()
    info = about(session="talk", temperature=0.5, key="alice", seed=7)

    async def main() -> None:
        await answered([seen.watcher], info, Rambler(every=0.5))

    run_virtual(main)
    (run,) = seen.of("invoke_workflow")
    assert (run.name, run.kind) == ("invoke_workflow native", SpanKind.INTERNAL)
    attributes = run.attributes or {}
    assert attributes["gen_ai.conversation.id"] == "talk"
    assert attributes["gen_ai.request.seed"] == 7
    assert attributes["plait.outcome"] == "answered"
    call = seen.of("text_completion")[0]
    assert (call.name, call.kind) == ("text_completion script", SpanKind.CLIENT)
    attributes = call.attributes or {}
    assert attributes["gen_ai.provider.name"] == "scripted"
    assert attributes["gen_ai.request.model"] == "script"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.5)
    reasons = {(c.attributes or {})["gen_ai.response.finish_reasons"]
               for c in seen.of("text_completion")}
    assert reasons == {("left",), ("stop",)}
    assert attributes["gen_ai.usage.input_tokens"] > 0
    known = {value for name, value in vars(names).items() if name.isupper()
             and isinstance(value, str)}
    used = {key for span in seen.spans for key in span.attributes or {}}
    assert used <= known
    scope = call.instrumentation_scope
    assert scope is not None
    assert dict(scope.attributes or {}) == {"plait.conventions": names.CONVENTIONS}


def test_no_span_holds_a_text_of_anybody() -> None:
    seen = Seen()

    async def main() -> None:
        await answered([seen.watcher], about(question="1+2?", user="Ada"))

    run_virtual(main)
    everything = " ".join(span.to_json() for span in seen.spans)
    for text in ("1+2?", "Ada", "Outline", " one", "</Thread>"):
        assert text not in everything


def test_a_thread_that_is_tried_again_has_a_span_for_each_try() -> None:
    seen, failures = Seen(), [1]

    def script(prompt: str, sampling: Sampling) -> Play | str:
        if prompt.endswith("1:") and failures:
            failures.clear()
            return Play(" o", error=EngineUnreachable("secret host"), error_after=1)
        return weaver(prompt, sampling)

    async def main() -> None:
        await answered([seen.watcher], about(), ScriptedEngine(script))

    run_virtual(main)
    first, second = (s for s in seen.of(names.INVOKE) if thread_of(s) == "0.0")
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET
    assert (second.attributes or {})[names.ATTEMPT] == 1
    failed = [c for c in seen.of(names.COMPLETION) if c.status.status_code is StatusCode.ERROR]
    assert [(c.attributes or {})["error.type"] for c in failed] == ["other"]
    assert "secret host" not in "".join(s.to_json() for s in seen.spans)


def test_a_run_that_is_cancelled_or_fails_leaves_no_span_open() -> None:
    seen = Seen()
    engine = ScriptedEngine(lambda p, s: Play("word " * 100, every=1.0))
    gone = ScriptedEngine(lambda p, s: Play("", error=EngineUnreachable("gone")))

    async def main() -> None:
        with anyio.move_on_after(5):
            await answered([seen.watcher], about("left"), engine, method="sequential")
        with pytest.raises(EngineUnreachable):
            await answered([seen.watcher], about("failed"), gone, method="sequential")

    run_virtual(main)
    assert [len(seen.of(o)) for o in (names.WORKFLOW, names.INVOKE, names.CHAT)] == [2, 2, 2]
    left, failed = seen.of(names.WORKFLOW)
    assert left.status.status_code is StatusCode.UNSET
    assert (left.attributes or {})[names.OUTCOME] == "cancelled"
    assert left.end_time - left.start_time == pytest.approx(5 * SECOND)
    assert (failed.attributes or {})["error.type"] == "EngineUnreachable"


def test_spans_of_one_thread_follow_each_other() -> None:
    seen = Seen()

    async def main() -> None:
        await answered([seen.watcher], about(), ScriptedEngine(weaver, every=0.1))

    run_virtual(main)
    root = next(s for s in seen.of(names.INVOKE) if thread_of(s) == "0")
    calls = sorted((c for c in seen.of(names.COMPLETION)
                    if c.parent and c.parent.span_id == root.context.span_id),
                   key=lambda c: c.start_time)
    assert len(calls) == 2
    assert all(a.end_time <= b.start_time for a, b in pairwise(calls))


# --- sending -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("environ", "says"), [
    ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "over http/protobuf, not 'grpc'")])
def test_what_cannot_be_sent_is_one_clear_line(environ: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", **environ})


@pytest.mark.parametrize("environ", [
    {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}])
def test_nothing_is_sent_where_nobody_asks_for_it(environ: dict[str, str]) -> None:
    assert open_telemetry(environ) is None


class Collector(HTTPServer):
    """Takes traces as a collector does."""

    def __init__(self) -> None:
        requests: list[tuple[str, ExportTraceServiceRequest]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = requests


SENDER = """
import os, sys
from plait.server.telemetry import open_telemetry
from tests.server.watched import about, play
telemetry = open_telemetry(os.environ)
play([telemetry], about(), "a", "b")
telemetry.close()
"""


def test_spans_reach_a_collector_named_by_the_standard_variables() -> None:
    root = Path(__file__).parents[2]
    with Collector() as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}",
                   "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
                   "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
                   "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
        subprocess.run([sys.executable, "-c", SENDER], cwd=root, env=environ, check=True,
                       timeout=60)
        collector.shutdown()
    ((path, sent),) = collector.requests
    assert path == "/v1/traces"
    (resource,) = sent.resource_spans
    told = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert (told["service.name"], told["deployment.environment.name"]) == ("plait", "test")
    spans = [s.name for scope in resource.scope_spans for s in scope.spans]
    assert sorted(spans) == ["chat script", "invoke_agent thread", "invoke_workflow sequential"]
