"""Idempotency keys: the same request is answered once."""

from __future__ import annotations

import anyio
import pytest

from plait.server.errors import ApiError
from plait.server.replays import Replays
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before

pytestmark = pytest.mark.anyio
ONE = "plait/sequential:tiny"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["tiny", ONE])
async def test_the_same_key_gives_the_same_reply(model: str, stream: bool) -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        first = await served.chat(model, stream=stream, IDEMPOTENCY_KEY="k")
        again = await served.chat(model, stream=stream, IDEMPOTENCY_KEY="k")
        other = await served.chat(model, stream=stream, IDEMPOTENCY_KEY="l")
        assert upstream.calls.started == 2
    assert first.status == again.status == other.status == 200
    assert first.body == again.body
    assert again.header("idempotency-replayed") == "true"
    assert first.header("idempotency-replayed") is None


async def test_another_body_is_refused_and_so_is_one_at_work() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(upstream) as served, (
            anyio.create_task_group()) as tasks:

        async def ask() -> None:
            await served.chat(ONE, IDEMPOTENCY_KEY="k")

        tasks.start_soon(ask)
        await upstream.until(lambda calls: calls.open == 1)
        busy = await served.chat(ONE, IDEMPOTENCY_KEY="k")
        wrong = await served.chat(ONE, IDEMPOTENCY_KEY="k", temperature=1)
        gate.set()
    assert (busy.status, busy.header("x-should-retry")) == (409, "true")
    assert (wrong.status, wrong.header("x-should-retry")) == (422, "false")


async def test_another_method_or_query_is_another_request() -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        for path in ("/v1/files?after=1", "/v1/files?after=2"):
            reply = await served.get(path, IDEMPOTENCY_KEY="k")
            assert reply.header("idempotency-replayed") is None


async def test_a_failure_is_not_kept() -> None:
    replies = [Reply(status=500, error={"error": {"message": "no"}}), ANSWER]
    async with Upstream(replies) as upstream, before(upstream) as served:
        first = await served.chat("tiny", IDEMPOTENCY_KEY="k")
        again = await served.chat("tiny", IDEMPOTENCY_KEY="k")
    assert (first.status, again.status) == (500, 200)


def test_old_replies_are_forgotten() -> None:
    now = 0.0
    replays = Replays(most=2, seconds=10.0, clock=lambda: now)
    for key in ("a", "b", "c"):
        replay = replays.begin("", "/", key, b"")
        replay._note({"type": "http.response.start", "status": 200, "headers": []})
        replay._note({"type": "http.response.body", "body": b"x"})
        replay.close()
    assert replays.begin("", "/", "c", b"").known
    now = 11.0
    assert not replays.begin("", "/", "c", b"").known
    with pytest.raises(ApiError):
        replays.begin("", "/", "", b"")
