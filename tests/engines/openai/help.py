"""What the tests of this engine share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from plait.core import Chunk, Prompt, Sampling
from plait.engines.openai import OpenAIEngine
from plait.testing.upstream import Upstream


@asynccontextmanager
async def served(
    script: Any, *, retries: int = 0, idle: float = 10.0, model: str | None = None, **settings: Any
) -> AsyncIterator[tuple[Upstream, OpenAIEngine]]:
    """A fake upstream and an engine that talks to it."""
    async with Upstream(script, **settings) as upstream:
        engine = OpenAIEngine(upstream.url, model, retries=retries, idle=idle)
        try:
            yield upstream, engine
        finally:
            await engine.aclose()


async def chunks_of(
    engine: OpenAIEngine, prompt: Prompt | str = "Once", sampling: Sampling | None = None
) -> list[Chunk]:
    """All chunks of one request."""
    if isinstance(prompt, str):
        prompt = Prompt(prompt)
    async with engine.stream(prompt, sampling or Sampling()) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[Chunk]) -> str:
    """Their text."""
    return "".join(chunk.text for chunk in chunks)
