"""Contexts: forks share, rewrites reach back, ids survive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core import Message, Prompt, Segment, Tool
from plait.errors import Bug
from plait.scheduler.context import Context

TOOL = Tool("f", "d", {})


def segment(text: str) -> Segment:
    return Segment("model", text, tuple(map(ord, text)), len(text))


def encode(text: str) -> list[int]:
    return list(map(ord, text))


def test_a_fork_continues_and_neither_sees_the_other() -> None:
    context = Context()
    context.add(segment("root"))
    context.mark_opening()
    child = context.fork()
    child.add(segment(" child"))
    context.add(segment(" parent"))
    assert (context.prompt().text, child.prompt().text) == ("root parent", "root child")


def test_positions_count_from_the_opening() -> None:
    context = Context()
    context.add(segment("prompt"))
    context.mark_opening()
    context.add(segment("own"))
    assert (context.own_text, context.length) == ("own", 3)


def test_a_cut_outside_the_own_text_is_a_bug() -> None:
    context = Context()
    context.add(segment("prompt"))
    context.mark_opening()
    with pytest.raises(Bug):
        context.cut(1, encode)


def test_one_part_without_ids_makes_the_prompt_text() -> None:
    context = Context()
    context.add(segment("ab"))
    context.add(Segment("runtime", "c", None, 1))
    assert context.prompt().ids is None
    assert context.prompt().text == "abc"


@given(st.lists(st.one_of(
    st.tuples(st.just("add"), st.text("abc", min_size=1, max_size=4)),
    st.tuples(st.just("cut"), st.integers(0, 30)),
    st.tuples(st.just("fork"), st.just(0)),
), max_size=20))
def test_a_context_is_a_string_whatever_happens(acts: list[tuple[str, object]]) -> None:
    context, text, older = Context(), "", []
    context.add(segment("opening"))
    context.mark_opening()
    for act, value in acts:
        if act == "add":
            context.add(segment(str(value)))
            text += str(value)
        elif act == "cut":
            since = int(str(value)) % (len(text) + 1)
            removed = "".join(s.text for s in context.cut(since, encode))
            assert removed == text[since:]
            text = text[:since]
        else:
            older.append((context.fork(), text))
        assert context.own_text == text
        assert context.tokens == len("opening" + text)
        assert context.prompt().ids == tuple(encode("opening" + text))
    for fork, then in older:
        assert fork.own_text == then


def test_a_closed_turn_stays_in_the_text_and_reaches_the_engine_as_messages() -> None:
    ask, said, told = Message("user", "q"), Message("assistant", "a"), Message("tool", "t")
    context = Context((ask,), (TOOL,))
    context.mark_opening()
    context.write("a → call", None, 3)
    context.add(Segment("runtime", "← t", None, 2))
    context.turn((said, told))
    context.write("then", None, 1)
    assert context.own_text == "a → call← tthen"
    assert (context.tokens, context.length) == (7, 15)  # a token of the question, estimated
    assert context.prompt() == Prompt("then", None, (ask, said, told), (TOOL,))
    child = context.fork()
    child.write(" more", None, 1)
    assert child.prompt().text == "then more"
    assert child.prompt().messages == (ask, said, told)
    with pytest.raises(Bug, match="are closed"):
        context.cut(10, lambda text: None)
    assert [s.text for s in context.cut(11, lambda text: None)] == ["then"]
    assert context.prompt() == Prompt("", None, (ask, said, told), (TOOL,))


def test_a_context_that_opens_with_text_has_no_turns() -> None:
    with pytest.raises(Bug, match="no conversation"):
        Context().turn((Message("assistant", "a"),))
