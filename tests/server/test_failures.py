"""Engines that fail in every way, and clients that ask for nonsense: defined outcomes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from starlette.types import Message
from yarl import URL

from plait.core import Budget
from plait.server.exchange import Exchange
from plait.server.settings import GatewaySettings
from plait.server.store import Store
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, ASK, before

pytestmark = pytest.mark.anyio
ONE = "plait/sequential:tiny"


@pytest.mark.parametrize("model", ["tiny", ONE])
@pytest.mark.parametrize(("reply", "statuses"), [
    (Reply(status=500, error={"detail": "broken"}), (500, 502)),
    (Reply(status=404, error={"error": {"message": "no such model"}}), (404,)),
    (Reply(status=401, error={"error": {"message": "bad key"}}), (401, 502)),
    (Reply(ANSWER, break_after=0), (502,)),
    (Reply(raw=[b"<html>hello</html>"], content_type="text/html"), (502,)),
])
async def test_an_engine_that_fails_at_once(
    model: str, reply: Reply, statuses: tuple[int, ...]
) -> None:
    async with Upstream(reply) as upstream, before(upstream) as served:
        found = await served.chat(model)
    assert found.status in statuses
    assert found.error["message"]
    assert found.error["type"]
    assert found.header("x-request-id")


@pytest.mark.parametrize("model", ["tiny", ONE])
async def test_an_overloaded_engine_says_when_to_come_again(model: str) -> None:
    reply = Reply(status=429, headers={"Retry-After": "7"}, error={"error": {"message": "busy"}})
    async with Upstream(reply) as upstream, before(upstream) as served:
        found = await served.chat(model)
    assert found.status in (429, 503)
    assert found.header("retry-after") == "7"


@pytest.mark.parametrize("model", ["tiny", ONE])
@pytest.mark.parametrize("reply", [
    Reply(ANSWER, break_after=3),
    Reply(ANSWER, error={"error": {"message": "out of memory", "code": 500}}, fail_after=3),
    Reply(raw=[b'data: {"choices":[{"index":0,"delta":{"content":"six"}}]}\n\n',
               b"data: {nonsense\n\n"]),
])
async def test_a_stream_that_breaks_ends_with_an_error_event(model: str, reply: Reply) -> None:
    async with Upstream(reply) as upstream, before(upstream) as served, (
            served.streaming(model)) as events:
        got = await events.rest()
    assert got[-1]["error"]["message"]
    assert not any(c.get("finish_reason") for e in got for c in e.get("choices", ()))


async def test_a_run_that_fails_late_is_not_to_be_tried_again() -> None:
    async with Upstream(Reply(ANSWER, break_after=3)) as upstream, before(upstream) as served:
        found = await served.chat(ONE)
    assert found.status == 502
    assert found.header("x-should-retry") == "false"


async def test_an_engine_that_lies_about_its_usage_breaks_nothing() -> None:
    for counts in ({"completion_tokens": -5, "prompt_tokens": "many"}, {"completion_tokens": None}):
        async with Upstream(Reply(ANSWER, counts=counts)) as upstream, (
                before(upstream)) as served:
            found = await served.chat(ONE)
            passed = await served.chat("tiny")
        assert found.status in (200, 502)
        assert passed.status == 200


async def test_a_deadline_ends_a_run_with_what_there_is() -> None:
    async with Upstream(Reply("one two three four five", gate=anyio.Event(), gate_after=3)
                        ) as upstream, before(upstream) as served:
        found = await served.chat(ONE, X_PLAIT_DEADLINE="0.3")
        passed = await served.chat("tiny", X_PLAIT_DEADLINE="0.3")
        wrong = await served.chat(ONE, X_PLAIT_DEADLINE="soon")
    assert found.json["choices"][0]["finish_reason"] == "length"
    assert found.text.startswith("one")
    assert (passed.status, passed.error["code"]) == (504, "timeout")
    assert wrong.status == 400


async def test_the_server_caps_the_budget_of_every_run() -> None:
    text = " ".join(["word"] * 200)
    async with Upstream(text) as upstream, before(
            upstream, GatewaySettings(most=Budget(total_tokens=20))) as served:
        more = await served.chat(ONE, plait={"total_tokens": 5000})
        less = await served.chat(ONE, plait={"budget": {"total_tokens": 10}})
    assert more.json["usage"]["completion_tokens"] <= 20
    assert less.json["usage"]["completion_tokens"] <= 10
    assert more.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(("fields", "where"), [
    ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"temperature": "hot"}, "temperature"), ({"temperature": -1}, None),
    ({"max_tokens": 0}, "max_tokens"), ({"stop": [1]}, "stop"), ({"seed": 1.5}, "seed"),
    ({"plait": 5}, "plait"), ({"plait": {"methode": "plan"}}, "plait.methode"),
    ({"plait": {"width": 0}}, "plait.width"), ({"plait": {"verify": "code:/etc/passwd"}},
                                               "plait.verify"),
    ({"plait": {"prompts": "/etc"}}, "plait.prompts"),
    ({"plait": {"protocol": "os:system"}}, "plait.protocol"),
])
async def test_nonsense_is_refused_with_the_field_that_is_wrong(
    fields: dict[str, object], where: str | None
) -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        found = await served.chat(ONE, **fields)
        assert upstream.calls.started == 0
    assert found.status == 400
    assert found.error["param"] == where
    assert found.error["type"] == "invalid_request_error"


async def test_ways_that_do_not_exist_name_the_nearest() -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        found = await served.chat("plait/plann:tiny")
        unknown = await served.chat("plait/plan:huge")
    assert "Did you mean `plan`" in found.error["message"]
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": 5}'])
async def test_bodies_that_are_no_requests(body: bytes) -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        for path in ("chat/completions", "completions", "responses"):
            assert (await served.post(f"/v1/{path}", body)).status == 400


async def test_a_body_too_large_is_refused() -> None:
    async with Upstream(ANSWER) as upstream, before(
            upstream, GatewaySettings(body_bytes=1000)) as served:
        found = await served.chat(messages=[{"role": "user", "content": "x" * 2000}])
    assert found.status == 413
    assert found.error["code"] == "too_large"


async def test_a_body_that_stops_coming_is_refused() -> None:
    async with Upstream(ANSWER) as upstream, before(
            upstream, GatewaySettings(patience=0.2)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                     b"content-length: 100\r\n\r\n{")
        with anyio.fail_after(5):
            got = await reader.read()  # up to the end: the connection is closed
        writer.close()
    assert got.startswith(b"HTTP/1.1 408")
    assert b"no more of the body" in got


async def test_words_of_a_client_end_no_header() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    exchange = Exchange(scope, receive, send, most_bytes=0, patience=1.0)
    exchange.extra["x-plait-reason"] = "it holds `x\r\nset-cookie: a=b`"
    await exchange.reply_json({})
    assert (b"x-plait-reason", b"it holds `x  set-cookie: a=b`") in sent[0]["headers"]


@pytest.mark.parametrize("path", ["/v1/%2e%2e/secret", "/v1/a/%2e%2e/%2e%2e/secret"])
async def test_nothing_beside_v1_is_reached(path: str) -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served, served.session.get(
            URL(served.url + path, encoded=True)) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["message"].endswith("is not served here")


async def test_paths_and_methods_that_are_not_there() -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        wrong = await served.get("/v1/chat/completions")
        nowhere = await served.get("/nowhere")
    assert (wrong.status, wrong.header("allow")) == (405, "POST")
    assert nowhere.status == 404
    assert nowhere.error["type"] == "not_found_error"


async def test_a_page_of_the_list_that_cannot_be_is_the_first(tmp_path: Path) -> None:
    async with (Store(tmp_path / "runs.sqlite") as store, Upstream(ANSWER) as upstream,
                before(upstream, store=store) as served):
        for page in ("9" * 30, "9" * 5000, "-1", "x"):
            assert (await served.get(f"/?page={page}")).status == 200


async def test_an_engine_that_is_not_there() -> None:
    upstream = Upstream(ANSWER)
    await upstream.listen()
    async with before(upstream) as served:
        await upstream.stop()
        for model in ("tiny", ONE):
            found = await served.chat(model)
            assert (found.status, found.error["code"]) == (502, "engine_failed")
        assert (await served.get("/ready")).status == 503
        assert (await served.get("/health")).status == 200


async def test_history_holds_answers_and_no_thoughts() -> None:
    turns = [*ASK, {"role": "assistant", "content": ANSWER, "reasoning": "secret one",
                    "reasoning_content": "secret two"}, {"role": "user", "content": "Sure?",
                                                         "name": "ada"}]
    async with Upstream(ANSWER, dialect="generic") as upstream, before(upstream) as served:
        await served.chat(ONE, messages=turns)
    sent = upstream.bodies[-1]["messages"]
    assert [m["content"] for m in sent] == [ASK[0]["content"], ANSWER, "Sure?"]
    assert "secret" not in str(upstream.bodies[-1])
    assert sent[-1]["name"] == "ada"


async def test_unknown_fields_reach_every_call() -> None:
    async with Upstream("Answer: 42", dialect="generic") as upstream, before(upstream) as served:
        await served.chat("plait/explore:tiny", chat_template_kwargs={"a": 1}, top_p=0.9,
                          frequency_penalty=0.5, metadata={"b": "c"}, brand_new=True)
    assert len(upstream.bodies) > 1
    for body in upstream.bodies:
        assert body["chat_template_kwargs"] == {"a": 1}
        assert body["brand_new"] is True
        assert (body["top_p"], body["frequency_penalty"]) == (0.9, 0.5)
        assert body["metadata"] == {"b": "c"}
        assert "plait" not in body


async def test_a_temperature_that_nobody_asked_for_is_the_engines_own() -> None:
    async with Upstream(ANSWER, dialect="generic") as upstream, before(upstream) as served:
        await served.chat(ONE)
        await served.chat(ONE, temperature=0)
    assert "temperature" not in upstream.bodies[0]
    assert upstream.bodies[1]["temperature"] == 0
