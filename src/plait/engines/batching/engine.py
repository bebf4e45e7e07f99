"""`BatchEngine`: what the engines that step a batch in this process have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Row
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import anyio.to_thread

from plait.core import Chunk, Prompt, Sampling
from plait.engines.batching.batch import Batch, BatchStatistics, Piece, Sequence
from plait.engines.batching.loop import Worker
from plait.engines.batching.tokens import Vocabulary
from plait.errors import EngineError, EngineRefused
from plait.interfaces import Load


class BatchEngine(ABC):
    """Streams over a `Batch` that a worker thread steps.

    ``make`` makes the batch, anew after a step that failed. ``checked``: check all invariants
    after every step; slow.
    """

    def __init__(self, vocabulary: Vocabulary, make: Callable[[], Batch], thread: str,
                 checked: bool = False) -> None:
        self._vocabulary = vocabulary
        self._worker = Worker(make, thread, checked)

    @abstractmethod
    def read_prompt(self, prompt: Prompt) -> Row[int]:
        """The token ids of ``prompt``. Raises `EngineRefused` for what the model cannot be put."""

    def encode(self, text: str, *, opening: bool = False) -> Row[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        return self._vocabulary.encode(text, opening=opening)

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[Stream]:
        """Continue ``prompt``. The ids of a chunk leave out a final end token, as its text does;
        ``tokens`` and the usage count it. Raises `EngineRefused`."""
        ids = self.read_prompt(prompt)
        batch, size = self._worker.batch, len(self._vocabulary.pieces)
        if not ids:
            raise EngineRefused("the prompt is empty")
        if not all(0 <= token < size for token in ids):
            raise EngineRefused(f"a token id of the prompt is outside 0 .. {size - 1}")
        if not batch.fits(len(ids)):
            raise EngineRefused(
                f"a prompt of {len(ids)} tokens can never fit: the window is {batch.window} tokens "
                f"and the cache holds {len(batch.ledger.blocks) * batch.ledger.size}",
                hint="Shorten the prompt, or give the engine more `memory`.")
        return Stream(self._worker, Sequence(ids, sampling))

    async def load(self) -> Load:
        """Sequences now, and the share of the cache that they hold."""
        now = self.statistics()
        return Load(now.running, now.waiting, now.blocks.used / now.blocks.total)

    async def aclose(self) -> None:
        """End the worker thread; streams that are still open fail. The engine may be used again,
        which starts a new one."""
        if self._worker.running:
            await anyio.to_thread.run_sync(self._worker.stop)

    def statistics(self) -> BatchStatistics:
        return self._worker.batch.statistics()


class Stream:
    """One request: a context manager, and the iterator of its chunks."""

    def __init__(self, worker: Worker, sequence: Sequence) -> None:
        self._worker = worker
        self._sequence = sequence
        self._pieces: list[Piece] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: EngineError | None = None
        self._over = False

    async def __aenter__(self) -> Stream:
        self.loop = asyncio.get_running_loop()
        self._sequence.listener = self
        self._worker.submit(self._sequence)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._over:
            self._over = True
            self._worker.cancel(self._sequence)

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
        chunk = _chunk(pieces, self._sequence.sampling.logprobs)
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
