"""Forked against sequential reasoning: plait-nano on hard countdown problems, on several engines.

    python -m benchmarks.countdown [--problems 20] [--seed 1] [--tier hard]
        [--engine nano|URL|FILE ...] [--serve llama.cpp vLLM]

Both ways run in one process on one warm engine, one after the other, for every problem, so that
whatever else the machine does hits both alike; with several engines each problem is put to all of
them in turn. An engine has to serve plait-nano; ``--serve`` starts servers that do
(`tests/live/setup.sh` installs them) and ends them. Speedups are ratios of sums over all problems
(a mean of ratios would let easy problems count most); ``attained`` is the wall speedup over what
the engine's own step times allow for the very same graphs of threads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from benchmarks.served import serving
from plait.core import Plan, Request
from plait.engines.puzzle import put
from plait.errors import UsageError
from plait.evals.measures import spent
from plait.evals.steps import step_seconds, widths_up_to
from plait.interfaces import Engine, Opening
from plait.puzzles import Problem, generate
from plait.registry import make_engine
from plait.solve import Runtime, solve
from plait.trace import Trace, attainable_speedup, curve

Found = dict[str, Any]
SERVERS = {"llama.cpp": "llamacpp", "vLLM": "vllm"}
PLANS = {"parallel": Plan("native", "apr"), "sequential": Plan("sequential")}


class AskedAsNano:
    """An engine that serves plait-nano, asked in the words of its training for both ways."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """As the embedded engine opens it."""
        return put(request.question, protocol)


async def compare(runtime: Runtime, problem: Problem) -> Found:
    """One problem both ways, the forked one first, and what the engine's step times allow."""
    numbers = ", ".join(map(str, problem.numbers))
    request = Request(f"Make {problem.target} from {numbers}")
    await step_seconds(runtime.engine, request, 2)  # its first steps are slow ones
    found: Found = {}
    events = {}
    for way, plan in PLANS.items():
        trace = Trace()
        found[way] = asdict(await solve(request, runtime=runtime, plan=plan, trace=trace))
        events[way] = trace.events
    points = {width: await step_seconds(runtime.engine, request, width)
              for width in widths_up_to(found["parallel"]["max_parallel"])}
    known = {width: value for width, value in points.items() if value is not None}
    found["attainable_speedup"] = attainable_speedup(
        events["parallel"], spent(events["sequential"]).writing, curve(known))
    return found


def row(name: str, way: str, found: list[Found]) -> str:
    """One line of the first table: means over the problems."""
    runs = [f[way] for f in found]
    correct = sum(bool(r["correct"]) for r in runs)
    means = [sum(r[key] for r in runs) / len(runs) for key in
             ("threads", "total_tokens", "critical_path_tokens", "wall_seconds")]
    return (f"| {name}, {way} | {correct} of {len(runs)} | {means[0]:.1f} | {means[1]:.0f} |"
            f" {means[2]:.0f} | {means[3]:.2f} |")


def ratios(found: list[Found]) -> dict[str, float]:
    """Speedups as ratios of sums. The attainable time of a run is its sequential time divided by
    its attainable speedup."""
    def total(way: str, key: str) -> float:
        return float(sum(f[way][key] for f in found))

    wall = total("sequential", "wall_seconds") / total("parallel", "wall_seconds")
    ideal = sum(f["sequential"]["wall_seconds"] / f["attainable_speedup"] for f in found)
    attainable = total("sequential", "wall_seconds") / ideal
    return {
        "token speedup": total("sequential", "total_tokens")
        / total("parallel", "critical_path_tokens"),
        "wall speedup": wall,
        "attainable": attainable,
        "attained": wall / attainable,
    }


def tables(found: dict[str, list[Found]]) -> None:
    """What every engine took, and what forking was worth on it."""
    print("\n| | right | threads | tokens | longest path | seconds |\n|---|---|---|---|---|---|")
    for name, answers in found.items():
        for way in ("parallel", "sequential"):
            print(row(name, way, answers))
    measured = {name: ratios(answers) for name, answers in found.items()}
    keys = list(next(iter(measured.values())))
    print(f"\n| | {' | '.join(keys)} |\n|---{'|---' * len(keys)}|")
    for name, values in measured.items():
        print(f"| {name} | " + " | ".join(f"{values[key]:.2f}" for key in keys) + " |")


@contextlib.contextmanager
def served(names: list[str]) -> Iterator[dict[str, str]]:
    """Servers with plait-nano, while the block runs: their URLs by name."""
    with contextlib.ExitStack() as stack:
        yield {name: f"{stack.enter_context(serving(SERVERS[name]))}/v1" for name in names}


async def measure(engines: dict[str, str], problems: list[Problem]) -> dict[str, list[Found]]:
    """Every problem on every engine, in turns."""
    found: dict[str, list[Found]] = {}
    async with contextlib.AsyncExitStack() as stack:
        runtimes = {}
        for name, spec in engines.items():
            try:
                engine = make_engine(spec)
            except UsageError as error:
                sys.exit(error.line)
            stack.push_async_callback(engine.aclose)
            runtimes[name] = await stack.enter_async_context(Runtime(AskedAsNano(engine)))
        for problem in problems:
            for name, runtime in runtimes.items():
                both = await compare(runtime, problem)
                found.setdefault(name, []).append(both)
                right = ["right" if both[way]["correct"] else "wrong" for way in PLANS]
                print(f"{problem!s:<28} {name:<10} parallel {right[0]}, sequential {right[1]};"
                      f" {both['parallel']['wall_seconds']:.2f} s against"
                      f" {both['sequential']['wall_seconds']:.2f} s,"
                      f" {both['attainable_speedup']:.2f} attainable", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.countdown",
                                     description="Forked against sequential, side by side.")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tier", default="hard", choices=("hard", "natural", "unsolvable"))
    parser.add_argument("--engine", nargs="+", help="`nano`, a server's URL, a model file")
    parser.add_argument("--serve", nargs="+", choices=SERVERS, default=[])
    given = parser.parse_args()
    named = given.engine or ([] if given.serve else ["nano"])
    problems = generate(given.seed, 4, given.tier, held_out=True)
    with served(given.serve) as servers:
        engines = {**{name: name for name in named}, **servers}
        found = asyncio.run(measure(engines, list(islice(problems, given.problems))))
    tables(found)


if __name__ == "__main__":
    main()
