"""A number of slots, and who waits for one."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import anyio


class Slots:
    """``size`` slots, None: as many as are wanted. A free one goes to the waiting call of the
    lowest priority number, of several to the one that came first."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self._free = size or 0
        self._waiting: list[tuple[int, int, anyio.Event]] = []
        self._numbers = count()

    @asynccontextmanager
    async def taken(self, priority: int) -> AsyncIterator[None]:
        """Hold a slot inside the block."""
        if self.size is None:
            yield
            return
        turn = anyio.Event()
        entry = (priority, next(self._numbers), turn)
        heapq.heappush(self._waiting, entry)
        self._serve()
        try:
            await turn.wait()
            yield
        finally:
            if turn.is_set():
                self._free += 1
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            heapq.heappop(self._waiting)[2].set()
