"""OpenAI-style logs: requests with their responses, batch output, bare responses, conversations.

Names differ from logger to logger, so a few are tried for each thing; what none of them gives is
unknown, not zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from plait.analysis.call import Call, count_words

Obj = Mapping[str, object]
_SECONDS = ("seconds", "wall_seconds", "latency_s", "duration", "latency", "elapsed",
            "response_time")
_MILLISECONDS = ("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms")
_TASK = ("task", "category", "tag", "dataset", "subject", "route")
_ID = ("custom_id", "sample_id", "problem_id", "id", "request_id")
_VERDICT = ("correct", "is_correct", "passed", "score", "accuracy", "acc", "reward")


def from_openai(item: Obj, task: str, place: int) -> Call | str | None:
    """The call in a log entry, why there is none, or None where it is no such entry."""
    request = obj(first(item, ("request", "input", "body"))) or item
    answer = obj(first(item, ("response", "output", "completion")))
    if answer is not None and isinstance(answer.get("body"), Mapping):
        status = answer.get("status_code")
        answer = obj(answer["body"])
        if isinstance(status, int) and status >= 400:
            return "failed request"
    response = answer if answer is not None else item
    if item.get("error") or response.get("error"):
        return "failed request"
    messages = request.get("messages")
    question = _question(messages, request.get("prompt") or item.get("question"))
    text = _text(response, item, messages)
    if text is None:
        return None
    if not text.strip():
        return "empty answer"
    usage = obj(response.get("usage")) or obj(item.get("usage")) or {}
    tokens = positive(first(usage, ("completion_tokens", "output_tokens")))
    prompt = positive(first(usage, ("prompt_tokens", "input_tokens")))
    metadata = obj(item.get("metadata")) or obj(request.get("metadata")) or {}
    named = {**metadata, **item}
    return Call(
        id=str(first(named, _ID) or place), task=str(first(named, _TASK) or task),
        question=question, text=text,
        tokens=count_words(text) if tokens is None else tokens, estimated=tokens is None,
        prompt_tokens=prompt,
        seconds=_seconds(named), correct=verdict(first(named, _VERDICT)))


def _text(response: Obj, item: Obj, messages: object) -> str | None:
    """Reasoning and answer; None where the entry has no place for them."""
    choices = response.get("choices")
    if isinstance(choices, Sequence) and choices:
        choice = obj(choices[0]) or {}
        message = obj(choice.get("message"))
        return _words(message) if message is not None else str(choice.get("text") or "")
    if isinstance(messages, Sequence) and messages:
        last = obj(messages[-1])
        if last is not None and last.get("role") == "assistant":
            return _words(last)
    for holder in (response, item):
        for name in ("content", "text", "completion", "response", "output", "generated_text"):
            if isinstance(value := holder.get(name), str):
                return value
    return None


def _words(message: Obj) -> str:
    reasoning = first(message, ("reasoning", "reasoning_content"))
    parts = (reasoning if isinstance(reasoning, str) else "", content(message.get("content")))
    return "\n".join(p for p in parts if p)


def content(value: object) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return ""
    parts = [p for p in map(obj, value) if p is not None]
    texts = (first(p, ("reasoning", "text", "content")) for p in parts)
    return "\n".join(t for t in texts if isinstance(t, str) and t)


def _question(messages: object, prompt: object) -> str:
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        for message in reversed([m for m in map(obj, messages) if m is not None]):
            if message.get("role") == "user":
                return content(message.get("content"))
    return prompt if isinstance(prompt, str) else ""


def _seconds(named: Obj) -> float | None:
    for names, unit in ((_MILLISECONDS, 1000.0), (_SECONDS, 1.0)):
        value = number(first(named, names))
        if value is not None and value >= 0:
            return value / unit
    return None


def verdict(value: object) -> bool | None:
    """Right or wrong, as a log may put it; a score counts as right from one half on."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value >= 0.5
    if isinstance(value, str):
        return {"c": True, "correct": True, "true": True, "i": False, "incorrect": False,
                "false": False, "n": False, "p": None}.get(value.lower())
    return None


def obj(value: object) -> Obj | None:
    """``value`` if it is a JSON object."""
    return cast("Obj", value) if isinstance(value, Mapping) else None


def first(holder: Obj, names: Sequence[str]) -> object:
    """The first of ``names`` that has a value other than null."""
    return next((holder[n] for n in names if holder.get(n) is not None), None)


def positive(value: object) -> int | None:
    """``value`` as a count, if it is a number of at least 1."""
    found = number(value)
    return int(found) if found is not None and found >= 1 else None


def number(value: object) -> float | None:
    """``value`` if it is a number (a truth value is none)."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
