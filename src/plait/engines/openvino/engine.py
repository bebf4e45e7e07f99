"""`OpenVINOEngine`: a model file in this process, as the rest of plait sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import anyio.to_thread

from plait.core import Message, Prompt, Request, Sampling
from plait.core.reading import THINK, LiveAnswer
from plait.engines.local import Stream, Worker
from plait.engines.opening import make_opening
from plait.engines.openvino.batch import Batch, Query
from plait.engines.openvino.pipeline import STREAMS, Pipeline
from plait.engines.openvino.vocabulary import Vocabulary
from plait.engines.puzzle import NAME, PROTOCOLS, put
from plait.errors import EngineRefused, UsageError
from plait.interfaces import Capabilities, Load, Opening


class OpenVINOEngine:
    """Runs a GGUF file, or a folder with OpenVINO's own format, in this process.

    ``model``: its name, as the file says it if None. ``memory``: gigabytes for keys and values;
    requests beyond it wait. ``threads``: cores to compute on, all of them if None.
    Raises `UsageError` for what is no model that OpenVINO can run, and where it is not installed.
    """

    name = "openvino"

    def __init__(
        self, path: Path, model: str | None = None, *, memory: int = 4, threads: int | None = None,
    ) -> None:
        for what, value in (("memory", memory), ("threads", threads or 1)):
            if value <= 0:
                raise UsageError(f"`{what}` is {value!r} but must be above 0")
        self._pipeline = pipeline = Pipeline(path, memory=memory, threads=threads)
        self._vocabulary = vocabulary = Vocabulary(
            pipeline.tokenizer, pipeline.head, pipeline.ends)
        self._window = window = pipeline.window
        self.model = model or pipeline.name
        nano = self.model == NAME  # it knows one game, in words of its own
        self._worker = Worker(lambda: Batch(pipeline, vocabulary, window), "plait-openvino")
        self.capabilities = Capabilities(
            token_ids=True, chat=bool(pipeline.tokenizer.chat_template) and not nano,
            logprobs=True, exact_counts=True, json_schema=True, window=window, slots=STREAMS,
            protocols=PROTOCOLS if nano else (),
        )

    def encode(self, text: str, *, opening: bool = False) -> Sequence[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        return self._vocabulary.encode(text, opening=opening)

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[Stream]:
        """Continue ``prompt``. Log-probabilities are those at temperature 1. The ids of a chunk
        leave out a final end token, as its text does; ``tokens`` and the usage count it. A stream
        that not even all of the memory can hold ends with ``window``. Raises `EngineRefused`."""
        return Stream(self._worker, self._query(prompt, sampling))

    def _query(self, prompt: Prompt, sampling: Sampling) -> Query:
        ids = self._ids(prompt)
        size = len(self._vocabulary.pieces)
        if not ids:
            raise EngineRefused("the prompt is empty")
        if not all(0 <= token < size for token in ids):
            raise EngineRefused(f"a token id of the prompt is outside 0 .. {size - 1}")
        room = None if self._window is None else self._window - len(ids)
        if room is not None and room <= 0:
            raise EngineRefused(
                f"a prompt of {len(ids)} tokens does not fit the window of {self._window}",
                hint="Shorten the prompt.")
        if prompt.messages and prompt.text:  # what goes on is no whole JSON
            sampling = replace(sampling, schema=None)
        limits = [n for n in (sampling.max_tokens, room) if n is not None]
        return Query(ids, sampling, self._pipeline.config(sampling, min(limits, default=None)))

    def _ids(self, prompt: Prompt) -> Sequence[int]:
        if prompt.tools:
            raise EngineRefused("models that OpenVINO runs here are offered no tools",
                                hint="Start plait with `--engine http://...` for a server that"
                                     " reads a model's calls.")
        if prompt.messages:
            return self.encode(self._render(prompt.messages) + prompt.text, opening=True)
        return self.encode(prompt.text, opening=True) if prompt.ids is None else prompt.ids

    def _render(self, messages: Sequence[Message]) -> str:
        if not self.capabilities.chat:
            raise EngineRefused(f"the model `{self.model}` has no chat template",
                                hint="Give it a prompt as text or token ids.")
        if any(m.calls or m.role == "tool" for m in messages):
            raise EngineRefused("the conversation holds calls of tools, which OpenVINO's chat"
                                " templates are not given",
                                hint="Leave them out, or start plait with `--engine http://...`.")
        return self._pipeline.render([{"role": m.role, "content": m.content} for m in messages])

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Messages for our own methods, text in the chat template for a protocol; a puzzle if the
        model is plait-nano. Raises `UsageError` for what the model cannot be asked."""
        if self.capabilities.protocols:
            return put(request.question, protocol)
        chat = self.capabilities.chat
        made = await make_opening(request, protocol, chat, self._rendered)
        if protocol is not None or not chat:
            return made
        return replace(made, live=partial(LiveAnswer, self._opens_thoughts))

    async def _rendered(self, messages: Sequence[Message]) -> Prompt:
        return Prompt(self._render(messages))

    @cached_property
    def _opens_thoughts(self) -> bool:
        """Does the chat template open the model's thoughts by itself?"""
        return self._render((Message("user", "?"),)).rstrip().endswith(THINK)

    async def load(self) -> Load:
        """Requests of the last step, those that wait, and the share of the memory that is held."""
        batch = self._worker.batch
        running = min(batch.load.scheduled, batch.size)
        return Load(running, batch.size - running, batch.load.cache if batch.size else 0.0)

    async def aclose(self) -> None:
        """End the worker thread; streams that are still open fail. The engine may be used again,
        which starts a new one."""
        if self._worker.running:
            await anyio.to_thread.run_sync(self._worker.stop)
