"""The fake upstream in a process of its own, for benchmarks of what stands before it.

    python -m benchmarks.scripted_upstream PORT [--tokens N] [--seconds S] [--dialect NAME]

Every call is answered with ``N`` tokens over ``S`` seconds. Each token is a line, the moment at
which it is due: ``@SECONDS`` on this machine's monotonic clock, so that who reads it knows how
late it is. The last words are the same for all calls, so that votes agree.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from plait.testing.replies import Body, Reply
from plait.testing.scripted import cut_pieces
from plait.testing.upstream import Upstream

END = ("The", " answer", " is", " 42.")


def script(tokens: int, seconds: float) -> Reply:
    """A reply that begins now."""
    begin = asyncio.get_running_loop().time()  # time.monotonic, which all processes share
    due = [begin + seconds * number / tokens for number in range(1, tokens - len(END) + 1)]
    pieces = [*(f"@{moment:.4f}\n" for moment in due), *END]
    # The upstream spreads its time over what it would cut the text into: lines end in a piece.
    return Reply(pieces, seconds=seconds * len(cut_pieces("".join(pieces))) / tokens)


async def serve(port: int, tokens: int, seconds: float, dialect: str) -> None:
    """Answer until the process is told to end."""
    def reply(body: Body) -> Reply:
        return script(tokens, seconds)

    upstream = Upstream(reply, dialect="vllm" if dialect == "vllm" else "generic")
    await upstream.listen(port)
    ended = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, ended.set)
    while not ended.is_set():
        for record in (upstream.bodies, upstream.paths, upstream.headers, upstream.usages):
            record.clear()  # nobody looks at them, and they would fill the memory
        try:
            async with asyncio.timeout(1):
                await ended.wait()
        except TimeoutError:
            pass
    await upstream.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scripted_upstream")
    parser.add_argument("port", type=int)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--dialect", choices=["vllm", "generic"], default="generic")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.tokens, given.seconds, given.dialect))


if __name__ == "__main__":
    main()
