"""Questions that checks put to an engine, and what came back and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from plait.core import Chunk, Message, Prompt, Request, Sampling, Usage
from plait.core.text import Finish
from plait.errors import EngineRefused
from plait.interfaces import Engine, Served

TEXT = "Count in words: one, two, three, four, five,"
"""What a model is asked where it does not matter what it says."""
PUZZLE = "make 24 from 3, 5, 7, 9"
"""The same as a question that every model may be asked, plait-nano too."""
LEAST = 12
"""Tokens of a sample from which something can be told."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``ids`` is None unless every chunk with text had its own; ``first`` and
    ``seconds``: from the question to the first token, and to the end."""

    text: str
    tokens: int
    ids: tuple[int, ...] | None
    logprobs: int
    finish: Finish | None
    stop: str | int | None
    usage: Usage
    first: float
    seconds: float


class Asker:
    """Asks one engine, one question after the other, and counts what that costs.

    ``plain``: prompts go as text; else as a chat, as for servers that have nothing else.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.plain = True
        self.question = Prompt(TEXT)
        self.prompt_tokens = 0
        self.generated = 0
        self.chars = 4.0
        """Characters of a prompt that make a token, as seen."""

    def put(self, text: str) -> Prompt:
        """``text`` in the form that this engine takes."""
        return Prompt(text) if self.plain else Prompt(messages=(Message("user", text),))

    async def ask(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """One whole answer. Raises `EngineError` and what else the engine's stream raises."""
        began = anyio.current_time()
        first = None
        chunks: list[Chunk] = []
        async with self.engine.stream(prompt, sampling) as stream:
            async for chunk in stream:
                if first is None and chunk.tokens:
                    first = anyio.current_time() - began
                chunks.append(chunk)
        seconds = anyio.current_time() - began
        usage = next((c.usage for c in reversed(chunks) if c.usage), None) or Usage(
            prompt.tokens, generated=sum(c.tokens for c in chunks), estimated=True)
        self.prompt_tokens += usage.prompt
        self.generated += usage.generated
        last = chunks[-1] if chunks else Chunk()
        return Reply(
            "".join(c.text for c in chunks), usage.generated, _ids(chunks),
            sum(len(c.logprobs or ()) for c in chunks), last.finish, last.stop, usage,
            seconds if first is None else first, seconds)

    async def settle(self) -> Reply:
        """Find a form and a question in which this engine writes at least `LEAST` tokens, and
        give a greedy answer to it. Raises `EngineError` if it answers nothing at all."""
        sampling = Sampling(max_tokens=2 * LEAST)
        try:
            reply = await self.ask(self.question, sampling)
            self.chars = len(TEXT) / max(1, reply.usage.prompt)
        except EngineRefused:
            self.plain, reply = False, None
        if reply is not None and reply.tokens >= LEAST:
            return reply
        if self.plain or not isinstance(self.engine, Served):
            self.question = (await self.engine.open(Request(PUZZLE), None)).prompt
        else:
            self.question = self.put(TEXT)
        return await self.ask(self.question, sampling)


def _ids(chunks: Sequence[Chunk]) -> tuple[int, ...] | None:
    if not any(c.ids for c in chunks) or any(c.ids is None and c.text for c in chunks):
        return None
    return tuple(i for c in chunks for i in c.ids or ())
