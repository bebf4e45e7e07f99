"""Streams: real ones, whole ones, and honest ones when something breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import orjson

from plait.testing.replies import Body, Reply
from tests.conformance.gateway.case import ANSWER, Desk, case, expect
from tests.conformance.gateway.cases.fields import TOOL
from tests.conformance.gateway.cases.replies import CALL
from tests.conformance.gateway.client import Stream

USAGE = {"include_usage": True}
EARLY = 3.0
"""Seconds within which what the model has written is expected."""
SILENCE = 20.0
"""Seconds within which a sign of life is expected from a gateway that waits."""


def check_end(stream: Stream) -> None:
    """The stream came to a proper end."""
    expect(stream.status == 200, f"status {stream.status}")
    expect(not stream.broken, f"the connection broke: {stream.broken}")
    expect(stream.error() is None, f"an error: {stream.error()}")
    expect(stream.done == 1, f"[DONE] was said {stream.done} times")


def event(**fields: object) -> bytes:
    """One event of an upstream stream, written as it is."""
    return b"data: " + orjson.dumps({
        "id": "upstream-raw", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
        **fields}) + b"\n\n"


def delta(text: str, finish: str | None = None) -> bytes:
    """An event with a piece of text."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


def streamed(reply: Reply, whole: Reply) -> Callable[[Body], Reply]:
    """``reply`` where a stream is asked for; ``whole`` for gateways that ask for none."""
    return lambda body: reply if body.get("stream") else whole


@case("stream.shape", "chunks are chat.completion.chunk with one id, and [DONE] ends them",
      "every client that streams")
async def shape(desk: Desk) -> None:
    stream = await desk.read()
    check_end(stream)
    kind = stream.headers.get("Content-Type", "")
    expect(kind.startswith("text/event-stream"), f"the content type is {kind!r}")
    expect(len({e.get("id") for e in stream.events}) == 1 and stream.events[0].get("id"),
           "the chunks have no id, or several")
    kinds = {e.get("object") for e in stream.events}
    expect(kinds == {"chat.completion.chunk"}, f"objects {kinds}")
    lacking = [name for name in ("created", "model") if name not in stream.events[0]]
    expect(not lacking, f"chunks lack {', '.join(lacking)}")
    expect(any(d.get("role") == "assistant" for d in stream.deltas()), "no chunk has the role")
    expect(stream.text(), "no text")


@case("stream.live", "the first words arrive while the model still writes",
      "everybody who watches; it is what streams are for", "upstream")
async def live(desk: Desk) -> None:
    gate = anyio.Event()
    desk.script(Reply(ANSWER, gate=gate, gate_after=4))
    asyncio.get_running_loop().call_later(EARLY, gate.set)
    async with desk.stream() as stream:
        early = bool(await stream.until("content")) and not gate.is_set()
        gate.set()
        expect(early, f"nothing within {EARLY:g} s, although the model had written three words")
        await stream.read()
    expect(stream.text() == ANSWER, f"the text became {stream.text()!r}")


@case("stream.pieces", "the text arrives in pieces as the model wrote it, and complete",
      "interfaces that show it as it comes", "upstream")
async def pieces(desk: Desk) -> None:
    words = " ".join(f"word{i}" for i in range(200))
    desk.script(words)
    stream = await desk.read()
    check_end(stream)
    expect(stream.text() == words, "the text is not complete")
    count = sum(1 for d in stream.deltas() if d.get("content"))
    expect(count >= 20, f"200 words in {count} pieces")
    desk.remark = f"{count} pieces"


@case("stream.usage", "asked for usage: one last chunk with it and no choices, before [DONE]",
      "token counts of every streaming client", "upstream")
async def usage(desk: Desk) -> None:
    desk.script(Reply(ANSWER, cached=3))
    stream = await desk.read(stream_options=USAGE)
    check_end(stream)
    with_usage = [e for e in stream.events if e.get("usage")]
    expect(len(with_usage) == 1, f"{len(with_usage)} chunks with usage")
    expect(stream.events[-1] is with_usage[0], "usage is not in the last chunk")
    expect(with_usage[0].get("choices") == [], "the chunk with usage has choices")
    told, truth = with_usage[0]["usage"], desk.upstream.usages[-1]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        expect(told.get(name) == truth[name], f"{name} {told.get(name)} instead of {truth[name]}")
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens")
    expect(cached == 3, f"cached tokens {cached} instead of 3")


@case("stream.usage_unasked", "not asked for usage: no chunk without choices",
      "clients that read choices[0] of every chunk", "upstream")
async def usage_unasked(desk: Desk) -> None:
    stream = await desk.read()
    check_end(stream)
    bare = [e for e in stream.events if not e.get("choices")]
    expect(not bare, f"{len(bare)} chunks without choices")


@case("stream.finish", "exactly one finish_reason, and length stays length",
      "clients that go on, or warn, when an answer was cut", "upstream")
async def finish(desk: Desk) -> None:
    stream = await desk.read()
    expect(stream.finishes() == ["stop"], f"finish reasons {stream.finishes()}")
    cut = await desk.read(max_tokens=2)
    expect(cut.finishes() == ["length"], f"cut at 2 tokens: finish reasons {cut.finishes()}")


@case("stream.tools", "calls of tools stream with index, id and name, arguments in pieces",
      "agents and editors, which all stream", "upstream")
async def tools(desk: Desk) -> None:
    desk.script(Reply("", calls=[CALL, CALL]))
    stream = await desk.read(tools=[TOOL])
    check_end(stream)
    calls: dict[int, dict[str, str]] = {}
    for piece in (call for d in stream.deltas() for call in d.get("tool_calls") or ()):
        known = calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
        known["id"] += piece.get("id") or ""
        for name in ("name", "arguments"):
            known[name] += (piece.get("function") or {}).get(name) or ""
    expect(sorted(calls) == [0, 1], f"indices {sorted(calls)}")
    expect(all(c["id"] and (c["name"], c["arguments"]) == CALL for c in calls.values()),
           f"they became {calls}")
    expect(stream.finishes() == ["tool_calls"], f"finish reasons {stream.finishes()}")


@case("stream.reasoning", "reasoning streams before the answer, under both of its names",
      "interfaces that show the thinking; else there is silence for minutes", "upstream")
async def reasoning(desk: Desk) -> None:
    gate = anyio.Event()
    desk.script(Reply(ANSWER, thoughts=["Let me", " think", " well."], gate=gate, gate_after=3))
    asyncio.get_running_loop().call_later(EARLY, gate.set)
    async with desk.stream() as stream:
        while not (stream.text("reasoning") or stream.text("reasoning_content")):
            if await stream.next() is None:
                break
        early = not gate.is_set()
        gate.set()
        expect(early, f"no thought within {EARLY:g} s, although the model had thought")
        await stream.read()
    for name in ("reasoning", "reasoning_content"):
        expect(stream.text(name) == "Let me think well.", f"{name}: {stream.text(name)!r}")
    expect(stream.text() == ANSWER, f"the answer became {stream.text()!r}")


@case("stream.n", "n = 2 streams two choices, kept apart by index",
      "sampling clients", "upstream")
async def several(desk: Desk) -> None:
    stream = await desk.read(n=2)
    check_end(stream)
    texts = [stream.text(index=i) for i in range(2)]
    expect(texts == [ANSWER, ANSWER], f"the choices: {texts}")


@case("stream.unicode", "characters that the network cut in two arrive whole",
      "emoji, and everything that is not Latin", "upstream")
async def unicode(desk: Desk) -> None:
    text = "数🧮é👩‍👩‍👧"
    whole = delta(text) + delta("", "stop") + b"data: [DONE]\n\n"
    whole = orjson.dumps(text).join(whole.split(orjson.dumps(text)))
    bytewise = [whole[i:i + 1] for i in range(len(whole))]
    desk.script(streamed(Reply(raw=bytewise), Reply(text)))
    stream = await desk.read()
    expect(stream.text() == text, f"the text became {stream.text()!r}")


@case("stream.line_ends", "an upstream that ends lines with CR LF, writes comments and no spaces",
      "engines differ; server-sent events allow all of it", "upstream")
async def line_ends(desk: Desk) -> None:
    whole = b": hello\n\n" + delta("one ") + b": still here\n\n" + delta("two", "stop")
    whole = (whole + b"data: [DONE]\n\n").replace(b"data: ", b"data:").replace(b"\n", b"\r\n")
    desk.script(streamed(Reply(raw=[whole]), Reply("one two")))
    stream = await desk.read()
    expect(stream.text() == "one two", f"the text became {stream.text()!r}")


@case("stream.last_frame", "a last event without its empty line is not lost",
      "engines that close at once; usage is in that event", "upstream")
async def last_frame(desk: Desk) -> None:
    last = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})
    desk.script(streamed(Reply(raw=[delta("one two"), delta("", "stop"), last.rstrip(b"\n")]),
                         Reply(["one ", "two"], counts={"completion_tokens": 2})))
    stream = await desk.read(stream_options=USAGE)
    expect(stream.text() == "one two", f"the text became {stream.text()!r}")
    found = [e["usage"] for e in stream.events if e.get("usage")]
    expect(found and found[0].get("completion_tokens") == 2, f"usage: {found}")


@case("stream.refused", "an engine that refuses a stream: its status, not 200 with an error in it",
      "SDKs retry by status", "upstream")
async def refused(desk: Desk) -> None:
    desk.script(Reply(status=400, error={"error": {
        "message": "too long", "type": "invalid_request_error", "param": "messages",
        "code": "context_length_exceeded"}}))
    async with desk.stream() as stream:
        expect(stream.status == 400, f"status {stream.status}")


@case("stream.error", "an error in the middle reaches the client as an error event",
      "SDKs raise on it; without it a torso looks like an answer", "upstream")
async def error(desk: Desk) -> None:
    died = {"error": {"message": "the engine died", "type": "server_error", "param": None,
                      "code": None}}
    desk.script(streamed(Reply(ANSWER, fail_after=3, error=died), Reply(status=500, error=died)))
    stream = await desk.read()
    told = stream.error()
    expect(told or stream.broken, f"the stream ends as if whole: {stream.text()!r}")
    expect(told, "the connection breaks without a word")
    assert told is not None
    expect(isinstance(told.get("message"), str) and told.get("type"), f"its shape: {told}")
    expect("stop" not in stream.finishes(), "and it says stop")


@case("stream.broken", "an upstream that dies in the middle: the client gets an error event",
      "a torso must not look like an answer", "upstream")
async def broken(desk: Desk) -> None:
    desk.script(Reply("one two three four five six", break_after=4))
    stream = await desk.read()
    expect(stream.error() or stream.broken,
           f"the stream ends as if whole, finish {stream.finishes()}")
    expect(stream.error(), "the connection breaks without a word")
    expect("stop" not in stream.finishes(), "and it says stop")


@case("stream.alive", f"a model silent for long: a sign of life within {SILENCE:g} s",
      "read timeouts of clients, proxies and load balancers", "upstream")
async def alive(desk: Desk) -> None:
    gate = anyio.Event()
    desk.script(Reply(ANSWER, gate=gate))
    begin = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(SILENCE), desk.stream() as stream:
            await stream.source.read(1)
            desk.remark = f"after {asyncio.get_running_loop().time() - begin:.1f} s"
    except TimeoutError:
        expect(False, f"not a byte in {SILENCE:g} s")
    finally:
        gate.set()
