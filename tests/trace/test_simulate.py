"""Ideal seconds of a graph: by hand, and against an engine played step by step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.events import Ended, Event, Joined, Started, Wrote
from plait.errors import UsageError
from plait.trace import attainable_speedup, curve, ideal_seconds, measure
from tests.trace.graphs import runs
from tests.trace.recount import Graph

ROOT = Started(0.0, "0", None, "root", "thread", 0)


def wrote(thread: str, tokens: int) -> Wrote:
    return Wrote(0.0, thread, "x" * tokens, tokens)


def child(name: str, at: int) -> Started:
    return Started(0.0, name, name.rpartition(".")[0], "fork", "thread", at)


def step(active: int) -> float:
    """One second, and a tenth more for each further thread."""
    return 1.0 + 0.1 * (active - 1)


BLOCK: list[Event] = [
    ROOT, wrote("0", 2), child("0.0", 2), child("0.1", 2), wrote("0.0", 3), wrote("0.1", 5),
    Ended(0.0, "0.0", "done"), Ended(0.0, "0.1", "done"), Joined(0.0, "0", ("0.0", "0.1")),
    wrote("0", 1), Ended(0.0, "0", "done"),
]


def test_nothing_takes_no_time() -> None:
    assert ideal_seconds([], step) == 0.0
    assert ideal_seconds([ROOT], step) == 0.0


def test_a_parent_that_waits_for_its_children_takes_no_part_in_their_steps() -> None:
    seconds = 2 * step(1) + 3 * step(2) + 2 * step(1) + 1 * step(1)
    assert ideal_seconds(BLOCK, step) == pytest.approx(seconds)


def test_a_parent_that_goes_on_writing_shares_the_steps() -> None:
    events = [ROOT, wrote("0", 6), child("0.0", 2), wrote("0.0", 3), Ended(0.0, "0.0", "done"),
              Joined(0.0, "0", ("0.0",)), wrote("0", 1)]
    assert ideal_seconds(events, step) == pytest.approx(2 + 3 * step(2) + 1 + 1)


def test_a_cancelled_child_stops_at_the_join_that_did_not_wait_for_it() -> None:
    events = [ROOT, wrote("0", 1), child("0.0", 1), child("0.1", 1), wrote("0.0", 4),
              wrote("0.1", 9), Ended(0.0, "0.0", "done"), Ended(0.0, "0.1", "cancelled"),
              Joined(0.0, "0", ("0.0",)), wrote("0", 20), Ended(0.0, "0", "done")]
    assert ideal_seconds(events, step) == pytest.approx(1 + 4 * step(2) + 20)


def test_a_child_that_was_cancelled_before_a_new_block_stops_there() -> None:
    events = [ROOT, child("0.0", 0), child("0.1", 0), wrote("0.0", 2), wrote("0.1", 9),
              Ended(0.0, "0.0", "done"), Joined(0.0, "0", ("0.0",)),
              Ended(0.0, "0.1", "cancelled"), child("0.2", 0), wrote("0.2", 4),
              Ended(0.0, "0.2", "done"), Joined(0.0, "0", ("0.2",)), Ended(0.0, "0", "done")]
    assert ideal_seconds(events, step) == pytest.approx(2 * step(2) + 4)


def test_a_child_that_outlives_its_parent_stops_with_it() -> None:
    events = [ROOT, child("0.0", 0), child("0.0.0", 0), wrote("0.0", 2), wrote("0.0.0", 9),
              Ended(0.0, "0.0", "done"), Ended(0.0, "0.0.0", "cancelled"),
              Joined(0.0, "0", ("0.0",)), wrote("0", 5), Ended(0.0, "0", "done")]
    assert ideal_seconds(events, step) == pytest.approx(2 * step(2) + 5)


def test_a_cancelled_child_writes_no_more_than_it_did() -> None:
    events = [ROOT, child("0.0", 0), child("0.1", 0), wrote("0.0", 4), wrote("0.1", 1),
              Ended(0.0, "0.0", "done"), Ended(0.0, "0.1", "cancelled"),
              Joined(0.0, "0", ("0.0",)), Ended(0.0, "0", "done")]
    assert ideal_seconds(events, step) == pytest.approx(1 * step(2) + 3)


def test_the_attainable_speedup_compares_with_the_seconds_of_a_sequential_run() -> None:
    events = BLOCK
    assert attainable_speedup(events, 22.0, step) == pytest.approx(22 / (5 + 3 * 1.1))
    assert attainable_speedup([ROOT], 11, step) is None


@settings(max_examples=60)
@given(runs())
def test_any_run_takes_as_long_as_when_played_step_by_step(events: list[Event]) -> None:
    assert ideal_seconds(events, step) == pytest.approx(Graph(events).seconds(step))


@given(runs())
def test_on_an_engine_that_does_not_slow_down_the_steps_are_the_critical_path(
    events: list[Event]
) -> None:
    assert ideal_seconds(events, lambda active: 1.0) == measure(events).critical_path_tokens


@given(runs(), st.floats(0.0, 1.0))
def test_on_an_engine_without_batching_the_time_is_at_most_one_step_a_token(
    events: list[Event], share: float
) -> None:
    seconds = ideal_seconds(events, lambda active: float(active))
    assert seconds <= measure(events).total_tokens + 1e-9
    assert ideal_seconds(events, lambda n: 1 + share * (n - 1)) <= seconds + 1e-9


def test_a_curve_is_straight_between_points_and_goes_on_with_its_last_slope() -> None:
    time = curve({1: 1.0, 4: 4.0, 8: 6.0})
    assert [time(n) for n in (1, 2, 4, 6, 8, 10)] == [1.0, 2.0, 4.0, 5.0, 6.0, 7.0]


def test_a_curve_holds_its_value_below_the_first_point_and_never_falls_beyond_the_last() -> None:
    time = curve({2: 3.0, 4: 2.0})
    assert (time(1), time(9)) == (3.0, 2.0)
    assert curve({3: 5.0})(100) == 5.0
    with pytest.raises(UsageError, match="at least one"):
        curve({})
