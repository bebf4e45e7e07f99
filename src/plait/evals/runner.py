"""Runs tasks and records them: every arm on every problem, interleaved.

The order is problem by problem; within one, the arms take turns in an order that is drawn anew for
each problem, so that whatever the machine does meanwhile (warming up, other load, an engine whose
caches fill) hits all arms alike. A few workers take tasks from that one order; each grades what it
has run before it takes the next, so that grading never competes with its own measurements.

An engine that fails a task makes a record with status ``error``, which ``--resume`` runs again. An
engine that fails `GIVE_UP` tasks in a row is taken to be gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import orjson

from plait.errors import EngineError, PlaitError, UsageError
from plait.evals.cache import Cache
from plait.evals.graders import Grader, grade
from plait.evals.measures import Prices, clean, make_record, spent
from plait.evals.steps import Metronome
from plait.evals.store import Store
from plait.evals.values import Arm, Record, Suite, Task
from plait.interfaces import Engine
from plait.solve import Runtime, solve
from plait.trace import Trace, measure, write_trace

GIVE_UP = 5
"""Failed tasks in a row, times the workers, after which an evaluation stops."""
TRACES = "traces"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. ``trials``: how often each problem is put in each way; ``at_once``: tasks side
    by side (more than one makes times shorter in all, but each longer: they share the engine)."""

    suite: Suite
    arms: tuple[Arm, ...]
    seed: int = 0
    trials: int = 1
    at_once: int = 1
    prices: Prices | None = None
    keep_traces: bool = True

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise UsageError("an evaluation needs one or more different methods")
        if self.trials < 1 or self.at_once < 1:
            raise UsageError("`trials` and `at_once` must be above 0")

    @property
    def size(self) -> int:
        return len(self.suite.samples) * len(self.arms) * self.trials

    def tasks(self) -> Iterator[Task]:
        """Every task in the order in which they are taken."""
        for sample in self.suite.samples:
            for trial in range(self.trials):
                turn = Random(f"{self.seed}/{sample.id}/{trial}")
                for arm in turn.sample(self.arms, len(self.arms)):
                    yield Task(sample, arm, trial)


def pending(job: Job, known: dict[tuple[str, str, int], Record]) -> Iterator[Task]:
    """The tasks of ``job`` that have no record, or a failed one.

    Raises `UsageError` if a problem is no longer what its record was made from.
    """
    for task in job.tasks():
        record = known.get(task.key)
        if record is None or record.status == "error":
            yield task
        elif record.digest != task.sample.digest:
            raise UsageError(f"the problem `{task.sample.id}` has changed since it was answered",
                             hint="Start anew in another folder (--out).")


@dataclass
class Evaluation:
    """Runs the pending tasks of a job. ``watch`` is told of every record; ``metronome`` measures
    the engine's steps between tasks, which makes sense only where these run one at a time."""

    job: Job
    runtime: Runtime
    grader: Grader
    store: Store
    cache: Cache | None = None
    watch: Callable[[Record], None] = lambda record: None
    metronome: Metronome | None = None
    _failures: int = field(default=0, init=False)

    async def run(self) -> None:
        """Run what is pending. Raises `UsageError` for what cannot be asked, and the engine's
        error when it seems to be gone; what was recorded until then stays."""
        tasks = pending(self.job, self.store.records)
        failure: PlaitError | None = None

        async def work() -> None:
            nonlocal failure
            try:
                for task in tasks:
                    record = await self._run(task)
                    self._take(record)
                    if self.metronome is not None and not record.cached:
                        await self.metronome.ran(record.max_parallel)
                    await anyio.lowlevel.checkpoint()
            except PlaitError as error:  # carried out of the task group, which would wrap it
                failure = failure or error
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(self.job.at_once):
                group.start_soon(work)
        if failure is not None:
            raise failure
        if self.metronome is not None:
            await self.metronome.ended()

    def _take(self, record: Record) -> None:
        self.store.add(record)
        self.watch(record)

    async def _run(self, task: Task) -> Record:
        key = self.cache.key(task, self.job.seed) if self.cache is not None else ""
        known = self.cache.get(key) if self.cache is not None else None
        began, name = time.time(), None
        if known is not None:
            result, metrics, seconds = known
        else:
            trace = Trace()
            try:
                result = await solve(
                    task.request(self.job.seed), runtime=self.runtime, method=task.arm.method,
                    protocol=task.arm.protocol, plan=task.arm.plan, trace=trace)
            except EngineError as error:
                return self._failed(task, error, began, self._keep(task, trace))
            self._failures = 0
            if result.answer is not None:
                result = replace(result, answer=clean(result.answer))
            metrics, seconds = measure(trace.events), spent(trace.events)
            name = self._keep(task, trace)
            if self.cache is not None:
                self.cache.put(key, result, metrics, seconds)
        before = time.perf_counter()
        score = await grade(self.grader, task.sample, result.answer)
        record = make_record(task, result, metrics, seconds, score, self.job.prices)
        return replace(record, grade_seconds=time.perf_counter() - before, began=began, trace=name,
                       cached=known is not None)

    def _failed(self, task: Task, error: EngineError, began: float, trace: str | None) -> Record:
        self._failures += 1
        record = Record(task.sample.id, task.arm.name, task.trial, "error",
                        digest=task.sample.digest, group=task.sample.group, error=clean(error.line),
                        began=began, trace=trace)
        if self._failures >= GIVE_UP * self.job.at_once:
            self._take(record)
            error.hint = f"{self._failures} tasks failed in a row; what is done is kept" \
                " (--resume goes on)"
            raise error
        return record

    def _keep(self, task: Task, trace: Trace) -> str | None:
        """Write the trace; its name relative to the folder. Folders of 256: many files in one
        folder are slow."""
        if not self.job.keep_traces:
            return None
        digest = sha256(orjson.dumps(task.key)).hexdigest()
        name = Path(TRACES, digest[:2], f"{digest[2:14]}.jsonl")
        path = self.store.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trace(path, trace.events)
        return name.as_posix()


async def warm_up(engine: Engine, job: Job) -> None:
    """One short request, so that no arm pays for the engine's first steps. An engine that cannot
    answer it will say so in the first task."""
    first = next(job.tasks())
    request = first.request(job.seed)
    opening = await engine.open(request, None)
    sampling = replace(request.sampling, max_tokens=16)
    try:
        async with engine.stream(opening.prompt, sampling) as chunks:
            async for _ in chunks:
                pass
    except EngineError:
        return


def plan_of(
    job: Job, engine: str, model: str | None, extra: dict[str, object]
) -> dict[str, object]:
    """What an evaluation's folder says it is about."""
    suite = job.suite
    arms = {arm.name: orjson.loads(orjson.dumps(arm)) for arm in job.arms}
    return {"suite": suite.name, "tier": suite.tier, "grader": suite.grader,
            "source": suite.source, "suite_fingerprint": suite.fingerprint,
            "samples": len(suite.samples), "engine": engine, "model": model, "seed": job.seed,
            "trials": job.trials, "at_once": job.at_once, "arms": arms, **extra}
