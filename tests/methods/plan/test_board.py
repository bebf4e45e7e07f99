"""From a plan's subtasks to what threads do: order, coalescing, dependences found on the way."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.methods.plan.board import Board
from plait.methods.plan.subtask import Subtask


def sub(name: str, *needs: str, task: str = "", tokens: int = 300) -> Subtask:
    return Subtask(name, task or f"Work out {name}.", needs, tokens)


def board_of(subtasks: Sequence[Subtask], least: int = 100, most: int = 32) -> Board:
    board = Board(least, most)
    for subtask in subtasks:
        board.add(subtask)
    return board


def names(units: Sequence[object]) -> list[str]:
    return [unit.name for unit in units]  # type: ignore[attr-defined]


def test_a_unit_is_ready_once_all_it_needs_is_done() -> None:
    board = board_of([sub("a"), sub("b", "a"), sub("c")])
    assert names(board.ready) == ["a", "c"]
    board.units[0].state = "done"
    assert names(board.ready) == ["b", "c"]
    assert names(board.given(board.units[1])) == ["a"]


def test_small_subtasks_share_a_thread_until_they_are_worth_one() -> None:
    board = board_of([sub(n, tokens=40) for n in "abcde"])
    assert names(board.units) == ["a+b+c", "d+e"]
    assert names(board.ready) == ["a+b+c"]  # the other may still grow
    assert board.close() == []
    assert names(board.ready) == ["a+b+c", "d+e"]
    assert board.units[0].task == "- a: Work out a.\n- b: Work out b.\n- c: Work out c."


def test_a_plan_of_trifles_is_one_thread() -> None:
    board = board_of([sub("a", tokens=20), sub("b", "a", tokens=20)])
    assert board.close() == []
    assert names(board.units) == ["a+b"]
    assert board.units[0].needs == set()


def test_a_large_subtask_joins_small_ones_only_if_it_needs_them() -> None:
    board = board_of([sub("a", tokens=20), sub("x"), sub("b", "a"), sub("c", tokens=20)])
    assert board.close() == []
    assert names(board.units) == ["a+b", "x", "c"]
    assert names(board.ready) == ["a+b", "x", "c"]


def test_gathering_never_makes_a_unit_wait_for_itself() -> None:
    board = board_of([sub("a", tokens=20), sub("x", "later"), sub("c", "x", tokens=20)])
    board.add(sub("later", "a", tokens=20))
    assert board.close() == []
    assert names(board.units) == ["a", "x", "c", "later"]


def test_what_exceeds_the_most_units_is_gathered_in_the_last() -> None:
    board = board_of([sub(n) for n in "abcdef"], most=3)
    assert board.close() == []
    assert len(board.units) == 3
    assert sum(len(u.subtasks) for u in board.units) == 6


def test_a_subtask_may_need_one_that_is_named_later() -> None:
    board = board_of([sub("a", "b")])
    assert board.ready == []
    board.add(sub("b"))
    assert names(board.ready) == ["b"]
    assert board.close() == []


def test_subtasks_that_need_each_other_are_a_circle() -> None:
    assert set(board_of([sub("a", "b"), sub("b", "a")]).close()) == {"a", "b"}


@pytest.mark.parametrize(("subtasks", "says"), [
    ([sub("a", "a")], "`a` says it needs itself"),
    ([sub("a"), sub("a")], "the plan names `a` twice"),
    ([sub("a", "ghost")], "`a` needs `ghost`, which the plan does not have"),
    ([sub("a"), sub("b", task="Double the result of subtask a.")], "`b` speaks of `a`"),
])
def test_oddities_are_repaired_and_noted(subtasks: list[Subtask], says: str) -> None:
    board = board_of(subtasks)
    assert board.close() == []
    assert any(note.startswith(says) for note in board.notes)
    assert board.ready


def test_a_running_unit_that_turns_out_to_depend_on_a_later_one_is_put_off() -> None:
    board = board_of([sub("a", task="Paint a wall of the size W1."), sub("x")])
    board.units[0].state = "running"
    put_off = board.add(sub("b", task="Work out the size of the wall; call it W1."))
    assert names(put_off) == ["a"]
    assert board.units[0].needs == {"b"}
    assert names(board.ready) == ["x", "b"]


def test_a_late_dependence_that_would_close_a_circle_is_not_taken() -> None:
    board = board_of([sub("a", task="Use W1."),
                      sub("b", "a", task="Work out the size; call it W1.")])
    assert board.units[0].needs == set()
    assert board.close() == []


def test_the_longest_path_counts_what_depends_on_each_other() -> None:
    board = board_of([sub("a"), sub("b", "a"), sub("c", tokens=400)])
    assert board.path() == 600


@st.composite
def plans(draw: st.DrawFn) -> list[Subtask]:
    count = draw(st.integers(1, 12))
    ids = [f"s{i}" for i in range(count)]
    order = draw(st.permutations(range(count)))
    return [Subtask(ids[i], "Do it.",
                    tuple(ids[j] for j in draw(st.sets(st.integers(0, count - 1), max_size=3))
                          if order[j] < order[i]),
                    draw(st.integers(1, 200))) for i in range(count)]


@given(plans(), st.integers(1, 300), st.integers(1, 12))
def test_every_plan_without_circles_is_worked_off_whole(
    plan: list[Subtask], least: int, most: int
) -> None:
    board = board_of(plan, least, most)
    if board.close():  # gathering what exceeds `most` may need a circle; the plan is then refused
        assert most < len(plan)
        return
    done: list[str] = []
    while board.ready:
        unit = board.ready[0]
        assert unit.needs <= set(done)
        unit.state = "done"
        done += [s.id for s in unit.subtasks]
    assert sorted(done) == sorted(s.id for s in plan)
    assert len(board.units) <= max(most, 1)
