"""Clients that leave, requests that are cancelled, servers that end: nothing goes on upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import anyio
import orjson
import pytest

from plait.server.settings import GatewaySettings
from plait.testing.replies import Reply
from plait.testing.upstream import Calls, Upstream
from tests.server.help import ANSWER, ASK, Served, before, until

pytestmark = pytest.mark.anyio
SOON = 0.1
"""Seconds after which every call upstream must be closed."""
WAYS = ["tiny", "plait/sequential:tiny", "plait/explore:tiny"]


async def open_chat(served: Served, model: str, stream: bool) -> asyncio.StreamWriter:
    """A connection on which a chat completion was asked for."""
    host, port = served.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps({"model": model, "messages": ASK, "stream": stream})
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type:"
                 b" application/json\r\nx-request-id: mine\r\ncontent-length: %d\r\n\r\n%b"
                 % (len(body), body))
    await writer.drain()
    return writer


async def closed_within(upstream: Upstream, seconds: float) -> float:
    """How long it takes until no call is open upstream."""
    began = time.monotonic()
    with anyio.fail_after(5):
        await upstream.until(lambda calls: calls.open == 0)
    took = time.monotonic() - began
    assert took < seconds
    return took


def open_calls(count: int) -> Callable[[Calls], bool]:
    return lambda calls: calls.open >= count


@pytest.mark.parametrize("model", WAYS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", [0, 3])
async def test_a_client_that_hangs_up_ends_every_call(
    model: str, stream: bool, after: int
) -> None:
    """Before the first token and in the middle of the text, streamed or not."""
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate, gate_after=after)) as upstream, (
            before(upstream)) as served:
        writer = await open_chat(served, model, stream)
        with anyio.fail_after(5):
            await upstream.until(open_calls(2 if "explore" in model else 1))
        started = upstream.calls.started
        writer.close()
        await closed_within(upstream, SOON)
        await until(lambda: served.seen.endings)
        assert upstream.calls.started == started
    _, ending = served.seen.endings[-1]
    assert ending.outcome == "cancelled"


@pytest.mark.parametrize("model", WAYS)
async def test_a_client_that_closes_its_side_only_has_left(model: str) -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(upstream) as served:
        writer = await open_chat(served, model, stream=True)
        with anyio.fail_after(5):
            await upstream.until(open_calls(1))
        writer.write_eof()
        await closed_within(upstream, SOON)
        writer.close()


@pytest.mark.parametrize("model", WAYS)
async def test_a_request_is_cancelled_by_its_id(model: str) -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(upstream) as served:
        async with anyio.create_task_group() as tasks:
            replies = []

            async def ask() -> None:
                replies.append(await served.chat(model, X_REQUEST_ID="mine"))

            tasks.start_soon(ask)
            with anyio.fail_after(5):
                await upstream.until(open_calls(1))
            found = await served.post("/v1/runs/mine/cancel", {})
            await closed_within(upstream, SOON)
        again = await served.post("/v1/runs/mine/cancel", {})
    (reply,) = replies
    assert found.status == 200
    assert found.json["runs"] == [reply.header("x-plait-run")]
    assert (reply.status, reply.error["code"]) == (499, "cancelled")
    assert reply.header("x-should-retry") == "false"
    assert again.status == 404


async def test_a_cancelled_stream_ends_with_an_error() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate, gate_after=2)) as upstream, (
            before(upstream)) as served, served.streaming("plait/sequential:tiny") as events:
        with anyio.fail_after(5):
            first = await events.next()
        await served.post(f"/v1/chat/completions/{first['id']}/cancel", {})
        rest = await events.rest()
    assert rest[-1]["error"]["code"] == "cancelled"
    assert not events.done


async def test_a_client_that_reads_nothing_is_given_up() -> None:
    """It holds a place and the engine; not for ever."""
    text = ["x" * 4096] * 4000
    async with Upstream(Reply(text)) as upstream, before(
            upstream, GatewaySettings(patience=0.3)) as served:
        writer = await open_chat(served, "plait/sequential:tiny", stream=True)
        await until(lambda: served.seen.endings, 20)
        writer.close()
    assert served.seen.endings[-1][1].outcome in ("answered", "cancelled", "failed")
    assert served.gateway.admission.running == 0


async def test_who_waits_in_the_queue_and_leaves_is_forgotten() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(
            upstream, GatewaySettings(running=1)) as served:
        first = await open_chat(served, "tiny", stream=False)
        with anyio.fail_after(5):
            await upstream.until(open_calls(1))
        second = await open_chat(served, "tiny", stream=False)
        await until(lambda: served.gateway.admission.queued)
        second.close()
        await until(lambda: not served.gateway.admission.queued, SOON * 5)
        first.close()
        await closed_within(upstream, SOON)
        assert upstream.calls.started == 1
