"""A gate for context tokens: what one run lets the engine hold in memory at a moment."""

from __future__ import annotations

from collections import deque

import anyio

from plait.errors import Bug


class LiveGate:
    """First come, first served. A stream larger than the whole gate passes when it is alone."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._held = 0
        self._queue: deque[tuple[int, anyio.Event]] = deque()

    @property
    def held(self) -> int:
        """Context tokens of the streams that have passed."""
        return self._held

    async def acquire(self, tokens: int) -> None:
        """Wait until ``tokens`` more may be live."""
        if not self._queue and self._fits(tokens):
            self._held += tokens
            return
        ticket = (tokens, anyio.Event())
        self._queue.append(ticket)
        try:
            await ticket[1].wait()
        except BaseException:
            if ticket[1].is_set():
                self.release(tokens)
            else:
                self._queue.remove(ticket)
                self._serve()
            raise

    def release(self, tokens: int) -> None:
        """The stream is over."""
        self._held -= tokens
        if self._held < 0:
            raise Bug("live tokens were given back twice")
        self._serve()

    def _fits(self, tokens: int) -> bool:
        return self._limit is None or self._held == 0 or self._held + tokens <= self._limit

    def _serve(self) -> None:
        while self._queue and self._fits(self._queue[0][0]):
            tokens, event = self._queue.popleft()
            self._held += tokens
            event.set()
