"""Forked contexts on a real vLLM are token-exact: ids that the model wrote stay as they are.

The tiny model is made to write each format's words by a grammar (`structured_outputs`), and cuts
them into tokens as its random weights like, so that encoding its text again would give other ids.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from plait.core import Chunk, Plan, Prompt, Request, Sampling
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.rendering import detokenize, tokenize
from plait.protocols import CATALOGUE
from plait.solve import solve
from tests.live.conftest import Server
from tests.protocols.words import WORDS, Model

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(600)]

BLOCKS = [name for name, known in CATALOGUE.items() if known.form is not None]


@dataclass
class Asked:
    """One request: the ids of its prompt, and those that the model wrote."""

    thread: bool
    prompt: tuple[int, ...]
    wrote: list[int] = field(default_factory=list)
    text: str = ""


class Led(OpenAIEngine):
    """An engine whose model writes what a scripted one would, in tokens of its own choice."""

    def __init__(self, url: str, model: Model) -> None:
        super().__init__(url)
        self._leader = model
        self.asked: list[Asked] = []

    @asynccontextmanager
    async def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        server = await self.connect()
        words = self._leader(prompt.text, sampling)
        assert isinstance(words, str)
        extra = {**sampling.extra, "structured_outputs": {"regex": re.escape(words)}}
        question = await self._question(server, prompt, sampling)
        sent = question.body["prompt"]
        assert isinstance(sent, list), "the context went as text"
        asked = Asked(self._leader.words.in_thread(prompt.text), tuple(sent))
        self.asked.append(asked)

        async def noted(source: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
            async for chunk in source:
                asked.wrote += chunk.ids or ()
                asked.text += chunk.text
                yield chunk

        async with super().stream(prompt, replace(sampling, extra=extra)) as source:
            yield noted(source)


def stretches(ids: tuple[int, ...], known: list[list[int]]) -> list[tuple[int, ...]]:
    """What of ``ids`` is left between the ``known`` stretches, which follow each other in it."""
    rest, left = list(ids), []
    for stretch in known:
        at = next((i for i in range(len(rest)) if rest[i : i + len(stretch)] == stretch), None)
        assert at is not None, "ids that the model wrote are not in the context"
        left.append(tuple(rest[:at]))
        rest = rest[at + len(stretch) :]
    return [*left, tuple(rest)]


@pytest.mark.parametrize("name", BLOCKS)
async def test_what_the_model_wrote_is_what_it_reads_back(vllm: Server, name: str) -> None:
    words = WORDS[name]
    engine = Led(f"{vllm.url}/v1", Model(words))
    request = Request(words.question, sampling=Sampling(max_tokens=400))
    result = await solve(request, engine=engine, plan=Plan("native", name))
    assert result.answer is not None
    assert "five" in result.answer
    assert (result.forks, result.threads) == (1, words.threads + 1)
    model, link = engine.model, engine._link
    again = 0
    for asked in engine.asked:
        assert await detokenize(link, model, asked.wrote) == asked.text
        own = await tokenize(link, {"model": model, "prompt": asked.text,
                                    "add_special_tokens": False})
        again += own != asked.wrote
    assert again, "the model cut all its words as the tokenizer would: nothing was shown"
    # requests stand in the order in which their threads were started, which is that of the items
    fork = next(i for i, asked in enumerate(engine.asked) if asked.thread)
    trunk, threads = engine.asked[:fork], engine.asked[fork : fork + words.threads]
    end = engine.asked[fork + words.threads]
    for asked in threads:
        for part in stretches(asked.prompt, [one.wrote for one in trunk])[1 if trunk else 0 :]:
            text = await detokenize(link, model, part) if part else ""
            assert list(part) == await tokenize(link, {
                "model": model, "prompt": text, "add_special_tokens": False})
    inserted = stretches(end.prompt, [one.wrote for one in (*trunk, *threads)])
    for part in inserted[1:]:
        text = await detokenize(link, model, part) if part else ""
        assert list(part) == await tokenize(link, {
            "model": model, "prompt": text, "add_special_tokens": False})
    await engine.aclose()
