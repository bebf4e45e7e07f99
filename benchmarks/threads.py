"""What plait itself costs: runtime overhead a thread and a chunk, from 10 to 4,000 threads.

A method forks N threads at once over the scripted engine, each writes `CHUNKS` chunks of one token
without any delay, and the root joins them. Nothing here computes tokens, so all the time is the
scheduler's, the trace's and asyncio's. The same script played by the engine alone, without plait,
is taken off: what remains is the overhead. It has to be linear: the same a thread and a chunk at
every N.
"""

from __future__ import annotations

import time

import anyio

from plait.core import Budget, Outcome, Plan, Prompt, Request, Sampling
from plait.interfaces import ChildSpec, Opening, Thread
from plait.scheduler import Limiter
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine
from plait.trace import Trace

CHUNKS = 100


class FanOut:
    """Fork ``width`` threads, let all write to their ends, join."""

    def __init__(self, width: int, chunks: int) -> None:
        self.width = width

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async def body(thread: Thread) -> Outcome:
            async with thread.write() as stream:
                async for _ in stream:
                    pass
            return Outcome("done", value="")

        children = [root.start(ChildSpec("fork", f"{i}:"), body) for i in range(self.width)]
        await root.wait(children)
        return Outcome("done", value=str(len(children)))


def make_engine(chunks: int) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, sampling: Play(" w" * chunks, every=0))


async def with_plait(width: int, chunks: int) -> float:
    """Seconds for a whole run of ``width`` threads with ``chunks`` chunks each."""
    runtime = Runtime(make_engine(chunks))
    runtime.limiter = Limiter(start=width + 1, ceiling=width + 1)
    request = Request(prompt="go", budget=Budget(width=None, threads=None))
    begin = time.perf_counter()
    await solve(request, runtime=runtime, method=FanOut(width, chunks), plan=Plan("fan out"),
                trace=Trace())
    return time.perf_counter() - begin


async def engine_alone(width: int, chunks: int) -> float:
    """Seconds for the same streams read straight from the engine."""
    engine = make_engine(chunks)

    async def read() -> None:
        async with engine.stream(Prompt(text="go"), Sampling()) as stream:
            async for _ in stream:
                pass

    begin = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(width):
            tasks.start_soon(read)
    return time.perf_counter() - begin


def overhead(width: int, chunks: int) -> float:
    """Seconds that plait adds to ``width`` threads of ``chunks`` chunks (best of three)."""
    added = []
    for _ in range(3):
        alone = anyio.run(engine_alone, width, chunks)
        added.append(anyio.run(with_plait, width, chunks) - alone)
    return min(added)


def main() -> None:
    print(f"runtime overhead, threads of {CHUNKS} chunks over the scripted engine\n")
    print(f"{'threads':>8} {'a thread':>12} {'a chunk':>12} {'chunks/s':>12}")
    overhead(10, CHUNKS)
    for width in (10, 100, 1000, 4000):
        empty = overhead(width, 1)
        full = overhead(width, CHUNKS)
        chunk = (full - empty) / (width * (CHUNKS - 1))
        row = f"{width:>8} {empty / width * 1e6:>9.0f} us {chunk * 1e6:>9.1f} us"
        print(f"{row} {1 / chunk:>12,.0f}")


if __name__ == "__main__":
    main()
