"""What ten thousand threads that are alive at once weigh: their own tokens, not their contexts.

    python -m benchmarks.alive [--threads 10000] [--streams 2000]

All are forked from one trunk. Each writes tokens of its own over HTTP (`benchmarks.flood`) and then
waits, alive, with its context and its place in the trace, until all have written: then the memory
of the process is read, in a process of its own for every row. Shown for two lengths of the trunk
and two of the threads' own text. ``--streams``: a second table, of threads whose streams are all
still open at that moment (one link holds at most 4,096 connections).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import os
import subprocess
import sys

import anyio
import psutil

from benchmarks.flood import upstream_process
from plait.core import Budget, Outcome, Plan, Request
from plait.engines.openai import OpenAIEngine
from plait.interfaces import ChildSpec, Opening, Thread
from plait.scheduler import Limiter
from plait.solve import Runtime, solve

TRUNKS, OWN = (500, 4000), (16, 128)
AT_ONCE = 256
"""Streams at once where they end."""


class Alive:
    """Fork ``threads`` threads from a trunk; they all wait once they have written ``own`` tokens,
    ``still`` with their streams open. ``megabytes``: before the first fork, and when all wait."""

    def __init__(self, threads: int, trunk: int, own: int, *, still: bool) -> None:
        self._threads, self._trunk, self._own, self._still = threads, trunk, own, still
        self._waiting = 0
        self._all = anyio.Event()
        self.megabytes = (0.0, 0.0)

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        root.append("abc " * self._trunk)
        before = resident()
        children = [root.start(ChildSpec("fork", f"{n}:"), self._body)
                    for n in range(self._threads)]
        await root.wait(children)
        self.megabytes = before, self._full
        return Outcome("done", value="all")

    async def _body(self, thread: Thread) -> Outcome:
        written = 0
        async with thread.write() as stream:
            async for chunk in stream:
                written += chunk.tokens
                if self._still and written >= self._own:
                    await self._wait()
                    break
        if not self._still:
            await self._wait()
        return Outcome("done", value="")

    async def _wait(self) -> None:
        self._waiting += 1
        if self._waiting == self._threads:
            self._full = resident()
            self._all.set()
        await self._all.wait()


def resident() -> float:
    """Megabytes of this process that are in memory, without what the allocator keeps for later."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc knows how
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return float(psutil.Process().memory_info().rss) / 2**20


async def measure(url: str, method: Alive, streams: int) -> None:
    """One run of ``method``."""
    runtime = Runtime(OpenAIEngine(url))
    runtime.limiter = Limiter(start=streams, ceiling=streams)
    request = Request(prompt="Go.", budget=Budget(width=None, threads=None))
    result = await solve(request, runtime=runtime, method=method, plan=Plan("alive"))
    assert result.answer == "all", result


def row(threads: int, trunk: int, own: int, *, still: bool) -> float:
    """Kilobytes a thread, measured in a process of its own."""
    with upstream_process(own, burst=own) as url:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.alive", "--row",
             json.dumps([url, threads, trunk, own, still])],
            text=True, stdout=subprocess.PIPE, check=True)
    before, full = json.loads(done.stdout)
    return float(full - before) * 1024 / threads


def table(threads: int, *, still: bool) -> None:
    """Kilobytes a thread, by the length of the trunk and by that of its own text."""
    state = "streams open" if still else "texts written"
    print(f"\n{threads:,} threads alive, {state}: KB a thread")
    print(f"{'':<20}" + "".join(f"{f'{own} own tokens':>18}" for own in OWN))
    for trunk in TRUNKS:
        cells = "".join(f"{row(threads, trunk, own, still=still):>18.1f}" for own in OWN)
        print(f"{f'trunk of {trunk} tokens':<20}{cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alive")
    parser.add_argument("--threads", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        url, threads, trunk, own, still = json.loads(given.row)
        method = Alive(threads, trunk, own, still=still)
        asyncio.run(measure(url, method, threads if still else AT_ONCE))
        print(json.dumps(method.megabytes), flush=True)
        os._exit(0)  # open connections need no goodbye
    table(given.threads, still=False)
    if given.streams:
        table(given.streams, still=True)


if __name__ == "__main__":
    main()
