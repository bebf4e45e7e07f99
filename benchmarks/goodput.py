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

Forking requests are countdown problems that plait-nano solves in APR with `TOKENS` tokens in all,
plain ones write `PLAIN` tokens in one thread. Rates are shares of the capacity: what `USERS`
streams bring in tokens a second, while as many users ask the same mix again and again without
branching, by what a request takes in the mean. Each cell runs for `SECONDS`; `REPEATS` of each,
policies in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import anyio

from benchmarks.served import serving
from plait.core import Plan, Request, Result, Sampling
from plait.puzzles import generate
from plait.solve import Runtime, solve

PATIENCE = 3.0
SECONDS = 12.0
USERS = 16
REPEATS = 5
FORKING = 0.5
"""Share of the requests that fork."""
RATES = (0.7, 1.4)
POLICIES = ("off", "eager", "load")
PROBLEMS = 4
"""Different questions that fork."""
TOKENS = range(150, 350)
PLAIN = 80
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Of the t distribution, two-sided 95 %, by the number of values."""

Ask = Callable[[str, int], Awaitable[Result]]
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
             problems: int = PROBLEMS) -> list[Arrival]:
    """Poisson arrivals at ``rate`` a second."""
    draw = random.Random(f"{seed}")
    found, at = [], draw.expovariate(rate)
    while at < seconds:
        kind = "fork" if draw.random() < forking else "plain"
        found.append(Arrival(at, kind, draw.randrange(problems)))
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


async def closed_loop(users: int, seconds: float, ask: Ask) -> None:
    """So many users ask again and again, the mix of `arrivals`, for so long."""
    draw = random.Random("users")

    async def user() -> None:
        while True:
            await ask("fork" if draw.random() < FORKING else "plain", draw.randrange(PROBLEMS))

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for _ in range(users):
                tasks.start_soon(user)


# --- a server that is real ---------------------------------------------------------------------


@dataclass
class Bench:
    """One engine: its requests, how long each takes alone, and its capacity."""

    engine: str
    model: str | None
    questions: list[str] = field(default_factory=list)
    forking: list[float] = field(default_factory=list)
    """Seconds that each question takes alone, without branching."""
    tokens: float = 0.0
    """What a forking request generates in all, in the mean."""
    plain: float = 0.0
    """Seconds that a plain request takes alone."""
    capacity: float = 0.0

    def asker(self, runtime: Runtime) -> Ask:
        async def ask(kind: str, number: int) -> Result:
            request, plan = Request(self.questions[number]), Plan("native", "apr")
            if kind == "plain":
                sampling = Sampling(max_tokens=PLAIN, ignore_eos=True)
                request, plan = replace(request, sampling=sampling), Plan("sequential")
            return await solve(request, runtime=runtime, plan=plan)

        return ask

    def alone(self, arrival: Arrival) -> float:
        """Seconds that this request takes alone, without branching."""
        return self.plain if arrival.kind == "plain" else self.forking[arrival.number]

    async def calibrate(self) -> None:
        """Each request alone without branching, then many users."""
        self.questions = await find_questions()
        async with Runtime(self.engine, model=self.model, branching="off") as runtime:
            ask = self.asker(runtime)
            self.plain = min([(await ask("plain", 0)).wall_seconds for _ in range(3)])
            forked = [await ask("fork", n) for n in range(PROBLEMS)]
            self.forking = [r.wall_seconds for r in forked]
            self.tokens = fmean(r.total_tokens for r in forked)
            await closed_loop(USERS, SECONDS, ask)
            step = runtime.limiter.pace.step
        tokens = FORKING * self.tokens + (1 - FORKING) * PLAIN
        self.capacity = USERS / step.seconds(USERS) / tokens

    async def cell(self, policy: str, load: float, repeat: int) -> dict[str, object]:
        """One cell of the grid."""
        coming = arrivals(load * self.capacity, SECONDS, (load, repeat))
        async with Runtime(self.engine, model=self.model, branching=policy) as runtime:
            grace = PATIENCE * max(self.plain, *self.forking)
            served = await open_loop(coming, self.asker(runtime), grace)
            step = runtime.limiter.pace.step
        result: dict[str, object] = {
            "policy": policy, "load": load, "repeat": repeat, "step": asdict(step),
            "offered": len(coming) / SECONDS}
        for kind in ("fork", "plain"):
            mine = [s for s in served if s.arrival.kind == kind]
            took = [s.seconds / self.alone(s.arrival) for s in mine if s.seconds is not None]
            result[kind] = {"came": len(mine), "in_time": sum(t <= PATIENCE for t in took),
                            "slowdown": median(took) if took else None}
        return result


async def find_questions() -> list[str]:
    """The first problems that fork and are of the right length on the embedded engine."""
    found: list[str] = []
    async with Runtime("nano") as runtime:
        for problem in generate(9, 4, "natural", held_out=True):
            question = f"Make {problem.target} from {', '.join(map(str, problem.numbers))}"
            result = await solve(question, runtime=runtime, plan=Plan("native", "apr"))
            if result.forks and result.total_tokens in TOKENS:
                found.append(question)
            if len(found) == PROBLEMS:
                break
    return found


# --- rows and tables ---------------------------------------------------------------------------


def goodput(row: dict[str, Any]) -> float:
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
    lines = _lines(path)
    about = lines[0]
    yield (f"{about['server']}: capacity {about['capacity']:.2f} requests a second; alone, without"
           f" branching, {fmean(about['forking']):.2f} s a forking request,"
           f" {about['plain']:.2f} s a plain one.\n")
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
                yield (f"| {load:.1f} | | load - {other} | {interval(gaps)} | {mean:.2f} times |"
                       " | | |")


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
    lines = _lines(path)
    bench = Bench(engine, model)
    if lines:
        known = {name: lines[0][name] for name in ("questions", "forking", "tokens", "plain",
                                                     "capacity")}
        bench = Bench(engine, model, **known)
    else:
        await bench.calibrate()
        print(bench, flush=True)
        _add(path, {"server": f"{options.serve}, {options.slots} slots"} | asdict(bench))
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


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and the server with it
    with _engine(options) as (engine, model):
        anyio.run(measure, options, engine, model)


if __name__ == "__main__":
    main()
