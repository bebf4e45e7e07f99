"""How many streams may run at once: one limiter for the whole runtime.

A slot is held by a running stream, never by a thread that waits for its children, so a full
limiter cannot deadlock a tree of threads. Slots go round between requests: with two requests
waiting, each gets every second slot, however many threads it has.

The limit adapts (additive increase, multiplicative decrease, as TCP does): it starts at ``start``,
grows by one for each full round of streams that succeeded while slots were short, falls by a
fifth when the
engine says that it has too much to do (429, 503), and stands still for a while after other
server errors or when first tokens take far longer than they used to. One cut a `COOLDOWN`,
since a burst of refusals is one piece of news.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

import anyio

from plait.errors import Bug

COOLDOWN = 1.0
CUT = 0.8
SLOW = 5.0
"""A first token that takes this many times the best one seen (and over a second) means a queue."""


@dataclass(frozen=True, slots=True)
class LimiterState:
    """A look at the limiter. ``limit`` may be fractional while it grows."""

    limit: float
    running: int
    waiting: int


class Limiter:
    """Slots for running streams, fair between owners, with an adaptive limit."""

    def __init__(self, start: int = 64, ceiling: int = 1024) -> None:
        self._limit = float(min(start, ceiling))
        self._ceiling = ceiling
        self._running = 0
        self._queues: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._best_first_token = float("inf")
        self._still_until = 0.0
        self._cut_at = -COOLDOWN

    @property
    def state(self) -> LimiterState:
        waiting = sum(len(q) for q in self._queues.values())
        return LimiterState(self._limit, self._running, waiting)

    async def acquire(self, owner: str) -> None:
        """Wait for a slot for a stream of the request ``owner``."""
        if self._running < int(self._limit) and not self._queues:
            self._running += 1
            return
        ticket = _Ticket()
        self._queues.setdefault(owner, deque()).append(ticket)
        try:
            await ticket.event.wait()
        except BaseException:
            if ticket.event.is_set():
                self.release()
            else:
                self._forget(owner, ticket)
            raise

    def release(self) -> None:
        """Give a slot back."""
        if self._running <= 0:
            raise Bug("a slot was given back twice")
        self._running -= 1
        self._serve()

    def succeeded(self, first_token_seconds: float) -> None:
        """A stream went well; its first token took this long."""
        now = anyio.current_time()
        self._best_first_token = min(self._best_first_token, first_token_seconds)
        if first_token_seconds > max(1.0, SLOW * self._best_first_token):
            self._still_until = max(self._still_until, now + COOLDOWN)
        wanted = self._queues or self._running >= int(self._limit)
        if wanted and now >= self._still_until and self._limit < self._ceiling:
            self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)
            self._serve()

    def overloaded(self, retry_after: float | None) -> None:
        """The engine refused a stream because it has too much to do."""
        now = anyio.current_time()
        if now - self._cut_at >= COOLDOWN:
            self._cut_at = now
            self._limit = max(1.0, self._limit * CUT)
        self._still_until = max(self._still_until, now + (retry_after or COOLDOWN))

    def failed(self) -> None:
        """The engine failed in another way: no growth for a while."""
        self._still_until = max(self._still_until, anyio.current_time() + COOLDOWN)

    def _serve(self) -> None:
        while self._queues and self._running < int(self._limit):
            owner, queue = self._queues.popitem(last=False)
            ticket = queue.popleft()
            if queue:
                self._queues[owner] = queue  # behind the others: that is the fairness
            self._running += 1
            ticket.event.set()

    def _forget(self, owner: str, ticket: _Ticket) -> None:
        queue = self._queues[owner]
        queue.remove(ticket)
        if not queue:
            del self._queues[owner]


class _Ticket:
    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = anyio.Event()
