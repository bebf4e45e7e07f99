"""The tree as lines: what is shown, in which order, in how much room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from plait.core.events import Ended, Event, Started, Wrote
from plait.viewer import PlainLines, Scene, report
from plait.viewer.timeline import cells, timeline_lines
from plait.viewer.tree import rows, tree_lines
from tests.trace.graphs import runs
from tests.viewer.runs import HEADER, ROOT, child, over, whole_run


def plain(events: list[Event], width: int = 90, height: int | None = None) -> list[str]:
    return [line.plain.rstrip() for line in tree_lines(Scene(events), width, height)]


def test_every_thread_has_a_line_with_its_state_tokens_and_findings() -> None:
    assert plain(whole_run()) == [
        "0       ✓ done                 3 tok        46+46=92",
        "├─ 0.0  · no solution          2 tok  #0,0",
        "├─ 0.1  ✓ done                 2 tok  #0,1  46+46=92",
        "├─ 0.2  ✗ failed               2 tok  #0,2  the server closed the connection",
        "└─ 0.3  · no solution          2 tok  #0,3",
    ]


def test_where_room_is_short_running_and_successful_threads_stay() -> None:
    events: list[Event] = [HEADER, ROOT]
    for index in range(16):
        events += child(index)
        if index not in (6, 15):
            status = "cancelled" if index in (3, 4, 5) else "done"
            events += over(index, status, "92" if index == 9 else None)
    lines = plain(events, height=5)
    assert [line.split()[1] for line in lines[1:4]] == ["0.6", "0.9", "0.15"]
    assert lines[4] == "└─ + 13 more: 10 no solution, 3 cancelled"
    assert len(lines) == 5


def test_a_hidden_thread_hides_what_is_below_it_and_counts_it() -> None:
    events: list[Event] = [HEADER, ROOT, *child(0)]
    for index in range(3):
        events.append(Started(1.0, f"0.0.{index}", "0.0", "fork", "thread", 0))
        events.append(Ended(1.5, f"0.0.{index}", "cancelled"))
    assert plain(events, height=3)[-1] == "   └─ + 3 more: 3 cancelled"
    assert plain([*events, *over(0, "done")], height=2)[-1] == (
        "└─ + 4 more: 3 cancelled, 1 no solution")


@given(runs(), st.integers(2, 12), st.integers(20, 100))
def test_no_line_and_no_tree_is_larger_than_its_room(
    events: list[Event], height: int, width: int
) -> None:
    lines = plain(events, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)


@given(runs(), st.integers(2, 12))
def test_every_thread_is_shown_or_counted(events: list[Event], height: int) -> None:
    scene = Scene(events)
    tree = rows(scene, height)
    shown = sum(not row.hidden for row in tree)
    assert shown + sum(count for row in tree for _, count in row.hidden) == len(scene.strands)


@pytest.mark.parametrize("nasty", ["\x1b[2J\x1b]0;title\x07", "a\u202egnp.exe", "x\r\ny",
                                   "\x9b31m"])
def test_nothing_that_a_model_says_reaches_the_terminal_as_a_command(nasty: str) -> None:
    name = f"0.{nasty}"
    events = [HEADER, ROOT, Started(0.0, name, "0", "fork", "thread", 0, nasty),
              Ended(1.0, name, "failed", nasty), Ended(1.0, "0", "done", "", nasty)]
    text = "".join(line.plain for line in report(Scene(events), 90))
    seen: list[str] = []
    plain_lines = PlainLines(seen.append)
    for event in events:
        plain_lines.feed(event)
    text += "".join(seen)
    assert not set(text) & set("\x1b\x07\x9b\r\u202e")


def test_wide_signs_keep_the_columns_straight() -> None:
    events: list[Event] = [HEADER, ROOT, Started(0.0, "0.0", "0", "fork", "thread", 0, "漢字漢字"),
                           Started(0.0, "0.1", "0", "fork", "thread", 0, "ab"),
                           Wrote(0.0, "0.1", "x", 1)]
    for index in (0, 1):
        events.append(Ended(1.0, f"0.{index}", "done", "", "|"))
    lines = plain(events)[1:]
    assert len({cell_len(line) for line in lines}) == 1


def test_nothing_has_happened_yet_is_no_tree() -> None:
    assert plain([]) == []
    assert plain([HEADER]) == []


def test_a_bar_shows_when_a_thread_read_wrote_and_waited() -> None:
    scene = Scene(whole_run())
    assert cells(scene.strands["0"], 4.0, 16) == "▒▒██────▒▒▒▒████"
    assert cells(scene.strands["0.0"], 4.0, 16) == "    ▒▒██        "


def test_a_thread_that_is_shorter_than_a_cell_is_still_seen() -> None:
    scene = Scene(whole_run())
    assert cells(scene.strands["0.0"], 4000.0, 10).strip() == "█"


def test_a_timeline_that_does_not_fit_is_left_out() -> None:
    scene = Scene(whole_run())
    assert timeline_lines(scene, 20) == []
    assert len(timeline_lines(scene, 60)) == 6
    assert all(line.cell_len <= 60 for line in timeline_lines(scene, 60))
    assert timeline_lines(Scene([]), 60) == []
