"""What Prometheus reads at ``/metrics``: a watcher of runs, with a registry of its own.

Labels have few values: methods, engines' models, outcomes and words of fixed lists. A name beyond
the first `MOST_NAMES` of its kind counts as ``other``, so no client can make series without end.
What can be looked at when Prometheus asks (admission, breaker, store) is looked at then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from plait.core.events import Answered, Asked, Ended, Event, Noted, Started, Wrote
from plait.engines.pool.members import PoolState
from plait.policy import Standing
from plait.policy.outliers import Outliers
from plait.policy.reasons import reason_word
from plait.scheduler.admission import LimiterState
from plait.server.feedback import Feedback
from plait.server.watch import Ending, RunInfo
from plait.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_LATEST
MOST_NAMES = 20
OTHER = "other"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1200)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
TOKENS = (64, 256, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
POSITIONS = {"on": 0, "probing": 1, "off": 2}
_STOPS = {"total tokens": "total_tokens", "critical-path tokens": "critical_tokens",
          "live context tokens": "live_tokens", "the context window": "window", "cost": "cost",
          "seconds": "seconds", "depth": "depth", "threads": "threads", "rounds": "rounds"}


@dataclass(frozen=True, slots=True)
class Observed:
    """What is looked at whenever Prometheus asks; None: there is no such thing."""

    admission: Callable[[], LimiterState] | None = None
    """The runtime's limiter of streams."""
    queued: Callable[[], int] | None = None
    """Requests that wait for admission by the gateway."""
    breaker: Callable[[], Iterable[Standing]] | None = None
    store_lost: Callable[[], int] | None = None
    """Entries that the store could not write."""
    pool: Callable[[], PoolState] | None = None
    """The replicas, where the engine is a pool of them."""


@dataclass(slots=True, eq=False)
class _Run:
    """What a run that goes on holds at the engine. ``calls``: context tokens of each thread's open
    call; ``left``: calls that were closed since anything was last written."""

    calls: dict[str, int] = field(default_factory=dict)
    threads: int = 0
    left: int = 0


class GatewayMetrics:
    """Counts what happens. Also the place to say what the gateway did beside runs."""

    def __init__(self, observed: Observed | None = None) -> None:
        self.registry = CollectorRegistry()
        self._names: dict[str, set[str]] = {}
        self._runs: dict[str, _Run] = {}
        self._outliers = Outliers()
        self._make_counters()
        self._make_histograms()
        self.registry.register(_Now(observed or Observed(), self._runs))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _make_counters(self) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"plait_{name}", what, labels, registry=self.registry)

        self._requests = counter("requests", "HTTP requests", "endpoint", "status")
        self._passed = counter("passed_through", "Requests handed to the engine as they were",
                               "why")
        self._ended = counter("runs", "Runs that ended", "model", "method", "outcome")
        self._errors = counter("run_errors", "Runs that an error ended", "error")
        self._fallbacks = counter("fallbacks", "Runs that gave way to sequential reasoning",
                                  "method", "reason")
        self._tokens = counter("tokens", "Tokens of all calls; cached ones are among the prompt's",
                               "model", "kind")
        self._calls = counter("upstream_calls", "Calls of the engine that ended", "finish")
        self._cancelled = counter(
            "upstream_cancelled", "Calls of the engine that were closed before their end", "cause")
        self._stops = counter("budget_stops", "Threads that a limit stopped", "budget")
        self._slow = counter("latency_outliers",
                             "Runs that took twice the rolling 95th percentile", "model", "method")
        self._shadows = counter("shadow_runs", "Runs that only measured another policy",
                                "experiment", "outcome")
        self._feedback = counter("feedback", "Feedback by rating", "rating")
        self._coherent = counter("feedback_coherent", "Did the actions of a run hold together?",
                                 "coherent")

    def _make_histograms(self) -> None:
        def histogram(name: str, what: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"plait_{name}", what, labels, buckets=tuple(buckets),
                             registry=self.registry)

        by = ("model", "method")
        self._request_seconds = histogram("request_seconds", "Seconds of an HTTP request",
                                          SECONDS, "endpoint")
        self._queue_seconds = histogram("queue_seconds", "Seconds that a run waited for admission",
                                        SECONDS)
        self._seconds = histogram("run_seconds", "Seconds of a run", SECONDS, *by)
        self._first_token = histogram("first_token_seconds", "Seconds to a run's first token",
                                      SECONDS, *by)
        self._first_answer = histogram(
            "first_answer_seconds", "Seconds to the first committed text of the answer",
            SECONDS, *by)
        self._threads = histogram("run_threads", "Threads of a run", COUNTS, *by)
        self._width = histogram("run_width", "Most threads of a run at the engine at one moment",
                                COUNTS, *by)
        self._path = histogram("critical_path_tokens", "Tokens on the longest path of a run",
                               TOKENS, *by)
        self._total = histogram("run_tokens", "Tokens that a run generated", TOKENS, *by)

    # --- watching --------------------------------------------------------------------------------

    def started(self, info: RunInfo) -> None:
        self._runs[info.run] = _Run()
        self._queue_seconds.observe(info.queued)

    def event(self, info: RunInfo, event: Event) -> None:
        run = self._runs[info.run]
        if isinstance(event, Wrote):
            if run.left:
                self._cancelled.labels("runtime").inc(run.left)
                run.left = 0
            if event.thread in run.calls:
                run.calls[event.thread] += event.tokens
        elif isinstance(event, Asked):
            run.calls[event.thread] = event.context
        elif isinstance(event, Answered):
            run.calls.pop(event.thread, None)
            self._calls.labels(event.finish).inc()
            run.left += event.finish == "left"
        elif isinstance(event, Started):
            run.threads += event.attempt == 0
        elif isinstance(event, Ended):
            run.threads -= 1
        elif isinstance(event, Noted):
            self._note(event.what)

    def _note(self, what: str) -> None:
        if what == "the time is up":
            what = "the limit on seconds"
        elif what.startswith("stopped after ") and " rounds of " in what:
            what = "the limit on rounds"
        _, found, limit = what.partition("the limit on ")
        if found:
            name = limit.partition(" is ")[0]
            self._stops.labels(_STOPS.get(name, OTHER)).inc()

    def ended(self, info: RunInfo, ending: Ending) -> None:
        run = self._runs.pop(info.run)
        model, method = self._name("model", info.model), self._name("method", ending.method)
        self._count_tokens(model, ending)
        # a client that leaves closes all calls at once, some of them before they were even open
        cause = "client" if ending.outcome == "cancelled" else "runtime"
        self._cancelled.labels(cause).inc(run.left + len(run.calls))
        if info.shadow_of:
            self._shadows.labels(self._name("experiment", info.experiment), ending.outcome).inc()
            return
        self._ended.labels(model, method, ending.outcome).inc()
        if ending.error is not None and ending.outcome == "failed":
            self._errors.labels(self._name("error", ending.error_type)).inc()
        if ending.fallback is not None:
            self._fallbacks.labels(method, reason_word(ending.fallback)).inc()
        self._observe(model, method, ending)

    def _count_tokens(self, model: str, ending: Ending) -> None:
        counted = ending.metrics
        for kind, count in (
            ("prompt", counted.prompt_tokens), ("cached", counted.cached_tokens),
            ("useful", counted.useful_tokens), ("wasted", counted.wasted_tokens),
            ("verification", counted.verification_tokens), ("inserted", counted.inserted_tokens),
        ):
            self._tokens.labels(model, kind).inc(count)

    def _observe(self, model: str, method: str, ending: Ending) -> None:
        counted = ending.metrics
        for histogram, value in (
            (self._first_token, ending.first_token), (self._first_answer, ending.first_answer)):
            if value is not None:
                histogram.labels(model, method).observe(value)
        if ending.outcome == "cancelled":
            return
        self._seconds.labels(model, method).observe(ending.seconds)
        self._threads.labels(model, method).observe(counted.threads)
        self._width.labels(model, method).observe(counted.max_parallel)
        self._path.labels(model, method).observe(counted.critical_path_tokens)
        self._total.labels(model, method).observe(counted.total_tokens)
        if self._outliers.add((model, method), ending.seconds):
            self._slow.labels(model, method).inc()

    # --- what is no run --------------------------------------------------------------------------

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """An HTTP request was answered. ``endpoint`` is a name such as ``chat``, never a path."""
        endpoint = self._name("endpoint", endpoint)
        self._requests.labels(endpoint, self._name("status", str(status))).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def passed_through(self, why: str) -> None:
        """A request was handed on unchanged. ``why`` is a word such as ``tools``."""
        self._passed.labels(self._name("why", why)).inc()

    def feedback(self, said: Feedback) -> None:
        """Somebody said something of a run."""
        word = "none"
        if said.rating is not None:
            word = "good" if said.rating > 0 else "bad" if said.rating < 0 else "neutral"
        self._feedback.labels(word).inc()
        if said.coherent is not None:
            self._coherent.labels("yes" if said.coherent else "no").inc()

    def text(self) -> bytes:
        """The metrics as Prometheus reads them; of the type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _name(self, kind: str, name: str) -> str:
        """``name``, or `OTHER` where there are too many of its kind already."""
        known = self._names.setdefault(kind, set())
        if name not in known:
            if len(known) >= MOST_NAMES:
                return OTHER
            known.add(name)
        return name or "none"


class _Now(Collector):
    """Gauges of what is so at this moment."""

    def __init__(self, observed: Observed, runs: dict[str, _Run]) -> None:
        self._observed = observed
        self._runs = runs

    def collect(self) -> Iterable[Metric]:
        runs = list(self._runs.values())
        yield _gauge("build_info", "The version of plait", 1, version=VERSION)
        yield _gauge("runs_running", "Runs that go on", len(runs))
        yield _gauge("threads_running", "Threads that go on", sum(r.threads for r in runs))
        yield _gauge("upstream_calls_open", "Calls of the engine that go on",
                     sum(len(r.calls) for r in runs))
        yield _gauge("live_context_tokens", "Context tokens of the calls that go on",
                     sum(sum(r.calls.values()) for r in runs))
        if self._observed.queued is not None:
            yield _gauge("queue_waiting", "Requests that wait for admission",
                         self._observed.queued())
        if self._observed.admission is not None:
            state = self._observed.admission()
            yield _gauge("admission_limit", "Streams that may run at once", state.limit)
            yield _gauge("admission_running", "Streams that run", state.running)
            yield _gauge("admission_waiting", "Streams that wait for a slot", state.waiting)
        if self._observed.store_lost is not None:
            yield _gauge("store_lost_entries", "What the store could not write",
                         self._observed.store_lost())
        if self._observed.pool is not None:
            yield from _pool(self._observed.pool())
        if self._observed.breaker is not None:
            family = GaugeMetricFamily(
                "plait_breaker_state", "0: the method is on, 1: it is tried out, 2: it is off",
                labels=("model", "method"))
            for standing in self._observed.breaker():
                family.add_metric((standing.model, standing.method), POSITIONS[standing.position])
            yield family


def _pool(state: PoolState) -> Iterable[Metric]:
    """What a pool is like now, and what had to be done about its replicas so far."""
    healthy = GaugeMetricFamily(
        "plait_replica_healthy", "1: the replica gets streams, 0: it is out", labels=("replica",))
    ejections = CounterMetricFamily(
        "plait_replica_ejections", "Times that a replica was put out", labels=("replica",))
    for standing in state.replicas:
        healthy.add_metric((standing.name,), 0 if standing.out else 1)
        ejections.add_metric((standing.name,), standing.ejections)
    breaks = CounterMetricFamily(
        "plait_replica_breaks", "Streams that a replica broke off, by what became of them",
        labels=("then",))
    breaks.add_metric(("continued",), state.failovers)
    breaks.add_metric(("restarted",), state.restarts)
    return healthy, ejections, breaks


def _gauge(name: str, what: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"plait_{name}", what, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family
