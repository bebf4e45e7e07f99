"""What the runtime costs over HTTP: beside a loop written by hand, LangGraph, and a bare client.

    python -m benchmarks.overhead [NAME ...] [--widths 16 64 256] [--tokens 256] [--rounds 3]

One upstream (`benchmarks.flood`) in a process of its own; each contender (`benchmarks.fans`) in
another one, in turns, so that what else the machine does hits all alike. A wave asks ``width``
times at once, reads every stream token by token and joins the texts. Two tables: as fast as the
upstream can write, where a client is bound by its own work; and one token every 20 ms a thread,
where what counts is the CPU that is left. The bare client reads bytes and looks for nothing but
the end, which shows that the upstream is not what limits the others. LangGraph is left out where
`benchmarks/peers/install.sh` has not installed it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.fans import CONTENDERS
from benchmarks.flood import upstream_process

ROOT = Path(__file__).parents[1]
LANGGRAPH = ROOT / ".live" / "peers" / "langgraph" / "bin" / "python"
EVERY = 0.02
"""Seconds between two tokens of a thread, in the second table."""
WAVES = 3
SLOW = {"LangGraph, ChatOpenAI": 1}
"""Waves a round of those that take long."""


@dataclass
class Cell:
    """The waves of one contender at one width."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def python_of(name: str) -> str:
    """The interpreter that has what ``name`` needs; empty if there is none."""
    if not name.startswith("LangGraph"):
        return sys.executable
    return str(LANGGRAPH) if LANGGRAPH.exists() else ""


def play(name: str, url: str, width: int, tokens: int, waves: int) -> Cell:
    """A few waves in a process of its own."""
    done = subprocess.run(
        [python_of(name), ROOT / "benchmarks" / "fans.py", name, url, *map(str, (
            width, tokens, waves))], capture_output=True, text=True,
        env={**os.environ, "LANGSMITH_TRACING": "false"}, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}")
    return Cell(**json.loads(done.stdout))


def measure(names: list[str], widths: list[int], tokens: int, rounds: int, every: float
            ) -> dict[tuple[str, int], Cell]:
    """All contenders at all widths, in turns."""
    cells = {(name, width): Cell() for name in names for width in widths}
    with upstream_process(tokens, every=every) as url:
        for _ in range(rounds):
            for width in widths:
                for name in names:
                    waves = 1 if every else SLOW.get(name, WAVES)
                    found = play(name, url, width, tokens, waves)
                    cells[name, width].seconds += found.seconds
                    cells[name, width].cpu += found.cpu
    return cells


def table(cells: dict[tuple[str, int], Cell], names: list[str], widths: list[int], tokens: int
          ) -> None:
    """Medians of the waves, as Markdown."""
    heads = [f"{width} threads: requests/s | tokens/s | CPU a token" for width in widths]
    print("| | " + " | ".join(heads) + " |")
    print("|---" * (1 + 3 * len(widths)) + "|")
    for name in names:
        row = []
        for width in widths:
            seconds, cpu = (median(values) for values in (
                cells[name, width].seconds, cells[name, width].cpu))
            row.append(f"{width / seconds:,.0f} | {width * tokens / seconds:,.0f} | "
                       f"{cpu / width / tokens * 1e6:.1f} us")
        print(f"| {name} | " + " | ".join(row) + " |")
    if {"by hand", "plait"} <= set(names):
        shares = [median(cells["by hand", w].seconds) / median(cells["plait", w].seconds)
                  for w in widths]
        print("\nplait reaches " + ", ".join(
            f"{share:.0%} of the loop by hand at {width}" for share, width in zip(
                shares, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("names", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if unknown := set(given.names) - set(CONTENDERS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(CONTENDERS)}")
    names = [name for name in given.names if python_of(name)]
    for name in set(given.names) - set(names):
        print(f"{name} is left out: run benchmarks/peers/install.sh langgraph", file=sys.stderr)
    for every, title in ((0.0, "as fast as the upstream can write"),
                         (EVERY, f"a token every {EVERY * 1000:.0f} ms a thread")):
        print(f"\n{title}, {given.tokens} tokens a thread\n")
        rounds = 1 if every else given.rounds
        cells = measure(names, given.widths, given.tokens, rounds, every)
        table(cells, names, given.widths, given.tokens)


if __name__ == "__main__":
    main()
