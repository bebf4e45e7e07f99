"""What the evaluation itself costs: a hundred thousand samples on an engine that takes no time.

The engine is a script that answers at once, so all the time is plait's: scheduler, trace, grading,
appending to JSONL and SQLite. Shown for each tenth of the run, since what matters is that the last
sample costs what the first did, also in processor time, which other load on the machine hardly
moves; then what it takes to resume (nothing is left to do) and to report.

    python -m benchmarks.evaluations [--samples 100000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import anyio

from plait.core import Sampling
from plait.evals.graders import Grader
from plait.evals.report import write_report
from plait.evals.runner import Evaluation, Job, pending, plan_of
from plait.evals.store import Store
from plait.evals.values import Arm, Record, Sample, Suite
from plait.solve import Runtime
from plait.testing import Play, ScriptedEngine

TENTHS = 10


def answer(prompt: str, sampling: Sampling) -> Play:
    return Play(f"so it is</think>{prompt.count('a')}", every=0.0)


def suite(samples: int) -> Suite:
    return Suite("letters", tuple(
        Sample(f"letters/{i}", f"How many a are in {'a' * (i % 7)}{i}?", str(i % 7 + 2), f"{i % 4}")
        for i in range(samples)), "number", "made here")


class Clock:
    """Notes the time at every tenth of the records."""

    def __init__(self, total: int) -> None:
        self.step = max(1, total // TENTHS)
        self.seen = 0
        self.marks = [(time.perf_counter(), time.process_time())]

    def __call__(self, record: Record) -> None:
        self.seen += 1
        if self.seen % self.step == 0:
            self.marks.append((time.perf_counter(), time.process_time()))


async def run(folder: Path, job: Job) -> Clock:
    clock = Clock(job.size)
    with Store(folder, plan_of(job, "scripted", None, {}), resume=False) as store:
        async with Runtime(ScriptedEngine(answer)) as runtime:
            await Evaluation(job, runtime, Grader("number"), store, None, clock).run()
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of evaluating, engine aside.")
    parser.add_argument("--samples", type=int, default=100_000)
    options = parser.parse_args()
    job = Job(suite(options.samples), (Arm("sequential", "sequential"),), keep_traces=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = anyio.run(run, folder, job)
        times = []
        for place, ((wall, busy), (later, more)) in enumerate(pairwise(clock.marks), start=1):
            times.append(later - wall)
            print(f"tenth {place:>2}: {clock.step / (later - wall):>8,.0f} samples a second,"
                  f" {1000 * (more - busy) / clock.step:.2f} ms of processor time each")
        size = (folder / "records.jsonl").stat().st_size
        print(f"all: {job.size / sum(times):,.0f} samples a second,"
              f" {size / job.size:.0f} bytes each")
        began = time.perf_counter()
        with Store(folder, plan_of(job, "scripted", None, {}), resume=True) as store:
            left = sum(1 for _ in pending(job, store.records))
        print(f"resume: {time.perf_counter() - began:.1f} s to see that {left} are left")
        began = time.perf_counter()
        write_report(folder)
        print(f"report: {time.perf_counter() - began:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory: {peak:,.0f} MB at most")


if __name__ == "__main__":
    main()
