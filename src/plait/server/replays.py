"""Idempotency keys: who asks the same again, with the same key, gets the same reply again.

    Idempotency-Key: anything     kept with the client's name, method, path and a hash of the body

A reply is kept when it was a success and complete, streams included. The same key while the first
request is still at work is refused with 409, to be tried again; with another body with 422.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Send

from plait.server.errors import ApiError

MOST_BYTES = 4 << 20
"""Longer replies are not kept."""
ALL_BYTES = 64 << 20
"""All replies that are kept, together."""
LONGEST_KEY = 256


@dataclass(slots=True)
class Kept:
    """A reply, or the place where one is being made. ``messages`` is empty until it is there."""

    digest: bytes
    since: float
    messages: tuple[Message, ...] = ()
    size: int = 0


class Replays:
    """The replies that are kept: at most ``most``, each for ``seconds``."""

    def __init__(
        self, most: int, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._kept: OrderedDict[tuple[str, str, str], Kept] = OrderedDict()

    def begin(self, owner: str, what: str, key: str, body: bytes) -> Replay:
        """The reply to a request with ``key``: there already, or to be recorded. ``what`` is its
        method and path. Raises `ApiError`."""
        if not 0 < len(key) <= LONGEST_KEY:
            raise ApiError(400, f"the idempotency key must have 1 to {LONGEST_KEY} characters")
        self._forget()
        place, digest = (owner, what, key), hashlib.sha256(body).digest()
        found = self._kept.get(place)
        if found is None:
            found = self._kept[place] = Kept(digest, self._clock())
            return Replay(found, lambda: self._drop(place, found), self._weigh)
        if found.digest != digest:
            raise ApiError(422, "this idempotency key was used with another body",
                           code="idempotency_key_reused", retry=False)
        if not found.messages:
            raise ApiError(409, "a request with this idempotency key is still at work",
                           code="idempotency_in_progress", retry=True, retry_after=1.0)
        return Replay(found, None, self._weigh)

    def _weigh(self) -> None:
        """Let go of the oldest replies where all of them together are too large."""
        size = sum(kept.size for kept in self._kept.values())
        for place, kept in list(self._kept.items()):
            if size <= ALL_BYTES:
                break
            if kept.messages:
                size -= kept.size
                del self._kept[place]

    def _drop(self, place: tuple[str, str, str], kept: Kept) -> None:
        if self._kept.get(place) is kept:
            del self._kept[place]

    def _forget(self) -> None:
        """Let go of what is old, and of the oldest if there are too many; not of what is at
        work."""
        now = self._clock()
        for place, kept in list(self._kept.items()):
            if len(self._kept) <= self._most and now - kept.since < self._seconds:
                break
            if kept.messages:
                del self._kept[place]


@dataclass(slots=True)
class Replay:
    """One request with a key. ``drop`` is None where the reply is there already."""

    kept: Kept
    drop: Callable[[], None] | None
    weigh: Callable[[], None]
    _messages: list[Message] = field(default_factory=list)
    _size: int = 0
    _complete: bool = False

    @property
    def known(self) -> bool:
        """The reply is there: `play` it."""
        return self.drop is None

    @property
    def status(self) -> int:
        """The status of the reply that is there."""
        return int(self.kept.messages[0]["status"])

    async def play(self, send: Send) -> None:
        """Give the reply again, marked as such."""
        for message in self.kept.messages:
            if message["type"] == "http.response.start":
                mark = (b"idempotency-replayed", b"true")
                message = {**message, "headers": [*message["headers"], mark]}
            await send(message)

    def recording(self, send: Send) -> Send:
        """``send``, with an eye on what is sent."""
        async def recorded(message: Any) -> None:
            self._note(message)
            await send(message)

        return recorded

    def _note(self, message: Message) -> None:
        self._size += len(message.get("body", b""))
        if self._size <= MOST_BYTES:
            self._messages.append(message)
        else:
            self._messages.clear()
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True

    def close(self) -> None:
        """The request is over: keep its reply if it is whole and good."""
        if self.drop is None:
            return
        good = self._messages and 200 <= self._messages[0].get("status", 0) < 300
        if good and self._complete and self._size <= MOST_BYTES:
            self.kept.messages, self.kept.size = tuple(self._messages), self._size
            self.weigh()
        else:
            self.drop()
