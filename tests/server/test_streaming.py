"""Streams of real tokens: what is sent when, and that it adds up."""

from __future__ import annotations

import anyio
import pytest

from plait.server.settings import GatewaySettings
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before, content

pytestmark = pytest.mark.anyio
ONE = "plait/sequential:tiny"


async def test_the_answer_streams_while_the_model_still_writes() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate, gate_after=3)) as upstream, (
            before(upstream)) as served, served.streaming(ONE) as events:
        got = []
        with anyio.fail_after(5):
            while not content(got):
                got.append(await events.next())
        assert ANSWER.startswith(content(got))
        assert upstream.calls.open == 1
        gate.set()
        got += await events.rest()
    assert content(got) == ANSWER
    assert content(got, "reasoning") == ""
    assert got[-1]["choices"][0]["finish_reason"] == "stop"
    assert events.done


async def test_thoughts_stream_as_reasoning_under_both_names_and_never_as_content() -> None:
    gate = anyio.Event()
    reply = Reply(ANSWER, thoughts=["Six", " times", " seven."], gate=gate, gate_after=3)
    async with Upstream(reply) as upstream, before(upstream) as served, (
            served.streaming(ONE)) as events:
        got = []
        with anyio.fail_after(5):
            while not content(got, "reasoning"):
                got.append(await events.next())
        gate.set()
        got += await events.rest()
    assert content(got, "reasoning") == content(got, "reasoning_content") == "Six times seven."
    assert content(got) == ANSWER
    assert all(e["plait"]["thread"] == "0" for e in got
               if e["choices"][0]["delta"].get("reasoning"))


async def test_usage_comes_last_and_only_when_it_is_asked_for() -> None:
    async with Upstream(Reply(ANSWER, thoughts=["Hm."], cached=3)) as upstream, (
            before(upstream)) as served:
        async with served.streaming(ONE) as events:
            plain = await events.rest()
        async with served.streaming(ONE, stream_options={"include_usage": True}) as events:
            asked = await events.rest()
    assert not any("usage" in e for e in plain)
    assert all(e["usage"] is None for e in asked[:-1])
    usage = asked[-1]["usage"]
    assert asked[-1]["choices"] == []
    sent = upstream.usages[-1]
    assert usage["prompt_tokens"] == sent["prompt_tokens"]
    assert usage["completion_tokens"] == sent["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 1


async def test_usage_is_that_of_all_calls_of_a_parallel_run() -> None:
    async with Upstream("Six times seven is 42.\nAnswer: 42") as upstream, (
            before(upstream)) as served, served.streaming(
                "plait/explore:tiny", stream_options={"include_usage": True}) as events:
        got = await events.rest()
    assert len(upstream.usages) > 1
    usage = got[-1]["usage"]
    assert usage["completion_tokens"] == sum(u["completion_tokens"] for u in upstream.usages)
    assert usage["prompt_tokens"] == sum(u["prompt_tokens"] for u in upstream.usages)
    facts = got[-2]["plait"]
    assert facts["method"] == "explore"
    assert facts["threads"] == len(upstream.usages) + 1


async def test_threads_are_named_and_their_lines_are_not_torn() -> None:
    async with Upstream("Six times seven.\nThat is 42.\nAnswer: 42") as upstream, (
            before(upstream)) as served, served.streaming("plait/explore:tiny") as events:
        got = await events.rest()
    named = {e["plait"]["thread"] for e in got if e["choices"][0]["delta"].get("reasoning")}
    assert len(named) > 1
    lines = content(got, "reasoning").splitlines()
    known = {"Six times seven.", "That is 42.", "Answer: 42"}
    assert {line.partition("] ")[2] or line for line in lines if line} == known


async def test_a_summary_has_a_line_an_event_and_no_thoughts() -> None:
    async with Upstream("Six times seven is 42.\nAnswer: 42") as upstream, (
            before(upstream)) as served, served.streaming(
                "plait/explore:tiny", plait={"thoughts": "summary"}) as events:
        got = await events.rest()
    lines = content(got, "reasoning").splitlines()
    assert "Six times seven" not in content(got, "reasoning")
    assert any("started" in line for line in lines)
    assert any(line.startswith("joined") for line in lines)


async def test_thoughts_can_be_kept_back() -> None:
    async with Upstream(Reply(ANSWER, thoughts=["Hm."])) as upstream, (
            before(upstream)) as served, served.streaming(
                ONE, plait={"thoughts": "none"}) as events:
        got = await events.rest()
    assert content(got, "reasoning") == ""
    assert content(got) == ANSWER


@pytest.mark.parametrize("model", ["tiny", ONE])
async def test_a_silent_model_is_no_silent_stream(model: str) -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(
            upstream, GatewaySettings(heartbeat=0.1)) as served, (
            served.streaming(model)) as events:
        with anyio.fail_after(5):
            first = await events.reply.content.readany()
        assert first.startswith(b": ping\n\n")
        gate.set()
        got = await events.rest()
    assert content(got) == ANSWER


@pytest.mark.parametrize(("limit", "finish"), [(3, "length"), (None, "stop")])
async def test_the_finish_reason_is_true(limit: int | None, finish: str) -> None:
    async with Upstream(Reply("one two three four", finish="stop" if limit is None else "length")
                        ) as upstream, before(upstream) as served:
        found = await served.chat(ONE, max_completion_tokens=limit)
    assert found.json["choices"][0]["finish_reason"] == finish


async def test_a_content_filter_stays_one() -> None:
    async with Upstream(Reply("one two", finish="content_filter")) as upstream, (
            before(upstream)) as served:
        found = await served.chat(ONE)
    assert found.json["choices"][0]["finish_reason"] == "content_filter"
    assert found.text == "one two"


async def test_a_stop_of_the_request_is_not_in_the_answer() -> None:
    async with Upstream("one two END three", dialect="vllm") as upstream, (
            before(upstream)) as served, served.streaming(ONE, stop=["END"]) as events:
        got = await events.rest()
    assert content(got).strip() == "one two"
    assert got[-1]["choices"][0]["finish_reason"] == "stop"
