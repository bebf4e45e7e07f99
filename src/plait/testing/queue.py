"""The queue of a fake server: how many calls are written at once, and who waits."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import anyio


class Queue:
    """``size`` calls are written at once, None: as many as want. When one is over, the waiting one
    of the lowest priority number is next, of several the one that came first."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._free = size or 0
        self._waiting: list[tuple[int, int, anyio.Event]] = []
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, priority: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the block."""
        if self._size is None:
            yield
            return
        called = anyio.Event()
        entry = (priority, next(self._numbers), called)
        heapq.heappush(self._waiting, entry)
        self._serve()
        try:
            await called.wait()
            yield
        finally:
            if called.is_set():
                self._free += 1
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            heapq.heappop(self._waiting)[2].set()
