"""What passing through a gateway costs: plait beside LiteLLM, optillm and a bare aiohttp proxy.

    python -m benchmarks.gateway [NAME ...] [--rounds N] [--requests N]

One fake upstream, one client, all gateways up at the same time; each round asks every one of them
in turn, in an order that shifts, so that what else the machine does hits all alike. The same
request goes to the upstream directly: what a gateway adds is held against that of the same round.
CPU is that of the gateway's processes, by the system's own account. Gateways that are not
installed are left out (`tests/conformance/gateway/peers.sh` installs them); how each is started
stands in `tests.conformance.gateway.peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import psutil

from tests.conformance.gateway.case import Target
from tests.conformance.gateway.peers import ALL, Peer, free_port, started, wait_ready

TOKENS = 64
WARM_UP = 50
KINDS = {"whole": False, "stream": True}
ALONE, TOGETHER = 1, 32
"""Requests at once: to see what is added to one, and how many go through."""


@dataclass
class Contender:
    """Who is asked, and what came out. ``process`` None: the upstream itself."""

    name: str
    target: Target
    process: psutil.Process | None = None
    latencies: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    cpu: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    added: dict[tuple[str, int, int], list[float]] = field(default_factory=dict)
    """Seconds added at a percentile (50, 99), a round each."""

    def cpu_seconds(self) -> float:
        """CPU time of its processes so far."""
        if self.process is None:
            return 0.0
        family = [self.process, *self.process.children(recursive=True)]
        return sum(times.user + times.system for times in (p.cpu_times() for p in family))


def percentile(values: Sequence[float], share: int) -> float:
    """The value that ``share`` percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


async def ask(session: aiohttp.ClientSession, target: Target, stream: bool) -> float:
    """One request, read to its end; seconds. Raises `RuntimeError` if it went wrong."""
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    body = {"model": target.model, "stream": stream,
            "messages": [{"role": "user", "content": "What is six times seven?"}]}
    begin = time.perf_counter()
    async with session.post(f"{target.base_url}/chat/completions", json=body,
                            headers=headers) as response:
        raw = await response.read()
    took = time.perf_counter() - begin
    if response.status != 200 or b"42." not in raw or (stream and b"[DONE]" not in raw):
        raise RuntimeError(f"{target.name}: status {response.status}: {raw[-200:]!r}")
    return took


async def load(target: Target, stream: bool, at_once: int, requests: int) -> list[float]:
    """So many requests, ``at_once`` at a time; the seconds of each."""
    left = iter(range(requests))
    took: list[float] = []
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        async def work() -> None:
            for _ in left:
                took.append(await ask(session, target, stream))

        for _ in range(at_once):
            tasks.create_task(work())
    return took


async def measure(contenders: Sequence[Contender], rounds: int, requests: int) -> None:
    """All rounds; the results are in the contenders."""
    for contender in contenders:
        for stream in KINDS.values():
            await load(contender.target, stream, 8, WARM_UP)
    for number in range(rounds):
        for kind in KINDS:
            for at_once in (ALONE, TOGETHER):
                count = requests if at_once > 1 else max(50, requests // 4)
                print(f"round {number + 1} of {rounds}: {kind}, {at_once} at once",
                      file=sys.stderr)
                turn = number % len(contenders)
                seen = {}
                for contender in [*contenders[turn:], *contenders[:turn]]:
                    seen[contender.name] = await one_turn(contender, kind, at_once, count)
                for contender in contenders:
                    for share in (50, 99):
                        direct = percentile(seen[contenders[0].name], share)
                        contender.added.setdefault((kind, at_once, share), []).append(
                            percentile(seen[contender.name], share) - direct)


async def one_turn(contender: Contender, kind: str, at_once: int, count: int) -> list[float]:
    """A contender's turn in a round; the seconds of its requests."""
    before, begin = contender.cpu_seconds(), time.perf_counter()
    took = await load(contender.target, KINDS[kind], at_once, count)
    seconds = time.perf_counter() - begin
    cell = (kind, at_once)
    contender.latencies.setdefault(cell, []).extend(took)
    contender.rates.setdefault(cell, []).append(count / seconds)
    contender.cpu.setdefault(cell, []).append((contender.cpu_seconds() - before) / count)
    return took


def print_results(contenders: Sequence[Contender], rounds: int) -> None:
    """A table for each kind of request: medians over the rounds."""
    for kind in KINDS:
        print(f"\n{kind} replies of {TOKENS} tokens (medians of {rounds} rounds)\n")
        print("| | requests/s, 32 at once | added p50 / p99, one at a time "
              "| added p50 / p99, 32 at once | CPU a request |")
        print("| --- | --- | --- | --- | --- |")
        for c in contenders:
            row = [f"{statistics.median(c.rates[kind, TOGETHER]):,.0f}"]
            for at_once in (ALONE, TOGETHER):
                added = [1000 * statistics.median(c.added[kind, at_once, share])
                         for share in (50, 99)]
                absolute = [1000 * percentile(c.latencies[kind, at_once], share)
                            for share in (50, 99)]
                direct = c.process is None
                row.append("({:.1f} / {:.1f} ms)".format(*absolute) if direct else
                           "{:.1f} / {:.1f} ms".format(*added))
            cpu = statistics.median(c.cpu[kind, TOGETHER])
            row.append("–" if c.process is None else f"{cpu * 1000:.2f} ms")
            print(f"| {c.name} | " + " | ".join(row) + " |")


@contextlib.contextmanager
def upstream_process() -> Iterator[str]:
    """The fake upstream; its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.scripted_upstream", str(port),
                                "--tokens", str(TOKENS)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def up(peer: Peer, process: subprocess.Popen[bytes], url: str) -> Contender:
    """A contender that answers."""
    await wait_ready(peer, process, url)
    return Contender(f"{peer.name} {peer.version}", peer.target(f"{url}/v1"),
                     psutil.Process(process.pid))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument("names", nargs="*", default=["bare proxy", "plait", "LiteLLM", "optillm"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    given = parser.parse_args()
    peers = [peer for peer in ALL if peer.name in given.names and peer.version]
    left_out = set(given.names) - {peer.name for peer in peers}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(upstream_process())
        contenders = [Contender("upstream, directly", Target("direct", f"{upstream}/v1", "tiny"))]
        for peer in peers:
            port = free_port()
            process = stack.enter_context(started(peer, upstream, port))
            contenders.append(asyncio.run(up(peer, process, f"http://127.0.0.1:{port}")))
        asyncio.run(measure(contenders, given.rounds, given.requests))
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cores, "
          f"{given.rounds} rounds of {given.requests} requests")
    if left_out:
        print(f"left out, not installed: {', '.join(sorted(left_out))}")
    print_results(contenders, given.rounds)


if __name__ == "__main__":
    main()
