"""The gateway's store from empty to 100,000 runs: does it slow down, does it hold anybody up?

Every run is made up: `THREADS` threads that write `CHUNKS` chunks each, `EVENTS` events in all.
They are handed over as fast as the event loop can, in batches that wait for the writer. After each
tenth: runs a second (handed over and written), the slowest hand-over of a run, what reading takes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import anyio

from plait.core.events import (
    Answered,
    Asked,
    Ended,
    Event,
    Joined,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.server.store import Limits, RunFilter, Store, StoreSettings
from plait.server.watch import Ending, RunInfo
from plait.trace import measure

RUNS = 100_000
THREADS, CHUNKS = 4, 12
BATCH = 200
READS = 15


def events_of(run: str) -> list[Event]:
    """A run that forks once, and joins."""
    found: list[Event] = [RunStarted(0.0, run, "q", "made up", "m", "native", "apr", 0),
                          Started(0.0, "0", None, "root", "thread", 0)]
    names = [f"0.{i}" for i in range(THREADS)]
    for name in names:
        found += [Started(0.1, name, "0", "fork", "thread", 0), Asked(0.1, name, 200, None)]
    found += [Wrote(0.2 + c / 10, name, f" word{c} and more", 4)
              for c in range(CHUNKS) for name in names]
    for name in names:
        found += [Answered(2.0, name, "eos", 200, 150, 4 * CHUNKS), Ended(2.0, name, "done")]
    return [*found, Joined(2.0, "0", tuple(names)), Ended(2.1, "0", "done", "", "42"),
            RunEnded(2.1, "answered", "42", None, "native", None)]


EVENTS = len(events_of("r"))


async def milliseconds(read: Callable[[], Awaitable[object]]) -> float:
    """The median of some reads."""
    taken = []
    for _ in range(READS):
        began = time.perf_counter()
        await read()
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


async def fill(store: Store, first: int, last: int, metrics: Ending) -> tuple[float, float]:
    """Hand over runs; runs a second until they are written, and the slowest hand-over in ms."""
    slowest, began = 0.0, time.perf_counter()
    for number in range(first, last):
        run = f"run-{number}"
        start = time.perf_counter()
        info = RunInfo(run, f"model-{number % 3}", f"Question {number}?", time.time(),
                       key=f"key-{number % 7}")
        store.started(info)
        for event in events_of(run):
            store.event(info, event)
        store.ended(info, metrics)
        slowest = max(slowest, time.perf_counter() - start)
        if number % BATCH == BATCH - 1:
            await store.flush()
    await store.flush()
    return (last - first) / (time.perf_counter() - began), 1000 * slowest


async def main(runs: int = RUNS) -> None:
    ending = Ending("answered", measure(events_of("r")), 2.1, "native", "apr", None, 0.2, 2.1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.sqlite"
        print(f"{EVENTS} events a run\n{'runs':>8} {'runs/s':>7} {'slowest':>9} {'first page':>11}"
              f" {'by model':>9} {'by key, deep':>13} {'a trace':>8} {'file':>8}")
        async with Store(path, StoreSettings(limits=Limits(days=None, size=None))) as store:
            for done in range(runs // 10, runs + 1, runs // 10):
                rate, slowest = await fill(store, done - runs // 10, done, ending)
                pages = [
                    await milliseconds(lambda: store.runs()),
                    await milliseconds(lambda: store.runs(RunFilter(model="model-1"))),
                    await milliseconds(lambda d=done: store.runs(  # type: ignore[misc]
                        RunFilter(key="key-3"), before=d // 2)),
                    await milliseconds(lambda d=done: store.trace(f"run-{d // 2}"))]  # type: ignore[misc]
                size = path.stat().st_size / 1e6
                print(f"{done:>8,} {rate:>7,.0f} {slowest:>6.1f} ms {pages[0]:>8.1f} ms"
                      f" {pages[1]:>6.1f} ms {pages[2]:>10.1f} ms {pages[3]:>5.1f} ms"
                      f" {size:>5,.0f} MB", flush=True)
            assert store.lost == 0


if __name__ == "__main__":
    anyio.run(main, *(int(n) for n in sys.argv[1:2]))
