"""How well plait-nano plays, through the real runtime: `python -m training.evaluate`.

Every line of the table is one kind of problem in one dialect: greedy decoding, problems that
training never showed, many at once on one engine.

    solved      right steps, or "no" where there is no solution; with a Wilson 95 % interval.
                What a dialect only answered after falling back to one thread does not count
    false       a wrong answer was given: wrong steps, or "no" where there is a solution
    forked      the model forked
    fell back   no answer in this dialect, asked again for one thread
    threads, tokens, path    means over the problems; the path is the longest chain of tokens
    seconds     wall clock of the line divided by its problems
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import anyio

from plait.core import Plan, Request, Result
from plait.puzzles.countdown import Problem, Tier, generate
from plait.registry import make_engine
from plait.solve import Runtime, solve

HEADS = ("problems", "dialect", "n", "solved", "95 %", "false", "forked", "fell back", "threads",
         "tokens", "path", "seconds")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: problems of one size and tier, in one dialect."""

    size: int
    tier: Tier
    dialect: str

    @property
    def plan(self) -> Plan:
        if self.dialect == "sequential":
            return Plan("sequential")
        return Plan("native", self.dialect)


ROWS = (
    *(Row(3, "natural", d) for d in ("sequential", "apr", "threadweaver")),
    *(Row(4, tier, d) for tier in ("natural", "hard") for d in ("sequential", "apr")),
    *(Row(3, "unsolvable", d) for d in ("sequential", "apr", "threadweaver")),
    *(Row(4, "unsolvable", d) for d in ("sequential", "apr")),
)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval in which a share lies that showed ``hits`` of ``n`` (Wilson 1927)."""
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


async def play(
    runtime: Runtime, row: Row, problems: Sequence[Problem], at_once: int
) -> list[Result]:
    """Put ``problems`` to the engine, ``at_once`` at a time; results in their order."""
    results: dict[int, Result] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(k: int, problem: Problem) -> None:
        numbers = ", ".join(map(str, problem.numbers))
        request = Request(prompt=f"Make {problem.target} from {numbers}")
        async with limiter:
            results[k] = await solve(request, runtime=runtime, plan=row.plan)

    async with anyio.create_task_group() as tasks:
        for k, problem in enumerate(problems):
            tasks.start_soon(one, k, problem)
    return [results[k] for k in range(len(problems))]


def cells(row: Row, results: Sequence[Result], seconds: float) -> list[str]:
    n = len(results)
    solved = sum(r.correct is True and r.fallback is None for r in results)
    low, high = wilson(solved, n)

    def mean(name: str) -> float:
        return sum(float(getattr(r, name)) for r in results) / n

    return [
        f"countdown-{row.size} {row.tier}", row.dialect, str(n), f"{solved / n:.1%}",
        f"{low:.1%} - {high:.1%}",
        str(sum(r.correct is False and r.answer is not None for r in results)),
        f"{sum(r.forks > 0 for r in results) / n:.0%}",
        str(sum(r.fallback is not None for r in results)),
        f"{mean('threads'):.1f}", f"{mean('total_tokens'):.0f}",
        f"{mean('critical_path_tokens'):.0f}", f"{seconds / n:.3f}",
    ]


async def evaluate(model: str | None, count: int, seed: int, at_once: int, only: str) -> None:
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    engine = make_engine("nano", model)
    try:
        async with Runtime(engine) as runtime:
            for row in ROWS:
                if only not in f"countdown-{row.size} {row.tier} {row.dialect}":
                    continue
                made = generate(seed, row.size, row.tier, held_out=True)
                problems = list(islice(made, count))
                began = time.perf_counter()
                results = await play(runtime, row, problems, at_once)
                line = cells(row, results, time.perf_counter() - began)
                print(f"| {' | '.join(line)} |", flush=True)
    finally:
        await engine.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate plait-nano through the runtime.")
    parser.add_argument("--model", help="a folder with another model than the one in plait")
    parser.add_argument("--problems", type=int, default=300, help="problems in each line")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=16, help="problems played side by side")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help='lines that hold it, such as "countdown-3" or "hard apr"')
    options = parser.parse_args()
    anyio.run(evaluate, options.model, options.problems, options.seed, options.at_once,
              options.only)


if __name__ == "__main__":
    main()
