"""An upstream that costs next to nothing, in a process of its own: what clients are timed on.

    python -m benchmarks.flood PORT [--tokens N] [--every SECONDS] [--burst N]

It plays an engine that steps: every request that is open gets its next token, an event of its own,
``--burst`` of them in one write; ``--every`` is the time of a step, 0: as fast as it can. Every
call gets the same ``N`` tokens, in bytes that were made beforehand. It reads no more of HTTP than
it needs: the length of a body, and the path.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
TOKEN = " word"
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")


def piece(data: object) -> bytes:
    """One event as a piece of a chunked body."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    event = f"data: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def script(tokens: int, burst: int) -> list[bytes]:
    """What every call is answered with, a step each; the last step has the end of the stream."""
    around = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_750_000_000,
              "model": "tiny"}

    def chunk(delta: object, finish: str | None = None) -> bytes:
        return piece({**around, "choices": [{"index": 0, "delta": delta, "logprobs": None,
                                             "finish_reason": finish}]})

    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10}
    end = chunk({}, "stop") + piece({**around, "choices": [], "usage": usage}) + piece("[DONE]")
    steps = [chunk({"content": TOKEN}) * min(burst, tokens - at) for at in range(0, tokens, burst)]
    return [HEAD + chunk({"role": "assistant", "content": ""}), *steps, end + b"0\r\n\r\n"]


class Engine:
    """The steps of all open requests."""

    def __init__(self, steps: Sequence[bytes], every: float) -> None:
        self._steps = steps
        self._every = every
        self._open: list[tuple[asyncio.Transport, int]] = []
        self._work = asyncio.Event()

    def start(self, transport: asyncio.Transport) -> None:
        """A request has come; it joins the next step."""
        self._open.append((transport, 0))
        self._work.set()

    async def run(self) -> None:
        """Step for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            began = loop.time()
            todo, self._open = self._open, []
            for transport, at in todo:
                if transport.is_closing():
                    continue
                transport.write(self._steps[at])
                if at + 1 < len(self._steps):
                    self._open.append((transport, at + 1))
            if not self._open:
                self._work.clear()
            await asyncio.sleep(max(0.0, began + self._every - loop.time()))


class Connection(asyncio.Protocol):
    """One client's connection; a request after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self._bytes = rest[size:]
        if head.startswith(b"POST"):
            self._engine.start(self._transport)
        else:
            self._tell(head.split(b" ", 2)[1])

    def _tell(self, path: bytes) -> None:
        """Which model there is, and nothing else."""
        models = json.dumps({"object": "list", "data": [{"id": "tiny", "owned_by": "nobody"}]})
        known = path == b"/v1/models"
        body = models.encode() if known else b"{}"
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (b"200 OK" if known else b"404 Not Found", len(body), body))


async def serve(port: int, tokens: int, every: float, burst: int) -> None:
    """Answer until the process is told to end."""
    loop = asyncio.get_running_loop()
    engine = Engine(script(tokens, burst), every)
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", port, backlog=16384)
    task = loop.create_task(engine.run())
    ended = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, ended.set)
    await ended.wait()
    task.cancel()
    server.close()


@contextlib.contextmanager
def upstream_process(tokens: int, *, burst: int = 1, every: float = 0.0) -> Iterator[str]:
    """Such an upstream in a process of its own; its URL."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flood", str(port), "--tokens", str(tokens),
         "--burst", str(burst), "--every", str(every)])
    try:
        while process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood")
    parser.add_argument("port", type=int)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.0)
    parser.add_argument("--burst", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.tokens, given.every, given.burst))


if __name__ == "__main__":
    main()
