"""What Prometheus reads: runs counted as they were, gauges of the moment, labels that stay few."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from plait.core import Budget, Request
from plait.core.events import Answered
from plait.errors import EngineUnreachable
from plait.policy import Breaker, BreakerSettings
from plait.policy.outliers import KNOWN
from plait.scheduler.admission import LimiterState
from plait.server.feedback import Feedback
from plait.server.metrics import MOST_NAMES, GatewayMetrics, Observed
from plait.server.watch import watching
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure
from plait.version import VERSION
from tests.server.watched import about, answered, play
from tests.woven import Rambler, weaver


class Samples:
    """What Prometheus would read now."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        families = text_string_to_metric_families(metrics.text().decode())
        self.all = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None if there is none."""
        found = [s.value for s in self.all if s.name == f"plait_{name}" and s.labels == labels]
        return found[0] if found else None

    def values(self, name: str, label: str) -> dict[str, float]:
        """The values of all samples of ``name``, by one label."""
        return {s.labels[label]: s.value for s in self.all if s.name == f"plait_{name}"}


def watched(metrics: GatewayMetrics, **options: Any) -> Trace:
    async def main() -> Trace:
        return (await answered([metrics], about(), **options))[1]

    return run_virtual(main)


def test_a_run_is_counted_with_all_its_numbers() -> None:
    metrics = GatewayMetrics()
    trace = watched(metrics, engine=ScriptedEngine(weaver, every=0.5))
    found, counted = Samples(metrics), measure(trace.events)
    kind = {"model": "script", "method": "native"}
    assert found("runs_total", outcome="answered", **kind) == 1
    assert found.values("tokens_total", "kind") == {
        "useful": counted.useful_tokens, "wasted": counted.wasted_tokens,
        "verification": counted.verification_tokens, "prompt": counted.prompt_tokens,
        "cached": counted.cached_tokens, "inserted": counted.inserted_tokens}
    assert found("run_threads_sum", **kind) == 3
    assert found("run_width_sum", **kind) == 2
    assert found("critical_path_tokens_sum", **kind) == counted.critical_path_tokens
    assert found("run_tokens_sum", **kind) == counted.total_tokens
    assert found("first_token_seconds_count", **kind) == 1
    assert found("first_answer_seconds_count", **kind) == 1
    calls = sum(isinstance(e, Answered) for e in trace.events)
    assert sum(found.values("upstream_calls_total", "finish").values()) == calls
    for gauge in ("runs_running", "threads_running", "upstream_calls_open", "live_context_tokens"):
        assert found(gauge) == 0


def test_fallbacks_and_errors_are_counted_by_words_of_a_list() -> None:
    metrics = GatewayMetrics()
    watched(metrics, engine=ScriptedEngine(lambda p, s: Play("", finish="eos")))
    assert Samples(metrics)("fallbacks_total", method="native", reason="no_answer") == 1
    gone = ScriptedEngine(lambda p, s: Play("", error=EngineUnreachable("gone")))
    with pytest.raises(EngineUnreachable):
        watched(metrics, engine=gone, method="sequential")
    found = Samples(metrics)
    assert found("run_errors_total", error="EngineUnreachable") == 1
    assert found("runs_total", model="script", method="sequential", outcome="failed") == 1


def test_budget_stops_are_counted_by_budget() -> None:
    metrics = GatewayMetrics()

    async def main() -> None:
        engine = ScriptedEngine(lambda p, s: Play("word " * 50, every=0.1))
        async with Runtime(engine) as runtime:
            for budget in (Budget(total_tokens=10), Budget(seconds=1.0), Budget(window=12)):
                trace = Trace()
                with watching([metrics], about()) as seen:
                    trace.subscribe(seen.event)
                    seen.result = await solve(Request(prompt="1+2?", budget=budget),
                                              runtime=runtime, method="sequential", trace=trace)

    run_virtual(main)
    stops = Samples(metrics).values("budget_stops_total", "budget")
    assert stops == {"total_tokens": 1, "seconds": 1, "window": 1}


def test_what_goes_on_is_seen_while_it_goes_on_and_a_client_that_leaves_is_counted() -> None:
    metrics = GatewayMetrics()
    engine = ScriptedEngine(
        lambda p, s: weaver(p, s) if not p.endswith(("1:", "2:")) else Play("w " * 99, every=1.0))
    during: list[Samples] = []

    async def main() -> None:
        with anyio.move_on_after(6):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answered, [metrics], about(), engine)
                await anyio.sleep(5)
                during.append(Samples(metrics))

    run_virtual(main)
    assert during[0]("runs_running") == 1
    assert during[0]("threads_running") == 3
    assert during[0]("upstream_calls_open") == 2
    assert (during[0]("live_context_tokens") or 0) > 20
    found = Samples(metrics)
    assert found("upstream_cancelled_total", cause="client") == 2
    assert found("runs_total", model="script", method="native", outcome="cancelled") == 1
    assert found("upstream_calls_open") == 0
    assert found("run_seconds_count", model="script", method="native") is None


def test_calls_that_the_runtime_closes_are_no_clients_that_left() -> None:
    metrics = GatewayMetrics()
    watched(metrics, engine=Rambler(every=0.1))
    causes = Samples(metrics).values("upstream_cancelled_total", "cause")
    assert causes == {"runtime": 3}  # the format ends two threads and the outlines


def test_runs_far_slower_than_nearly_all_others_are_outliers() -> None:
    metrics = GatewayMetrics()
    for i in range(KNOWN):
        play([metrics], about(f"r{i}"), seconds=1.0 + i / 100)
    play([metrics], about("usual"), seconds=2.0)
    assert Samples(metrics).values("latency_outliers_total", "method") == {}
    play([metrics], about("slow"), seconds=5.0)
    assert Samples(metrics).values("latency_outliers_total", "method") == {"sequential": 1}


def test_what_can_be_looked_at_is_looked_at_when_prometheus_asks() -> None:
    breaker, waiting = Breaker(BreakerSettings(least=1, window=1)), [3]
    metrics = GatewayMetrics(Observed(
        admission=lambda: LimiterState(7.5, 4, 2), queued=lambda: waiting[0],
        breaker=lambda: breaker.standings(0.0), store_lost=lambda: 9))
    breaker.record("plan", "m", "failed", 0.0, 0.0)
    breaker.record("explore", "m", "good", 0.0, 0.0)
    found = Samples(metrics)
    assert found.values("breaker_state", "method") == {"plan": 2, "explore": 0}
    assert found("admission_limit") == 7.5
    assert found("admission_waiting") == 2
    assert found("store_lost_entries") == 9
    waiting[0] = 5
    assert Samples(metrics)("queue_waiting") == 5


def test_no_client_can_make_series_without_end() -> None:
    metrics = GatewayMetrics()
    for i in range(60):
        play([metrics], about(f"r{i}", model=f"model-{i}", key=f"key-{i}", user=f"user-{i}"))
        metrics.request(f"endpoint-{i}", 200, 0.1)
        metrics.passed_through(f"why-{i}")
    models = Samples(metrics).values("runs_total", "model")
    assert len(models) == MOST_NAMES + 1
    assert "other" in models
    text = metrics.text().decode()
    assert "key-1" not in text
    assert "user-1" not in text
    assert text.count("plait_requests_total{") == MOST_NAMES + 1


def test_shadows_are_counted_apart() -> None:
    metrics = GatewayMetrics()
    play([metrics], about(experiment="e", arm="B", shadow_of="r0"))
    found = Samples(metrics)
    assert found("shadow_runs_total", experiment="e", outcome="answered") == 1
    assert found.values("runs_total", "model") == {}


def test_feedback_requests_and_the_version_are_counted() -> None:
    metrics = GatewayMetrics()
    for rating in (1, 0.5, -1, 0, None):
        metrics.feedback(Feedback("r", rating, coherent=None if rating else True))
    metrics.request("chat", 200, 0.1)
    metrics.request("chat", 429, 0.1)
    metrics.passed_through("tools")
    found = Samples(metrics)
    assert found.values("feedback_total", "rating") == {
        "good": 2, "bad": 1, "neutral": 1, "none": 1}
    assert found("feedback_coherent_total", coherent="yes") == 2
    assert found("requests_total", endpoint="chat", status="429") == 1
    assert found("request_seconds_count", endpoint="chat") == 2
    assert found("passed_through_total", why="tools") == 1
    assert found("build_info", version=VERSION) == 1
    assert any(sample.name == "process_cpu_seconds_total" for sample in found.all)
