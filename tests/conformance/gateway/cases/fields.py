"""What the client sends arrives upstream: every field, unchanged, known or not."""

from __future__ import annotations

from typing import Any

from tests.conformance.gateway.case import QUESTION, Desk, case, expect

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}},
                   "required": ["place"]}}}
SCHEMA = {"type": "json_schema", "json_schema": {
    "name": "number", "strict": True,
    "schema": {"type": "object", "properties": {"value": {"type": "integer"}}}}}
PIXEL = ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
         "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


async def arrives(desk: Desk, **fields: object) -> None:
    """These fields of a chat request are found in the one call upstream, as they were sent."""
    answer = await desk.chat(**fields)
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:80]}")
    compare(desk.sent(), fields)


def compare(sent: Any, fields: dict[str, object]) -> None:
    """Every field is there and unchanged; in messages, what is null may be left out."""
    if "messages" in fields and isinstance(sent.get("messages"), list):
        sent = {**sent, "messages": _without_nulls(sent["messages"])}
        fields = {**fields, "messages": _without_nulls(fields["messages"])}
    lost = [name for name in fields if name not in sent]
    changed = [f"{name} became {sent[name]!r:.40}" for name, value in fields.items()
               if name in sent and sent[name] != value]
    faults = ([f"lost: {', '.join(lost)}"] if lost else []) + changed
    expect(not faults, "; ".join(faults))


def _without_nulls(messages: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in message.items() if value is not None}
            for message in messages]


@case("fields.sampling", "temperature, top_p, seed, penalties and stop arrive unchanged",
      "every client; a lost seed or temperature changes results without a sign", "upstream")
async def sampling(desk: Desk) -> None:
    await arrives(desk, temperature=0.25, top_p=0.5, seed=7, presence_penalty=0.5,
                  frequency_penalty=-0.5, stop=["\n\nEND"])


@case("fields.logit_bias", "logit_bias arrives unchanged",
      "classification with a fixed set of labels", "upstream")
async def logit_bias(desk: Desk) -> None:
    await arrives(desk, logit_bias={"50": -100})


@case("fields.limit", "max_completion_tokens arrives, under this name or the older one",
      "cost limits; SDKs and agent frameworks send the new name", "upstream")
async def limit(desk: Desk) -> None:
    await desk.chat(max_completion_tokens=5)
    sent = desk.sent()
    expect(5 in (sent.get("max_completion_tokens"), sent.get("max_tokens")), "the limit is lost")


@case("fields.older_limit", "max_tokens arrives, under this name or the newer one",
      "older clients and evaluation tools", "upstream")
async def older_limit(desk: Desk) -> None:
    await desk.chat(max_tokens=5)
    sent = desk.sent()
    expect(5 in (sent.get("max_completion_tokens"), sent.get("max_tokens")), "the limit is lost")


@case("fields.response_format", "a JSON schema arrives unchanged",
      "structured output of every agent framework", "upstream")
async def response_format(desk: Desk) -> None:
    await arrives(desk, response_format=SCHEMA)


@case("fields.tools", "tools, tool_choice and parallel_tool_calls arrive unchanged",
      "agents: without tools they cannot act", "upstream")
async def tools(desk: Desk) -> None:
    await arrives(desk, tools=[TOOL], tool_choice="auto", parallel_tool_calls=False)


@case("fields.engine", "fields of the engine (top_k, min_p, chat_template_kwargs, priority, ...)",
      "users of vLLM and SGLang, by extra_body", "upstream")
async def engine(desk: Desk) -> None:
    await arrives(desk, top_k=20, min_p=0.05, repetition_penalty=1.1, priority=3,
                  chat_template_kwargs={"enable_thinking": False}, cache_salt="tenant",
                  structured_outputs={"choice": ["yes", "no"]})


@case("fields.effort", "reasoning_effort arrives unchanged",
      "reasoning models behind any gateway", "upstream")
async def effort(desk: Desk) -> None:
    await arrives(desk, reasoning_effort="low")


@case("fields.account", "user, metadata, store, service_tier and the cache key arrive unchanged",
      "accounting, and cache routing of hosted models", "upstream")
async def account(desk: Desk) -> None:
    await arrives(desk, user="u-1", metadata={"team": "red"}, store=False,
                  service_tier="default", prompt_cache_key="k1", safety_identifier="s1")


@case("fields.unknown", "a field that nobody knows arrives unchanged",
      "next month's field; a gateway that drops it is the reason to remove the gateway", "upstream")
async def unknown(desk: Desk) -> None:
    await arrives(desk, invented_field={"deep": [1, None, {"x": True}]})


@case("fields.turns", "a conversation of several turns arrives complete and in order",
      "every chat interface", "upstream")
async def turns(desk: Desk) -> None:
    await arrives(desk, messages=[
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is six times six?"},
        {"role": "assistant", "content": "36"},
        {"role": "user", "content": QUESTION}])


@case("fields.developer", "a message of the role developer arrives as such or as system",
      "current SDKs and agent frameworks send it", "upstream")
async def developer(desk: Desk) -> None:
    answer = await desk.chat(messages=[{"role": "developer", "content": "Be short."},
                                       {"role": "user", "content": QUESTION}])
    expect(answer.status == 200, f"status {answer.status}")
    first = desk.sent()["messages"][0]
    expect(first["role"] in ("developer", "system"), f"it became {first['role']!r}")
    expect(first["content"] == "Be short.", f"its text became {first['content']!r}")


@case("fields.tool_turns", "calls of tools and their results in the history arrive unchanged",
      "agents: the second step of every loop", "upstream")
async def tool_turns(desk: Desk) -> None:
    await arrives(desk, tools=[TOOL], messages=[
        {"role": "user", "content": "The weather in Bern?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "weather", "arguments": '{"place": "Bern"}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."}])


@case("fields.parts", "content given as a list of text parts reaches the model whole",
      "frameworks that always send parts", "upstream")
async def parts(desk: Desk) -> None:
    await desk.chat(messages=[{"role": "user", "content": [
        {"type": "text", "text": "What is six"}, {"type": "text", "text": " times seven?"}]}])
    content = desk.sent()["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(p["text"] for p in content)
    expect("six" in text and "seven" in text, f"it became {text!r}")


@case("fields.image", "an image in the content arrives unchanged",
      "vision models behind the gateway", "upstream")
async def image(desk: Desk) -> None:
    await arrives(desk, messages=[{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}}]}])


@case("fields.unicode", "text in any script, emoji, line separators and quotes arrives unchanged",
      "everybody who does not write plain ASCII", "upstream")
async def unicode(desk: Desk) -> None:
    text = "né 数 🧮👩‍👩‍👧 \u2028 \"quoted\" \\ </s> <|end|> \t é"
    await desk.chat(messages=[{"role": "user", "content": text}])
    found = desk.sent()["messages"][-1]["content"]
    expect(found == text, f"it became {found!r}")


@case("fields.stream_options", "the upstream is asked for usage though the client did not ask",
      "a gateway that counts tokens; without it, streams count as 0", "upstream")
async def stream_options(desk: Desk) -> None:
    await desk.read()
    bodies = desk.upstream.bodies
    expect(bodies, "nothing arrived upstream")
    asked = all((body.get("stream_options") or {}).get("include_usage") for body in bodies
                if body.get("stream"))
    expect(asked, "streams upstream are asked for without usage")
