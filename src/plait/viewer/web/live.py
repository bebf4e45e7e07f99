"""A run that goes on, as server-sent events: ``change`` with what is new, at the end ``over``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plait.core.events import Event
from plait.errors import TraceError
from plait.viewer.web import pages
from plait.viewer.web.pages import Places, Sheet
from plait.viewer.web.source import Entry
from plait.viewer.web.view import View

TICK = 0.5
"""Least seconds between two changes of a page."""
EASE = 8
"""A page is drawn anew at most every ``EASE`` times as long as drawing it takes."""
HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent, so that nothing in between closes the line."""
BREATH = 500
"""Events that are taken in without giving others a turn."""


class LiveResponse(Response):
    """Follows ``events`` until they end or the reader leaves."""

    def __init__(
        self, entry: Entry, events: AsyncIterator[Event], places: Places, headers: dict[str, str]
    ) -> None:
        super().__init__(media_type="text/event-stream", headers=headers)
        del self.headers["content-length"]
        self._entry, self._events, self._places = entry, events, places
        self._view = View()
        self._fault = ""
        self._over = anyio.Event()
        self._lock = anyio.Lock()
        """Held by whoever uses the view: it is drawn in a worker thread."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code,
                    "headers": self.raw_headers})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave, receive, tasks.cancel_scope)
            tasks.start_soon(self._follow)
            await self._send_changes(send)
            tasks.cancel_scope.cancel()

    async def _leave(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _follow(self) -> None:
        try:
            number = 0
            async for event in self._events:
                async with self._lock:
                    self._view.feed(event)
                number += 1
                if not number % BREATH:
                    await anyio.lowlevel.checkpoint()
        except TraceError as error:
            self._fault = str(error)
        self._over.set()

    async def _send_changes(self, send: Send) -> None:
        pause, spoken = TICK, time.monotonic()
        while True:
            with anyio.move_on_after(pause):
                await self._over.wait()
            over, begin = self._over.is_set(), time.monotonic()
            if self._view.touched and not self._fault:
                await _send(send, b"event: change\ndata: " + await self._news())
                spoken = time.monotonic()
                pause = max(TICK, EASE * (spoken - begin))
            elif begin - spoken >= HEARTBEAT:
                await _send(send, b": still here")
                spoken = begin
            if over:
                break
        await _send(send, b"event: over\ndata: " + orjson.dumps(self._fault), more=False)

    async def _news(self) -> bytes:
        """What is new, as JSON. Drawn in a worker thread: a large run takes a while."""
        async with self._lock:
            touched, self._view.touched = self._view.touched, set()
            sheet = Sheet(self._entry, self._view)
            return await anyio.to_thread.run_sync(_drawn, sheet, self._places, touched)


def _drawn(sheet: Sheet, places: Places, touched: set[str]) -> bytes:
    return orjson.dumps(pages.changes(sheet, places, touched))


async def _send(send: Send, event: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": event + b"\n\n", "more_body": more})
