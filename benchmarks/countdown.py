"""Forked against sequential reasoning: `plait solve --json --compare` on hard countdown problems.

Both ways run in one process on one warm engine, one after the other, for every problem, so that
whatever else the machine does hits both alike. Speedups are ratios of sums over all problems (a
mean of ratios would let easy problems count most); ``attained`` is the wall speedup over what the
engine's own step times allow for the very same graphs of threads.

    python -m benchmarks.countdown [--problems 20] [--seed 1] [--tier hard]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import islice
from typing import Any

from plait.puzzles import Problem, generate


def ask(problem: Problem) -> dict[str, Any]:
    """What the command line says of one problem; its exit status tells whether it answered."""
    numbers = ", ".join(map(str, problem.numbers))
    command = [sys.executable, "-m", "plait.cli", "solve", "--json", "--compare",
               f"Make {problem.target} from {numbers}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"plait solve failed on {problem}: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """One line of the table: means over the problems."""
    n = len(runs)
    correct = sum(bool(r["correct"]) for r in runs)
    means = [sum(r[key] for r in runs) / n for key in
             ("threads", "total_tokens", "critical_path_tokens", "wall_seconds")]
    return (f"{name:<12} {correct:>3}/{n:<4} {means[0]:>8.1f} {means[1]:>13.0f}"
            f" {means[2]:>14.0f} {means[3]:>9.2f}")


def ratios(found: list[dict[str, Any]]) -> dict[str, float]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Forked against sequential, side by side.")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tier", default="hard", choices=("hard", "natural", "unsolvable"))
    options = parser.parse_args()
    problems = islice(generate(options.seed, 4, options.tier, held_out=True), options.problems)
    found: list[dict[str, Any]] = []
    for problem in problems:
        found.append(ask(problem))
        both = found[-1]
        marks = ["right" if both[way]["correct"] else "wrong" for way in ("parallel", "sequential")]
        print(f"{problem!s:<28} parallel {marks[0]}, sequential {marks[1]}; speedup"
              f" {both['token_speedup']:.2f} in tokens, {both['wall_speedup']:.2f} by the clock,"
              f" {both['attainable_speedup']:.2f} attainable", flush=True)
    print(f"\n{'':<12} {'correct':>8} {'threads':>8} {'total tokens':>13} {'critical path':>14}"
          f" {'seconds':>9}")
    for way in ("parallel", "sequential"):
        print(row(way, [f[way] for f in found]))
    print()
    for name, value in ratios(found).items():
        print(f"{name:<14} {value:.2f}")


if __name__ == "__main__":
    main()
