"""Whether siblings should wait until the first of them has read what they share.

Streams that begin with the same long text and are sent at once may each read it, if the server
finds a prefix only once it has been read. Then it is better to let the first one go alone, and the
others when it says its first token. Some servers see to that themselves (vLLM does: of a cold
burst, all but the first find everything in the cache), and there waiting would cost time. So it is
measured: at first nobody waits; if siblings then report that they had to read again what they
share, the next ones wait; if that does not help either, nobody waits for a while.

What a finished or a running stream has read or written is warm already, so nobody waits for that:
children of a thread that has just stopped go at once. A server that never reports cached tokens
is left alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Literal

import anyio

from plait.core import Chunk
from plait.engines.openai.slots import common

LEAST = 2048
"""Characters of a common beginning below which it is read again in no time."""
MOST_SECONDS = 30.0
"""Nobody waits longer for the first one's first token."""
ENOUGH = 3
"""Siblings in a row whose reports settle the matter."""
PAUSE_SECONDS = 600.0
REMEMBERED, WATCHED = 64, 256
"""Streams that are over of which the text is kept, and open ones: further ones go as they are. So
what is held, and what a new stream is compared with, does not grow with their number."""

Way = Literal["together", "first alone"]


class Sibling:
    """A stream among others. ``shared``: characters that it has in common with one that was sent
    shortly before it and had not been read by then."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.shared = 0
        self.begun = anyio.Event()
        self.last: Chunk | None = None
        self._texts: list[str] = []

    fields: dict[str, object] = {}  # noqa: RUF012 - it adds nothing to any request

    def saw(self, chunk: Chunk) -> Chunk:
        """The stream has come so far."""
        if self.text:
            self._texts.append(chunk.text)
        self.last = chunk
        self.begun.set()
        return chunk

    def common(self, text: str) -> int:
        """Characters at the beginning of ``text`` that the server has read or written of it."""
        n = common(self.text, text)
        return n if n < len(self.text) else common(self.whole, text)

    @property
    def whole(self) -> str:
        """What the server has read and written of it."""
        return "".join((self.text, *self._texts))


class Siblings:
    """The streams of one engine; see the module's docstring."""

    def __init__(self) -> None:
        self.way: Way = "together"
        self._reading: list[Sibling] = []
        self._warm: deque[str] = deque(maxlen=REMEMBERED)
        self._reports = False
        self._missed = 0
        self._off_until = float("-inf")

    @asynccontextmanager
    async def place(self, text: str) -> AsyncIterator[Sibling]:
        """Wait until a stream with the prompt ``text`` had better begin."""
        if len(self._reading) >= WATCHED:
            del text  # an open stream holds no prompt
            yield Sibling("")
            return
        me = Sibling(text)
        del text  # the watched one has it
        first, me.shared = self._first(me.text)
        self._reading.append(me)
        try:
            if first is not None and self._holds:
                with anyio.move_on_after(MOST_SECONDS):
                    await first.begun.wait()
            yield me
        finally:
            self._reading.remove(me)
            me.begun.set()  # whoever waits for one that has failed goes on
            self._learn(me)

    @property
    def _holds(self) -> bool:
        return self.way == "first alone"

    def _first(self, text: str) -> tuple[Sibling | None, int]:
        """The stream that is reading the beginning of ``text`` now, and how much of it; None and 0
        where little is shared or much of that was read before."""
        unread = [s for s in self._reading if not s.begun.is_set() and not s.shared]
        shared, first = max(((common(s.text, text), s) for s in unread), key=itemgetter(0),
                            default=(0, None))
        if shared < LEAST:  # nothing to wait for, whatever is warm
            return None, 0
        warm = max((*(common(t, text) for t in self._warm),
                    *(s.common(text) for s in self._reading if s.begun.is_set())), default=0)
        return (first, shared) if shared - warm >= LEAST else (None, 0)

    def _learn(self, sibling: Sibling) -> None:
        """Did a sibling have to read what another one had read?"""
        usage = sibling.last.usage if sibling.last is not None else None
        if sibling.last is None:
            return
        self._warm.append(sibling.whole)
        if usage is None or usage.estimated:
            return
        self._reports |= usage.cached > 0
        if not sibling.shared or anyio.current_time() < self._off_until:
            return
        hit = 2 * usage.cached * len(sibling.text) >= usage.prompt * sibling.shared
        self._missed = 0 if hit else self._missed + 1
        if self._missed < ENOUGH or not self._reports:
            return
        self._missed = 0
        if self.way == "first alone":  # it does not help
            self._off_until = anyio.current_time() + PAUSE_SECONDS
        self.way = "together" if self.way == "first alone" else "first alone"
