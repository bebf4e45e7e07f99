"""Leaving a stream, at any moment and for any reason, ends the request on the server at once."""

import anyio
import pytest

from plait.core import Prompt, Sampling
from plait.testing.upstream import Reply
from tests.engines.openai.help import chunks_of, served, text_of

pytestmark = pytest.mark.anyio
KINDS = ["vllm", "sglang", "llamacpp", "generic"]
SOON = 0.1


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_in_mid_text_cancels_the_request(kind: str) -> None:
    reply = Reply("one two three", gate=anyio.Event(), gate_after=2)
    async with served(reply, dialect=kind) as (upstream, engine):
        async with engine.stream(Prompt("x"), Sampling()) as stream:
            async for _ in stream:
                break
        with anyio.fail_after(SOON):
            await upstream.until(lambda calls: calls.cancelled == 1)
        assert upstream.calls.open == 0


async def test_being_cancelled_before_the_first_token_cancels_the_request() -> None:
    reply = Reply("one", gate=anyio.Event())
    async with served(reply, dialect="vllm") as (upstream, engine):
        await engine.connect()
        async with anyio.create_task_group() as group:
            group.start_soon(chunks_of, engine)
            await upstream.until(lambda calls: calls.open == 1)
            group.cancel_scope.cancel()
        with anyio.fail_after(SOON):
            await upstream.until(lambda calls: calls.cancelled == 1)


async def test_an_error_in_the_readers_own_code_cancels_the_request() -> None:
    reply = Reply("one two", gate=anyio.Event(), gate_after=1)
    async with served(reply, dialect="vllm") as (upstream, engine):
        async def read() -> None:
            async with engine.stream(Prompt("x"), Sampling()) as stream:
                async for _ in stream:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await read()
        with anyio.fail_after(SOON):
            await upstream.until(lambda calls: calls.cancelled == 1)


async def test_one_of_many_streams_can_be_left_without_disturbing_the_others() -> None:
    gate = anyio.Event()
    reply = Reply("one two", gate=gate, gate_after=1)
    texts: list[str] = []
    async with served(reply, dialect="vllm") as (upstream, engine):
        async def read() -> None:
            texts.append(text_of(await chunks_of(engine)))

        async with anyio.create_task_group() as group:
            for _ in range(7):
                group.start_soon(read)
            async with engine.stream(Prompt("x"), Sampling()) as stream:
                async for _ in stream:
                    break
            await upstream.until(lambda calls: calls.cancelled == 1 and calls.open == 7)
            gate.set()
        assert texts == ["one two"] * 7
        assert upstream.calls.finished == 7


async def test_a_stream_that_was_never_read_makes_no_request() -> None:
    async with served("one", dialect="vllm") as (upstream, engine):
        async with engine.stream(Prompt("x"), Sampling()):
            pass
        assert upstream.calls.started == 0


async def test_hundreds_of_streams_run_at_once() -> None:
    gate = anyio.Event()
    async with served(Reply("one", gate=gate), dialect="vllm") as (upstream, engine):
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(chunks_of, engine)
            await upstream.until(lambda calls: calls.open == 200)
            gate.set()
        assert upstream.calls.finished == 200
