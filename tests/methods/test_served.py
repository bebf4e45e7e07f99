"""Directed methods over a real connection: what the server sees of an early stop, and thoughts
that come in a field of their own."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from plait import solve
from plait.core import Directions, Request
from plait.core.events import Ended
from plait.methods import Explore
from plait.testing.upstream import Reply
from plait.trace import Trace
from plait.verify import Function
from tests.engines.openai.help import served

KINDS = ["vllm", "sglang", "llamacpp", "generic"]


def text_of(body: Mapping[str, Any]) -> str:
    """What the model reads: messages, or the text that a server made of them."""
    messages = body.get("messages")
    return str(body["prompt"]) if messages is None else "\n".join(m["content"] for m in messages)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_attempts_that_are_not_needed_are_cancelled_at_the_server_at_once(kind: str) -> None:
    others, never = anyio.Event(), anyio.Event()
    calls = iter(range(100))

    def model(body: Mapping[str, Any]) -> Reply:
        if next(calls) == 0:
            return Reply("Answer: 56", gate=others)
        others.set()
        return Reply("so so so so", gate=never, gate_after=2)

    trace = Trace()
    async with served(model, dialect=kind) as (upstream, engine):
        method = Explore(verifier=Function(lambda question, answer: answer.endswith("56")))
        result = await solve("How many legs have seven spiders?", engine=engine, method=method,
                             trace=trace)
        await upstream.until(lambda c: c.open == 0)
        assert (result.answer, result.verified, result.fallback) == ("Answer: 56", True, None)
        assert upstream.calls.finished == 1
        assert upstream.calls.cancelled == upstream.calls.started - 1 >= 1
    ended = {e.thread: e for e in trace.events if isinstance(e, Ended)}
    cancelled = [e for e in ended.values() if e.status == "cancelled"]
    assert len(cancelled) == 3
    passed = next(e.t for e in ended.values() if e.status == "done")
    assert all(e.t - passed <= 0.05 for e in cancelled)


@pytest.mark.anyio
async def test_the_server_sees_the_cancellation_within_50_milliseconds() -> None:
    """Counted at the server, from the sending of the answer that settles it. The best of three,
    since what is measured is the runtime's haste and not what else the machine does."""
    waited = []
    for _ in range(3):
        others, never = anyio.Event(), anyio.Event()
        begun: list[float] = []

        def model(body: Mapping[str, Any], others: anyio.Event = others,
                  never: anyio.Event = never, begun: list[float] = begun) -> Reply:
            begun.append(anyio.current_time())
            if len(begun) == 1:
                return Reply("Answer: 56", gate=others)
            return Reply("so so so so", gate=never, gate_after=2)

        async with served(model, dialect="vllm") as (upstream, engine):
            async def settle(upstream: Any = upstream, others: anyio.Event = others) -> None:
                await upstream.until(lambda c: c.open == 4)
                others.set()
                sent = anyio.current_time()
                await upstream.until(lambda c: c.cancelled == 3)
                waited.append(anyio.current_time() - sent)

            check = Function(lambda question, answer: answer.endswith("56"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(settle)
                await solve("How many legs?", engine=engine, method=Explore(verifier=check))
            assert upstream.calls.finished == 1
    assert min(waited) <= 0.05


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("method", ["fixed", "explore", "refine"])
async def test_thoughts_never_reach_a_merge(method: str, field: str) -> None:
    answers = iter(f"{k}" for k in range(100))

    def model(body: Mapping[str, Any]) -> Reply:
        merging = ">" in text_of(body)
        answer = "merged" if merging else f"My view.\nAnswer: {next(answers)}"
        return Reply(answer, thoughts=("secret ", "thoughts"), thoughts_field=field)

    async with served(model, dialect="vllm") as (upstream, engine):
        directions = Directions(attempts=3 if method != "refine" else None,
                                merge="synthesize" if method != "refine" else None,
                                rounds=(3, 1))
        request = Request("What do you think?", directions=directions)
        result = await solve(request, engine=engine, method=method)
        assert result.answer == "merged"
        assert not [b for b in upstream.bodies if "secret" in text_of(b)]
        last = text_of(upstream.bodies[-1])
        assert all(f"> Answer: {k}" in last for k in range(3))
