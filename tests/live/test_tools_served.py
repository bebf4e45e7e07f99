"""Forking by tools on a real vLLM: its own parser of calls, its own stream, token by token.

The tiny model writes nonsense, so each of its texts is dictated (``structured_outputs``); that it
is a call, and where its pieces end, is vLLM's to say.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from plait.core import Chunk, Prompt, Request, Sampling
from plait.core.events import Answered, Ended, Started
from plait.engines.openai import OpenAIEngine
from plait.solve import solve
from plait.trace import Trace
from tests.live.conftest import Server

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(400)]


def call(name: str, arguments: object) -> str:
    """A call as models of the Hermes family write it."""
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


def dictated(prompt: Prompt) -> str:
    """What the model has to write: two calls in one turn, a join of all, the answer."""
    results = [m for m in prompt.messages if m.role == "tool"]
    if prompt.messages[0].role == "system":
        return f"did {prompt.messages[-1].content}"
    if not results:
        return "Splitting." + call("spawn_threads", {"tasks": ["left", {"task": "right \u00e9"}]}) \
            + call("spawn_threads", {"tasks": ["third"]})
    if len(results) == 2:
        return call("join_threads", {})
    return ", ".join(r["result"] for r in json.loads(results[-1].content)["results"])


class Dictated(OpenAIEngine):
    """The engine with a model that does as it is told."""

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        extra = {"structured_outputs": {"choice": [dictated(prompt)]}}
        return super().stream(prompt, replace(sampling, extra=extra))


async def test_threads_start_while_the_server_still_sends_the_call(vllm: Server) -> None:
    engine, trace = Dictated(f"{vllm.url}/v1"), Trace()
    try:
        result = await solve(Request("Q?"), engine=engine, method="tools", trace=trace)
    finally:
        await engine.aclose()
    assert result.answer == "did left, did right \u00e9, did third"
    assert (result.threads, result.forks, result.warnings) == (4, 1, ())
    answered = [e for e in trace.events if isinstance(e, Answered)]
    assert not any(e.estimated for e in answered)
    assert sum(e.generated for e in answered) == result.total_tokens
    first_turn = next(e for e in answered if e.thread == "0")
    started = [e for e in trace.events if isinstance(e, Started)][1:]
    assert [e.at for e in started] == sorted({e.at for e in started})
    assert all(e.at < first_turn.generated for e in started)
    ended = next(e for e in trace.events if isinstance(e, Ended) and e.thread == "0.0")
    assert ended.t < first_turn.t  # it was done before the call that started it was all there
