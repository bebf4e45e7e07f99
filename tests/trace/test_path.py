"""The critical path itself."""

from __future__ import annotations

from hypothesis import given

from plait.core.events import Event, Joined, Started, Wrote
from plait.trace import Meter
from plait.trace.path import critical_path
from tests.trace.graphs import runs

ROOT = Started(0, "0", None, "root", "thread", 0)


def path(events: list[Event]) -> list[tuple[str, int, int, int]]:
    meter = Meter()
    for event in events:
        meter.feed(event)
    return [(s.attempt.thread, s.begin, s.end, s.clock) for s in critical_path(meter.clocks)]


def child(name: str, at: int, after: tuple[str, ...] = (), attempt: int = 0) -> Started:
    return Started(0, name, "0", "fork", "thread", at, after=after, attempt=attempt)


def wrote(thread: str, tokens: int) -> Wrote:
    return Wrote(0, thread, "", tokens)


def test_no_thread_has_no_path() -> None:
    assert path([]) == []


def test_it_goes_through_the_slowest_child_and_back() -> None:
    assert path([ROOT, wrote("0", 5), child("0.0", 5), child("0.1", 3), wrote("0.0", 4),
                 wrote("0.1", 9), Joined(0, "0", ("0.0", "0.1")), wrote("0", 2)]) == [
        ("0", 0, 3, 0), ("0.1", 0, 9, 3), ("0", 5, 7, 12)]


def test_a_parent_that_wrote_longer_than_its_children_keeps_it() -> None:
    assert path([ROOT, wrote("0", 2), child("0.0", 2), wrote("0.0", 3), wrote("0", 8),
                 Joined(0, "0", ("0.0",)), wrote("0", 1)]) == [("0", 0, 11, 0)]


def test_it_goes_through_what_a_thread_was_given_and_through_failed_attempts() -> None:
    assert path([ROOT, wrote("0", 1), child("0.0", 1), wrote("0.0", 5),
                 child("0.1", 1, after=("0.0",)), wrote("0.1", 2),
                 child("0.1", 1, after=("0.0",), attempt=1), wrote("0.1", 3),
                 Joined(0, "0", ("0.1",))]) == [
        ("0", 0, 1, 0), ("0.0", 0, 5, 1), ("0.1", 0, 2, 6), ("0.1", 0, 3, 8)]


@given(runs())
def test_its_stretches_follow_each_other_without_a_gap_and_add_up(events: list[Event]) -> None:
    meter = Meter()
    for event in events:
        meter.feed(event)
    clock = 0
    for stretch in critical_path(meter.clocks):
        assert stretch.clock == clock
        assert 0 <= stretch.begin < stretch.end <= stretch.attempt.tokens
        clock += stretch.end - stretch.begin
    assert clock == meter.metrics().critical_path_tokens
