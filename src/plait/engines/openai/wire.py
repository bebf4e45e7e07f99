"""Request bodies, and what the objects of a stream say. Pure.

Three kinds of request: a text completion (``/v1/completions``), llama.cpp's own one
(``/completion``) and a chat completion (``/v1/chat/completions``). Each has a function that
writes its body and one that reads an object of its stream into a `Piece`.

Only what was set is sent, so that a server's own defaults hold for the rest; the temperature is
always sent, since plait's default (0, greedy) is nobody else's, unless the sampling says that the
server's own is wanted. ``Sampling.extra`` goes on top as
it is, except that we always stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from plait.core import CallDelta, Message, Prompt, Sampling, Usage
from plait.engines.openai.dialects import GENERIC, TAGS, Dialect

Body = dict[str, object]
LONGEST_SEED = 1 << 31


class Piece(NamedTuple):
    """What one object of a stream says, or several of them that came together (`joined`).

    ``objects``: how many have something to say; a guess at the tokens. ``total``: tokens generated
    so far, where the server counts aloud. ``finish``: its own word for the end. ``stop``: the stop
    that was hit, None if it was the model's own end, meaningless unless ``stop_reported``.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallDelta, ...] = ()
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    total: int | None = None
    finish: str | None = None
    stop: str | int | None = None
    stop_reported: bool = False
    usage: Usage | None = None
    objects: int = 1

    def goes_on(self, then: Piece) -> bool:
        """Does ``then`` only add to the text (or to the thoughts) of this one, and is counted in
        the same way?"""
        return (then.finish is None and self.finish is None and not (then.calls or self.calls)
                and then.usage is None and self.usage is None
                and not (then.reasoning and self.text) and not (then.text and self.reasoning)
                and (then.ids is None) is (self.ids is None)
                and (then.logprobs is None) is (self.logprobs is None)
                and (then.total is None) is (self.total is None))


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces as one, each of which goes on with the one before."""
    first = pieces[0]
    return Piece(
        text="".join([p.text for p in pieces]),
        reasoning="".join([p.reasoning for p in pieces]),
        ids=None if first.ids is None else tuple([i for p in pieces for i in p.ids or ()]),
        logprobs=None if first.logprobs is None else tuple(
            [value for p in pieces for value in p.logprobs or ()]),
        total=pieces[-1].total,
        objects=sum(bool(p.text or p.reasoning) for p in pieces))


# --- bodies ------------------------------------------------------------------------------------


def completion_body(
    model: str, prompt: Prompt, sampling: Sampling, dialect: Dialect
) -> Body:
    """A text completion; the prompt goes as token ids where there are any and they are taken."""
    ids = prompt.ids if dialect.token_ids or not prompt.text else None
    body: Body = {"model": model, "prompt": prompt.text if ids is None else list(ids),
                  **_sampled(sampling), **_stream(dialect, sampling)}
    if sampling.max_tokens is not None:
        body["max_tokens"] = sampling.max_tokens
    elif dialect.unlimited == "null":
        body["max_tokens"] = None
    if sampling.logprobs:
        body["logprobs"] = 0
    return {**body, **sampling.extra, "stream": True}


def chat_body(
    model: str, prompt: Prompt, sampling: Sampling, dialect: Dialect, limit_name: str
) -> Body:
    """A chat completion; ``prompt.text`` is the beginning of the answer.

    ``limit_name``: what this server calls the limit (``max_tokens``, ``max_completion_tokens``).
    """
    messages = messages_json(prompt.messages, dialect)
    body: Body = {"model": model, "messages": messages, **_sampled(sampling),
                  **_stream(dialect, sampling)}
    if prompt.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": t.name, "description": t.description,
                                              "parameters": t.parameters}} for t in prompt.tools]
        for name in _NOT_WITH_TOOLS:
            body.pop(name, None)
    if prompt.text:
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant":
            last["content"] = f"{last['content']}{prompt.text}"
        else:
            messages.append({"role": "assistant", "content": prompt.text})
        body.update(dialect.prefill)
    if sampling.max_tokens is not None:
        body[limit_name] = sampling.max_tokens
    if sampling.logprobs:
        body["logprobs"] = True
    if sampling.schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {
            "name": "reply", "schema": sampling.schema, "strict": True}}
    return {**body, **sampling.extra, "stream": True}


_NOT_WITH_TOOLS = ("skip_special_tokens", "spaces_between_special_tokens")
"""The server's parser of calls decides by itself which tokens it has to see; ours would show the
end-of-text token behind a call as if the model had said it."""


def messages_json(messages: Sequence[Message], dialect: Dialect = GENERIC) -> list[Body]:
    """``messages`` as a request holds them. Thoughts go back where the server takes them."""
    return [_message(m, dialect) for m in messages]


def _message(message: Message, dialect: Dialect) -> Body:
    body: Body = {**message.extra, "role": message.role, "content": message.content}
    if message.role == "tool":
        body["tool_call_id"] = message.call_id
    if message.calls:
        body["tool_calls"] = [
            {"id": c.id, "type": "function",
             "function": {"name": c.name, "arguments": c.arguments}} for c in message.calls]
    if message.thoughts:
        body |= dict.fromkeys(dialect.thoughts, message.thoughts)
    return body


def native_body(model: str, prompt: Prompt, sampling: Sampling) -> Body:
    """A completion in llama.cpp's own words."""
    body: Body = {
        "model": model,
        "prompt": prompt.text if prompt.ids is None else list(prompt.ids),
        **_sampled(sampling),
        "cache_prompt": True, "return_tokens": True,
        "preserved_tokens": list(dict.fromkeys((*TAGS, *sampling.stop))),
    }
    if sampling.max_tokens is not None:
        body["n_predict"] = sampling.max_tokens
    if sampling.logprobs:
        body["n_probs"] = 1
    if sampling.schema is not None:
        body["json_schema"] = sampling.schema
    return {**body, **sampling.extra, "stream": True}


def _sampled(sampling: Sampling) -> Body:
    body: Body = {} if sampling.engine_default else {"temperature": sampling.temperature}
    if sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.top_k > 0:
        body["top_k"] = sampling.top_k
    if sampling.min_p > 0:
        body["min_p"] = sampling.min_p
    if sampling.seed is not None and sampling.temperature > 0:
        body["seed"] = sampling.seed % LONGEST_SEED
    if sampling.stop:
        body["stop"] = list(dict.fromkeys(sampling.stop))
    if sampling.ignore_eos:
        body["ignore_eos"] = True
    return body


def _stream(dialect: Dialect, sampling: Sampling) -> Body:
    body: Body = {"stream_options": {"include_usage": True}, **dialect.fields}
    if sampling.stop_ids and dialect.stop_ids:
        body["stop_token_ids"] = list(sampling.stop_ids)
    return body


# --- pieces ------------------------------------------------------------------------------------


def read_completion(data: Mapping[str, Any]) -> Piece:
    """One object of a ``/v1/completions`` stream."""
    choice = _first_choice(data)
    found = choice.get("logprobs") or {}
    values = [v for v in found.get("token_logprobs") or () if v is not None]
    return _piece(data, choice, choice.get("text") or "", "", values if found else None)


def read_chat(data: Mapping[str, Any]) -> Piece:
    """One object of a ``/v1/chat/completions`` stream."""
    choice = _first_choice(data)
    delta = choice.get("delta") or {}
    reasoning = delta.get("reasoning") or delta.get("reasoning_content") or ""
    found = (choice.get("logprobs") or {}).get("content")
    values = None if found is None else [entry["logprob"] for entry in found]
    return _piece(data, choice, delta.get("content") or "", reasoning, values,
                  _calls(called) if (called := delta.get("tool_calls")) else ())


def _calls(found: Sequence[Mapping[str, Any]]) -> tuple[CallDelta, ...]:
    """Pieces of calls. Some servers leave out the index, or give the arguments as an object."""
    deltas = []
    for place, entry in enumerate(found):
        function, index = entry.get("function") or {}, entry.get("index")
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        deltas.append(CallDelta(place if index is None else index, entry.get("id") or "",
                                function.get("name") or "", arguments))
    return tuple(deltas)


def read_native(data: Mapping[str, Any]) -> Piece:
    """One object of a llama.cpp ``/completion`` stream."""
    ids = data.get("tokens")
    found = data.get("completion_probabilities")
    count = data.get("tokens_predicted")
    usage = finish = stop = None
    if data.get("stop"):
        kind = data.get("stop_type")
        finish = "length" if kind == "limit" else "stop"
        stop = data.get("stopping_word") if kind == "word" else None
        cached = (data.get("timings") or {}).get("cache_n")
        usage = Usage(data.get("tokens_evaluated", 0), cached or 0, count or 0)
    return Piece(
        text=data.get("content") or "",
        ids=tuple(ids) if ids else None,
        logprobs=None if not found else tuple(entry["logprob"] for entry in found),
        total=count, finish=finish, stop=stop, stop_reported=finish is not None, usage=usage)


def _piece(
    data: Mapping[str, Any], choice: Mapping[str, Any], text: str, reasoning: str,
    logprobs: Sequence[float] | None, calls: tuple[CallDelta, ...] = (),
) -> Piece:
    ids = choice.get("token_ids")
    ids = None if ids is None else tuple(ids)
    values = None if logprobs is None else tuple(logprobs)
    finish, usage = choice.get("finish_reason"), data.get("usage")
    if finish is None and usage is None:
        return Piece(text, reasoning, calls, ids, values)
    names = [n for n in ("stop_reason", "matched_stop") if n in choice]
    return Piece(
        text, reasoning, calls, ids, values, None, finish,
        stop=next((v for n in names if (v := choice[n]) is not None), None),
        stop_reported=bool(names) and finish is not None,
        usage=read_usage(usage))


def read_usage(data: Mapping[str, Any] | None) -> Usage | None:
    """The ``usage`` object of a stream; None if it has no count of tokens in it."""
    generated = _count(data, "completion_tokens")
    if data is None or generated is None:
        return None
    details = data.get("prompt_tokens_details")
    return Usage(_count(data, "prompt_tokens") or 0, _count(details, "cached_tokens") or 0,
                 generated)


def _count(data: object, name: str) -> int | None:
    """A number of tokens; None for anything else that a server may say in its place."""
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if type(value) is int and value >= 0 else None


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = data.get("choices")
    return choices[0] if choices else {}
