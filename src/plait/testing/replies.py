"""What the fake upstream writes: a reply as scripted, in the objects of each server's stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio

from plait.testing.scripted import cut_pieces

Body = Mapping[str, Any]
Dialect = Literal["vllm", "sglang", "llamacpp", "generic"]
EOS = "<|end|>"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does on one call.

    ``text`` is cut into pieces of about a word unless it comes in pieces. ``calls`` (chat only)
    follow it: each a name and its arguments, cut alike. ``thoughts`` go before it in the field
    ``thoughts_field`` (chat only). ``finish`` is how it ends if no stop and no
    limit ends it. ``status`` other than 200 refuses the call with ``error``; with status 200
    ``error`` is sent as an event after ``fail_after`` pieces; ``break_after``: the connection is
    cut after so many. ``gate``: an event to wait for after ``gate_after`` pieces. ``usage`` and
    ``done`` tell whether those parts of the stream are sent; ``raw`` replaces all of it.
    ``seconds``: how long the text takes, its pieces at even distances; 0: no time at all.
    ``first``: seconds before it begins.
    ``counts`` go over the usage, of a server that counts otherwise, or lies.
    """

    text: str | Sequence[str] = ""
    thoughts: Sequence[str] = ()
    calls: Sequence[tuple[str, str | Sequence[str]]] = ()
    thoughts_field: str = "reasoning"
    finish: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: object = None
    fail_after: int = 0
    break_after: int | None = None
    gate: anyio.Event | None = None
    gate_after: int = 0
    cached: int = 0
    usage: bool = True
    done: bool = True
    raw: Sequence[bytes] | None = None
    content_type: str = "text/event-stream"
    seconds: float = 0.0
    first: float = 0.0
    counts: Mapping[str, object] = field(default_factory=dict)


class Model(Protocol):
    """What a stream needs of the server's model."""

    def token(self, piece: str) -> int: ...

    def render(self, messages: Sequence[Body], open_end: bool = False) -> str: ...


class Writing:
    """One text, in the objects of one dialect's stream."""

    def __init__(self, upstream: Model, reply: Reply, body: Body, dialect: Dialect) -> None:
        self._upstream = upstream
        self._reply = reply
        self._body = body
        self._dialect = dialect
        self._last_token = ""
        pieces = cut_pieces(reply.text) if isinstance(reply.text, str) else list(reply.text)
        self._pieces, self._stop, self._reason = self._until_stop(pieces or [""])
        self._calls = list(_cut_calls(reply.calls, body))
        limit = body.get("max_tokens", body.get("max_completion_tokens", body.get("n_predict")))
        if isinstance(limit, int) and limit < len(self._pieces) + len(self._calls):
            self._pieces, self._stop, self._reason = self._pieces[:limit], None, "length"
            self._calls = self._calls[: limit - len(self._pieces)]
        elif self._stop is not None:
            self._calls = []
        elif self._calls and self._reason == "stop":
            self._reason = "tool_calls"
        self._generated = len(self._pieces) + len(reply.thoughts) + len(self._calls)
        self._shows_eos = body.get("skip_special_tokens") is False
        tells_eos = dialect in ("vllm", "sglang")  # by its id, even where its text is hidden
        if self._reason == "stop" and self._stop is None and tells_eos:
            self._pieces = [*self._pieces, EOS]
            self._generated += 1

    def _until_stop(self, pieces: list[str]) -> tuple[list[str], str | int | None, str]:
        """The pieces as this dialect shows them, the stop that was hit, and the finish."""
        text = "".join(pieces)
        stops = self._body.get("stop") or []
        hits = [(text.find(s) + len(s), s) for s in stops if s in text]
        if not hits:
            return self._until_id(pieces)
        end, stop = min(hits)
        keeps = self._body.get("include_stop_str_in_output") if self._dialect == "vllm" else (
            self._dialect == "sglang" and self._body.get("no_stop_trim"))
        end -= 0 if keeps else len(stop)
        kept: list[str] = []
        for piece in pieces:
            if end > 0 or not kept:
                kept.append(piece[:max(0, end)])
                self._last_token = piece  # the text is cut, the token is not
            end -= len(piece)
        return kept, stop, "stop"

    def _until_id(self, pieces: list[str]) -> tuple[list[str], str | int | None, str]:
        """The same for stops that are token ids, which vLLM and SGLang know."""
        stops = self._body.get("stop_token_ids") or []
        for number, piece in enumerate(pieces, 1):
            if self._dialect in ("vllm", "sglang") and self._upstream.token(piece) in stops:
                self._last_token = piece
                return pieces[:number], self._upstream.token(piece), "stop"
        return pieces, None, self._reply.finish

    def usage(self) -> dict[str, object]:
        """What the server says of the tokens."""
        prompt = self._body.get("prompt", "")
        if "messages" in self._body:
            prompt = self._upstream.render(self._body["messages"])
        length = len(cut_pieces(prompt)) if isinstance(prompt, str) else len(prompt)
        count = max(1, int(self._body.get("n") or 1))
        return {"prompt_tokens": length, "completion_tokens": self._generated * count,
                "total_tokens": length + self._generated * count,
                "prompt_tokens_details": {"cached_tokens": self._reply.cached},
                "completion_tokens_details": {
                    "reasoning_tokens": len(self._reply.thoughts) * count},
                **self._reply.counts}

    def _shown(self, piece: str) -> str:
        """The text of a piece as it is sent."""
        return "" if piece == EOS and not self._shows_eos else piece

    def _choice(self, piece: str, last: bool) -> dict[str, object]:
        choice: dict[str, object] = {"index": 0, "finish_reason": self._reason if last else None}
        if self._body.get("return_token_ids"):
            token = self._last_token if last and self._stop is not None else piece
            choice["token_ids"] = [self._upstream.token(token)]
        if self._dialect == "vllm":
            choice["stop_reason"] = self._stop if last else None
        elif self._dialect == "sglang" and last:
            eos = self._upstream.token(EOS)
            choice["matched_stop"] = self._stop or (eos if self._reason == "stop" else None)
        return choice

    def _so_far(self, number: int) -> dict[str, object]:
        """What vLLM says of the tokens with each chunk, if it is asked to."""
        options = self._body.get("stream_options") or {}
        if self._dialect != "vllm" or not options.get("continuous_usage_stats"):
            return {}
        return {"usage": {**self.usage(), "completion_tokens": number}}

    def _tail(self) -> Iterator[dict[str, object]]:
        if self._reply.usage and (self._body.get("stream_options") or {}).get("include_usage"):
            yield {"choices": [], "usage": self.usage()}

    def completion(self) -> Iterator[dict[str, object]]:
        """Objects of ``/v1/completions``."""
        for number, piece in enumerate(self._pieces, 1):
            choice = self._choice(piece, number == len(self._pieces))
            if self._body.get("logprobs") is not None:
                choice["logprobs"] = {"token_logprobs": [-0.5], "tokens": [piece]}
            yield {"choices": [{**choice, "text": self._shown(piece)}], **self._so_far(number)}
        yield from self._tail()

    def chat(self) -> Iterator[dict[str, object]]:
        """Objects of ``/v1/chat/completions``."""
        yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""},
                            "finish_reason": None}]}
        for thought in self._reply.thoughts:
            choice = self._choice(thought, last=False)
            yield {"choices": [{**choice, "delta": {self._reply.thoughts_field: thought}}]}
        for number, piece in enumerate(self._pieces, 1):
            choice = self._choice(piece, number == len(self._pieces) and not self._calls)
            if self._body.get("logprobs"):
                choice["logprobs"] = {"content": [_logprob(piece)]}
            yield {"choices": [{**choice, "delta": {"content": self._shown(piece)}}],
                   **self._so_far(number)}
        for number, (piece, call) in enumerate(self._calls, 1):
            choice = self._choice(piece, number == len(self._calls))
            yield {"choices": [{**choice, "delta": {"tool_calls": [call]}}]}
        yield from self._tail()

    def whole_chat(self) -> dict[str, object]:
        """The answer of ``/v1/chat/completions`` that is not streamed."""
        message: dict[str, object] = {"role": "assistant", "content": self._text()}
        if self._reply.thoughts:
            message[self._reply.thoughts_field] = "".join(self._reply.thoughts)
        if self._calls:
            message["content"] = self._text() or None
            message["tool_calls"] = _whole_calls(call for _, call in self._calls)
        logprobs = [_logprob(piece) for piece in self._pieces]
        return self._whole({"message": message, "logprobs": {"content": logprobs}
                            if self._body.get("logprobs") else None})

    def whole_completion(self) -> dict[str, object]:
        """The answer of ``/v1/completions`` that is not streamed."""
        return self._whole({"text": self._text(), "logprobs": None})

    def _text(self) -> str:
        return "".join(self._shown(piece) for piece in self._pieces)

    def _whole(self, choice: dict[str, object]) -> dict[str, object]:
        count = max(1, int(self._body.get("n") or 1))
        choices = [{**self._choice("", last=True), **choice, "index": i} for i in range(count)]
        return {"choices": choices, **({"usage": self.usage()} if self._reply.usage else {})}

    def native(self) -> Iterator[dict[str, object]]:
        """Objects of llama.cpp's ``/completion``."""
        usage = self.usage()
        count = 0
        for count, piece in enumerate(self._pieces, 1):
            entry: dict[str, object] = {"content": piece, "tokens": [self._upstream.token(piece)],
                                        "stop": False, "tokens_predicted": count}
            if self._body.get("n_probs"):
                entry["completion_probabilities"] = [{"token": piece, "logprob": -0.5}]
            yield entry
        kind = "limit" if self._reason == "length" else "word" if self._stop else "eos"
        yield {"content": "", "tokens": [], "stop": True, "stop_type": kind,
               "stopping_word": self._stop or "", "tokens_predicted": count,
               "tokens_evaluated": usage["prompt_tokens"],
               "timings": {"cache_n": self._reply.cached}}


def _logprob(piece: str) -> dict[str, object]:
    return {"token": piece, "logprob": -0.5, "bytes": list(piece.encode()), "top_logprobs": []}


def _whole_calls(deltas: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """The calls that ``deltas`` tell of, each in one piece."""
    calls: dict[object, dict[str, object]] = {}
    arguments: dict[object, str] = {}
    for delta in deltas:
        index, function = delta["index"], delta["function"]
        assert isinstance(function, dict)
        calls.setdefault(index, {**delta, "function": function})
        arguments[index] = arguments.get(index, "") + function["arguments"]
    for index, call in calls.items():
        function = call["function"]
        assert isinstance(function, dict)
        call["function"] = {**function, "arguments": arguments[index]}
        del call["index"]
    return list(calls.values())


def _cut_calls(
    calls: Sequence[tuple[str, str | Sequence[str]]], body: Body
) -> Iterator[tuple[str, dict[str, object]]]:
    """The calls as their tokens, each with the object that tells of it."""
    turn = sum(m["role"] == "assistant" for m in body.get("messages") or ())
    for index, (name, arguments) in enumerate(calls):
        head = {"name": name, "arguments": ""}
        yield name, {"index": index, "id": f"call_{turn}_{index}", "type": "function",
                     "function": head}
        for piece in cut_pieces(arguments) if isinstance(arguments, str) else arguments:
            yield piece, {"index": index, "function": {"arguments": piece}}


def by_choice(data: dict[str, object], body: Body) -> Iterator[dict[str, object]]:
    """An object of a stream, once for each of the ``n`` choices that were asked for."""
    choices = data.get("choices")
    if not choices or not isinstance(choices, list):
        yield data
        return
    for index in range(max(1, int(body.get("n") or 1))):
        yield {**data, "choices": [{**choices[0], "index": index}]}


def nonsense(body: Body, *, chat: bool) -> str:
    """What no server could read of a question; empty if there is no such thing."""
    messages, prompt = body.get("messages"), body.get("prompt", "")
    if chat and not (isinstance(messages, list) and messages and all(
            isinstance(m, dict) and "role" in m and isinstance(m.get("content"), str | list | None)
            for m in messages)):
        return "messages: a list of messages is wanted"
    if not isinstance(prompt, str) and not (
            isinstance(prompt, list) and all(isinstance(p, int | str) for p in prompt)):
        return "prompt: text, or a list of texts or of token ids, is wanted"
    return ""
