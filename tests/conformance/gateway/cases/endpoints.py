"""The other endpoints: models, completions, responses, and whatever the engine has besides."""

from __future__ import annotations

from typing import Any

import orjson

from plait.testing.replies import Reply
from tests.conformance.gateway.case import ANSWER, QUESTION, Desk, case, check_error, expect
from tests.conformance.gateway.client import Answer, Stream

CODERS = "coding agents talk to /v1/responses alone"


@case("models.list", "/v1/models lists the model: id, object, created, owned_by",
      "interfaces that let people choose")
async def models(desk: Desk) -> None:
    answer = await desk.get("/models")
    expect(answer.status == 200, f"status {answer.status}")
    expect(answer.json.get("object") == "list", f"object {answer.json.get('object')!r}")
    entries = {entry.get("id"): entry for entry in answer.json["data"]}
    expect(desk.target.model in entries, f"not listed; there are {sorted(entries)}")
    lacking = {"object", "created", "owned_by"} - set(entries[desk.target.model])
    expect(not lacking, f"the entry lacks {', '.join(sorted(lacking))}")


@case("models.one", "/v1/models/NAME gives that entry", "SDKs: models.retrieve")
async def model(desk: Desk) -> None:
    answer = await desk.get(f"/models/{desk.target.model}")
    expect(answer.status == 200, f"status {answer.status}")
    expect(answer.json.get("id") == desk.target.model, f"id {answer.json.get('id')!r}")


@case("models.unknown", "/v1/models/no-such-model: 404 in OpenAI's shape", "SDKs: NotFoundError")
async def no_model(desk: Desk) -> None:
    check_error(await desk.get("/models/no-such-model"), 404)


@case("models.parallel", "the name that makes several calls is listed as well",
      "interfaces that only offer what is listed", "parallel")
async def parallel_listed(desk: Desk) -> None:
    answer = await desk.get("/models")
    names = [entry["id"] for entry in answer.json["data"]]
    expect(desk.target.parallel_model in names, f"not among {names}")


async def completion(desk: Desk, **fields: object) -> Answer:
    """Ask for a plain completion."""
    return await desk.client.post(
        f"{desk.target.base_url}/completions",
        {"model": desk.target.model, "prompt": QUESTION, **fields}, desk.headers(False, None))


@case("completions.plain", "/v1/completions answers, with the fields unchanged",
      "evaluation and load tools", "upstream")
async def completions(desk: Desk) -> None:
    answer = await completion(desk, temperature=0.5, top_k=3)
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    expect(answer.json["choices"][0]["text"] == ANSWER, f"text {answer.json['choices'][0]}")
    sent = desk.sent()
    expect(sent.get("prompt") == QUESTION and sent.get("temperature") == 0.5
           and sent.get("top_k") == 3, f"sent: {sent}")


@case("completions.stream", "/v1/completions streams", "evaluation and load tools", "upstream")
async def completions_stream(desk: Desk) -> None:
    async with desk.stream(path="/completions", messages=None, prompt=QUESTION) as stream:
        await stream.read()
    expect(stream.status == 200, f"status {stream.status}")
    text = "".join(choice.get("text") or "" for event in stream.events
                   for choice in event.get("choices") or ())
    expect(text == ANSWER, f"text {text!r}")
    expect(stream.done == 1, f"[DONE] was said {stream.done} times")


async def respond(desk: Desk, **fields: object) -> Answer:
    """Ask /v1/responses."""
    return await desk.client.post(
        f"{desk.target.base_url}/responses",
        {"model": desk.target.model, "input": QUESTION, **fields}, desk.headers(False, None))


def output_text(value: Any) -> str:
    """The text of a response object."""
    return "".join(part.get("text") or "" for item in value.get("output") or ()
                   if item.get("type") == "message" for part in item.get("content") or ())


@case("responses.plain", "/v1/responses answers: status, output, usage, of the right shape",
      CODERS, "upstream")
async def responses(desk: Desk) -> None:
    answer = await respond(desk)
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    value = answer.json
    expect(value.get("object") == "response" and value.get("id"), "no id or object")
    expect(value.get("status") == "completed", f"status {value.get('status')!r}")
    expect(output_text(value) == ANSWER, f"text {output_text(value)!r}")
    lacking = {"input_tokens", "output_tokens", "total_tokens", "output_tokens_details",
               "input_tokens_details"} - set(value.get("usage") or ())
    expect(not lacking, f"usage lacks {', '.join(sorted(lacking))}")


@case("responses.stream", "its events come in order, numbered, from created to completed", CODERS,
      "upstream")
async def responses_stream(desk: Desk) -> None:
    async with desk.stream(path="/responses", messages=None, input=QUESTION) as stream:
        await stream.read()
    expect(stream.status == 200, f"status {stream.status}")
    kinds = [event.get("type") for event in stream.events]
    wanted = ["response.created", "response.output_item.added", "response.content_part.added",
              "response.output_text.delta", "response.output_text.done",
              "response.content_part.done", "response.output_item.done", "response.completed"]
    lacking = [kind for kind in wanted if kind not in kinds]
    expect(not lacking, f"lacking: {', '.join(lacking)}")
    at = [kinds.index(kind) for kind in wanted]
    expect(at == sorted(at), "the events are out of order")
    numbers = [event.get("sequence_number") for event in stream.events]
    expect(numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"numbers {numbers[:9]}")
    check_named(stream)
    text = "".join(event["delta"] for event in stream.events
                   if event["type"] == "response.output_text.delta")
    expect(text == ANSWER, f"text {text!r}")
    expect(stream.events[-1]["response"]["status"] == "completed", "the last is not completed")


def check_named(stream: Stream) -> None:
    """Every event has its type as its name, as SDKs read it."""
    wrong = [name for name, event in zip(stream.names, stream.events, strict=True)
             if name != event.get("type")]
    expect(not wrong, f"{len(wrong)} events without their type as name")


@case("responses.cut", "an answer that was cut is incomplete, with the reason", CODERS, "upstream")
async def responses_cut(desk: Desk) -> None:
    answer = await respond(desk, max_output_tokens=2)
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    expect(answer.json.get("status") == "incomplete", f"status {answer.json.get('status')!r}")
    reason = (answer.json.get("incomplete_details") or {}).get("reason")
    expect(reason == "max_output_tokens", f"reason {reason!r}")


@case("responses.tools", "a tool is called (function_call), and its output goes back",
      CODERS + ", and with tools", "upstream")
async def responses_tools(desk: Desk) -> None:
    tool = {"type": "function", "name": "weather", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}}}}
    desk.script(Reply("", calls=[("weather", '{"place": "Bern"}')]))
    answer = await respond(desk, tools=[tool])
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    calls = [item for item in answer.json["output"] if item.get("type") == "function_call"]
    expect(calls and calls[0]["name"] == "weather"
           and calls[0]["arguments"] == '{"place": "Bern"}' and calls[0].get("call_id"),
           f"output: {answer.json['output']!r:.80}")
    desk.script("It rains.")
    question = {"role": "user", "content": QUESTION}
    output = {"type": "function_call_output", "call_id": calls[0]["call_id"], "output": "Rain."}
    answer = await respond(desk, tools=[tool], input=[question, calls[0], output])
    expect(output_text(answer.json) == "It rains.", f"then: {answer.text[:60]}")
    roles = [message["role"] for message in desk.upstream.bodies[-1]["messages"]]
    expect(roles[-3:] == ["user", "assistant", "tool"], f"the turns became {roles}")


@case("responses.turns", "instructions and turns given as items arrive in order", CODERS,
      "upstream")
async def responses_turns(desk: Desk) -> None:
    answer = await respond(desk, instructions="Be short.", input=[
        {"role": "user", "content": "What is six times six?"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "36",
                                           "annotations": []}], "type": "message"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}])
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:60]}")
    sent = orjson.dumps(desk.upstream.bodies[-1]).decode()
    places = [sent.find(word) for word in ("Be short.", "six times six", "36", QUESTION)]
    expect(-1 not in places and places == sorted(places), f"what arrived: {sent:.120}")


@case("responses.error", "an engine's refusal: its status, OpenAI's shape", CODERS, "upstream")
async def responses_error(desk: Desk) -> None:
    desk.script(Reply(status=400, error={"error": {
        "message": "too long", "type": "invalid_request_error", "param": "input",
        "code": "context_length_exceeded"}}))
    check_error(await respond(desk), 400)


@case("pass.embeddings", "/v1/embeddings is passed through", "retrieval beside chat", "upstream")
async def embeddings(desk: Desk) -> None:
    answer = await desk.client.post(
        f"{desk.target.base_url}/embeddings",
        {"model": desk.target.model, "input": "x"}, desk.headers(False, None))
    expect(answer.status == 200, f"status {answer.status}")
    expect(answer.json["data"][0]["embedding"] == [0.25, -0.5], f"{answer.text:.60}")


@case("pass.rerank", "a path that only the engine knows is passed through, query and body intact",
      "engines have more endpoints than any gateway knows", "upstream")
async def rerank(desk: Desk) -> None:
    body = b'{"model": "tiny",   "query": "q", "documents": ["a"], "odd": 1.50}'
    answer = await desk.client.post(f"{desk.target.base_url}/rerank?trace=1", body,
                                    desk.headers(False, None))
    expect(answer.status == 200, f"status {answer.status}")
    expect(desk.upstream.others and desk.upstream.others[-1] == ("/v1/rerank?trace=1", body),
           f"what arrived: {desk.upstream.others[-1:]}")


@case("pass.tokenize", "the engine's /tokenize is reached", "tools that count tokens", "upstream")
async def tokenize(desk: Desk) -> None:
    answer = await desk.client.post(f"{desk.target.root}/tokenize",
                                    {"model": desk.target.model, "prompt": "one two"},
                                    desk.headers(False, None))
    expect(answer.status == 200 and answer.json.get("tokens"), f"status {answer.status}")
