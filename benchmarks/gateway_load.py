"""Many parallel runs streamed through the gateway for minutes: errors, lateness, memory.

    python -m benchmarks.gateway_load [--runs 500] [--threads 8] [--rate 2] [--tokens 120]
        [--minutes 5]

So many clients, each of which streams one run after the other through one `plait serve`: a run
has ``threads`` threads, each thread's stream writes ``rate`` tokens a second. Every token says
when it is due (see `benchmarks.scripted_upstream`), so its lateness at the client holds all there
is in between: upstream, gateway, client, and what else runs here. Clients, gateway and upstream
are processes of their own. Exit status 1 if anything failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import aiohttp
import orjson
import psutil

from benchmarks.gateway import percentile
from tests.conformance.gateway.peers import ALL, KEY, free_port, started, wait_ready

DUE = re.compile(rb"@(\d+\.\d+)")
SAMPLE_SECONDS = 5.0
SETTLED = 0.2
"""The share of the time in which memory may still grow: caches, connections, first runs."""


@dataclass
class Seen:
    """What the clients saw."""

    runs: int = 0
    late: array[float] = field(default_factory=lambda: array("f"))
    """Seconds between a token's due moment and its arrival."""
    first: array[float] = field(default_factory=lambda: array("f"))
    """Seconds until a run's first byte."""
    whole: array[float] = field(default_factory=lambda: array("f"))
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Load:
    """What is asked of the gateway."""

    url: str
    runs: int
    threads: int
    seconds: float

    def body(self) -> dict[str, object]:
        """A run's request."""
        return {"model": "tiny", "stream": True, "stream_options": {"include_usage": True},
                "messages": [{"role": "user", "content": "What is six times seven?"}],
                "plait": {"method": "explore", "attempts": self.threads, "merge": "concat",
                          "budget": {"width": self.threads, "threads": self.threads + 2}}}


async def one_run(session: aiohttp.ClientSession, load: Load, seen: Seen) -> None:
    """Stream one run to its end."""
    begin = time.monotonic()
    rest = tail = b""
    async with session.post(f"{load.url}/v1/chat/completions", json=load.body(),
                            headers={"Authorization": f"Bearer {KEY}"}) as response:
        if response.status != 200:
            seen.errors[f"status {response.status}: {(await response.text())[:100]}"] += 1
            await asyncio.sleep(0.5)
            return
        async for piece in response.content.iter_any():
            now = time.monotonic()
            if not tail:
                seen.first.append(now - begin)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if b'"reasoning"' in line:  # the answer says it all again, at the end
                    seen.late.extend(now - float(due) for due in set(DUE.findall(line)))
            tail = (tail + piece)[-2000:]
    seen.whole.append(time.monotonic() - begin)
    if b"data: [DONE]" not in tail or b'"error"' in tail:
        seen.errors[f"no proper end: {tail[-120:]!r}"] += 1
    seen.runs += 1


async def client(load: Load, number: int, until: float, seen: Seen) -> None:
    """One client: a run after the other. They begin at different moments."""
    await asyncio.sleep(10 * number / load.runs)
    connector = aiohttp.TCPConnector(limit=1)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while time.monotonic() < until:
            try:
                await one_run(session, load, seen)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                seen.errors[repr(error)[:120]] += 1
                await asyncio.sleep(0.5)


async def clients(load: Load) -> Seen:
    """All clients, until the time is over and the last run has ended."""
    seen = Seen()
    until = time.monotonic() + load.seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(load.runs):
            tasks.create_task(client(load, number, until, seen))
    return seen


def report(seen: Seen) -> dict[str, object]:
    """The numbers, for the process that started this one."""
    spread = {name: {str(share): percentile(values, share) for share in (50, 99)} if values else {}
              for name, values in (("late", seen.late), ("first", seen.first),
                                   ("whole", seen.whole))}
    return {"runs": seen.runs, "tokens": len(seen.late), "errors": dict(seen.errors), **spread}


@dataclass(frozen=True)
class Usage:
    """One look at a process."""

    at: float
    megabytes: float
    cpu: float


def look(process: psutil.Process) -> Usage:
    """Its memory and CPU time now."""
    times = process.cpu_times()
    return Usage(time.monotonic(), process.memory_info().rss / 2**20, times.user + times.system)


def growth(samples: Sequence[Usage]) -> tuple[float, float, float]:
    """Memory once settled, at the end, and its slope between, in MB a minute (least squares)."""
    settled = samples[int(len(samples) * SETTLED):]
    times = [sample.at - settled[0].at for sample in settled]
    mean_time = sum(times) / len(times)
    mean = sum(sample.megabytes for sample in settled) / len(settled)
    over = sum((t - mean_time) * (s.megabytes - mean) for t, s in zip(times, settled, strict=True))
    spread = sum((t - mean_time) ** 2 for t in times) or 1.0
    return settled[0].megabytes, settled[-1].megabytes, 60 * over / spread


def watch(processes: dict[str, psutil.Process], until: subprocess.Popen[bytes]
          ) -> dict[str, list[Usage]]:
    """Look at the processes every few seconds until that one ends."""
    samples: dict[str, list[Usage]] = {name: [] for name in processes}
    while until.poll() is None:
        for name, process in processes.items():
            samples[name].append(look(process))
        last = {name: f"{seen[-1].megabytes:.0f} MB" for name, seen in samples.items()}
        print(f"{len(samples['gateway']) * SAMPLE_SECONDS:.0f} s: {last}", file=sys.stderr)
        with contextlib.suppress(subprocess.TimeoutExpired):
            until.wait(SAMPLE_SECONDS)
    return samples


def print_results(given: argparse.Namespace, found: dict[str, object],
                  samples: dict[str, list[Usage]]) -> None:
    """All of it."""
    print(f"{given.runs} streaming runs at once, {given.threads} threads each, {given.rate:g} "
          f"tokens/s and {given.tokens} tokens a thread, {given.minutes:g} minutes; "
          f"Python {platform.python_version()}, "
          f"{os.cpu_count()} cores\n")
    print(f"runs {found['runs']:,}, tokens that arrived {found['tokens']:,}, "
          f"errors {sum(found['errors'].values()):,}")  # type: ignore[attr-defined]
    for error, count in found["errors"].items():  # type: ignore[attr-defined]
        print(f"  {count} x {error}")
    for name, words in (("late", "a token's lateness"), ("first", "until the first byte"),
                        ("whole", "a whole run")):
        spread = found[name]
        if spread:
            print(f"{words}: p50 {spread['50']:.3f} s, p99 {spread['99']:.3f} s")  # type: ignore[index]
    for name, seen in samples.items():
        begin, end, slope = growth(seen)
        cores = (seen[-1].cpu - seen[0].cpu) / (seen[-1].at - seen[0].at or 1)
        print(f"{name}: {begin:.0f} MB settled, {end:.0f} MB at the end, {slope:+.1f} MB/minute; "
              f"{cores:.2f} cores")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_load")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--tokens", type=int, default=120, help="a thread's length")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients-of", help=argparse.SUPPRESS)  # the clients' own process
    given = parser.parse_args()
    if given.clients_of:
        load = Load(given.clients_of, given.runs, given.threads, given.minutes * 60)
        print(json.dumps(report(asyncio.run(clients(load)))))
        return 0
    port, upstream_port = free_port(), free_port()
    upstream = subprocess.Popen([
        sys.executable, "-m", "benchmarks.scripted_upstream", str(upstream_port),
        "--tokens", str(given.tokens), "--seconds", str(given.tokens / given.rate)])
    url = f"http://127.0.0.1:{port}"
    plait = replace(ALL[0], environment={
        **ALL[0].environment, "PLAIT_SERVE_STREAMS": str(given.runs * given.threads)})
    try:
        with started(plait, f"http://127.0.0.1:{upstream_port}", port) as gateway:
            asyncio.run(wait_ready(plait, gateway, url))
            asking = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gateway_load", "--clients-of", url,
                 "--runs", str(given.runs), "--threads", str(given.threads),
                 "--minutes", str(given.minutes)], stdout=subprocess.PIPE)
            samples = watch({"gateway": psutil.Process(gateway.pid),
                             "upstream": psutil.Process(upstream.pid),
                             "clients": psutil.Process(asking.pid)}, asking)
            assert asking.stdout is not None
            found = orjson.loads(asking.stdout.read())
    finally:
        upstream.terminate()
        upstream.wait()
    print_results(given, found, samples)
    return int(bool(found["errors"]))


if __name__ == "__main__":
    sys.exit(main())
