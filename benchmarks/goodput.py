"""Goodput under load: requests a second that are answered in time, with and without branches.

Forking requests and plain ones ("other users") arrive at random (Poisson, seeded, so that every
policy sees the same arrivals) at one server, through one runtime. The policies:

    off      no branching: a request is one thread
    eager    a thread starts as soon as there is a slot
    load     a thread starts when it is worth what it costs the others (`plait.policy.admit`)

A plain request is one stream of `PLAIN` tokens. A forking one has `PARTS` children of `PART`
tokens and joins them; without branching it writes as many tokens in one stream. Half of the
requests fork. All lengths are fixed (``ignore_eos``), so the model does not matter.

Written down before anything was measured:

- *The grid*: arrivals at 0.5, 0.8, 1.0 and 1.2 times the capacity, which is what `USERS` users,
  who ask the same mix again and again without branching, get answered. 1.2 is saturation.
- *In time* is what takes at most `PATIENCE` times as long as a request of its kind takes alone on
  the idle server **without branching**. Branching gets no credit for being quick where nobody
  else is, so this is the harder way for it. The table has beside it what is in time if a forking
  request is measured by what it takes alone *with* branching.
- *Cells* of `SECONDS`, what arrives in the first `WARM` is not counted; then what is still under
  way has the longest target to come in. `REPEATS` of each cell, policies in turns.
- *The bar*: by load at no rate below no branching by more than the 95 % interval of the paired
  difference, and at saturation at least 1.3 times eager branching.

    python -m benchmarks.goodput --serve vllm --out runs.jsonl     what is missing, for --minutes
    python -m benchmarks.goodput --table runs.jsonl

vLLM is the server since a step of it costs little more with 16 streams than with one: the target
leaves room for a server that is full. On llama.cpp n streams take n times as long as one, so that
a fourth request makes all of them late, whatever the policy.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import anyio

from benchmarks.served import serving
from plait.core import Outcome, Plan, Request, Sampling
from plait.interfaces import Body, ChildSpec, Opening, Thread
from plait.solve import Runtime, solve

PATIENCE = 3.0
SECONDS = 18.0
WARM = 3.0
USERS = 16
REPEATS = 5
RATES = (0.5, 0.8, 1.0, 1.2)
POLICIES = ("off", "eager", "load")
PARTS = 8
PART = (24, 32)
PLAIN = (48, 64)
"""Least and most tokens of a stream."""
MEAN_TOKENS = (PARTS * sum(PART) / 2 + sum(PLAIN) / 2) / 2
"""Of a request."""
KINDS = ("fork", "plain")
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Of the t distribution, two-sided 95 %, by the number of values."""

Ask = Callable[[tuple[int, ...]], Awaitable[object]]
"""Answers a request whose threads have so many tokens."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that comes ``at`` so many seconds; ``tokens`` of each of its threads."""

    at: float
    tokens: tuple[int, ...]

    @property
    def kind(self) -> str:
        return "plain" if len(self.tokens) == 1 else "fork"


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a request. ``seconds``: None if it was not answered before the end."""

    arrival: Arrival
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Work:
    """A method: a child of so many ``tokens`` each, or one thread of them all."""

    tokens: tuple[int, ...]
    forks: bool

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        if not self.forks:
            return await write(root, sum(self.tokens))
        children = [root.start(ChildSpec("fork"), writer(n)) for n in self.tokens]
        await root.wait(children)
        parts = [found for child in children if (found := child.peek()) is not None]
        root.append(*parts)
        return Outcome("done", root.text, "".join(part.text for part in parts))


async def write(thread: Thread, tokens: int) -> Outcome:
    async with thread.write(limit=tokens) as stream:
        async for _ in stream:
            pass
    return Outcome("done", thread.text, thread.text)


def writer(tokens: int) -> Body:
    return lambda thread: write(thread, tokens)


def asker(runtime: Runtime) -> Ask:
    """Puts requests to ``runtime``. Raises `RuntimeError` where a length is not as wanted."""
    async def ask(tokens: tuple[int, ...]) -> None:
        forks = len(tokens) > 1 and runtime.limiter.branching != "off"
        sampling = Sampling(ignore_eos=True)
        result = await solve(Request("Make 92 from 46, 39, 29 and 20", sampling=sampling),
                             runtime=runtime, method=Work(tokens, forks))
        if result.total_tokens != sum(tokens):
            raise RuntimeError(f"{result.total_tokens} tokens, not {sum(tokens)}: {result}")

    return ask


def draw_tokens(draw: random.Random) -> tuple[int, ...]:
    """The threads of a request."""
    if draw.random() < 0.5:
        return tuple(draw.randint(*PART) for _ in range(PARTS))
    return (draw.randint(*PLAIN),)


def arrivals(rate: float, seconds: float, seed: object) -> list[Arrival]:
    """Poisson arrivals at ``rate`` a second."""
    draw = random.Random(f"{seed}")
    found, at = [], draw.expovariate(rate)
    while at < seconds:
        found.append(Arrival(at, draw_tokens(draw)))
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
            await ask(arrival.tokens)
            seconds = anyio.current_time() - began - arrival.at
        finally:
            served.append(Served(arrival, seconds))

    with anyio.move_on_after(coming[-1].at + grace):
        async with anyio.create_task_group() as tasks:
            for arrival in coming:
                await anyio.sleep_until(began + arrival.at)
                tasks.start_soon(one, arrival)
    return served


async def closed_loop(users: int, seconds: float, ask: Ask) -> float:
    """Requests a second while so many users ask again and again, those of the mean length, after
    the first `WARM` of so many seconds."""
    draw = random.Random("users")
    began = anyio.current_time()
    tokens = 0

    async def user() -> None:
        nonlocal tokens
        while True:
            wanted = draw_tokens(draw)
            await ask(wanted)
            if anyio.current_time() - began > WARM:
                tokens += sum(wanted)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for _ in range(users):
                tasks.start_soon(user)
    return tokens / MEAN_TOKENS / (seconds - WARM)


# --- a server that is real ---------------------------------------------------------------------


@dataclass
class Bench:
    """One engine: seconds that its requests take alone, and its capacity in requests a second.
    ``branched``: a forking request with branching."""

    engine: str
    model: str | None
    plain: float = 0.0
    fork: float = 0.0
    branched: float = 0.0
    capacity: float = 0.0

    async def calibrate(self) -> None:
        """Each kind alone, of the mean length, then many users."""
        plain, fork = (sum(PLAIN) // 2,), (sum(PART) // 2,) * PARTS
        async with Runtime(self.engine, model=self.model, branching="off") as runtime:
            ask = asker(runtime)
            await ask(plain)
            self.plain, self.fork = [await alone(ask, tokens) for tokens in (plain, fork)]
            self.capacity = await closed_loop(USERS, SECONDS, ask)
        async with Runtime(self.engine, model=self.model, branching="eager") as runtime:
            self.branched = await alone(asker(runtime), fork)

    async def cell(self, policy: str, load: float, repeat: int) -> dict[str, object]:
        """One cell of the grid."""
        coming = arrivals(load * self.capacity, SECONDS, (load, repeat))
        async with Runtime(self.engine, model=self.model, branching=policy) as runtime:
            served = await open_loop(coming, asker(runtime), PATIENCE * max(self.plain, self.fork))
            step = runtime.limiter.pace.step
        return {"policy": policy, "load": load, "repeat": repeat, "step": asdict(step),
                "offered": sum(a.at >= WARM for a in coming) / (SECONDS - WARM)} | {
                    kind: [s.seconds and round(s.seconds, 3) for s in served
                           if s.arrival.kind == kind and s.arrival.at >= WARM] for kind in KINDS}


async def alone(ask: Ask, tokens: tuple[int, ...]) -> float:
    """Seconds, the median of five."""
    took = []
    for _ in range(5):
        began = anyio.current_time()
        await ask(tokens)
        took.append(anyio.current_time() - began)
    return median(took)


# --- rows and tables ---------------------------------------------------------------------------


def goodput(row: dict[str, Any], alone: dict[str, float]) -> float:
    """Requests a second that took at most `PATIENCE` times as long as one of their kind takes
    ``alone``."""
    return sum(in_time(row, kind, alone[kind]) for kind in KINDS) / (SECONDS - WARM)


def in_time(row: dict[str, Any], kind: str, alone: float) -> int:
    return sum(s is not None and s <= PATIENCE * alone for s in row[kind])


def interval(values: Sequence[float]) -> str:
    """Mean, and the half-width of its 95 % interval."""
    if len(values) < 2:
        return f"{fmean(values):.2f}"
    half = STUDENT.get(len(values), 2.0) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.2f} ± {half:.2f}"


def table(path: Path) -> Iterator[str]:
    """The Markdown table of what was measured: all rows, and the paired differences."""
    about, *rows = _lines(path)
    targets = {kind: about[kind] for kind in KINDS}
    both = (targets, targets | {"fork": about["branched"]})
    yield (f"{about['server']}: capacity {about['capacity']:.2f} requests a second; alone"
           f" {about['plain']:.2f} s a plain request, {about['fork']:.2f} s a forking one without"
           f" branching, {about['branched']:.2f} s with it.\n")
    yield ("| load | offered/s | policy | in time/s | forking in time | plain in time |"
           " forking, median | plain, median | in time/s by the other target |")
    yield "|---|---|---|---|---|---|---|---|---|"
    for load in sorted({r["load"] for r in rows}):
        found = {p: sorted((r for r in rows if (r["load"], r["policy"]) == (load, p)),
                           key=lambda r: r["repeat"]) for p in POLICIES}
        for policy, mine in found.items():
            if not mine:
                continue
            offered = f"{fmean(r['offered'] for r in mine):.2f}"
            good = [interval([goodput(r, t) for r in mine]) for t in both]
            shares = [f"{sum(in_time(r, k, targets[k]) for r in mine) / came:.0%}"
                      for k in KINDS if (came := sum(len(r[k]) for r in mine))]
            middle = [_median([s for r in mine for s in r[k]]) for k in KINDS]
            yield _row(f"{load:.1f}", offered, policy, good[0], *shares, *middle, good[1])
        for other in ("off", "eager"):
            pairs = list(zip(found["load"], found[other], strict=False))
            if pairs:
                gaps = [_against(pairs, t) for t in both]
                yield _row(f"{load:.1f}", "", f"load - {other}", gaps[0], *[""] * 4, gaps[1])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _against(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], alone: dict[str, float]
             ) -> str:
    """The difference of the goodputs, and their ratio, where the other is not next to none."""
    good = [(goodput(a, alone), goodput(b, alone)) for a, b in pairs]
    ours, theirs = sum(a for a, _ in good), sum(b for _, b in good)
    ratio = f", {ours / theirs:.2f} times" if theirs > ours / 10 else ""
    return f"{interval([a - b for a, b in good])}{ratio}"


def _median(seconds: Sequence[float | None]) -> str:
    """What came too late to be answered counts as the latest."""
    middle = median(float("inf") if s is None else s for s in seconds)
    return "not ended" if middle == float("inf") else f"{middle:.2f} s"


@contextmanager
def _engine(options: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    if options.serve in ("vllm", "llamacpp"):
        flag = "--max-num-seqs" if options.serve == "vllm" else "--slots"
        with serving(options.serve, flag, str(options.slots)) as url:
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
        known = {name: lines[0][name] for name in ("plain", "fork", "branched", "capacity")}
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
