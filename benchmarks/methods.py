"""Explore against one attempt, on plait-nano: accuracy and speed in one table.

    python -m benchmarks.methods [--problems 20] [--numbers 3] [--tier natural] [--seed 1]
                                [--temperature 0] [--minutes 60] [--ways sequential apr]

Every problem is answered in every way, one after the other, on one warm engine, so that whatever
else the machine does hits all of them alike. A line of the table:

    right       problems answered rightly, with a Wilson 95 % interval of the share
    tokens      generated, all threads together; path: the longest chain of them; means
    wasted      share of the tokens that were generated for nothing (cancelled attempts)
    attempts    threads that were made for it, forks within them not counted; mean
    seconds     wall clock; mean

Ways with "checked" try their answers against the puzzle's rules and stop at the first one that
holds, as far as eight attempts carry; "vote" lets the attempts vote instead. Sequential reasoning
and a native fork get one attempt and no check, so what is compared is what each way buys, not who
reasons better.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import anyio

from plait.core import Directions, Request, Result, Sampling
from plait.core.events import Started
from plait.evals.stats import wilson
from plait.puzzles import Problem, generate
from plait.solve import Runtime, solve
from plait.trace import Trace


@dataclass(frozen=True, slots=True)
class Way:
    """One line of the table."""

    name: str
    method: str
    protocol: str | None = None
    verify: str = "auto"


WAYS = (
    Way("sequential", "sequential"),
    Way("explore, vote", "explore", verify="none"),
    Way("explore, checked", "explore"),
    Way("native (apr)", "native", "apr"),
    Way("explore (apr), checked", "explore", "apr"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A result, and how many attempts it took."""

    result: Result
    attempts: int


async def answer(
    runtime: Runtime, problem: Problem, way: Way, seed: int, sampling: Sampling
) -> Run:
    """One problem in one way."""
    numbers = ", ".join(map(str, problem.numbers))
    request = Request(prompt=f"Make {problem.target} from {numbers}", seed=seed,
                      sampling=sampling, directions=Directions(verify=way.verify))
    trace = Trace()
    result = await solve(request, runtime=runtime, method=way.method, protocol=way.protocol,
                         trace=trace)
    attempts = sum(isinstance(e, Started) and e.label.startswith("attempt") for e in trace.events)
    return Run(result, attempts or 1)


def line(way: Way, runs: Sequence[Run]) -> str:
    """A line of the table. ``runs`` has at least one."""
    n = len(runs)
    right = sum(bool(run.result.correct) for run in runs)
    share = wilson(right, n)

    def mean(values: Sequence[float]) -> float:
        return sum(values) / n

    tokens = mean([r.result.total_tokens for r in runs])
    wasted = mean([r.result.wasted_tokens for r in runs]) / tokens if tokens else 0.0
    path = mean([r.result.critical_path_tokens for r in runs])
    seconds = mean([r.result.wall_seconds for r in runs])
    attempts = mean([r.attempts for r in runs])
    cells = (way.name, f"{right} of {n} ({share.low:.0%} - {share.high:.0%})", f"{tokens:.0f}",
             f"{wasted:.0%}", f"{path:.0f}", f"{attempts:.1f}", f"{seconds:.2f}")
    return f"| {' | '.join(cells)} |"


async def compare(
    problems: Sequence[Problem], ways: Sequence[Way], seed: int, minutes: float,
    sampling: Sampling,
) -> list[list[Run]]:
    """All problems in all ``ways``, interleaved, after a run that nobody counts; fewer problems if
    the time is up before. A list for each problem."""
    found: list[list[Run]] = []
    async with Runtime("nano") as runtime:
        await answer(runtime, problems[0], ways[0], seed, sampling)  # its first steps are slow ones
        until = anyio.current_time() + 60 * minutes
        for problem in problems:
            if anyio.current_time() > until:
                break
            runs = [await answer(runtime, problem, way, seed, sampling) for way in ways]
            found.append(runs)
            marks = ", ".join(f"{way.name} {'right' if run.result.correct else 'wrong'}"
                              for way, run in zip(ways, runs, strict=True))
            print(f"{problem!s:<28} {marks}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--numbers", type=int, default=3, choices=(3, 4))
    parser.add_argument("--tier", default="natural", choices=("natural", "hard", "unsolvable"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--ways", nargs="+", default=[""], help="words of the lines wanted")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no problem after that")
    options: Any = parser.parse_args()
    drawn = generate(options.seed, options.numbers, options.tier, held_out=True)
    ways = [way for way in WAYS if any(word in way.name for word in options.ways)]
    if not ways:
        parser.error("--ways names none of: " + "; ".join(way.name for way in WAYS))
    problems = list(islice(drawn, max(1, options.problems)))
    found = anyio.run(compare, problems, ways, options.seed, max(0.1, options.minutes),
                      Sampling(temperature=options.temperature))
    print("\n| | right | tokens | wasted | path | attempts | seconds |")
    print("|---" * 7 + "|")
    for way, runs in zip(ways, zip(*found, strict=True), strict=True):
        print(line(way, runs))


if __name__ == "__main__":
    main()
