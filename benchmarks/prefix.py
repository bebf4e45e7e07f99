"""How much of a fork's prompt comes out of the server's cache, with our forks and without.

A thread with a long context forks into 4, 8 and 16 children; either it has just written (``warm``),
or it forks at the question, which nobody has read yet (``cold``). Every way runs through
`plait.solve` on the same server, in turns, on the tiny random model of the live tests.

*Servable* is what a perfect cache would serve: the shared prefix for every child (in whole blocks
on vLLM), except for one child of a cold burst, since somebody has to read it.

    python -m benchmarks.prefix [llamacpp] [vllm] [--rounds 2] [--widths 4 8 16]

Needs the servers of tests/live/setup.sh. The slots of llama.cpp are saved to a temporary folder,
which lies in memory where ``/dev/shm`` is there.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from plait import solve
from plait.core import Outcome, Plan, Request, Sampling
from plait.core.events import Answered
from plait.engines.openai import OpenAIEngine
from plait.interfaces import ChildSpec, Opening, Thread
from plait.trace import Trace

WORDS = "the thing and another one, in the end and on the other hand; "
TIMES = 29
"""Of them make about 1,200 of the tiny model's tokens."""
TOKENS = 16


class Burst:
    """A method that forks once: ``count`` children of the question, ``tokens`` each; first the
    thread itself writes ``lead`` tokens."""

    def __init__(self, count: int, tokens: int = 12, lead: int = 0) -> None:
        self.count = count
        self.tokens = tokens
        self.lead = lead
        self.texts: list[str] = []
        self.seconds = 0.0

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        if self.lead:
            await write(root, self.lead)

        async def body(thread: Thread) -> Outcome:
            await write(thread, self.tokens)
            return Outcome("done", thread.text, thread.text)

        began = time.perf_counter()
        children = [root.start(ChildSpec("fork", header(n)), body) for n in range(self.count)]
        outcomes = await root.wait(children)
        self.seconds = time.perf_counter() - began
        self.texts = [outcome.text for outcome in outcomes if outcome is not None]
        return Outcome("done", "all", "all")


async def write(thread: Thread, tokens: int) -> None:
    """Let the model write so much."""
    async with thread.write(limit=tokens, sampling=Sampling(ignore_eos=True)) as stream:
        async for _ in stream:
            pass


def header(number: int) -> str:
    """What a child has in its prompt alone."""
    return f"<Thread>{number}:"


@dataclass
class Found:
    """Bursts of one width, one way."""

    servable: int = 0
    served: int = 0
    seconds: list[float] = field(default_factory=list)


async def measure(
    url: str, question: str, count: int, *, cold: bool, forks: bool, block: int, found: Found
) -> None:
    """One burst; what it found goes to ``found``."""
    engine = OpenAIEngine(url)
    server = await engine.connect()
    engine._server = replace(server, saves_slots=server.saves_slots and forks)
    try:
        method, trace = Burst(count, TOKENS, 0 if cold else TOKENS), Trace()
        await solve(Request(question), engine=engine, plan=Plan("burst"), method=method,
                    trace=trace)
        answers = {e.thread: e for e in trace.events if isinstance(e, Answered) and e.thread != "0"}
        lengths = await engine.token_counts([header(n) for n in range(count)])
    finally:
        await engine.aclose()
    shared = [answers[f"0.{n}"].prompt - (lengths[n] or 0) for n in range(count)]
    servable = [n // block * block for n in shared]
    served = [min(answers[f"0.{n}"].cached, servable[n]) for n in range(count)]
    reader = {served.index(min(served))} if cold else set()
    found.servable += sum(n for child, n in enumerate(servable) if child not in reader)
    found.served += sum(n for child, n in enumerate(served) if child not in reader)
    found.seconds.append(method.seconds)


async def compare(url: str, ways: dict[str, bool], options: argparse.Namespace, block: int) -> None:
    """All widths, warm and cold, all ways in turns; prints a line each."""
    for cold in (False, True):
        for count in options.widths:
            found = {way: Found() for way in ways}
            for _ in range(options.rounds):
                for way, forks in ways.items():
                    question = f"{time.time_ns()} {WORDS * TIMES}"
                    await measure(url, question, count, cold=cold, forks=forks, block=block,
                                  found=found[way])
            for way, f in found.items():
                print(f"| {'cold' if cold else 'warm'} | {count} | {way} | {f.servable:,} |"
                      f" {f.served:,} | {f.served / f.servable:.1%} |"
                      f" {statistics.median(f.seconds):.2f} |", flush=True)


@contextmanager
def llamacpp() -> Iterator[str]:
    """A llama.cpp with 16 slots that can be saved."""
    from tests.live.conftest import start_llamacpp, tiny_gguf

    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        server = start_llamacpp(tiny_gguf(Path(folder)), "--slots", "16", "--save", folder)
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def vllm() -> Iterator[str]:
    """A vLLM on the CPU."""
    from tests.live import tiny_model
    from tests.live.conftest import LIVE, start_tiny_vllm

    folder = LIVE / "models" / "tiny"
    tiny_model.save(folder)
    server = start_tiny_vllm(folder)
    try:
        yield server.url
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Prefix reuse of forks, ours and naive.")
    parser.add_argument("servers", nargs="*", default=["llamacpp", "vllm"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs="+", default=[4, 8, 16])
    options = parser.parse_args()
    for name in options.servers:
        print(f"\n{name}\n\n| | width | | servable | served | share | seconds |\n"
              "|---|---|---|---|---|---|---|")
        if name == "llamacpp":
            with llamacpp() as url:
                ways = {"our forks": True, "naive": False}
                asyncio.run(compare(url, ways, options, 1))
        else:
            from tests.live.conftest import BLOCK

            with vllm() as url:
                asyncio.run(compare(url, {"as it is": False}, options, BLOCK))


if __name__ == "__main__":
    main()
