"""`NanoEngine`: the embedded engine as the rest of plait sees it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence as Row
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType

import anyio.to_thread

from plait.core import Chunk, Prompt, Request, Sampling
from plait.engines.nano.batch import Batch, BatchStatistics, Piece, Sequence
from plait.engines.nano.blas import set_threads
from plait.engines.nano.config import read_shape
from plait.engines.nano.loop import Worker
from plait.engines.nano.puzzle import formats, put
from plait.engines.nano.tokens import Vocabulary
from plait.engines.nano.weights import read_weights
from plait.errors import EngineError, EngineRefused, UsageError
from plait.interfaces import Capabilities, Load, Opening

WEIGHTS = Path(__file__).parents[2] / "weights" / "nano"
"""The model that comes with plait."""


class NanoEngine:
    """Runs a small Llama model in this process, with NumPy.

    ``folder``: a model in the Hugging Face layout, plait-nano if None. ``memory``: megabytes for
    keys and values; requests beyond it wait. ``chunk``: prompt tokens read in one step.
    ``threads``: cores for NumPy's matrix products, in the whole process (None: as
    `OPENBLAS_NUM_THREADS` says, or one). ``blocks``: KV blocks in place of ``memory``.
    ``checked``: check the block ledger after every step; slow.
    Raises `UsageError` for a folder that is no model it can run.
    """

    name = "nano"

    def __init__(
        self, folder: Path | None = None, *, memory: int = 256, blocks: int | None = None,
        block: int = 16, chunk: int = 256, threads: int | None = None, checked: bool = False,
    ) -> None:
        folder = WEIGHTS if folder is None else folder
        sizes = {"memory": memory, "block": block, "chunk": chunk, "blocks": blocks or 1,
                 "threads": threads or 1}
        for name, value in sizes.items():
            if value <= 0:
                raise UsageError(f"`{name}` is {value!r} but must be above 0")
        shape = read_shape(folder)
        self.model = "plait-nano" if folder == WEIGHTS else folder.name
        self._weights = read_weights(folder, shape)
        self._vocabulary = Vocabulary(folder, shape.vocab, shape.eos)
        if threads is not None or "OPENBLAS_NUM_THREADS" not in os.environ:
            set_threads(threads or 1)
        if blocks is None:
            blocks = max(1, (memory << 20) // (4 * shape.layers * shape.row * block))
        count = blocks
        self._worker = Worker(
            lambda: Batch(self._weights, self._vocabulary, count, block, chunk), checked)
        self.capabilities = Capabilities(
            token_ids=True, logprobs=True, cache_report=True, exact_counts=True,
            window=shape.window, protocols=("apr", "threadweaver"),
        )

    def encode(self, text: str, *, opening: bool = False) -> Row[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        return self._vocabulary.encode(text, opening=opening)

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[Stream]:
        """Continue ``prompt``. The ids of a chunk leave out a final end token, as its text does;
        ``tokens`` and the usage count it. Raises `EngineRefused`."""
        return Stream(self._worker, self._sequence(prompt, sampling))

    def _sequence(self, prompt: Prompt, sampling: Sampling) -> Sequence:
        if prompt.tools:
            raise EngineRefused("the models of the embedded engine call no tools",
                                hint="Use the method `native`, or start plait with "
                                     "`--engine http://...` for a model that does.")
        if prompt.messages:
            raise EngineRefused("the embedded engine has no chat template",
                                hint="Give it a prompt as text or token ids, or start plait "
                                     "with `--engine http://...` for a model that chats.")
        ids = self.encode(prompt.text, opening=True) if prompt.ids is None else prompt.ids
        batch = self._worker.batch
        size = self._weights.shape.vocab
        if not ids:
            raise EngineRefused("the prompt is empty")
        if not all(0 <= token < size for token in ids):
            raise EngineRefused(f"a token id of the prompt is outside 0 .. {size - 1}")
        if not batch.fits(len(ids)):
            raise EngineRefused(
                f"a prompt of {len(ids)} tokens can never fit: the window is {batch.window} tokens "
                f"and the cache holds {len(batch.ledger.blocks) * batch.ledger.size}",
                hint="Shorten the prompt, or give the engine more `memory`.")
        return Sequence(ids, sampling)

    def protocols(self, request: Request) -> tuple[str, ...]:
        """What plait-nano writes for this puzzle, the best format first."""
        return formats(request.question)

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Put a puzzle to plait-nano. Raises `UsageError` for anything else."""
        return put(request.question, protocol)

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
