"""`NanoEngine`: the embedded engine as the rest of plait sees it."""

from __future__ import annotations

import os
from collections.abc import Sequence as Row
from pathlib import Path

from plait.core import Prompt, Request
from plait.engines.batching import Batch, BatchEngine
from plait.engines.nano.blas import set_threads
from plait.engines.nano.config import read_shape
from plait.engines.nano.forward import NumpyForward
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import read_weights
from plait.engines.puzzle import NAME, PROTOCOLS, put
from plait.errors import EngineRefused, UsageError
from plait.interfaces import Capabilities, Opening

WEIGHTS = Path(__file__).parents[2] / "weights" / "nano"
"""The model that comes with plait."""


class NanoEngine(BatchEngine):
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
        self.model = NAME if folder == WEIGHTS else folder.name
        weights = read_weights(folder, shape)
        vocabulary = read_vocabulary(folder, shape.vocab, shape.eos)
        if threads is not None or "OPENBLAS_NUM_THREADS" not in os.environ:
            set_threads(threads or 1)
        if blocks is None:
            blocks = max(1, (memory << 20) // (4 * shape.layers * shape.row * block))
        count = blocks
        super().__init__(
            vocabulary, lambda: Batch(NumpyForward(weights, count, block), vocabulary, count,
                                      block, chunk), "plait-nano", checked)
        self.capabilities = Capabilities(
            token_ids=True, logprobs=True, cache_report=True, exact_counts=True,
            window=shape.window, protocols=PROTOCOLS,
        )

    def read_prompt(self, prompt: Prompt) -> Row[int]:
        """Its ids, or those of its text. Raises `EngineRefused` for messages and tools."""
        if prompt.tools:
            raise EngineRefused("the models of the embedded engine call no tools",
                                hint="Use the method `native`, or start plait with "
                                     "`--engine http://...` for a model that does.")
        if prompt.messages:
            raise EngineRefused("the embedded engine has no chat template",
                                hint="Give it a prompt as text or token ids, or start plait "
                                     "with `--engine http://...` for a model that chats.")
        return self.encode(prompt.text, opening=True) if prompt.ids is None else prompt.ids

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Put a puzzle to plait-nano. Raises `UsageError` for anything else."""
        return put(request.question, protocol)
