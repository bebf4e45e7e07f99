"""`/v1/responses`: kept, continued, cancelled; and by a chat completion where tools are asked."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from plait.server.bridge import chat_body
from plait.server.errors import ApiError
from plait.server.kept import ALL_BYTES, KeptResponse, KeptResponses
from plait.server.keys import Key, hash_key
from plait.server.settings import GatewaySettings
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before

pytestmark = pytest.mark.anyio
ONE = "plait/sequential:tiny"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
QUESTION = "What is six times seven?"


async def test_a_response_goes_on_from_the_one_before() -> None:
    async with Upstream(Reply(ANSWER, thoughts=["Hm."]), dialect="generic") as upstream, (
            before(upstream)) as served:
        first = await served.post("/v1/responses", {"model": ONE, "input": QUESTION,
                                                    "instructions": "Be brief."})
        second = await served.post("/v1/responses", {
            "model": ONE, "input": "Sure?", "previous_response_id": first.json["id"]})
        again = await served.get(f"/v1/responses/{second.json['id']}")
    assert [i["type"] for i in first.json["output"]] == ["reasoning", "message"]
    sent = [(m["role"], m["content"]) for m in upstream.bodies[-1]["messages"]]
    assert sent == [("user", QUESTION), ("assistant", ANSWER), ("user", "Sure?")]
    assert "Hm." not in str(upstream.bodies[-1])
    assert again.json == second.json


async def test_what_is_not_to_be_stored_is_not_kept() -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        found = await served.post("/v1/responses", {"model": ONE, "input": "x", "store": False})
        again = await served.get(f"/v1/responses/{found.json['id']}")
        kept = await served.post("/v1/responses", {"model": ONE, "input": "x"})
        where = f"{served.url}/v1/responses/{kept.json['id']}"
        async with served.session.delete(where) as deleted:
            assert (await deleted.json())["deleted"] is True
        gone = await served.get(f"/v1/responses/{kept.json['id']}")
    assert (again.status, gone.status) == (404, 404)


async def test_keys_see_their_own_responses() -> None:
    keys = tuple(Key(name, hash_key(name)) for name in ("ada", "bob"))
    async with Upstream(ANSWER) as upstream, before(
            upstream, GatewaySettings(keys=keys)) as served:
        found = await served.post("/v1/responses", {"model": ONE, "input": "x"}, X_API_KEY="ada")
        own = await served.get(f"/v1/responses/{found.json['id']}", X_API_KEY="ada")
        other = await served.get(f"/v1/responses/{found.json['id']}", X_API_KEY="bob")
    assert (own.status, other.status) == (200, 404)


async def test_a_response_at_work_is_cancelled_by_its_id() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate, gate_after=2)) as upstream, (
            before(upstream)) as served, served.streaming(
                ONE, "/v1/responses", input="x") as events:
        name = (await events.next())["response"]["id"]
        found = await served.post(f"/v1/responses/{name}/cancel", {})
        rest = await events.rest()
        kept = await served.get(f"/v1/responses/{name}")
        with anyio.fail_after(1):
            await upstream.until(lambda calls: calls.open == 0)
    assert found.json["status"] == kept.json["status"] == "cancelled"
    assert rest[-1]["type"] == "response.failed"
    assert [e["sequence_number"] for e in rest] == list(range(1, len(rest) + 1))


async def test_events_come_in_order_and_add_up() -> None:
    async with Upstream(Reply(ANSWER, thoughts=["Six", " seven."])) as upstream, (
            before(upstream)) as served, served.streaming(
                ONE, "/v1/responses", input="x") as events:
        got = await events.rest()
    kinds = [e["type"].removeprefix("response.") for e in got]
    plain = [k for k, after in zip(kinds, [*kinds[1:], ""], strict=True) if k != after]
    assert plain == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed"]
    final = got[-1]["response"]
    text = "".join(e["delta"] for e in got if e["type"] == "response.output_text.delta")
    assert text == final["output"][1]["content"][0]["text"] == ANSWER
    assert final["usage"]["output_tokens"] == upstream.usages[-1]["completion_tokens"]


async def test_a_call_of_a_tool_streams_over_a_chat_completion() -> None:
    reply = Reply("", calls=[("weather", '{"place": "Bern"}'), ("weather", '{"place": "Ulm"}')])
    async with Upstream(reply) as upstream, before(upstream) as served, served.streaming(
            "tiny", "/v1/responses", input=QUESTION, tools=[TOOL]) as events:
        got = await events.rest()
    final = got[-1]["response"]
    assert got[-1]["type"] == "response.completed"
    assert [(i["type"], i["arguments"]) for i in final["output"]] == [
        ("function_call", '{"place": "Bern"}'), ("function_call", '{"place": "Ulm"}')]
    deltas = "".join(e["delta"] for e in got if e["type"].endswith("arguments.delta"))
    assert deltas == '{"place": "Bern"}{"place": "Ulm"}'
    assert upstream.bodies[-1]["tools"][0]["function"]["name"] == "weather"
    assert final["usage"]["output_tokens"] == upstream.usages[-1]["completion_tokens"]


async def test_a_bridged_stream_that_breaks_says_so() -> None:
    async with Upstream(Reply(ANSWER, break_after=3)) as upstream, before(upstream) as served, (
            served.streaming("tiny", "/v1/responses", input=QUESTION, tools=[TOOL])) as events:
        got = await events.rest()
    assert got[-1]["type"] == "response.failed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [
    b'{"choices": 5}', b'{"choices": ["x"]}', b'{"choices": []}', b"[]"])
async def test_garbage_behind_the_bridge_is_the_engines_fault(said: bytes, stream: bool) -> None:
    raw = b"data: " + said + b"\n\n" if stream else said
    kind = "text/event-stream" if stream else "application/json"
    async with Upstream(Reply(raw=[raw], content_type=kind)) as upstream, before(
            upstream) as served:
        found = await served.post("/v1/responses", {
            "model": "tiny", "input": QUESTION, "tools": [TOOL], "stream": stream})
    assert found.status == 502
    assert found.error["code"] == "engine_failed"


def test_what_a_response_repeats_of_its_request_counts() -> None:
    """Instructions of megabytes are as heavy as answers of megabytes."""
    kept = KeptResponses(most=1000)
    for number in range(5):
        kept.keep(f"r{number}", KeptResponse("ada", {"instructions": "x" * (ALL_BYTES // 4)}))
    assert [kept.find(f"r{n}", "ada") is not None for n in range(5)] == [
        False, False, True, True, True]


@pytest.mark.parametrize("body", [
    {"input": "x", "tools": [{"type": "web_search"}]}, {"input": "x", "background": True},
    {"input": [{"type": "computer_call"}]}, {"input": [5]}, {"input": []},
    {"input": [{"role": "user", "content": [{"type": "input_file"}]}]}])
def test_what_a_chat_completion_cannot_say_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        chat_body({"model": "m", **body})
    assert caught.value.status == 400


def test_turns_tools_and_formats_are_carried_over() -> None:
    chat = chat_body({
        "model": "m", "instructions": "i", "max_output_tokens": 9, "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "weather"}, "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}, "custom": 1,
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "rain"}]})
    roles = [m["role"] for m in chat["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]
    assert [c["id"] for c in chat["messages"][2]["tool_calls"]] == ["1", "2"]
    assert chat["messages"][1]["content"][0]["image_url"] == {"url": "data:x"}
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert chat["response_format"]["json_schema"]["name"] == "n"
    assert (chat["max_tokens"], chat["reasoning_effort"], chat["custom"]) == (9, "low", 1)
