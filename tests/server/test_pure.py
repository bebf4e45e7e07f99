"""Reading requests and replies: choosing, what fits, what passes by."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core import Budget
from plait.server.choosing import Choice, choose
from plait.server.errors import ApiError
from plait.server.fitting import chat_misfit, completion_misfit, response_misfit
from plait.server.reading import read_chat, read_response
from plait.server.taps import Garbage, StreamTap, twin

ASK = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("model", "wanted"), [
    ("m", Choice("m")), ("org/m:tag", Choice("org/m:tag")),
    ("plait/auto:m", Choice("m", True)), ("plait/plan:a/b:c", Choice("a/b:c", True, "plan")),
    ("plait/native+apr:m", Choice("m", True, "native", "apr")),
    ("plait/threshold:m", Choice("m", True, policy="threshold")), ("plait/plan", Choice(
        "", True, "plan"))])
def test_a_models_name_says_how(model: str, wanted: Choice) -> None:
    assert choose({"model": model}) == wanted


def test_the_object_wins_over_the_name() -> None:
    found = choose({"model": "plait/plan:m", "plait": {"method": "explore", "attempts": 3,
                                                       "seconds": 2.5, "budget": {"window": 9}}})
    assert (found.method, found.directions.attempts) == ("explore", 3)
    assert found.capped(Budget()).seconds == 2.5
    assert found.capped(Budget(window=5)).window == 5
    assert found.capped(Budget(seconds=1.0)).seconds == 1.0


@pytest.mark.parametrize(("body", "word"), [
    ({"tools": [{}]}, "tools"), ({"functions": [{}]}, "tools"), ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "logprobs"), ({"n": 2}, "n"), ({"audio": {}}, None),
    ({"response_format": {"type": "json_object"}}, "format"),
    ({"response_format": {"type": "text"}}, None), ({"structured_outputs": {"regex": "a"}},
                                                    "structured_outputs"),
    ({"n": 1, "tools": [], "logprobs": False}, None), ({"modalities": ["text"]}, None),
    ({"modalities": ["text", "audio"]}, "media"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "tools"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "media"),
    ({"messages": [*ASK, {"role": "assistant", "content": "Sure"}]}, "prefill")])
def test_what_threads_cannot_serve(body: dict[str, Any], word: str | None) -> None:
    found = chat_misfit({"messages": ASK, **body})
    assert (found.word if found else None) == word


def test_misfits_of_the_other_endpoints() -> None:
    assert completion_misfit({"prompt": "a"}) is None
    for body in ({"prompt": ["a"]}, {"prompt": "a", "echo": True}, {"prompt": "a", "best_of": 3},
                 {"prompt": "a", "logprobs": 0}):
        assert completion_misfit(body) is not None
    assert response_misfit({"input": "a"}) is None
    for more in ({"background": True}, {"tools": [{}]}, {"conversation": "c"},
                 {"text": {"format": {"type": "json_schema"}}},
                 {"input": [{"type": "function_call_output"}]}):
        assert response_misfit({"input": "a", **more}) is not None


def test_a_chat_is_read() -> None:
    found = read_chat({
        "model": "m", "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"},
                                         {"type": "text", "text": "b"}]}],
        "temperature": 0.5, "max_completion_tokens": 9, "max_tokens": 5, "stop": "x", "seed": 7,
        "top_k": -1, "reasoning_effort": "low", "stream": True}, Choice("m"), Budget())
    assert [m.content for m in found.messages] == ["s", "a\nb"]
    sampling = found.sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.stop) == (0.5, 9, ("x",))
    assert (found.seed, sampling.top_k) == (7, 0)
    assert sampling.extra == {"reasoning_effort": "low"}


def test_two_requests_without_a_seed_are_two_samples() -> None:
    body = {"model": "m", "messages": ASK}
    assert read_chat(body, Choice(), Budget()).seed != read_chat(body, Choice(), Budget()).seed


def test_a_response_is_read() -> None:
    found = read_response({
        "model": "m", "instructions": "be brief", "reasoning": {"effort": "high"},
        "store": False, "metadata": {"a": "b"}, "input": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "user", "id": "1", "content": [
                {"type": "input_text", "text": "q"}]}]}, Choice("m"), Budget(), ())
    assert [(m.role, m.content) for m in found.messages] == [("system", "be brief"), ("user", "q")]
    assert found.messages[1].extra == {}
    assert found.sampling.extra == {"metadata": {"a": "b"}, "reasoning_effort": "high"}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
                    | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(
                        ["role", "content", "type", "text", "method", "budget", "width", "rounds",
                         "verify"]), inner, max_size=3), max_leaves=8),
       st.sampled_from(["messages", "plait", "temperature", "stop", "seed", "max_tokens", "tools",
                        "response_format", "n", "model", "modalities", "logprobs", "input"]))
def test_no_value_of_any_field_breaks_the_reading(value: Any, name: str) -> None:
    body = {"model": "m", "messages": ASK, "input": "a", name: value}
    for misfit, read in (
            (chat_misfit, lambda c: read_chat(body, c, Budget())),
            (response_misfit, lambda c: read_response(body, c, Budget(), ()))):
        refused: ApiError | None = None
        try:
            choice = choose(body)
            if misfit(body) is None:
                read(choice)
        except ApiError as error:
            refused = error
        assert refused is None or refused.status == 400


def event(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


PLAIN = event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]})
LAST = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
THOUGHT = event({"choices": [{"delta": {"reasoning": "hm"}}]})
STREAM = b": ping\n\n" + PLAIN + LAST + USAGE + b"data: [DONE]\n\n"


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_a_stream_passes_however_it_is_cut(cuts: list[int], hidden: bool) -> None:
    tap = StreamTap(hidden)
    places = [0, *sorted(cuts), len(STREAM)]
    given = b"".join(tap.feed(STREAM[a:b]) for a, b in pairwise(places))
    assert given + tap.close() == (STREAM.replace(USAGE, b"") if hidden else STREAM)
    assert tap.usage == {"prompt_tokens": 1, "completion_tokens": 2}
    assert tap.whole


def test_a_stream_that_ends_early_is_not_whole() -> None:
    tap = StreamTap(hidden=False)
    assert tap.feed(PLAIN) + tap.close() == PLAIN
    assert not tap.whole
    with pytest.raises(Garbage):
        tap.feed(b"data: {broken\n\n")


def test_thoughts_get_both_names() -> None:
    found = StreamTap(hidden=False).feed(THOUGHT)
    assert b'"reasoning_content":"hm"' in found
    data = {"choices": [{"message": {"reasoning_content": "x"}}, None]}
    assert twin(data)
    assert data["choices"][0]["message"]["reasoning"] == "x"  # type: ignore[index]
    assert not twin({"choices": [{"delta": {"content": "x"}}]})
