"""Server-sent events to a client: begun late, so that an early failure still has its status, and
never silent for long.

The head of the reply is sent with the first event, or with the first heartbeat. A heartbeat is a
comment, which clients skip; it keeps read timeouts of clients and proxies from cutting a run that
thinks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import orjson

from plait.server.errors import ApiError, ClientGone
from plait.server.exchange import Exchange

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache",
           "x-accel-buffering": "no"}


class EventSender:
    """Sends events over one exchange; see the module's docstring."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._lock = anyio.Lock(fast_acquire=True)
        self._last = anyio.current_time()
        self._over = False
        self.headers: dict[str, str] = {}
        """What the head says beside `HEADERS`; may change until it is sent."""

    @property
    def started(self) -> bool:
        return self._exchange.started

    async def send(self, *events: object, name: str = "") -> None:
        """Some events in one write; ``name`` where the kind of stream names them."""
        head = f"event: {name}\n".encode() if name else b""
        await self.raw(b"".join(head + b"data: " + orjson.dumps(event) + b"\n\n"
                                for event in events))

    async def raw(self, data: bytes) -> None:
        """Bytes that are events already. Nothing comes behind the end."""
        async with self._lock:
            if self._over:
                return
            if not self._exchange.started:
                await self._exchange.start(200, {**HEADERS, **self.headers})
            self._last = anyio.current_time()
            await self._exchange.write(data)

    async def fail(self, error: ApiError) -> None:
        """The stream has begun and ends with ``error``, as OpenAI's do."""
        await self.raw(b"data: " + error.body() + b"\n\n")
        await self.end()

    async def end(self, last: bytes = b"") -> None:
        """The stream is complete."""
        async with self._lock:
            if not self._over:
                self._over = True
                await self._exchange.write(last, more=False)

    @asynccontextmanager
    async def beating(self, seconds: float) -> AsyncIterator[None]:
        """Inside the block the client hears something at least every ``seconds``."""
        failure: Exception | None = None

        async def beat() -> None:
            nonlocal failure
            while True:
                wait = self._last + seconds - anyio.current_time()
                if wait > 0:
                    await anyio.sleep(wait)
                    continue
                try:
                    await self.raw(PING)
                except ClientGone as error:
                    failure = error
                    tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - carried out of the task group, then raised
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure


def sse_headers(headers: Mapping[str, str]) -> bool:
    """Do these headers of a reply announce server-sent events?"""
    return headers.get("content-type", "").startswith("text/event-stream")
