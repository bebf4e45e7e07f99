"""One request, as the rest of plait sees it: chunks that come from the worker's thread."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from plait.core import Chunk
from plait.engines.local.loop import Worker
from plait.engines.local.writing import Piece, Writing
from plait.errors import EngineError


class Stream:
    """One request: a context manager, and the iterator of its chunks."""

    def __init__(self, worker: Worker[Any], writing: Writing) -> None:
        self._worker = worker
        self._writing = writing
        self._pieces: list[Piece] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: EngineError | None = None
        self._over = False

    async def __aenter__(self) -> Stream:
        self.loop = asyncio.get_running_loop()
        self._writing.listener = self
        self._worker.submit(self._writing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._over:
            self._over = True
            self._worker.cancel(self._writing)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Chunk:
        """Everything that was written since the last chunk."""
        while not self._pieces:
            if self._error is not None:
                self._over = True
                raise self._error
            if self._over:
                raise StopAsyncIteration
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces, self._pieces = self._pieces, []
        chunk = _chunk(pieces, self._writing.sampling.logprobs)
        self._over = chunk.finish is not None
        return chunk

    def take(self, pieces: list[Piece]) -> None:
        self._pieces += pieces
        self._wake()

    def fail(self, error: EngineError) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _chunk(pieces: list[Piece], logprobs: bool) -> Chunk:
    last = pieces[-1]
    if len(pieces) == 1:
        return Chunk(last.text, last.tokens, last.ids, last.logprobs if logprobs else None,
                     last.finish, last.stop, last.usage)
    return Chunk(
        "".join([p.text for p in pieces]),
        sum([p.tokens for p in pieces]),
        tuple([i for p in pieces for i in p.ids]),
        tuple([x for p in pieces for x in p.logprobs]) if logprobs else None,
        last.finish, last.stop, last.usage)
