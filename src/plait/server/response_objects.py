"""The objects of ``/v1/responses``: the response, its items, its usage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from plait.server.runs import Finish, Tokens

_ECHOED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True,
    "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
    "temperature": None, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "top_p": None, "truncation": "disabled", "user": None, "store": True}
"""Fields of the request that a response repeats, and what they are where nobody said."""


def new_response(run: str, body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A response that has just begun."""
    echoed = {field: otherwise if body.get(field) is None else body[field]
              for field, otherwise in _ECHOED.items()}
    return {"id": f"resp_{run}", "object": "response", "created_at": int(time.time()),
            "completed_at": None, "status": "in_progress", "background": False, "error": None,
            "incomplete_details": None, "model": model, "output": [], "usage": None, **echoed}


def finished(
    data: Mapping[str, Any], output: list[dict[str, Any]], finish: Finish, tokens: Tokens
) -> dict[str, Any]:
    """``data`` with what came of it."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
    return {**data, "status": "incomplete" if cut else "completed",
            "completed_at": None if cut else int(time.time()),
            "incomplete_details": {"reason": cut} if cut else None, "output": output,
            "usage": usage_json(tokens)}


def usage_json(tokens: Tokens) -> dict[str, Any]:
    """Tokens as responses report them."""
    return {"input_tokens": tokens.prompt,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.generated,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.prompt + tokens.generated}


def reasoning_item(
    run: str, thoughts: str | None, *, summary: bool, status: str = "completed"
) -> dict[str, Any]:
    """What was thought, whole or as a summary; None: nothing yet."""
    part = [] if thoughts is None else [thought_part(thoughts, summary=summary)]
    return {"id": f"rs_{run}", "type": "reasoning", "status": status,
            "summary": part if summary else [], "content": [] if summary else part}


def thought_part(text: str, *, summary: bool) -> dict[str, Any]:
    """The one part of a reasoning item."""
    return {"type": "summary_text" if summary else "reasoning_text", "text": text}


def message_item(run: str, text: str | None, status: str = "completed") -> dict[str, Any]:
    """The answer; None: nothing yet."""
    return {"id": f"msg_{run}", "type": "message", "role": "assistant", "status": status,
            "content": [] if text is None else [text_part(text)]}


def text_part(text: str) -> dict[str, Any]:
    """The one part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(
    run: str, number: int, call: tuple[str, str, str], status: str = "completed"
) -> dict[str, Any]:
    """A call of a function: the ``number``-th of the response. ``call``: id, name, arguments."""
    name, function, arguments = call
    return {"id": f"fc_{run}_{number}", "type": "function_call", "status": status,
            "call_id": name, "name": function, "arguments": arguments}
