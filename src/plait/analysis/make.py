"""Traffic made by running a suite sequentially, one problem at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from plait.analysis.call import Call, Traffic
from plait.analysis.read_trace import call_from
from plait.core import Request
from plait.evals import Arm, Suite, Task
from plait.evals.graders import Grader, grade
from plait.solve import Runtime, solve
from plait.trace import Trace, write_trace

_ARM = Arm("sequential")


async def make_traffic(
    runtime: Runtime, suite: Suite, grader: Grader, request: Request, *, keep: Path | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Traffic:
    """Answer all samples of ``suite`` in one thread each, and grade them. ``request`` holds
    sampling and limits, ``keep`` is an existing folder for the traces. Engine errors pass through.
    """
    calls: list[Call] = []
    skipped: Counter[str] = Counter()
    for number, sample in enumerate(suite.samples, start=1):
        trace = Trace()
        seed = Task(sample, _ARM).seed(request.seed)
        result = await solve(replace(request, prompt=sample.question, seed=seed), runtime=runtime,
                             method="sequential", trace=trace)
        right = (await grade(grader, sample, result.answer)).right
        if keep is not None:
            write_trace(keep / f"{number:05d}.jsonl", trace.events)
        entry = call_from(trace.events, sample.group or suite.name, name=sample.id, correct=right)
        if isinstance(entry, Call):
            calls.append(entry)
        else:
            skipped[entry] += 1
        tell(number, len(suite.samples))
    return Traffic(tuple(calls), tuple(sorted(skipped.items())))
