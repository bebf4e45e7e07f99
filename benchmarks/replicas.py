"""What it costs that a replica is killed in the middle of many forked runs.

Three llama.cpp servers with plait-nano behind one pool; countdown puzzles in ThreadWeaver's format,
whose threads share their parent's prefix, several at a time. In turns, with fresh servers each
time: nothing happens; the busiest replica gets SIGKILL when two fifths of the runs are over; a pool
of two from the start, to tell the loss of a server from the move away from it.

    tests/live/setup.sh llamacpp
    python -m benchmarks.replicas [--runs 50] [--rounds 3] [--at-once 6]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import numpy as np

from plait.core import Plan, Result
from plait.core.events import Answered, Event, Wrote
from plait.engines.nano import WEIGHTS
from plait.engines.pool import PoolEngine
from plait.errors import PlaitError
from plait.puzzles import generate, render
from plait.solve import Runtime, solve
from plait.trace import Trace
from training.gguf import write_gguf

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".live" / "llamacpp" / "bin" / "python"
KILL_AT = 0.4
"""Share of the runs that are over when a replica is killed."""
TIERS = ("natural", "unsolvable")


@dataclass
class Campaign:
    """Many runs over one pool. ``failed``: what went wrong, by question; ``failovers``: streams
    that went on elsewhere, ``restarts``: that had to be begun anew."""

    seconds: dict[str, float] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    events: dict[str, Sequence[Event]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    failovers: int = 0
    restarts: int = 0
    wall: float = 0.0

    @property
    def moved(self) -> list[float]:
        """Of each stream that went on elsewhere: its longest silence in seconds."""
        return [gap for events in self.events.values() for gap in gaps(events)]

    @property
    def struck(self) -> list[str]:
        """The questions of which a stream went on elsewhere."""
        return [q for q, events in self.events.items() if list(gaps(events))]


def gaps(events: Sequence[Event]) -> Iterator[float]:
    """The longest silence of each stream that several replicas wrote."""
    times: dict[str, list[float]] = {}
    for event in events:
        if isinstance(event, Wrote):
            times.setdefault(event.thread, []).append(event.t)
        elif isinstance(event, Answered):
            spoke = times.pop(event.thread, [])
            if len(event.by) > 1 and len(spoke) > 1:
                yield max(b - a for a, b in pairwise(spoke))


class Replicas:
    """llama.cpp servers on ports of their own choice."""

    def __init__(self, model: Path, count: int) -> None:
        command = [str(PYTHON), str(ROOT / "tests" / "live" / "serve_llamacpp.py"), str(model)]
        self._servers = [subprocess.Popen(command, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL, text=True)
                         for _ in range(count)]
        urls = [server.stdout.readline().strip() for server in self._servers if server.stdout]
        self.by_url = dict(zip(urls, self._servers, strict=True))

    def kill(self, url: str) -> None:
        """End one as a crash would."""
        self.by_url[url].kill()

    def stop(self) -> None:
        for server in self._servers:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()


@contextmanager
def replicas(model: Path, count: int) -> Iterator[Replicas]:
    """Servers that are up, and gone afterwards."""
    found = Replicas(model, count)
    try:
        yield found
    finally:
        found.stop()


async def campaign(
    urls: Sequence[str], questions: Sequence[str], at_once: int,
    kill: Callable[[str], None] | None = None,
) -> Campaign:
    """All ``questions``, ``at_once`` at a time. ``kill`` ends a replica by its address: the busiest
    one, in their middle."""
    done = Campaign()
    places = anyio.CapacityLimiter(at_once)
    pool = PoolEngine(",".join(urls))

    async def one(question: str, runtime: Runtime) -> None:
        nonlocal kill
        trace = Trace()
        async with places:
            begin = time.perf_counter()
            try:
                done.results[question] = await solve(
                    question, runtime=runtime, plan=Plan("native", "threadweaver"), trace=trace)
            except PlaitError as error:
                done.failed[question] = error.line
            done.seconds[question] = time.perf_counter() - begin
            done.events[question] = trace.events
        if kill is not None and len(done.seconds) >= KILL_AT * len(questions):
            end, kill = kill, None
            end(await busiest(pool))

    async with Runtime(pool) as runtime:
        begin = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for question in questions:
                tasks.start_soon(one, question, runtime)
        done.wall = time.perf_counter() - begin
    done.failovers, done.restarts = pool.state.failovers, pool.state.restarts
    await pool.aclose()
    return done


async def busiest(pool: PoolEngine) -> str:
    """The replica that writes the most streams, once it writes some."""
    while True:
        streams, url = max((r.streams, r.name) for r in pool.replicas)
        if streams > 1:
            return url
        await anyio.sleep(0.001)


def puzzles(count: int, seed: int = 51) -> list[str]:
    """Puzzles of three numbers that training never saw, with and without a solution, in the words
    of ThreadWeaver's training."""
    each = [islice(generate(seed, 3, tier, held_out=True), -(-count // len(TIERS)))
            for tier in TIERS]
    return [render(p, "threadweaver").removesuffix("\n")
            for row in zip(*each, strict=True) for p in row][:count]


def percentiles(seconds: Sequence[float]) -> str:
    p50, p95 = np.percentile(seconds, (50, 95)) if seconds else (np.nan, np.nan)
    return f"{p50:8.2f} {p95:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="A replica killed among many forked runs.")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=6)
    options = parser.parse_args()
    if not PYTHON.exists():
        sys.exit("llama.cpp is not installed: run tests/live/setup.sh llamacpp")
    arms = {"three replicas": (3, False), "three, one killed": (3, True),
            "two replicas": (2, False)}
    found: dict[str, list[Campaign]] = {name: [] for name in arms}
    with TemporaryDirectory() as folder:
        model = Path(folder) / "nano.gguf"
        write_gguf(WEIGHTS, model, "F32")
        for _ in range(options.rounds):
            for name, (count, kill) in arms.items():
                with replicas(model, count) as served:
                    found[name].append(anyio.run(
                        campaign, list(served.by_url), puzzles(options.runs), options.at_once,
                        served.kill if kill else None))
    print(f"{'':<20} {'answered':>9} {'p50 s':>8} {'p95 s':>8} {'all s':>8} {'moved':>6}"
          f" {'anew':>5}")
    for name, done in found.items():
        seconds = [s for c in done for s in c.seconds.values()]
        answered = sum(r.answer is not None for c in done for r in c.results.values())
        print(f"{name:<20} {answered:>4}/{len(seconds):<4} {percentiles(seconds)}"
              f" {median(c.wall for c in done):8.1f} {sum(c.failovers for c in done):>6}"
              f" {sum(c.restarts for c in done):>5}")
    report_moves(found["three, one killed"], found["three replicas"])


def report_moves(killed: Sequence[Campaign], calm: Sequence[Campaign]) -> None:
    """What the move cost the streams and the runs that it struck."""
    silences = [gap for c in killed for gap in c.moved]
    if not silences:
        return
    print(f"\nsilence of the {len(silences)} streams that moved: median {median(silences):.2f} s,"
          f" longest {max(silences):.2f} s")
    usual = {q: median(c.seconds[q] for c in calm) for q in calm[0].seconds}
    extra = [c.seconds[q] - usual[q] for c in killed for q in c.struck]
    print(f"the {len(extra)} runs they belong to: median {median(extra):+.2f} s against the same"
          " question without the kill")


if __name__ == "__main__":
    main()
