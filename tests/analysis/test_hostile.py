"""Logs hold anything. What is read is a call, a reason or an error with its place, and any text of
any length is looked through in time that grows with its length."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.analysis import Call, Traffic, analyse, read_traffic, terminal_lines
from plait.analysis.passages import assignments, equations, passages, states
from plait.analysis.repeats import find_repeats
from plait.analysis.shape import find_shape
from plait.errors import PlaitError

NAMES = ("request", "response", "body", "messages", "choices", "message", "content", "role", "text",
         "usage", "completion_tokens", "prompt", "completion", "error", "seconds", "latency_ms",
         "correct", "score", "id", "task", "metadata", "resps", "doc_id", "doc", "arguments",
         "samples", "eval", "output", "scores", "reasoning", "status_code", "input")
LEAVES = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(
    allow_nan=False, allow_infinity=False) | st.text(max_size=12) | st.sampled_from(
    ("assistant", "user", "C", "2+2=4", "Case 1: x"))
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(NAMES), inner, max_size=6), max_leaves=30)
WORDS = st.sampled_from((
    "Case 1:", ">", "So", "The answer is", "x = y", "3+4=7", "7*2=14", "[1, 2]", "from above", "\n",
    "\n\n", "(", "a = b = c", "1,1 equal: Goal Reached"))


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=4))
def test_any_json_is_read_or_refused_with_its_place(values: list[object]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        path.write_bytes(b"\n".join(orjson.dumps(v) for v in values) + b"\n")
        traffic, refused = _read(path)
        assert refused is None or str(path) in refused
        for call in traffic.calls:
            assert call.tokens >= 0
            assert call.text.strip()
        if traffic.calls:
            assert terminal_lines(analyse(traffic))


def _read(path: Path) -> tuple[Traffic, str | None]:
    try:
        return read_traffic([path]), None
    except PlaitError as error:
        return Traffic(()), str(error)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS | st.text(max_size=6), max_size=60).map(" ".join))
def test_any_text_has_a_shape_whose_parts_fit(text: str) -> None:
    shape, repeats = find_shape(text), find_repeats(text)
    assert 0 <= shape.parallel <= shape.total
    assert shape.span <= shape.total
    assert (shape.span > 0) == (shape.total > 0)
    assert 1.0 <= shape.speedup(2) <= max(1.0, shape.bound)
    assert repeats.repeated_words <= repeats.words
    assert "".join(p.text for p in passages(text)) == "".join(
        line for line in text.split("\n") if line.strip())


@pytest.mark.parametrize("text", [
    "(" * 100_000, "1" * 100_000, "1+" * 100_000, "x = " * 50_000, "[" * 50_000 + "1," * 50_000,
    "a" * 200_000, "Case 1: so\n" * 20_000, "The answer is 3\n" * 20_000, "so it is\n" * 20_000,
    "=1 1 1" * 30_000, "((1+1)" * 30_000,
], ids=lambda t: t[:8])
def test_endless_texts_end(text: str) -> None:
    """Each in well under a second; the limit of a test is far above that."""
    find_shape(text)
    find_repeats(text)
    equations(text)
    states(text)
    assignments(text)


def test_a_count_that_is_none_is_counted() -> None:
    for tokens in (0, -3, None, "5", True):
        with TemporaryDirectory() as folder:
            path = Path(folder, "log.jsonl")
            path.write_bytes(orjson.dumps({"completion": "2+2=4",
                                           "usage": {"completion_tokens": tokens}}))
            (call,) = read_traffic([path]).calls
        assert (call.tokens, call.estimated) == (5, True)


def test_a_call_without_tokens_does_not_divide_by_zero() -> None:
    assert analyse(Traffic((Call("a", "t", "", "...", 0),))).bound >= 1.0
