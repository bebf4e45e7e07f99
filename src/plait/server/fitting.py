"""Which requests parallel reasoning cannot serve well, so that the engine gets them untouched.

Pure: the body of a request in, a reason out; None where nothing stands against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_TEXT_PARTS = ("text", "input_text", "output_text")
_CALLS = ("tool_calls", "function_call")
_CONSTRAINTS = ("structured_outputs", "guided_json", "guided_regex", "guided_choice",
                "guided_grammar", "grammar", "json_schema", "regex", "ebnf")
_MEDIA = ("audio", "prediction", "web_search_options")


class Misfit(NamedTuple):
    """Why a request goes to the engine: a ``word`` for metrics, and ``why`` for people."""

    word: str
    why: str


def chat_misfit(body: Mapping[str, Any]) -> Misfit | None:
    """Why a chat completion is none for threads."""
    return _common(body) or _messages(body.get("messages")) or _format(body.get("response_format"))


def completion_misfit(body: Mapping[str, Any]) -> Misfit | None:
    """Why a text completion is none for threads."""
    if not isinstance(body.get("prompt"), str):
        return Misfit("prompt", "the prompt is no single text")
    for name in ("echo", "suffix"):
        if body.get(name):
            return Misfit(name, f"it asks for `{name}`")
    best = body.get("best_of")
    if isinstance(best, int) and best > 1:
        return Misfit("n", "it asks for several choices")
    return _common(body) or _format(body.get("response_format"))


def response_misfit(body: Mapping[str, Any]) -> Misfit | None:
    """Why a response is none for threads."""
    if body.get("background"):
        return Misfit("background", "it is to run in the background")
    for name in ("conversation", "prompt"):
        if body.get(name):
            return Misfit("stored", f"it names a stored `{name}`")
    text = body.get("text")
    return _common(body) or _items(body.get("input")) or (
        _format(text.get("format")) if isinstance(text, Mapping) else None)


def _common(body: Mapping[str, Any]) -> Misfit | None:
    if body.get("tools") or body.get("functions"):
        return Misfit("tools", "it offers tools")
    logprobs = body.get("logprobs")
    if logprobs is not None and logprobs is not False:
        return Misfit("logprobs", "it asks for log probabilities")
    if body.get("top_logprobs"):
        return Misfit("logprobs", "it asks for log probabilities")
    if isinstance(body.get("n"), int) and body["n"] > 1:
        return Misfit("n", "it asks for several choices")
    for name in (*_CONSTRAINTS, *_MEDIA):
        if body.get(name):
            return Misfit(name, f"it asks for `{name}`")
    modalities = body.get("modalities")
    if isinstance(modalities, Sequence) and any(m != "text" for m in modalities):
        return Misfit("media", "it asks for more than text")
    return None


def _format(wanted: object) -> Misfit | None:
    if isinstance(wanted, Mapping) and wanted.get("type") not in (None, "text"):
        return Misfit("format", "it asks for a constrained format")
    return None


def _messages(messages: object) -> Misfit | None:
    if not isinstance(messages, list):
        return None  # the reading of the request says what is wrong
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        if message.get("role") in ("tool", "function") or any(message.get(c) for c in _CALLS):
            return Misfit("tools", "its messages hold calls of tools")
        if _has_media(message.get("content")):
            return Misfit("media", "its messages hold more than text")
    last = messages[-1] if messages else None
    if isinstance(last, Mapping) and last.get("role") == "assistant":
        return Misfit("prefill", "the answer is begun in its last message")
    return None


def _items(given: object) -> Misfit | None:
    if not isinstance(given, list):
        return None
    for item in given:
        if not isinstance(item, Mapping):
            continue
        if item.get("type", "message") not in ("message", "reasoning"):
            return Misfit("items", f"its input holds an item `{item.get('type')!s:.40}`")
        if _has_media(item.get("content")):
            return Misfit("media", "its input holds more than text")
    return None


def _has_media(content: object) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, Mapping) and part.get("type", "text") not in (*_TEXT_PARTS, "refusal",
                                                                       "reasoning_text")
        for part in content)
