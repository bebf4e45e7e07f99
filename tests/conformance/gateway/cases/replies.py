"""What the model says reaches the client: whole replies that are not streamed."""

from __future__ import annotations

from plait.testing.replies import Reply
from tests.conformance.gateway.case import ANSWER, Desk, case, expect
from tests.conformance.gateway.cases.fields import TOOL
from tests.conformance.gateway.client import Answer

CALL = ("weather", '{"place": "Bern"}')


async def answered(desk: Desk, reply: Reply | str, **fields: object) -> Answer:
    """The client's answer when the model replies so."""
    desk.script(reply)
    answer = await desk.chat(**fields)
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:80]}")
    return answer


@case("reply.shape", "id, object, created, model, choices and usage are there, of the right types",
      "typed SDKs: pydantic, Go and Rust clients refuse what lacks a field")
async def shape(desk: Desk) -> None:
    answer = await desk.chat()
    expect(answer.status == 200, f"status {answer.status}: {answer.text[:80]}")
    types = {"id": str, "object": str, "created": int, "model": str, "choices": list,
             "usage": dict}
    wrong = [name for name, kind in types.items() if not isinstance(answer.json.get(name), kind)]
    expect(not wrong, f"missing or of another type: {', '.join(wrong)}")
    expect(answer.json["object"] == "chat.completion", f"object is {answer.json['object']!r}")
    lacking = {"prompt_tokens", "completion_tokens", "total_tokens"} - set(answer.usage)
    expect(not lacking, f"usage lacks {', '.join(sorted(lacking))}")
    expect(answer.choice.get("index") == 0, "the choice has no index")
    expect(answer.choice["message"].get("role") == "assistant", "the message has no role")


@case("reply.text", "the text is the model's, to the letter", "everybody", "upstream")
async def text(desk: Desk) -> None:
    words = "  né 数 🧮👩‍👩‍👧\n\n```py\nx = \"1\"\\n\n```\u2028 end "
    answer = await answered(desk, words)
    expect(answer.content == words, f"it became {answer.content!r}")


@case("reply.length", "finish_reason length stays length",
      "clients that go on, or warn, when an answer was cut", "upstream")
async def length(desk: Desk) -> None:
    answer = await answered(desk, "one two three four five six", max_tokens=3)
    expect(answer.choice.get("finish_reason") == "length",
           f"it became {answer.choice.get('finish_reason')!r}")
    expect(answer.content and answer.content.startswith("one"), f"the text: {answer.content!r}")


@case("reply.filter", "finish_reason content_filter stays content_filter",
      "moderation: a cut answer must not look like a whole one", "upstream")
async def content_filter(desk: Desk) -> None:
    answer = await answered(desk, Reply("I had", finish="content_filter"))
    expect(answer.choice.get("finish_reason") == "content_filter",
           f"it became {answer.choice.get('finish_reason')!r}")


@case("reply.tool_calls", "calls of tools come back with id, name, arguments and finish_reason",
      "agents", "upstream")
async def tool_calls(desk: Desk) -> None:
    answer = await answered(desk, Reply("", calls=[CALL, CALL]), tools=[TOOL])
    calls = answer.choice["message"].get("tool_calls") or []
    expect(len(calls) == 2, f"{len(calls)} calls instead of 2")
    expect(all(c.get("id") and c["function"]["name"] == CALL[0]
               and c["function"]["arguments"] == CALL[1] for c in calls), f"they became {calls}")
    expect(calls[0]["id"] != calls[1]["id"], "two calls share an id")
    expect(answer.choice.get("finish_reason") == "tool_calls",
           f"finish_reason is {answer.choice.get('finish_reason')!r}")


@case("reply.reasoning", "what the engine sends as `reasoning` reaches the client",
      "users of reasoning models; engines write this name since 2026", "upstream")
async def reasoning(desk: Desk) -> None:
    answer = await answered(desk, Reply(ANSWER, thoughts=["Let me", " think."]))
    message = answer.choice["message"]
    found = message.get("reasoning") or message.get("reasoning_content")
    expect(found == "Let me think.", f"reasoning: {found!r}")
    expect(answer.content == ANSWER, f"the answer became {answer.content!r}")


@case("reply.reasoning_both", "reasoning has both names: `reasoning` and `reasoning_content`",
      "half of the clients read one, half the other", "upstream")
async def reasoning_both(desk: Desk) -> None:
    for name in ("reasoning", "reasoning_content"):
        answer = await answered(
            desk, Reply(ANSWER, thoughts=["Let me", " think."], thoughts_field=name))
        message = answer.choice["message"]
        for wanted in ("reasoning", "reasoning_content"):
            expect(message.get(wanted) == "Let me think.",
                   f"sent as {name}, not found as {wanted}")


@case("reply.usage", "usage is what the engine counted, with cached and reasoning tokens",
      "bills and dashboards", "upstream")
async def usage(desk: Desk) -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140,
              "prompt_tokens_details": {"cached_tokens": 64},
              "completion_tokens_details": {"reasoning_tokens": 25}}
    answer = await answered(desk, Reply(ANSWER, counts=counts))
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        expect(answer.usage.get(name) == counts[name],
               f"{name} {answer.usage.get(name)} instead of {counts[name]}")
    cached = (answer.usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    expect(cached == 64, f"cached tokens {cached} instead of 64")
    thought = (answer.usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    expect(thought == 25, f"reasoning tokens {thought} instead of 25")


@case("reply.n", "n = 3 gives three choices with indices 0, 1, 2",
      "sampling for evaluations, pass@k", "upstream")
async def several(desk: Desk) -> None:
    answer = await answered(desk, ANSWER, n=3)
    indices = [choice.get("index") for choice in answer.json["choices"]]
    expect(indices == [0, 1, 2], f"indices {indices}")


@case("reply.logprobs", "logprobs come back when asked for",
      "evaluations of calibration, classifiers", "upstream")
async def logprobs(desk: Desk) -> None:
    answer = await answered(desk, ANSWER, logprobs=True, top_logprobs=2)
    found = (answer.choice.get("logprobs") or {}).get("content")
    expect(found and found[0].get("logprob") == -0.5, f"logprobs: {found!r:.60}")
    sent = desk.sent()
    expect(sent.get("logprobs") is True and sent.get("top_logprobs") == 2, "not asked upstream")


@case("reply.stop", "a stop text ends the answer and is not part of it",
      "completion-style prompting, evaluation tools", "upstream")
async def stop(desk: Desk) -> None:
    answer = await answered(desk, "one two END three", stop=["END"])
    expect(answer.content == "one two ", f"the text: {answer.content!r}")
    expect(answer.choice.get("finish_reason") == "stop",
           f"finish_reason is {answer.choice.get('finish_reason')!r}")
    words = await answered(desk, "one two END three", stop="END")
    expect(words.content == "one two ", f"with a stop that is no list: {words.content!r}")


@case("reply.thinking_history", "an assistant's reasoning in the history does no harm",
      "clients that send back what they got", "upstream")
async def thinking_history(desk: Desk) -> None:
    answer = await answered(desk, ANSWER, messages=[
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello.", "reasoning": "A greeting.",
         "reasoning_content": "A greeting."},
        {"role": "user", "content": "What is six times seven?"}])
    expect(answer.content == ANSWER, f"the text: {answer.content!r}")
    content = [m.get("content") for m in desk.sent()["messages"]]
    expect(content == ["Hi", "Hello.", "What is six times seven?"],
           f"the turns became {content}")
