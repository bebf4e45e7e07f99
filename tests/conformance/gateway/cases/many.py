"""One question, many calls: what gateways that sample, vote or plan owe their clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio

from plait.testing.replies import Body, Reply
from tests.conformance.gateway.case import ANSWER, Desk, case, check_error, expect, slow
from tests.conformance.gateway.cases.streams import USAGE, check_end

LONG = "Six times seven is six added seven times, which comes to forty-two. " + ANSWER


def on_call(number: int, reply: Reply, otherwise: Reply | str = LONG) -> Callable[[Body], Any]:
    """A script that gives ``reply`` on the call of this number, from 0."""
    calls = iter(range(10**9))
    return lambda body: reply if next(calls) == number else otherwise


def check_totals(desk: Desk, told: dict[str, Any]) -> None:
    """The usage that was told is that of all calls."""
    ends = desk.upstream.usages
    written = sum(int(str(usage["completion_tokens"])) for usage in ends)
    found = told.get("completion_tokens")
    desk.remark = f"{found} told, {written} written in {len(ends)} calls"
    exact = desk.upstream.calls.cancelled == 0
    expect(found == written if exact else (found or 0) >= written,
           f"{found} completion tokens told, {written} written in {len(ends)} calls")
    expect(told.get("total_tokens") == (told.get("prompt_tokens") or 0) + (found or 0),
           "total_tokens is not the sum")
    read = sum(int(str(usage["prompt_tokens"])) for usage in ends)
    expect((told.get("prompt_tokens") or 0) == read if exact else told.get("prompt_tokens"),
           f"{told.get('prompt_tokens')} prompt tokens told, {read} read in {len(ends)} calls")


@case("many.answer", "several calls upstream, one answer in the usual shape",
      "that it does what it is for, for typed SDKs too", "upstream", "parallel")
async def answer(desk: Desk) -> None:
    desk.script(LONG)
    found = await desk.chat(parallel=True)
    expect(found.status == 200, f"status {found.status}: {found.text[:80]}")
    calls = desk.upstream.calls.started
    expect(calls > 1, f"{calls} calls upstream")
    expect("42" in (found.content or ""), f"the answer: {found.content!r}")
    lacking = {"id", "object", "created", "model", "choices", "usage"} - set(found.json)
    expect(not lacking, f"the reply lacks {', '.join(sorted(lacking))}")
    desk.remark = f"{calls} calls"


@case("many.at_once", "the calls run at the same time",
      "latency: the point of going parallel", "upstream", "parallel")
async def at_once(desk: Desk) -> None:
    most = 0

    def watch(body: Body) -> Reply:
        nonlocal most
        most = max(most, desk.upstream.calls.open)
        return slow(LONG, 0.2)

    desk.script(watch)
    await desk.chat(parallel=True)
    desk.remark = f"{most} at once"
    expect(most > 1, "one after another")


@case("many.usage", "usage is the sum over all calls", "bills: 28 times too low was measured",
      "upstream", "parallel")
async def usage(desk: Desk) -> None:
    desk.script(LONG)
    found = await desk.chat(parallel=True)
    expect(found.status == 200, f"status {found.status}")
    check_totals(desk, dict(found.usage))


@case("many.usage_details", "cached tokens of all calls are counted too",
      "bills: cached tokens cost a tenth", "upstream", "parallel")
async def usage_details(desk: Desk) -> None:
    desk.script(Reply(LONG, cached=4))
    found = await desk.chat(parallel=True)
    calls = len(desk.upstream.usages)
    cached = (found.usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    expect(cached == 4 * calls, f"cached tokens {cached} instead of {4 * calls}")


@case("many.usage_stream", "usage in a stream is the sum over all calls",
      "bills of streaming clients", "upstream", "parallel")
async def usage_stream(desk: Desk) -> None:
    desk.script(LONG)
    stream = await desk.read(parallel=True, stream_options=USAGE)
    check_end(stream)
    found = [e["usage"] for e in stream.events if e.get("usage")]
    expect(len(found) == 1, f"{len(found)} chunks with usage")
    check_totals(desk, found[0])


@case("many.fields", "sampling fields and those of the engine arrive in every call",
      "a fixed seed; an engine that is told what to do", "upstream", "parallel")
async def fields(desk: Desk) -> None:
    desk.script(LONG)
    await desk.chat(parallel=True, top_p=0.5, top_k=20, invented_field="x")
    bodies = desk.upstream.bodies
    expect(bodies, "nothing arrived upstream")
    wanted = {"top_p": 0.5, "top_k": 20, "invented_field": "x"}
    lost = sorted({name for body in bodies for name, value in wanted.items()
                   if body.get(name) != value})
    expect(not lost, f"lost in some of {len(bodies)} calls: {', '.join(lost)}")


async def answered(desk: Desk) -> None:
    """The answer comes, whatever became of one call."""
    found = await desk.chat(parallel=True)
    expect(found.status == 200 and "42" in (found.content or ""),
           f"status {found.status}: {found.text[:80]}")


@case("many.one_fails", "one call is refused (400): the answer comes all the same",
      "the more calls, the likelier that one fails", "upstream", "parallel")
async def one_fails(desk: Desk) -> None:
    desk.script(on_call(1, Reply(status=400, error={"error": {
        "message": "no", "type": "invalid_request_error", "param": None, "code": None}})))
    await answered(desk)


@case("many.one_breaks", "one call's connection breaks: the answer comes all the same",
      "the more calls, the likelier that one fails", "upstream", "parallel")
async def one_breaks(desk: Desk) -> None:
    desk.script(on_call(1, Reply(LONG, break_after=3)))
    await answered(desk)


@case("many.all_fail", "every call fails: an error in OpenAI's shape, not to be retried by SDKs",
      "SDKs retry 5xx twice: an expensive question would cost three times", "upstream", "parallel")
async def all_fail(desk: Desk) -> None:
    desk.script(Reply(status=500, error={"error": {"message": "out of order"}}))
    found = await desk.chat(parallel=True)
    check_error(found)
    expect(found.status < 500 or found.headers.get("x-should-retry") == "false",
           f"status {found.status} without x-should-retry: false")


@case("many.cut", "every call is cut by the token limit: finish_reason length, the text as it is",
      "clients that go on; no made-up text in the answer's place", "upstream", "parallel")
async def cut(desk: Desk) -> None:
    desk.script(LONG)
    found = await desk.chat(parallel=True, max_tokens=6)
    expect(found.status == 200, f"status {found.status}: {found.text[:80]}")
    expect(found.choice.get("finish_reason") == "length",
           f"finish_reason {found.choice.get('finish_reason')!r}, text {found.content!r:.50}")
    expect("Six times" in (found.content or ""), f"the text: {found.content!r:.60}")


@case("many.alive", "a stream shows life before the last call has ended",
      "clients' read timeouts; people who wait for minutes", "upstream", "parallel")
async def alive(desk: Desk) -> None:
    gate = anyio.Event()
    desk.script(Reply(f"{LONG}\n{LONG}\n{LONG}", gate=gate, gate_after=40))
    try:
        async with asyncio.timeout(5), desk.stream(parallel=True) as stream:
            first = await stream.source.read(1)
            expect(first, "the stream is empty")
    except TimeoutError:
        expect(False, "not a byte in 5 s, although threads had written two lines")
    finally:
        gate.set()


@case("many.thoughts", "what the threads think streams as reasoning, the answer as content",
      "interfaces that show progress; the answer must not hold the drafts", "upstream", "parallel")
async def thoughts(desk: Desk) -> None:
    desk.script(LONG)
    stream = await desk.read(parallel=True)
    check_end(stream)
    expect(stream.text("reasoning_content"), "no thoughts in reasoning_content")
    expect(stream.text("reasoning"), "no thoughts in reasoning")
    expect("42" in stream.text(), f"the answer: {stream.text()!r}")
    expect(stream.text().count("which comes to") <= 1, "drafts are part of the answer")


@case("many.tools", "a request with tools still calls them",
      "agents that use one model name for everything", "upstream", "parallel")
async def tools(desk: Desk) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}}}}}
    desk.script(Reply("", calls=[("weather", '{"place": "Bern"}')]))
    found = await desk.chat(parallel=True, tools=[tool])
    expect(found.status == 200, f"status {found.status}: {found.text[:80]}")
    calls = (found.choice.get("message") or {}).get("tool_calls")
    expect(calls and calls[0]["function"]["name"] == "weather", f"calls: {calls}")
    expect(found.choice.get("finish_reason") == "tool_calls",
           f"finish_reason {found.choice.get('finish_reason')!r}")
