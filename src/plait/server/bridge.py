"""Responses for an engine that knows chat completions only: asked as one, answered as the other.

    instructions, message items            messages
    function_call, function_call_output    calls and results in the history
    function tools, tool_choice            the same, in the other API's form
    text.format, reasoning.effort          response_format, reasoning_effort

Used where a request is the engine's to answer (tools, formats, images) and its server has no
``/v1/responses`` of its own. What chat completions cannot say is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plait.server.errors import invalid

_ELSEWHERE = frozenset((
    "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens",
    "store", "include", "truncation", "previous_response_id"))
_NOT_HERE = ("background", "conversation", "prompt", "max_tool_calls", "previous_response_id")


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a response as that of a chat completion. Raises `ApiError` 400."""
    for name in _NOT_HERE:
        if body.get(name):
            raise invalid(f"the engine's server has no responses, and as a chat completion `{name}`"
                          " cannot be asked", name)
    chat = {name: value for name, value in body.items() if name not in _ELSEWHERE}
    chat["messages"] = list(_messages(body))
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in body["tools"]]
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = _choice(body["tool_choice"])
    reasoning, text = body.get("reasoning"), body.get("text")
    if isinstance(reasoning, Mapping) and reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    if isinstance(text, Mapping) and (wanted := _format(text.get("format"))) is not None:
        chat["response_format"] = wanted
    return chat


def _messages(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("instructions"):
        yield {"role": "system", "content": body["instructions"]}
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise invalid("`input` must be text or a list of items", "input")
    calls: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise invalid(f"`input[{number}]` must be an object", f"input[{number}]")
        if item.get("type") == "function_call":
            calls.append({"id": item.get("call_id"), "type": "function", "function": {
                "name": item.get("name"), "arguments": item.get("arguments")}})
        elif item.get("type") != "reasoning":
            yield from _turn(calls)
            calls = []
            yield _message(item, number)
    yield from _turn(calls)


def _turn(calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Calls of one turn, which stand in one message."""
    if calls:
        yield {"role": "assistant", "content": None, "tool_calls": calls}


def _message(item: Mapping[str, Any], number: int) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"),
                "content": _content(item.get("output"), number)}
    if kind == "message":
        return {"role": item.get("role"), "content": _content(item.get("content"), number)}
    raise invalid(f"an item `{kind!s:.40}` cannot be asked as a chat completion",
                  f"input[{number}].type")


def _content(content: object, number: int) -> object:
    """Text as it is; parts under their names in the other API."""
    if not isinstance(content, list):
        return content
    return [_part(part, number) for part in content]


def _part(part: object, number: int) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text")}
    if isinstance(part, Mapping) and kind == "input_image" and part.get("image_url"):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    raise invalid(f"a part `{kind!s:.40}` cannot be asked as a chat completion",
                  f"input[{number}].content")


def _tool(tool: object) -> dict[str, Any]:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        kind = tool.get("type") if isinstance(tool, Mapping) else tool
        raise invalid(f"a tool `{kind!s:.40}` is none of the engine's: it knows functions only",
                      "tools")
    return {"type": "function", "function": {
        name: tool[name] for name in ("name", "description", "parameters", "strict")
        if tool.get(name) is not None}}


def _choice(choice: object) -> object:
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice


def _format(wanted: object) -> dict[str, Any] | None:
    if not isinstance(wanted, Mapping) or wanted.get("type") in (None, "text"):
        return None
    if wanted["type"] != "json_schema":
        return dict(wanted)
    return {"type": "json_schema", "json_schema": {
        name: wanted[name] for name in ("name", "description", "schema", "strict")
        if wanted.get(name) is not None}}
