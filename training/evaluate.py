"""How well plait-nano does, through the real runtime: `python -m training.evaluate`.

Every line of the table is one kind of problem in one dialect and one context window: greedy
decoding, problems that training never showed, many at once on one engine.

    window      the context of each thread, in tokens
    solved      the right answer ("no" where there is no solution); with a Wilson 95 % interval.
                What a dialect only answered after falling back to one thread does not count
    false       a wrong answer was given: wrong steps or value, or "no" where there is a solution
    forked      the model forked: activation
    width       most threads at once, a mean over the problems that forked
    fell back   no answer in this dialect, asked again for one thread
    threads, tokens, path    means over the problems; the path is the longest chain of tokens
    seconds     wall clock of the line divided by its problems (they share the engine)

A dialect with `forced` begins with the tag that opens a fork, whatever the model would have done;
`sequential` is the same model with forks forbidden.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import anyio

from plait.core import Budget, Outcome, Plan, Request, Result
from plait.interfaces import Opening, Thread
from plait.methods import drive
from plait.puzzles import Problem, Sheet, countdown, sheet
from plait.puzzles.countdown_trace import CALLING
from plait.registry import make_engine, make_protocol
from plait.solve import Runtime, solve

HEADS = ("problems", "dialect", "window", "n", "solved", "95 %", "false", "forked", "width",
         "fell back", "threads", "tokens", "path", "seconds")
WINDOW, NARROW = 4096, 1024
"""The model's window, and one that no exhaustive search of a hard problem fits in."""
FORCING = {"apr": f"\n{CALLING}", "threadweaver": "<Parallel>\n<Outlines>\n"}
"""What a root is made to begin with so that it forks."""


class Forced:
    """The method `native`, except that the root's first words open a fork."""

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        assert plan.protocol is not None
        machine = make_protocol(plan.protocol)(opening.prompt.text)
        root.append(FORCING[plan.protocol])
        machine.feed(FORCING[plan.protocol])
        outcome = await drive(root, machine, request, plan)
        return Outcome(outcome.status, root.text, opening.read(root.text), outcome.reason)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. ``tier`` is a sheet's width, or a tier of countdown."""

    suite: str
    tier: str
    dialect: str
    window: int = WINDOW

    @property
    def name(self) -> str:
        return f"{self.suite} {self.tier} {self.dialect} {self.window}"

    @property
    def plan(self) -> Plan:
        if self.dialect == "sequential":
            return Plan("sequential")
        return Plan("native", self.dialect.split()[0])

    def questions(self, seed: int) -> Iterator[str]:
        """Endless held-out problems, in words."""
        made: Iterator[Problem | Sheet]
        if self.suite == "sheet":
            made = sheet.generate(seed, int(self.tier), held_out=True)
        else:
            tier = countdown.tier_named(self.tier)
            made = countdown.generate(seed, int(self.suite[-1]), tier, held_out=True)
        return (puzzle.words for puzzle in made)


ROWS = (
    *(Row("countdown-3", tier, dialect) for tier in ("natural", "unsolvable")
      for dialect in ("sequential", "apr")),
    *(Row("countdown-4", tier, dialect, window) for tier in ("natural", "hard", "unsolvable")
      for window in (WINDOW, NARROW) for dialect in ("sequential", "apr")),
    *(Row("countdown-4", tier, "apr forced") for tier in ("natural", "hard")),
    *(Row("sheet", str(width), dialect) for width in (1, 2, 4, 8, 16)
      for dialect in ("sequential", "threadweaver")),
    Row("sheet", "1", "threadweaver forced"),
)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval in which a share lies that showed ``hits`` of ``n`` (Wilson 1927)."""
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


async def play(
    runtime: Runtime, row: Row, questions: Sequence[str], at_once: int
) -> list[Result]:
    """Put ``questions`` to the engine, ``at_once`` at a time; results in their order."""
    results: dict[int, Result] = {}
    limiter = anyio.CapacityLimiter(at_once)
    method = Forced() if row.dialect.endswith("forced") else None

    async def one(k: int, question: str) -> None:
        request = Request(prompt=question, budget=Budget(window=row.window))
        async with limiter:
            results[k] = await solve(request, runtime=runtime, plan=row.plan, method=method)

    async with anyio.create_task_group() as tasks:
        for k, question in enumerate(questions):
            tasks.start_soon(one, k, question)
    return [results[k] for k in range(len(questions))]


def cells(row: Row, results: Sequence[Result], seconds: float) -> list[str]:
    n = len(results)
    solved = sum(r.correct is True and r.fallback is None for r in results)
    low, high = wilson(solved, n)
    forked = [r for r in results if r.forks]

    def mean(name: str, of: Sequence[Result] = results) -> float:
        return sum(float(getattr(r, name)) for r in of) / len(of) if of else 0.0

    return [
        f"{row.suite} {row.tier}", row.dialect, str(row.window), str(n), f"{solved / n:.1%}",
        f"{low:.1%} - {high:.1%}",
        str(sum(r.correct is False and r.answer is not None for r in results)),
        f"{len(forked) / n:.0%}", f"{mean('max_parallel', forked):.1f}" if forked else "-",
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
                if only not in row.name:
                    continue
                questions = list(islice(row.questions(seed), count))
                began = time.perf_counter()
                results = await play(runtime, row, questions, at_once)
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
