"""Tools go to the chat endpoint of every server, and calls come back piece by piece."""

import json

import pytest

from plait.core import CallDelta, Message, Prompt, Sampling, Tool, ToolCall
from plait.engines.openai.dialects import GENERIC, SGLANG, VLLM
from plait.engines.openai.wire import chat_body, read_chat
from plait.errors import EngineRefused
from plait.testing.replies import Reply
from tests.engines.openai.help import chunks_of, served, text_of

KINDS = ["vllm", "sglang", "llamacpp", "generic"]
TOOL = Tool("look_up", "Looks something up.", {"type": "object", "properties": {}})
ASK = Prompt(messages=(Message("user", "hi"),), tools=(TOOL,))


def calls_of(deltas: list[CallDelta]) -> dict[int, tuple[str, str, str]]:
    found: dict[int, tuple[str, str, str]] = {}
    for d in deltas:
        id, name, arguments = found.get(d.index, ("", "", ""))
        found[d.index] = (id + d.id, name + d.name, arguments + d.arguments)
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_calls_come_in_pieces_beside_the_text(kind: str) -> None:
    arguments = '{"what": "the \\"sky\\" é"}'
    reply = Reply("Wait.", calls=[("look_up", list(arguments)), ("look_up", "{}")],
                  thoughts=("hm ", "so"))
    async with served(reply, dialect=kind) as (upstream, engine):
        chunks = await chunks_of(engine, ASK)
    assert text_of(chunks) == "<think>hm so</think>Wait."
    assert calls_of([d for c in chunks for d in c.calls]) == {
        0: ("call_0_0", "look_up", arguments), 1: ("call_0_1", "look_up", "{}")}
    assert (chunks[-1].finish, chunks[-1].stop) == ("eos", None)
    usage = chunks[-1].usage
    assert usage is not None
    assert sum(c.tokens for c in chunks) == usage.generated == 3 + len(arguments) + 3
    assert upstream.paths[-1] == "/v1/chat/completions"
    (body,) = upstream.bodies
    assert body["tools"] == [{"type": "function", "function": {
        "name": "look_up", "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {}}}}]
    assert "skip_special_tokens" not in body


@pytest.mark.anyio
async def test_thoughts_that_lead_to_a_call_alone_are_closed() -> None:
    async with served(Reply("", thoughts=("hm",), calls=[("look_up", "{}")])) as (_, engine):
        chunks = await chunks_of(engine, ASK)
    assert text_of(chunks) == "<think>hm</think>"


@pytest.mark.anyio
async def test_a_call_may_be_cut_off_by_the_limit() -> None:
    async with served(Reply("", calls=[("look_up", list('{"a": 1}'))])) as (_, engine):
        chunks = await chunks_of(engine, ASK, Sampling(max_tokens=5))
    assert calls_of([d for c in chunks for d in c.calls])[0][2] == '{"a'
    assert chunks[-1].finish == "length"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_takes_no_tools_says_so(kind: str) -> None:
    async with served("x", dialect=kind) as (upstream, engine):
        upstream.tools = False
        with pytest.raises(EngineRefused, match="tool-call-parser"):
            await chunks_of(engine, ASK)
        assert text_of(await chunks_of(engine, Prompt(messages=ASK.messages))) == "x"


@pytest.mark.anyio
async def test_without_a_chat_there_are_no_tools() -> None:
    async with served("x", template=False) as (_, engine):
        with pytest.raises(EngineRefused, match="no tools"):
            await chunks_of(engine, ASK)
    async with served("x") as (_, engine):
        with pytest.raises(EngineRefused, match="no tools"):
            await chunks_of(engine, Prompt("x", tools=(TOOL,)))


def test_a_conversation_with_calls_goes_back_in_the_words_of_the_api() -> None:
    messages = (
        Message("user", "hi"),
        Message("assistant", "Wait.", (ToolCall("c1", "look_up", '{"a":1}'),), thoughts="hm"),
        Message("tool", "found", call_id="c1"))
    said = {"role": "assistant", "content": "Wait.", "tool_calls": [
        {"id": "c1", "type": "function",
         "function": {"name": "look_up", "arguments": '{"a":1}'}}]}
    result = {"role": "tool", "content": "found", "tool_call_id": "c1"}
    plain = chat_body("m", Prompt(messages=messages), Sampling(), GENERIC, "max_tokens")
    assert plain["messages"] == [{"role": "user", "content": "hi"}, said, result]
    sglang = chat_body("m", Prompt(messages=messages), Sampling(), SGLANG, "max_tokens")
    assert sglang["messages"][1] == {**said, "reasoning_content": "hm"}  # type: ignore[index]
    vllm = chat_body("m", Prompt(messages=messages), Sampling(), VLLM, "max_tokens")
    assert vllm["messages"][1]["reasoning"] == "hm"  # type: ignore[index]


@pytest.mark.parametrize(("entry", "delta"), [
    ({"index": 2, "id": "c", "function": {"name": "f", "arguments": None}},
     CallDelta(2, "c", "f", "")),
    ({"id": None, "function": {"arguments": "{"}}, CallDelta(0, "", "", "{")),
    ({"index": None, "function": {"name": "f", "arguments": {"a": 1}}},
     CallDelta(0, "", "f", '{"a":1}')),
    ({"index": 1, "function": None}, CallDelta(1)),
])
def test_odd_pieces_of_calls_are_read(entry: dict[str, object], delta: CallDelta) -> None:
    data = {"choices": [{"delta": {"tool_calls": [entry]}, "finish_reason": None}]}
    assert read_chat(json.loads(json.dumps(data))).calls == (delta,)
