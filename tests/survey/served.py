"""A model behind a fake server that can be told what it cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from plait.core import EngineProfile, Finding
from plait.engines.openai import OpenAIEngine
from plait.survey import Survey
from plait.survey.checks import WORD
from plait.testing.replies import Body, Reply
from plait.testing.scripted import cut_pieces
from plait.testing.upstream import Upstream

WORDS = tuple(f" word{n}" for n in range(40))
STREAM_SECONDS = 0.15
LONG = 300
"""Characters of a prompt that takes time to read."""


@dataclass
class Model:
    """What it writes is always the same, unless it is forced to a token or held to a schema.

    ``window``: prompts of more pieces are refused. ``reading``: seconds that a long prompt takes
    that it does not hold in its cache.
    """

    caches: bool = True
    reports: bool = True
    salts: bool = True
    schemas: bool = True
    shows: bool = True
    ids: bool = True
    window: int | None = 4096
    reading: float = 0.0
    hangs: bool = False
    upstream: Upstream | None = None
    _seen: set[tuple[object, str]] = field(default_factory=set)

    def __call__(self, body: Body) -> Reply:
        prompt = body.get("prompt") or "".join(m["content"] for m in body.get("messages", ()))
        if self.window is not None and len(cut_pieces(prompt)) > self.window:
            return _refusal("the maximum context length is exceeded")
        assert self.upstream is not None
        if not self.ids and isinstance(self.upstream.bodies[-1].get("prompt"), list):
            return _refusal("prompt must be a string")
        if forced := body.get("logit_bias"):
            (token,) = forced
            return Reply([self.upstream.word(int(token)) if self.shows else ""] * 40)
        schema = body.get("json_schema") or (body.get("response_format") or {}).get("json_schema")
        if schema and self.schemas:
            return Reply(f'{{"kind": "{WORD}"}}')
        if _limit(body) > 500:  # a stream that is left early
            gate = anyio.Event() if self.hangs else None
            return Reply(WORDS * 50, seconds=0.0 if gate else 20.0, gate=gate, gate_after=2)
        if body.get("ignore_eos"):  # step times are measured
            return Reply(WORDS, seconds=STREAM_SECONDS)
        return self._read(body, prompt)

    def _read(self, body: Body, prompt: str) -> Reply:
        if len(prompt) < LONG:
            return Reply(WORDS)
        key = body.get("cache_salt") if self.salts else None, prompt
        known = self.caches and key in self._seen
        self._seen.add(key)
        cached = len(cut_pieces(prompt)) - 1 if known and self.reports else 0
        return Reply(WORDS, first=0.0 if known else self.reading, cached=cached)


def _limit(body: Body) -> int:
    return next((body[n] for n in ("max_tokens", "max_completion_tokens", "n_predict")
                 if body.get(n)), 0)


def _refusal(why: str) -> Reply:
    return Reply(status=400, error={"error": {"message": why, "code": 400}})


@asynccontextmanager
async def serving(model: Model, **options: Any) -> AsyncIterator[Upstream]:
    """A server of ``model``."""
    async with Upstream(model, **options) as upstream:
        model.upstream = upstream
        yield upstream


async def survey(upstream: Upstream, *, speed: bool = False) -> EngineProfile:
    """What is found of a server."""
    engine = OpenAIEngine(upstream.url, retries=0)
    try:
        return await Survey(engine, upstream.url, speed=speed).run()
    finally:
        await engine.aclose()


def held(profile: EngineProfile) -> dict[str, bool | None]:
    """Every check and what came of it."""
    return {name: found.holds for name, found in profile.findings.items()}


def why(profile: EngineProfile, name: str) -> str:
    found: Finding = profile.findings[name]
    return found.why
