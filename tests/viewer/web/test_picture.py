"""The shapes of the timeline."""

from __future__ import annotations

import re

from hypothesis import given

from plait.core.events import Answered, Asked, Ended, Event, Joined, Started, Wrote
from plait.viewer.web import View
from plait.viewer.web.picture import AXES, HEIGHT, draw
from tests.trace.graphs import runs
from tests.viewer.runs import HEADER, ROOT, whole_run
from tests.viewer.web.big import big_run


def boxes(data: str) -> list[tuple[int, int]]:
    """Where the rectangles of path data begin and end."""
    return [(int(begin), int(begin) + int(width))
            for begin, width in re.findall(r"M(-?\d+) [\d.]+h(\d+)v", data)]


def test_on_the_axis_of_time_a_thread_reads_writes_and_waits_when_it_did() -> None:
    root = draw(View(whole_run())).rows[0].bars["time"]
    assert boxes(root.reads) == [(0, 5000), (20000, 30000)]
    assert boxes(root.writes) == [(5000, 10000), (30000, 40000)]
    assert boxes(root.waits) == [(0, 40000)]


def test_on_the_axis_of_tokens_a_thread_stands_at_its_causal_clock() -> None:
    rows = draw(View(whole_run())).rows
    assert boxes(rows[0].bars["tokens"].writes) == [(0, 2), (4, 5)]
    assert boxes(rows[1].bars["tokens"].writes) == [(2, 4)]


def test_the_critical_path_is_lit_where_it_was_written() -> None:
    picture = draw(View(whole_run()))
    assert [row.lit for row in picture.rows] == [True, True, False, False, False]
    assert boxes(picture.rows[1].bars["time"].path) == [(15000, 20000)]
    assert boxes(picture.rows[1].bars["tokens"].path) == [(2, 4)]
    assert picture.scales["tokens"].lit_links == "M2 10H2V30M4 30H4V10"


def test_what_was_in_vain_is_marked_and_after_a_fallback_that_is_all_besides_it() -> None:
    assert [row.lost for row in draw(View(whole_run())).rows] == [False] * 3 + [True, False]
    events: list[Event] = [
        HEADER, ROOT, Started(0, "0.0", "0", "fork", "thread", 0), Wrote(1, "0.0", "x", 1),
        Ended(1, "0.0", "done"), Started(1, "0.1", "0", "spawn", "fallback", 0),
        Wrote(2, "0.1", "y", 1), Ended(2, "0.1", "done", value="7")]
    assert [row.lost for row in draw(View(events)).rows] == [True, True, False]


def test_waiting_between_two_requests_is_not_drawn_as_writing() -> None:
    events: list[Event] = [
        HEADER, ROOT, Asked(0, "0", 1, None), Wrote(1, "0", "a", 3),
        Answered(2, "0", "stop", 1, 0, 3), Started(2, "0.0", "0", "fork", "thread", 3),
        Ended(8, "0.0", "done"),
        Joined(8, "0", ("0.0",)), Asked(8, "0", 1, None), Wrote(9, "0", "b", 3),
        Answered(10, "0", "eos", 1, 0, 3), Ended(10, "0", "done")]
    bars = draw(View(events)).rows[0].bars["time"]
    assert boxes(bars.writes) == [(10000, 20000), (90000, 100000)]
    assert bars.path == bars.writes


def test_forks_and_joins_reach_to_the_furthest_child() -> None:
    links = draw(View(whole_run())).scales["time"].links
    assert links == f"M10000 10V{4.5 * HEIGHT:g}M20000 10V{4.5 * HEIGHT:g}"


def test_the_profile_shows_the_most_that_write_at_once() -> None:
    picture = draw(View(whole_run()))
    assert picture.scales["time"].most == 4
    assert picture.scales["tokens"].most == 4
    assert draw(View([HEADER, ROOT])).scales["time"].most == 0


def test_two_pictures_can_share_the_length_of_their_axes() -> None:
    picture = draw(View(whole_run()), {"time": 90_000, "tokens": 3})
    assert picture.scales["time"].length == 90_000
    assert picture.scales["tokens"].length == 5


def test_a_child_of_an_attempt_that_failed_is_within_the_axis() -> None:
    def attempt(t: float, number: int, text: str) -> list[Event]:
        return [Started(t, "0.0", "0", "fork", "thread", 0, attempt=number),
                Started(t, "0.0.0", "0.0", "fork", "thread", 0),
                Wrote(t + 1, "0.0.0", text, len(text)), Ended(t + 1, "0.0.0", "failed"),
                Ended(t + 1, "0.0", "failed")]

    picture = draw(View([HEADER, ROOT, *attempt(1, 0, "xxxxxxxx"), *attempt(3, 1, "x")]))
    assert boxes(picture.rows[2].bars["tokens"].writes) == [(0, 8)]
    assert picture.scales["tokens"].length == 8


@given(runs())
def test_any_run_so_far_can_be_drawn_within_its_axes(events: list[Event]) -> None:
    picture = draw(View(events))
    for axis in AXES:
        scale = picture.scales[axis]
        thin = scale.length / 500 + 1
        for row in picture.rows:
            for shape in (row.bars[axis].writes, row.bars[axis].path, row.bars[axis].reads):
                assert all(-1 <= a <= b <= scale.length + thin for a, b in boxes(shape))
        assert all(-0.01 <= tick.at <= 100.01 for tick in scale.ticks)


def test_a_large_run_has_a_row_a_thread_each_below_its_parent() -> None:
    view = View(big_run(300, chunks=2))
    rows = draw(view).rows
    assert len(rows) == 300
    place = {row.strand.name: row.place for row in rows}
    assert all(place[r.strand.parent.name] < r.place for r in rows if r.strand.parent is not None)
