"""`BatchEngine`: what the engines that step a batch in this process have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Row
from contextlib import AbstractAsyncContextManager

import anyio.to_thread

from plait.core import Prompt, Sampling
from plait.engines.batching.batch import Batch, BatchStatistics, Sequence
from plait.engines.batching.tokens import Vocabulary
from plait.engines.local import Stream, Worker
from plait.errors import EngineRefused
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
        return Load(now.running, now.waiting, now.blocks.used / now.blocks.total,
                    now.blocks.total * self._worker.batch.ledger.size)

    async def aclose(self) -> None:
        """End the worker thread; streams that are still open fail. The engine may be used again,
        which starts a new one."""
        if self._worker.running:
            await anyio.to_thread.run_sync(self._worker.stop)

    def statistics(self) -> BatchStatistics:
        return self._worker.batch.statistics()
