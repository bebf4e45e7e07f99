"""`TransformersEngine`: any causal language model of Hugging Face's library, in this process."""

from __future__ import annotations

from collections.abc import Sequence as Row
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from plait.core import Message, Prompt, Request
from plait.core.reading import LiveAnswer
from plait.engines.batching import Batch, BatchEngine
from plait.engines.opening import make_opening
from plait.engines.puzzle import NAME, PROTOCOLS, put
from plait.engines.transformers.chat import Chat
from plait.engines.transformers.forward import TorchForward
from plait.engines.transformers.loading import load, prove
from plait.engines.transformers.memory import Memory, bytes_of_token
from plait.engines.transformers.spec import Spec
from plait.errors import EngineRefused
from plait.interfaces import Capabilities, Opening

_PROOF = 8
"""Blocks for trying a model out."""
_ON_CPU = 1024
"""Megabytes for keys and values where nobody says."""
_OF_GPU = 0.8
"""The same as a share of what the model leaves free."""
_CHUNKS = {"cpu": 256}
"""Prompt tokens read in one step; `_CHUNK` on anything faster."""
_CHUNK = 2048


class TransformersEngine(BatchEngine):
    """Runs the model that ``spec`` names (`Spec.parse`: what follows `hf:`).

    ``blocks`` of ``block`` tokens: KV memory in place of ``spec.memory``. ``chunk``: prompt tokens
    read in one step. ``checked``: check the block ledger after every step; slow.
    Raises `UsageError` for what is not there or cannot be run.
    """

    name = "transformers"

    def __init__(
        self, spec: Spec | str, *, blocks: int | None = None, block: int = 16,
        chunk: int | None = None, checked: bool = False,
    ) -> None:
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        loaded = load(spec)
        model, shapes = loaded.model, loaded.shapes
        dtype, device = model.dtype, model.device
        trial = TorchForward(loaded, Memory(shapes, _PROOF, 16, dtype, device), 1)
        prove(loaded, trial.try_out())
        row = bytes_of_token(shapes, dtype) * block
        count = blocks or max(1, _memory(spec, device) // row)
        window = loaded.window or count * block
        memory = Memory(shapes, count, block, dtype, device)
        vocabulary = loaded.vocabulary
        chunk = chunk or _CHUNKS.get(device.type, _CHUNK)
        super().__init__(
            vocabulary, lambda: Batch(TorchForward(loaded, memory, window), vocabulary, count,
                                      block, chunk), "plait-transformers", checked)
        self._knows_puzzles = loaded.own_name == NAME
        self._chat = Chat(loaded.tokenizer)
        self.model = loaded.own_name or Path(loaded.where).name
        self.capabilities = Capabilities(
            token_ids=True, chat=self._chat.has_template, logprobs=True, cache_report=True,
            exact_counts=True, json_schema=False, window=window,
            protocols=PROTOCOLS if self._knows_puzzles else ())

    def read_prompt(self, prompt: Prompt) -> Row[int]:
        """Messages in the chat template, then text or ids. Raises `EngineRefused` for tools."""
        if prompt.tools:
            raise EngineRefused("models in this process are offered no tools",
                                hint="Their calls look different in each; a server reads them: "
                                     "start plait with `--engine http://...`.")
        if prompt.messages:
            opened = self._chat.render(prompt.messages)
            if prompt.ids is None:
                return self.encode(opened + prompt.text)
            return [*self.encode(opened), *prompt.ids]
        return self.encode(prompt.text, opening=True) if prompt.ids is None else prompt.ids

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Messages for plait's own methods, text in the chat template for a protocol; a puzzle for
        plait-nano. Raises `UsageError` for what a model cannot be asked."""
        if self._knows_puzzles:
            return put(request.question, protocol)
        made = await make_opening(request, protocol, self._chat.has_template, self._render)
        if protocol is not None or not self._chat.has_template:
            return made
        return replace(made, live=partial(LiveAnswer, self._chat.opens_thoughts()))

    async def _render(self, messages: Row[Message]) -> Prompt:
        text = self._chat.render(messages)
        return Prompt(text, tuple(self.encode(text)))


def _memory(spec: Spec, device: torch.device) -> int:
    """Bytes for keys and values."""
    if spec.memory is not None:
        return spec.memory << 20
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _OF_GPU)
    return _ON_CPU << 20
