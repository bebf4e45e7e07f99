"""Goodput under load: requests a second that are answered in time, with and without branches.

Forking requests and plain ones ("other users") arrive at random (Poisson, seeded, so that every
policy sees the same arrivals) at one server, through one runtime. The policies:

    off      no branching: the threads of a request run one after the other
    eager    a thread starts as soon as there is a slot
    load     a thread starts when it is worth what it costs the others (`plait.policy.admit`)

The target was written down before anything was measured: a request is answered in time if it takes
at most `PATIENCE` times as long as the same request takes alone without branching, whichever kind
it is. What is late runs on (its user waits), until the longest target after the last arrival.

    python -m benchmarks.goodput --serve vllm --out runs.jsonl     what is missing, for --minutes
    python -m benchmarks.goodput --table runs.jsonl

Forking requests are hard countdown problems in APR, plain ones problems of three numbers in one
thread; the model is plait-nano. Rates are shares of the capacity: requests a second of `USERS`
users that ask the same mix again and again without branching. Each cell runs for `SECONDS`;
`REPEATS` of each, policies in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean, median, stdev

import anyio

from benchmarks.served import serving
from plait.core import Plan, Request
from plait.puzzles import generate
from plait.solve import Runtime, solve

PATIENCE = 3.0
SECONDS = 15.0
USERS = 16
REPEATS = 5
FORKING = 0.5
"""Share of the requests that fork."""
RATES = (0.4, 0.7, 1.0, 1.3)
POLICIES = ("off", "eager", "load")
PROBLEMS = 12
"""Different questions of each kind."""
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Of the t distribution, two-sided 95 %, by the number of values."""

Ask = Callable[[str, int], Awaitable[object]]
"""Answers a request of this kind, number so and so."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request of ``kind`` (``fork`` or ``plain``) that comes ``at`` so many seconds."""

    at: float
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a request. ``seconds``: None if it was not answered before the end."""

    arrival: Arrival
    seconds: float | None


def arrivals(rate: float, seconds: float, seed: object, forking: float = FORKING,
             numbers: int = PROBLEMS) -> list[Arrival]:
    """Poisson arrivals at ``rate`` a second."""
    draw = random.Random(f"{seed}")
    found, at = [], draw.expovariate(rate)
    while at < seconds:
        kind = "fork" if draw.random() < forking else "plain"
        found.append(Arrival(at, kind, draw.randrange(numbers)))
        at += draw.expovariate(rate)
    return found


async def open_loop(coming: Sequence[Arrival], ask: Ask, grace: float) -> list[Served]:
    """Ask what comes, when it comes, whatever became of those before; end ``grace`` seconds after
    the last one."""
    began = anyio.current_time()
    served: list[Served] = []

    async def one(arrival: Arrival) -> None:
        seconds = None
        try:
            await ask(arrival.kind, arrival.number)
            seconds = anyio.current_time() - began - arrival.at
        finally:
            served.append(Served(arrival, seconds))

    with anyio.move_on_after(coming[-1].at + grace):
        async with anyio.create_task_group() as tasks:
            for arrival in coming:
                await anyio.sleep_until(began + arrival.at)
                tasks.start_soon(one, arrival)
    return served


async def closed_loop(users: int, seconds: float, ask: Ask, seed: object) -> float:
    """Answers a second for ``users`` who ask again and again, the mix of `arrivals`."""
    draw = random.Random(f"{seed}")
    answered = 0

    async def user() -> None:
        nonlocal answered
        while True:
            await ask("fork" if draw.random() < FORKING else "plain", draw.randrange(PROBLEMS))
            answered += 1

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for _ in range(users):
                tasks.start_soon(user)
    return answered / seconds


def in_time(served: Sequence[Served], target: Callable[[Arrival], float], kind: str) -> int:
    """How many requests of ``kind`` were answered in time."""
    return sum(s.seconds is not None and s.seconds <= target(s.arrival) for s in served
               if s.arrival.kind == kind)


# --- a server that is real ---------------------------------------------------------------------


@dataclass
class Bench:
    """One engine: its requests, how long each takes alone, and its capacity."""

    engine: str
    model: str | None
    alone: dict[str, list[float]] = field(default_factory=dict)
    capacity: float = 0.0

    def __post_init__(self) -> None:
        def words(numbers: int, tier: str) -> list[str]:
            problems = islice(generate(9, numbers, tier, held_out=True), PROBLEMS)
            return [f"Make {p.target} from {', '.join(map(str, p.numbers))}" for p in problems]

        self._questions = {"fork": words(4, "hard"), "plain": words(3, "natural")}

    def asker(self, runtime: Runtime) -> Ask:
        plans = {"fork": Plan("native", "apr"), "plain": Plan("sequential")}

        async def ask(kind: str, number: int) -> None:
            await solve(Request(self._questions[kind][number]), runtime=runtime, plan=plans[kind])

        return ask

    def target(self, arrival: Arrival) -> float:
        return PATIENCE * self.alone[arrival.kind][arrival.number]

    async def calibrate(self) -> None:
        """Each request alone without branching, twice, the quicker one; then many users."""
        async with Runtime(self.engine, model=self.model, branching="off") as runtime:
            ask = self.asker(runtime)
            for kind in self._questions:
                self.alone[kind] = [min([await _timed(ask, kind, n) for _ in range(2)])
                                    for n in range(PROBLEMS)]
            self.capacity = await closed_loop(USERS, SECONDS, ask, "capacity")

    async def cell(self, policy: str, load: float, repeat: int) -> dict[str, object]:
        """One cell of the grid."""
        coming = arrivals(load * self.capacity, SECONDS, (load, repeat))
        async with Runtime(self.engine, model=self.model, branching=policy) as runtime:
            grace = PATIENCE * max(map(max, self.alone.values()))
            served = await open_loop(coming, self.asker(runtime), grace)
            step = runtime.limiter.pace.step
        result: dict[str, object] = {
            "policy": policy, "load": load, "repeat": repeat, "step": asdict(step),
            "offered": len(coming) / SECONDS}
        for kind in self._questions:
            mine = [s for s in served if s.arrival.kind == kind]
            took = [s.seconds / self.alone[kind][s.arrival.number] for s in mine
                    if s.seconds is not None]
            result[kind] = {
                "came": len(mine), "in_time": in_time(served, self.target, kind),
                "slowdown": median(took) if took else None}
        return result


async def _timed(ask: Ask, kind: str, number: int) -> float:
    began = anyio.current_time()
    await ask(kind, number)
    return anyio.current_time() - began


# --- rows and tables ---------------------------------------------------------------------------


def goodput(row: dict) -> float:  # type: ignore[type-arg]
    """Requests a second that were answered in time, of both kinds."""
    return (row["fork"]["in_time"] + row["plain"]["in_time"]) / SECONDS


def interval(values: Sequence[float]) -> str:
    """Mean, and the half-width of its 95 % interval."""
    if len(values) < 2:
        return f"{fmean(values):.2f}"
    half = STUDENT.get(len(values), 2.0) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.2f} ± {half:.2f}"


def table(path: Path) -> Iterator[str]:
    """The Markdown table of what was measured: all rows, and the paired differences."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    about = lines[0]
    yield (f"{about['server']}: capacity {about['capacity']:.2f} requests a second; alone, without"
           f" branching, {fmean(about['alone']['fork']):.2f} s a forking request,"
           f" {fmean(about['alone']['plain']):.2f} s a plain one.\n")
    yield ("| load | offered/s | policy | in time/s | forking in time | plain in time |"
           " slowdown, forking | plain |")
    yield "|---|---|---|---|---|---|---|---|"
    rows = lines[1:]
    for load in sorted({r["load"] for r in rows}):
        found = {p: sorted((r for r in rows if (r["load"], r["policy"]) == (load, p)),
                           key=lambda r: r["repeat"]) for p in POLICIES}
        for policy, mine in found.items():
            if not mine:
                continue
            shares = [sum(r[k]["in_time"] for r in mine) / max(1, sum(r[k]["came"] for r in mine))
                      for k in ("fork", "plain")]
            slow = [fmean([r[k]["slowdown"] for r in mine if r[k]["slowdown"] is not None] or [0])
                    for k in ("fork", "plain")]
            yield (f"| {load:.1f} | {fmean(r['offered'] for r in mine):.2f} | {policy} |"
                   f" {interval([goodput(r) for r in mine])} | {shares[0]:.0%} | {shares[1]:.0%} |"
                   f" {slow[0]:.2f} | {slow[1]:.2f} |")
        for other in ("off", "eager"):
            pairs = list(zip(found["load"], found[other], strict=False))
            if pairs:
                mean = fmean(goodput(a) for a, _ in pairs) / max(
                    1e-9, fmean(goodput(b) for _, b in pairs))
                gaps = [goodput(a) - goodput(b) for a, b in pairs]
                yield f"| {load:.1f} | | load - {other} | {interval(gaps)} | {mean:.2f} times | | | |"


@contextmanager
def _engine(options: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    if options.serve in ("vllm", "llamacpp"):
        with serving(options.serve, options.slots) as url:
            yield f"{url}/v1", "plait-nano" if options.serve == "vllm" else None
    else:
        yield options.serve, None


async def measure(options: argparse.Namespace, engine: str, model: str | None) -> None:
    """Measure what is missing in the file, until the time is up."""
    end = time.monotonic() + 60 * options.minutes
    path: Path = options.out
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    bench = Bench(engine, model)
    if lines:
        bench.alone, bench.capacity = lines[0]["alone"], lines[0]["capacity"]
    else:
        await bench.calibrate()
        _add(path, {"server": f"{options.serve}, {options.slots} slots",
                    "capacity": bench.capacity, "alone": bench.alone})
    done = {(r["policy"], r["load"], r["repeat"]) for r in lines[1:]}
    for repeat in range(options.repeats):
        for load in options.rates:
            for policy in POLICIES:
                if (policy, load, repeat) in done:
                    continue
                if time.monotonic() > end:
                    return
                row = await bench.cell(policy, load, repeat)
                _add(path, row)
                print(json.dumps(row), flush=True)


def _add(path: Path, row: dict[str, object]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Goodput under load.")
    parser.add_argument("--serve", default="nano",
                        help="vllm, llamacpp (of .live/), nano, or the address of a server")
    parser.add_argument("--slots", type=int, default=16, help="sequences that it works on at once")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("goodput.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of this file, and measure"
                                                   " nothing")
    options = parser.parse_args()
    if options.table is not None:
        print("\n".join(table(options.table)))
        return
    with _engine(options) as (engine, model):
        anyio.run(measure, options, engine, model)


if __name__ == "__main__":
    main()
