"""One stream, whoever writes it: begun at one replica, gone on with at others where it has to be.

Before anything of the text has come, whatever is a replica's fault sends the call to the next one;
when all have failed, after a while to all of them again (`plait.engines.openai.connect`). In the
middle of a text it goes on elsewhere from what was received (`replay`), where that gives the same
text; where it does not, the error is raised, and the scheduler begins the thread anew. A text that
breaks one replica after the other is perhaps what breaks them: after `MOST_MOVES` it is given up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import anyio

from plait.core import Chunk, Prompt, Sampling
from plait.engines.pool.members import Members
from plait.engines.pool.replay import Received
from plait.engines.pool.replica import Replica
from plait.errors import EngineError, EngineUnreachable

MOST_MOVES = 3
PACED = 8
"""Tokens of a stream that tell how fast its replica is."""


class PooledCall:
    """An async iterator over the chunks of one stream. `close` it in the end, at any time."""

    def __init__(self, members: Members, prompt: Prompt, sampling: Sampling, ids: bool) -> None:
        self._members = members
        self._received = Received(prompt, sampling)
        self._prompt = prompt
        self._session = sampling.session
        self._ids = ids
        self._tried: set[str] = set()
        self._failure: EngineError = EngineUnreachable("the pool has no replica")
        self._attempt = self._moves = 0
        self._writers: list[str] = []
        self._said = 0
        """How many of them are known to the reader."""
        self._over = False
        self._replica: Replica | None = None
        self._stream: AbstractAsyncContextManager[AsyncIterator[Chunk]] | None = None
        self._source: AsyncIterator[Chunk] | None = None
        self._began = self._first = 0.0
        self._tokens = 0
        self._heard = False

    def __aiter__(self) -> PooledCall:
        return self

    async def __anext__(self) -> Chunk:
        while not self._over:
            try:
                source = self._source or await self._open()
                chunk = await anext(source, None)
                if chunk is None:
                    raise EngineUnreachable("the replica's stream ended without saying why")
            except EngineError as error:
                chunk = await self._move(error)
                if chunk is not None:
                    return self._last(chunk)
                continue
            if (found := self._take(chunk)) is not None:
                if found.finish is None:
                    return found
                await self._praise()
                return self._last(found)
        raise StopAsyncIteration

    def _take(self, chunk: Chunk) -> Chunk | None:
        assert self._replica is not None
        now = anyio.current_time()
        self._replica.heard(now)
        if not self._ids and chunk.ids is not None:  # not every replica would know them
            chunk = replace(chunk, ids=None)
        if not self._heard:
            self._heard, self._first = True, now
            self._writers.append(self._replica.name)
        self._tokens += chunk.tokens
        found = self._received.take(chunk)
        if found is not None and len(self._writers) > self._said:
            self._said = len(self._writers)
            found = replace(found, by=tuple(self._writers))
        return found

    def _last(self, chunk: Chunk) -> Chunk:
        self._over = True
        return replace(chunk, by=tuple(self._writers))

    # --- at one replica --------------------------------------------------------------------------

    async def _open(self) -> AsyncIterator[Chunk]:
        """A stream at the best replica that is left. Raises `EngineError`."""
        replica = await self._members.pick(self._session, self._tried)
        while replica is None:
            failure = self._failure
            await self._members.patience.pause(failure, self._attempt)
            self._attempt += 1
            self._tried.clear()
            replica = await self._members.pick(self._session)
        self._replica, self._began, self._tokens = replica, anyio.current_time(), 0
        self._heard = False
        replica.begin(self._began)
        self._stream = replica.engine.stream(*self._received.rest())
        self._source = await self._stream.__aenter__()
        return self._source

    async def close(self) -> None:
        """Leave the replica; its connection is closed at once."""
        stream, opened = self._stream, self._source is not None
        replica, self._replica = self._replica, None
        self._stream = self._source = None
        if replica is not None:
            replica.end()
        if stream is not None and opened:
            await stream.__aexit__(None, None, None)

    async def _praise(self) -> None:
        """The text is complete."""
        now, replica = anyio.current_time(), self._replica
        assert replica is not None
        if self._tokens >= PACED:
            pace = (now - self._first) / self._tokens
            self._members.health.wrote(replica.name, pace, self._began, now)
        await self.close()

    # --- to another one --------------------------------------------------------------------------

    async def _move(self, error: EngineError) -> Chunk | None:
        """Leave a replica that failed. A chunk if the text needs no other one to end. Raises
        ``error`` if none would do better."""
        replica, members = self._replica, self._members
        if replica is None:  # there was none left to ask
            self._over = True
            raise error
        await self.close()
        self._over = True  # unless we come to the end of this function
        self._failure = error
        if not members.failed(replica, error, self._began):
            raise error
        if self._heard and (last := self._received.cross()) is not None:
            return last
        if not (self._heard and self._received.begun):
            self._tried.add(replica.name)  # it brought nothing
        else:
            if self._moves == MOST_MOVES:
                error.exhausted = True
                raise error
            if not (self._received.can_go_on
                    and replica.engine.continues(self._prompt, self._received.text)):
                members.restarts += 1
                raise error
            self._moves += 1
            members.failovers += 1
            self._tried = {replica.name}
            self._attempt = 0
        self._over = False
        return None
