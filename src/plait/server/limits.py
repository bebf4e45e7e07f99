"""Who may begin now: places for requests at work, a queue for the others, fair between keys.

A request holds its place from admission to its last byte. Places go round between keys: with two
keys waiting, each gets every second place, however many requests it has. A key never has more
requests at work than its ``concurrent`` says. Who finds the queue full, or waits in it longer than
`Admission.seconds`, is refused with 503 and told when to come again. No key can fill the queue for
the others: in a full one the key with most requests makes room for a key with fewer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from plait.server.errors import ApiError
from plait.server.keys import Key


class Admission:
    """``most`` requests at work, ``waiting`` in the queue, for at most ``seconds``."""

    def __init__(self, most: int = 512, waiting: int = 1024, seconds: float = 30.0) -> None:
        self.most = most
        self.waiting = waiting
        self.seconds = seconds
        self._running: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self.draining = False
        """No new requests: the server is about to end."""

    @property
    def running(self) -> int:
        """Requests at work."""
        return self._running.total()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def idle(self) -> bool:
        """Is there room to spare: nobody waits, and half of the places are free?"""
        return not self.queued and self.running <= self.most // 2

    @asynccontextmanager
    async def place(self, key: Key) -> AsyncIterator[float]:
        """A place for a request of ``key``; gives the seconds that it waited.

        Raises `ApiError` 503 when there is none to be had.
        """
        waited = await self._enter(key)
        try:
            yield waited
        finally:
            self._running[key.name] -= 1
            if not self._running[key.name]:
                del self._running[key.name]
            self._serve()

    async def _enter(self, key: Key) -> float:
        if self.draining:
            raise ApiError(503, "the server is shutting down", code="shutting_down", retry=True,
                           retry_after=1.0)
        if key.name not in self._queues and self._free(key):
            self._running[key.name] += 1
            return 0.0
        if self.queued >= self.waiting and not self._make_room(key):
            raise self._full("the queue is full")
        began = anyio.current_time()
        ticket = _Ticket(key)
        self._queues.setdefault(key.name, deque()).append(ticket)
        self._serve()
        try:
            with anyio.fail_after(self.seconds):
                await ticket.event.wait()
        except TimeoutError:
            self._give_up(ticket)
            raise self._full(f"it waited for {self.seconds:g} s") from None
        except BaseException:
            self._give_up(ticket)
            raise
        if ticket.refused:
            raise self._full("the queue is full")
        return anyio.current_time() - began

    def _make_room(self, key: Key) -> bool:
        """Send away the latest request of the key that has most of them in the queue, if ``key``
        has fewer even with one more; is there room now?"""
        longest = max(self._queues.values(), key=len, default=deque[_Ticket]())
        if len(longest) <= len(self._queues.get(key.name, ())) + 1:
            return False
        ticket = longest.pop()
        ticket.refused = True
        ticket.event.set()
        return True

    def _full(self, why: str) -> ApiError:
        return ApiError(503, f"the server has too much to do: {why}", code="overloaded", retry=True,
                        retry_after=max(1.0, min(self.seconds, 5.0)))

    def _free(self, key: Key) -> bool:
        """Is there a place for a request of ``key``?"""
        own = key.concurrent is None or self._running[key.name] < key.concurrent
        return own and self.running < self.most

    def _next(self) -> str | None:
        """The key that is served next."""
        return next((n for n, q in self._queues.items() if self._free(q[0].key)), None)

    def _serve(self) -> None:
        """Give free places to those who wait, one key after the other."""
        while (name := self._next()) is not None:
            queue = self._queues.pop(name)
            ticket = queue.popleft()
            if queue:
                self._queues[name] = queue  # behind the others: that is the fairness
            self._running[name] += 1
            ticket.event.set()

    def _give_up(self, ticket: _Ticket) -> None:
        name = ticket.key.name
        if ticket.refused:
            return
        if ticket.event.is_set():
            self._running[name] -= 1
            self._serve()
            return
        self._queues[name].remove(ticket)
        if not self._queues[name]:
            del self._queues[name]


class _Ticket:
    __slots__ = ("event", "key", "refused")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.event = anyio.Event()
        """Its wait is over: it has a place, or is ``refused``."""
        self.refused = False
