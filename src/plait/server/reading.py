"""From the body of a request to plait's own `Request`. What is not understood is passed on."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from plait.core import Budget, Message, Request, Sampling
from plait.core.request import UNSAID
from plait.errors import UsageError
from plait.server.choosing import FIELD, Choice
from plait.server.errors import invalid

ROLES = ("system", "developer", "user", "assistant")
_OURS = frozenset((
    "model", "messages", "prompt", "input", "instructions", "stream", "stream_options", FIELD, "n",
    "temperature", "top_p", "top_k", "min_p", "seed", "stop", "max_tokens",
    "max_completion_tokens", "max_output_tokens", "logprobs", "top_logprobs", "response_format",
    "tools", "functions", "tool_choice", "parallel_tool_calls", "modalities", "echo", "suffix",
    "best_of"))
"""Fields that are read here, or that say nothing where `plait.server.fitting` lets a request be."""
_RESPONSE_ONLY = frozenset((
    "text", "reasoning", "previous_response_id", "store", "background", "include", "truncation",
    "max_tool_calls", "conversation"))
_NOT_OF_A_PROMPT = ("reasoning", "reasoning_content", "reasoning_details", "thinking")
"""What a model thought in earlier turns stays out of the next one: only answers are history."""
_EMPTY = ("refusal", "annotations", "audio", "tool_calls", "function_call")
"""Fields that clients send back as they got them, empty."""
_LONGEST_SEED = 1 << 63


def read_chat(body: Mapping[str, Any], choice: Choice, most: Budget) -> Request:
    """A chat completion as a request. Raises `ApiError` 400, naming the field that is wrong."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("`messages` must be a list with at least one message", "messages")
    read = tuple(read_message(m, f"messages[{i}]") for i, m in enumerate(messages))
    return make_request(body, choice, most, read)


def read_completion(body: Mapping[str, Any], choice: Choice, most: Budget) -> Request:
    """A text completion as a request: its prompt is the question."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise invalid("`prompt` must be text", "prompt")
    return make_request(body, choice, most, prompt)


def read_response(
    body: Mapping[str, Any], choice: Choice, most: Budget, before: tuple[Message, ...]
) -> Request:
    """A response as a request, behind the conversation ``before``. Raises `ApiError` 400."""
    given = body.get("input")
    if isinstance(given, str) and given.strip():
        asked: tuple[Message, ...] = (Message("user", given),)
    elif isinstance(given, list) and given:
        asked = tuple(read_message(item, f"input[{i}]", ("type", "id", "status"))
                      for i, item in enumerate(given)
                      if not (isinstance(item, Mapping) and item.get("type") == "reasoning"))
    else:
        raise invalid("`input` must be text or a list of messages", "input")
    told = body.get("instructions")
    if told is not None and not isinstance(told, str):
        raise invalid("`instructions` must be text", "instructions")
    system = (Message("system", told),) if told else ()
    effort, verbosity = (
        part.get(name) if isinstance(part := body.get(field), Mapping) else None
        for field, name in (("reasoning", "effort"), ("text", "verbosity")))
    more = {name: value for name, value in
            (("reasoning_effort", effort), ("verbosity", verbosity)) if value is not None}
    return make_request({**body, **more}, choice, most, (*system, *before, *asked))


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Is the last chunk of a stream to say what it took?"""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def read_message(message: object, where: str, dropped: tuple[str, ...] = ()) -> Message:
    """One message; its unknown fields go along, but for ``dropped``. Raises `ApiError` 400."""
    if not isinstance(message, Mapping):
        raise invalid(f"`{where}` must be an object", where)
    role = message.get("role")
    if role not in ROLES:
        raise invalid(f"`{where}.role` is {role!r:.40}. Known: {', '.join(ROLES)}, tool.",
                      f"{where}.role")
    left_out = ("role", "content", *_NOT_OF_A_PROMPT, *dropped)
    extra = {name: value for name, value in message.items()
             if name not in left_out and (value or name not in _EMPTY)}
    return Message(role, read_content(message.get("content"), where, role), extra=extra)


def read_content(content: object, where: str, role: object = "user") -> str:
    """The text of a message. Raises `ApiError` 400."""
    if isinstance(content, str):
        return content
    if content is None and role == "assistant":
        return ""
    if isinstance(content, list):
        return "\n".join(_part(part, where) for part in content if not _is_thought(part))
    raise invalid(f"`{where}.content` must be text or a list of parts", f"{where}.content")


def _is_thought(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "reasoning_text"


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        raise invalid(f"`{where}.content` holds a part without text", f"{where}.content")
    return text


def make_request(
    body: Mapping[str, Any], choice: Choice, most: Budget, question: str | tuple[Message, ...],
) -> Request:
    """The request for ``question``, sampled as the body says. Raises `ApiError` 400."""
    try:
        budget = choice.capped(most)
        seed = _seed(body)
        sampling = read_sampling(body)
        if isinstance(question, str):
            return Request(prompt=question, sampling=sampling, budget=budget, seed=seed,
                           directions=choice.directions)
        return Request(messages=question, sampling=sampling, budget=budget, seed=seed,
                       directions=choice.directions)
    except UsageError as error:
        raise invalid(error.line) from None


def read_sampling(body: Mapping[str, Any]) -> Sampling:
    """How tokens are drawn; fields that plait does not know go to the engine as they are."""
    temperature = _number(body, "temperature")
    top_k = _number(body, "top_k", whole=True)
    own = _OURS | _RESPONSE_ONLY if "input" in body else _OURS
    return Sampling(
        temperature=UNSAID if temperature is None else temperature,
        top_p=_or(_number(body, "top_p"), 1.0),
        top_k=max(0, int(_or(top_k, 0))),  # -1 is how some servers say off
        min_p=_or(_number(body, "min_p"), 0.0),
        max_tokens=read_limit(body),
        stop=_stops(body.get("stop")),
        extra={name: value for name, value in body.items() if name not in own},
        unsaid=temperature is None)


def read_limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that a thread may generate, under any of its names."""
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        value = _number(body, name, whole=True)
        if value is not None:
            if value < 1:
                raise invalid(f"`{name}` is {value:g} but must be above 0", name)
            return int(value)
    return None


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _seed(body: Mapping[str, Any]) -> int:
    """The client's seed, or a fresh one: who asks twice without one wants two samples."""
    value = _number(body, "seed", whole=True)
    return int(value) if value is not None else secrets.randbits(31)


def _number(body: Mapping[str, Any], name: str, *, whole: bool = False) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    kinds = (int,) if whole else (int, float)
    if type(value) not in kinds or not isfinite(value) or abs(value) >= _LONGEST_SEED:
        raise invalid(f"`{name}` is {value!r:.40} but must be a {'whole ' if whole else ''}number",
                      name)
    return value  # type: ignore[no-any-return]


def _stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    found: Sequence[object] = [stop] if isinstance(stop, str) else stop if isinstance(
        stop, list) else [None]
    if not all(isinstance(s, str) and s for s in found):
        raise invalid("`stop` must be text or a list of texts", "stop")
    return tuple(str(s) for s in found)
