"""Calls are put together from pieces that are cut anywhere, and their tasks are known early."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core import CallDelta
from plait.methods.calls import (
    JOIN,
    MOST,
    SPAWN,
    Calls,
    ItemReader,
    Task,
    ids_in,
    tasks_in,
)

ITEMS = st.lists(st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.none(),
    st.lists(st.text("ab\"\\[]{},"), max_size=2),
    st.fixed_dictionaries({"task": st.text("ab\"\\[]{},:\n")},
                          optional={"context": st.text("x\"}"), "tasks": st.just(["no"])})),
    max_size=6)


@given(ITEMS, st.data())
def test_items_come_as_soon_as_they_end_however_the_text_is_cut(
    items: list[object], data: st.DataObject
) -> None:
    ahead = data.draw(st.sampled_from([{}, {"tasks of mine": ["no"]}, {"x": {"tasks": ["no"]}}]))
    text = json.dumps({**ahead, "tasks": items, "after": ["no"]}, ensure_ascii=data.draw(
        st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reader, found = ItemReader(), []
    for piece in pieces:
        found += reader.feed(piece)
    wanted = [(n, v) for n, v in enumerate(items, 1) if isinstance(v, (str, dict))]
    assert found == wanted


def test_a_task_is_known_while_its_list_is_still_written() -> None:
    calls = Calls()
    assert calls.feed(CallDelta(0, "c", SPAWN)) == []
    assert calls.feed(CallDelta(0, arguments='{"tasks": ["fir')) == []
    assert calls.feed(CallDelta(0, arguments='st", {"task": "second"')) == [(0, Task(1, "first"))]
    assert calls.feed(CallDelta(0, arguments=', "context": "c"}')) == [
        (0, Task(2, "second", "c"))]
    (call,) = calls.close(0)
    assert (call.id, call.name) == ("c", SPAWN)
    assert call.arguments == '{"tasks": ["first", {"task": "second", "context": "c"}'


@pytest.mark.parametrize("deltas", [
    [CallDelta(0, "a", SPAWN, "{}"), CallDelta(1, "b", JOIN, "{}")],
    [CallDelta(0, "a", SPAWN, "{}"), CallDelta(0, "b", JOIN, "{}")],
    [CallDelta(0, "a", SPAWN, "{"), CallDelta(0, "a", SPAWN, "}"), CallDelta(1, "b", JOIN, "{}")],
    [CallDelta(0, "a", SPAWN, "{"), CallDelta(1, "b", JOIN, "{"), CallDelta(0, arguments="}"),
     CallDelta(1, arguments="}")],
    [CallDelta(0, "a", "", ""), CallDelta(0, "", SPAWN, "{}"), CallDelta(7, "b", JOIN, "{}")],
], ids=["plain", "one index", "repeated heads", "interleaved", "late name"])
def test_calls_of_odd_servers_are_told_apart(deltas: list[CallDelta]) -> None:
    calls = Calls()
    for delta in deltas:
        calls.feed(delta)
    closed = calls.close(0)
    assert [(c.id, c.name, c.arguments) for c in closed] == [
        ("a", SPAWN, "{}"), ("b", JOIN, "{}")]


def test_every_call_gets_an_id_of_its_own() -> None:
    calls = Calls()
    for delta in (CallDelta(0, "", JOIN), CallDelta(1, "x", JOIN), CallDelta(2, "x", JOIN)):
        calls.feed(delta)
    assert [c.id for c in calls.close(3)] == ["call_3_0", "x", "call_3_2"]


@pytest.mark.parametrize(("arguments", "tasks", "fault"), [
    ('{"tasks": ["a", {"task": " b ", "context": "c"}]}', ["a", "b"], ""),
    ('{"tasks": ["a"', [], "not valid JSON"),
    ("[]", [], "not a JSON object"),
    ("", [], "must be a list"),
    ('{"tasks": "a"}', [], "must be a list"),
    ('{"tasks": []}', [], "is empty"),
    ('{"tasks": ["a", " ", 3, {"task": 1}, {"task": "b", "context": []}]}', ["a", "b"],
     "task 2 is empty; task 3 is neither a text nor an object with the text `task`;"
     " task 4 is neither a text nor an object with the text `task`"),
])
def test_what_is_wrong_with_a_call_is_said_beside_what_is_right(
    arguments: str, tasks: list[str], fault: str
) -> None:
    found, faults = tasks_in(arguments)
    assert [task.text for task in found] == tasks
    assert fault in "; ".join(faults)
    assert bool(faults) == bool(fault)


def test_a_call_starts_no_more_tasks_than_one_may() -> None:
    arguments = json.dumps({"tasks": ["x"] * (MOST + 2)})
    found, faults = tasks_in(arguments)
    assert len(found) == MOST
    assert faults == ["a call starts at most 64 threads; tasks 65 to 66 were not started"]
    calls = Calls()
    calls.feed(CallDelta(0, "a", SPAWN))
    assert len(calls.feed(CallDelta(0, arguments=arguments))) == MOST


@pytest.mark.parametrize(("arguments", "ids"), [
    ('{"ids": ["t1", "t2", "t1"]}', ["t1", "t2"]), ('{"ids": "t1"}', ["t1"]), ("", None),
    ("{}", None), ('{"ids": []}', None), ('{"ids": [1]}', "`ids` must be a list of names such"
                                          " as t1")])
def test_a_join_names_threads_or_means_all(arguments: str, ids: list[str] | str | None) -> None:
    assert ids_in(arguments) == ids
