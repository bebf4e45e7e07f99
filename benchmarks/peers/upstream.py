"""The upstream of `benchmarks.peers`: paced, with a price for every token that is read anew.

    python -m benchmarks.peers.upstream PORT CASE

A call first reads its prompt: `Pace.read` seconds for each token that is not in the cache, which
holds every prompt that was read before, as a server's prefix cache does. Then it writes a token
every `Pace.token` seconds, however many calls are open: the model of an engine that is far from
full. ``GET /ledger`` tells what was asked since the last ``POST /begin CASE``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from benchmarks.peers.cases import CASES, Pace
from plait.testing.replies import Body, Reply
from plait.testing.scripted import cut_pieces
from plait.testing.upstream import Upstream


@dataclass
class Asked:
    """One call. Times in seconds of the upstream's clock; ``ended`` may be before it was all
    written, if the client went away."""

    began: float
    prompt: int
    new: int
    tokens: int
    ended: float = 0.0

    def written(self, at: float, pace: Pace) -> int:
        """Tokens that were written by that time."""
        spent = min(at, self.ended or at) - self.began - self.new * pace.read
        return max(0, min(self.tokens, round(spent / pace.token)))


class PacedUpstream(Upstream):
    """See the module's docstring."""

    def __init__(self, pace: Pace) -> None:
        super().__init__("", dialect="generic")
        self.pace = pace
        self.begin("skeleton")

    def begin(self, case: str) -> None:
        """Play ``case`` from its first call on, with an empty cache."""
        self._case = CASES[case]
        self.asked: list[Asked] = []
        self._cache: list[tuple[float, list[str]]] = []
        self.bodies.clear()
        self.usages.clear()

    def _reply(self, body: Body, number: int) -> Reply:
        now = asyncio.get_running_loop().time()
        pieces = cut_pieces(self.render(body["messages"]))
        known = max((_common(pieces, old) for ready, old in self._cache if ready <= now),
                    default=0)
        new = len(pieces) - known
        text = self._case.script(body, number)
        tokens = len(cut_pieces(text))
        self.asked.append(Asked(now, len(pieces), new, tokens))
        self._cache.append((now + new * self.pace.read, pieces))
        return Reply(text, first=new * self.pace.read, seconds=tokens * self.pace.token,
                     cached=known)

    async def _generate(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        number = len(self.bodies)
        try:
            return await super()._generate(request, body)
        finally:
            if number < len(self.asked):
                self.asked[number].ended = asyncio.get_running_loop().time()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/begin":
            self.begin(await request.text())
            return web.json_response({})
        if request.path == "/ledger":
            return web.json_response(ledger(self.asked, self.pace))
        return await super()._serve(request)


def _common(pieces: list[str], old: list[str]) -> int:
    """How many pieces two prompts begin with alike."""
    count = 0
    for piece, other in zip(pieces, old, strict=False):
        if piece != other:
            break
        count += 1
    return count


def ledger(asked: list[Asked], pace: Pace) -> dict[str, object]:
    """What was asked, in sums. ``path``: the longest chain of tokens that were written one after
    the other: a call comes after all that had been written when it began."""
    at_start: list[int] = []
    for call in asked:
        at_start.append(max((at_start[n] + before.written(call.began, pace)
                             for n, before in enumerate(asked[: len(at_start)])), default=0))
    written = [call.written(float("inf"), pace) for call in asked]
    return {"calls": len(asked), "prompt": sum(c.prompt for c in asked),
            "read": sum(c.new for c in asked), "generated": sum(written),
            "path": max((a + w for a, w in zip(at_start, written, strict=True)), default=0),
            "asked": [asdict(call) for call in asked]}


async def serve(port: int) -> None:
    """Answer until the process is told to end."""
    upstream = PacedUpstream(Pace())
    await upstream.listen(port)
    ended = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, ended.set)
    await ended.wait()
    await upstream.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.upstream")
    parser.add_argument("port", type=int)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
