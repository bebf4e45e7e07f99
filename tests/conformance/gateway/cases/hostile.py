"""Clients that are slow, half gone, huge or many; engines that lie: a defined end for each."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson

from plait.testing.replies import Body, Reply
from tests.conformance.gateway.case import ANSWER, Desk, case, check_error, expect, slow
from tests.conformance.gateway.cases.streams import USAGE, check_end, delta, streamed
from tests.conformance.gateway.client import Answer


@case("hostile.many_clients", "50 clients at once: each gets its own answer",
      "any shared state, such as a service configured globally", "upstream")
async def many_clients(desk: Desk) -> None:
    def echo(body: Body) -> Reply:
        return slow(f"seen {body['messages'][-1]['content']}", 0.05)

    async def ask(number: int) -> Answer:
        return await desk.chat(messages=[{"role": "user", "content": f"mark{number:03}"}])

    desk.script(echo)
    answers = await asyncio.gather(*(ask(number) for number in range(50)))
    wrong = [i for i, answer in enumerate(answers) if answer.content != f"seen mark{i:03}"]
    expect(not wrong, f"{len(wrong)} of 50 answers are wrong or missing: "
                      f"{answers[wrong[0]].text[:60] if wrong else ''}")
    ids = {answer.json["id"] for answer in answers}
    expect(len(ids) == 50, f"50 answers, {len(ids)} ids")


@case("hostile.slow_client", "a client that reads slowly gets everything; others need not wait",
      "phones", "upstream")
async def slow_client(desk: Desk) -> None:
    words = " ".join(f"word{i}" for i in range(3000))
    desk.script(words)
    async with desk.stream() as stream:
        for _ in range(5):
            await stream.next()
            await asyncio.sleep(0.1)
        desk.script(ANSWER)
        async with asyncio.timeout(2):
            other = await desk.chat()
        expect(other.status == 200, f"another client: status {other.status}")
        await stream.read()
    check_end(stream)
    expect(stream.text() == words, "the text is not complete")


@case("hostile.stuck_client", "a client that stops reading: the engine is slowed, not read ahead",
      "memory: one stuck client of a long stream must not fill it", "upstream")
async def stuck_client(desk: Desk) -> None:
    piece = delta("x" * 2**16)
    desk.script(streamed(Reply(raw=[piece] * 1000), Reply("x" * 2**16)))
    async with desk.stream() as stream:
        await stream.next()
        await asyncio.sleep(2)
        ahead = not desk.upstream.calls.open
    expect(not ahead, "64 MB were taken from the engine while the client read nothing")
    async with asyncio.timeout(5):
        await desk.upstream.until(lambda calls: calls.open == 0)


@case("hostile.half_closed", "a client that shuts its sending side gets its answer, or an end",
      "clients in C, `nc`, some load balancers", "upstream")
async def half_closed(desk: Desk) -> None:
    desk.script(slow(ANSWER, 0.3))
    parts = urlsplit(desk.target.base_url)
    body = orjson.dumps(desk.body())
    head = [f"POST {parts.path}/chat/completions HTTP/1.1", f"Host: {parts.netloc}",
            "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in desk.headers(False, None).items()]
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(10):
        whole = await reader.read()
    writer.close()
    async with asyncio.timeout(5):
        await desk.upstream.until(lambda calls: calls.open == 0)
    await asyncio.sleep(0.7)  # who was left may be asked again
    started = desk.upstream.calls.started
    expect(started == 1, f"{started} calls upstream for one question")
    desk.remark = "answered" if b"42" in whole else "closed, and the call upstream too"


@case("hostile.large", "a question of 2 MB arrives whole", "long contexts", "upstream")
async def large(desk: Desk) -> None:
    text = "word " * 400_000
    answer = await desk.chat(messages=[{"role": "user", "content": text}])
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    found = desk.sent()["messages"][0]["content"]
    expect(found == text, f"{len(found)} of {len(text)} characters arrived")


@case("hostile.fuzz", "forty bodies of wrong types: never a 5xx, never a hang",
      "an error of the client's is the client's", "upstream")
async def fuzz(desk: Desk) -> None:
    odd: list[Any] = [None, 0, -1, 1.5, "x", [], {}, [None], True, "\u0000"]
    for name in ("messages", "model", "stream", "max_tokens"):
        for value in odd:
            body = {**desk.body(), name: value}
            answer = await desk.client.post(f"{desk.target.base_url}/chat/completions", body,
                                            desk.headers(False, None))
            expect(answer.status < 500, f"{name}={value!r}: status {answer.status}")


@case("hostile.no_usage", "an engine that tells no usage: an answer all the same",
      "small engines", "upstream")
async def no_usage(desk: Desk) -> None:
    desk.script(Reply(ANSWER, usage=False))
    answer = await desk.chat()
    expect(answer.status == 200 and answer.content == ANSWER,
           f"status {answer.status}: {answer.text[:60]}")
    stream = await desk.read(stream_options=USAGE)
    check_end(stream)
    expect(stream.text() == ANSWER, f"the stream's text: {stream.text()!r}")


@case("hostile.lying_usage", "an engine whose usage is nonsense: an answer, and no crash",
      "engines with bugs", "upstream")
async def lying_usage(desk: Desk) -> None:
    desk.script(Reply(ANSWER, counts={"completion_tokens": -5, "prompt_tokens": None,
                                      "total_tokens": "many", "prompt_tokens_details": 3}))
    answer = await desk.chat()
    expect(answer.status < 500 or answer.json is not None, f"status {answer.status}, no JSON")
    if answer.status == 200:
        expect(answer.content == ANSWER, f"the text: {answer.text[:60]}")
    else:
        check_error(answer)


@case("hostile.no_choices", "an engine that answers without choices: an error in OpenAI's shape",
      "engines with bugs", "upstream")
async def no_choices(desk: Desk) -> None:
    desk.script(Reply(raw=[b'{"id": "x", "object": "chat.completion", "choices": []}'],
                      content_type="application/json"))
    answer = await desk.chat()
    if answer.status != 200:
        check_error(answer)
    else:  # passed through as it is: that is a defined end, too
        expect(answer.json.get("choices") == [], f"made up: {answer.text[:60]}")


@case("hostile.garbage_stream", "an engine that streams garbage: an error event, or an end",
      "a load balancer's page in the middle of a stream", "upstream")
async def garbage_stream(desk: Desk) -> None:
    junk = [b"data: {\"choices\": [{\"delta\"\n\n", b"\xff\xfe<html>", b"\n\n"]
    desk.script(Reply(raw=junk))
    stream = await desk.read()
    expect(stream.status != 200 or stream.error() or stream.broken or not stream.finishes(),
           "the stream ends as if whole")
