"""Our methods beside the peers' own code, on one scripted upstream with a pace and a price.

    python -m benchmarks.peers [skeleton plan vote] [--rounds 3] [--only NAME ...]

Three tasks (`benchmarks.peers.cases`): Skeleton-of-Thought against the SoT repository, a plan of
parts that need each other against LLMCompiler, and a vote of eight samples against optillm and
its_hub. Every contender is asked through its own code (`benchmarks.peers.runners`), in a process of
its own, in turns; the upstream gives all of them the same words at the same pace and counts what
they ask for. `benchmarks/peers/install.sh` installs the peers under ``.live/peers``; those that
are not there are left out, and said to be.

Columns: ``seconds`` of the call, median; the ``ideal`` of this contender's own prompts and plan
(see `benchmarks.peers.cases.ideal`) and the ratio; calls; prompt tokens sent, and those of them
that were not in the cache; tokens generated; the longest chain of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.cases import CASES, Pace, ideal

HERE = Path(__file__).parent
PEERS = HERE.parents[1] / ".live" / "peers"
CONTENDERS = {
    "skeleton": {"plait skeleton": "", "SoT": "sot"},
    "plan": {"plait plan": "", "LLMCompiler": "llmcompiler",
             "LLMCompiler, plan not streamed": "llmcompiler"},
    "vote": {"plait explore": "", "plait explore, sure 0.85": "", "its_hub": "its_hub",
             "its_hub, adaptive": "its_hub", "optillm": "optillm"},
}
"""By case: who is asked, and the folder below ``.live/peers`` that it is installed in."""
PATIENCE = 120.0


@dataclass
class Found:
    """What came out for one contender: seconds of each round, and the last round's ledger."""

    seconds: list[float] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)


def python_of(folder: str) -> str:
    """The interpreter that has it; empty if it is not installed."""
    if not folder:
        return sys.executable
    path = PEERS / folder / "bin" / "python"
    return str(path) if path.exists() else ""


def version_of(folder: str) -> str:
    """Its version, or the commit of its source."""
    if not folder:
        from plait.version import VERSION

        return VERSION
    source = PEERS / folder / "source"
    command = (["git", "-C", str(source), "rev-parse", "--short", "HEAD"] if source.exists() else
               [python_of(folder), "-c",
                f"from importlib.metadata import version; print(version({folder!r}))"])
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def upstream_process() -> Iterator[str]:
    """The upstream in a process of its own; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.peers.upstream", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                fetch(f"{url}/v1/models")
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def fetch(url: str, data: bytes | None = None) -> Any:
    """What the upstream says."""
    with urllib.request.urlopen(url, data) as reply:
        return json.loads(reply.read())


def play(url: str, case: str, name: str, folder: str) -> tuple[float, dict[str, Any]]:
    """One run: its seconds, and what the upstream counted."""
    fetch(f"{url}/begin", case.encode())
    done = subprocess.run(
        [python_of(folder), HERE / "runners.py", name, url, CASES[case].question],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if not said["answer"] or (case == "vote" and "42" not in said["answer"]):
        raise SystemExit(f"{name} gave a wrong answer: {said['answer'][:200]!r}")
    return float(said["seconds"]), fetch(f"{url}/ledger")


def best(case: str, ledger: dict[str, Any]) -> float:
    """The ideal for what this contender asked: its writing, and each step's prompt read once."""
    pace, asked = Pace(), ledger["asked"]
    steps = [asked[0]["new"]]
    if case != "vote":
        steps.append(min(call["new"] for call in asked[1:]))
    if case == "plan":
        steps.append(asked[-1]["new"])
    return ideal(case, pace, asked[0]["tokens"]) + pace.read * sum(steps)


def table(case: str, found: dict[str, Found]) -> None:
    """The case's table, as Markdown."""
    print(f"\n| {case} | seconds | ideal | ratio | calls | prompt sent | read anew | generated |"
          " longest path |\n|---|---|---|---|---|---|---|---|---|")
    for name, one in found.items():
        seconds, least, ledger = median(one.seconds), best(case, one.ledger), one.ledger
        cells = [f"{seconds:.2f}", f"{least:.2f}", f"{seconds / least:.2f}", *(
            str(ledger[key]) for key in ("calls", "prompt", "read", "generated", "path"))]
        print(f"| {name} {version_of(CONTENDERS[case][name])} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="names of contenders")
    given = parser.parse_args()
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(CASES)}")
    with upstream_process() as url:
        for case in given.cases:
            wanted = {name: folder for name, folder in CONTENDERS[case].items()
                      if given.only is None or name in given.only}
            for name in [n for n, folder in wanted.items() if not python_of(folder)]:
                print(f"{name} is left out: run benchmarks/peers/install.sh {wanted.pop(name)}")
            found = {name: Found() for name in wanted}
            for _ in range(given.rounds):
                for name, folder in wanted.items():
                    seconds, found[name].ledger = play(url, case, name, folder)
                    found[name].seconds.append(seconds)
            table(case, found)


if __name__ == "__main__":
    main()
