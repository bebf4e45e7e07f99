"""Forked against sequential reasoning: `plait solve --json --compare` on plait-nano's puzzles.

Both ways run in one process on one warm engine, one after the other, for every problem, so that
whatever else the machine does hits both alike. Speedups are ratios of sums over all problems (a
mean of ratios would let easy problems count most), and the median of the single ratios beside
them; ``attained`` is the wall speedup over what the engine's own step times allow for the very
same graphs of threads.

    python -m benchmarks.forked [countdown-hard countdown-unsolvable countdown-natural sheet-16 ...]
                                [--problems 20] [--seed 1] [--cores 2] [--verbose]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from plait.puzzles import countdown, sheet

SUITES = ("countdown-natural", "countdown-hard", "countdown-unsolvable", "sheet-1", "sheet-4",
          "sheet-16")


def questions(suite: str, seed: int) -> Iterator[str]:
    """Endless problems that training never saw, in words. Raises ValueError for no suite."""
    game, _, tier = suite.partition("-")
    if game == "sheet" and tier.isdigit():
        return (made.words for made in sheet.generate(seed, int(tier), held_out=True))
    if game == "countdown":
        named = countdown.tier_named(tier)
        return (made.words for made in countdown.generate(seed, 4, named, held_out=True))
    raise ValueError(f"there is no suite {suite!r}; known: {', '.join(SUITES)}")


def ask(question: str, cores: int) -> dict[str, Any]:
    """What the command line says of one problem; its exit status tells whether it answered."""
    command = [sys.executable, "-m", "plait.cli", "solve", "--json", "--compare", question]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": str(cores)})
    if not done.stdout:
        raise SystemExit(f"plait solve failed on {question!r}: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """One line of the table: means over the problems."""
    n = len(runs)
    correct = sum(bool(r["correct"]) for r in runs)
    means = [sum(r[key] for r in runs) / n for key in
             ("threads", "total_tokens", "critical_path_tokens", "wall_seconds")]
    return (f"{name:<12} {correct:>3}/{n:<4} {means[0]:>8.1f} {means[1]:>13.0f}"
            f" {means[2]:>14.0f} {means[3]:>9.3f}")


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


def report(suite: str, found: list[dict[str, Any]]) -> str:
    """A suite's table and its speedups."""
    lines = [f"{suite:<12} {'correct':>8} {'threads':>8} {'total tokens':>13} {'critical path':>14}"
             f" {'seconds':>9}"]
    lines += [row(way, [f[way] for f in found]) for way in ("parallel", "sequential")]
    median = statistics.median(f["wall_speedup"] for f in found)
    lines.append(", ".join(f"{name} {value:.2f}" for name, value in ratios(found).items())
                 + f"; median wall speedup {median:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forked against sequential, side by side.")
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE",
                        help=f"which problems: {', '.join(SUITES)}, or a sheet of another width")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1,
                        help="cores for NumPy's products; both ways get the same")
    parser.add_argument("--verbose", action="store_true", help="a line for every problem")
    options = parser.parse_args()
    try:
        chosen = {suite: questions(suite, options.seed) for suite in options.suites}
    except ValueError as error:
        parser.error(str(error))
    for suite, asked in chosen.items():
        found: list[dict[str, Any]] = []
        for question in islice(asked, options.problems):
            found.append(ask(question, options.cores))
            both = found[-1]
            if options.verbose:
                marks = ["right" if both[way]["correct"] else "wrong"
                         for way in ("parallel", "sequential")]
                print(f"{question[:40]:<40} parallel {marks[0]}, sequential {marks[1]}; speedup"
                      f" {both['token_speedup']:.2f} in tokens, {both['wall_speedup']:.2f} by the"
                      f" clock, {both['attainable_speedup']:.2f} attainable", flush=True)
        print(report(suite, found) + "\n", flush=True)


if __name__ == "__main__":
    main()
