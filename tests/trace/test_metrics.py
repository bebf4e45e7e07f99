"""The metrics of a trace: known graphs by hand, random ones by a second, brute-force count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Ended,
    Event,
    Joined,
    Rewrote,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.errors import TraceError
from plait.trace import Meter, Metrics, measure
from tests.trace.graphs import runs
from tests.trace.recount import Graph, beside, forks, inserted, most_at_engine, split, total

ROOT = Started(0.0, "0", None, "root", "thread", 0)


def wrote(thread: str, tokens: int) -> Wrote:
    return Wrote(0.0, thread, "x" * tokens, tokens)


def child(name: str, at: int, **more: object) -> Started:
    return Started(0.0, name, name.rpartition(".")[0], "fork", "thread", at, **more)


def done(name: str, status: str = "done") -> Ended:
    return Ended(0.0, name, status)


def fork_join(name: str, at: int, lengths: list[int]) -> list[Event]:
    """A block of children of ``name`` that write ``lengths`` tokens each."""
    children = [f"{name}.{at}{i}" for i in range(len(lengths))]
    events: list[Event] = [child(c, at) for c in children]
    for c, length in zip(children, lengths, strict=True):
        events += [wrote(c, length), done(c)]
    return [*events, Joined(0.0, name, tuple(children))]


def test_an_empty_trace_has_no_tokens_and_no_parallelism() -> None:
    assert measure([]) == Metrics()
    assert (measure([]).parallelism, measure([]).acceleration_ratio) == (1.0, 0.0)


def test_a_sequential_run_is_its_own_critical_path() -> None:
    metrics = measure([ROOT, wrote("0", 7), wrote("0", 5), done("0")])
    assert (metrics.total_tokens, metrics.critical_path_tokens, metrics.parallelism) == (12, 12, 1)
    assert not metrics.activation
    assert (metrics.threads, metrics.depth, metrics.parallel_share) == (1, 0, 0.0)


@given(st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(0, 9), min_size=1, max_size=4)),
                max_size=5), st.integers(0, 9))
def test_plain_fork_join_takes_the_sequential_parts_and_the_longest_thread_of_each_block(
    blocks: list[tuple[int, list[int]]], rest: int
) -> None:
    events: list[Event] = [ROOT]
    at = 0
    for shared, lengths in blocks:
        at += shared
        events += [wrote("0", shared), *fork_join("0", at, lengths)]
    metrics = measure([*events, wrote("0", rest), done("0")])
    longest = sum(shared + max(lengths) for shared, lengths in blocks)
    assert metrics.critical_path_tokens == longest + rest
    assert metrics.total_tokens == rest + sum(s + sum(lengths) for s, lengths in blocks)
    assert metrics.forks == len(blocks)


def test_a_nested_block_counts_within_its_thread() -> None:
    events = [ROOT, wrote("0", 3), child("0.0", 3), child("0.1", 3), wrote("0.0", 2),
              *fork_join("0.0", 2, [4, 9]), wrote("0.0", 1), done("0.0"), wrote("0.1", 10),
              done("0.1"), Joined(0.0, "0", ("0.0", "0.1")), wrote("0", 5), done("0")]
    metrics = measure(events)
    assert metrics.critical_path_tokens == 3 + (2 + 9 + 1) + 5
    assert (metrics.depth, metrics.forks, metrics.threads) == (2, 2, 5)


def test_a_child_that_started_early_overlaps_with_what_its_parent_wrote_after() -> None:
    events = [ROOT, wrote("0", 10), child("0.0", 4), wrote("0.0", 5), done("0.0"),
              Joined(0.0, "0", ("0.0",)), wrote("0", 1)]
    assert measure(events).critical_path_tokens == 11
    events[3] = wrote("0.0", 8)
    assert measure(events).critical_path_tokens == 4 + 8 + 1


def test_a_child_of_an_earlier_point_does_not_wait_for_a_join_that_came_later() -> None:
    events = [ROOT, wrote("0", 2), child("0.0", 2), wrote("0.0", 50), done("0.0"),
              Joined(0.0, "0", ("0.0",)), child("0.1", 1), child("0.2", 2), wrote("0.1", 60),
              wrote("0.2", 1), done("0.1"), done("0.2"), Joined(0.0, "0", ("0.1", "0.2"))]
    assert measure(events).critical_path_tokens == 1 + 60
    assert measure([*events[:8], wrote("0.2", 30), done("0.2"),
                    Joined(0.0, "0", ("0.2",))]).critical_path_tokens == 2 + 50 + 30


def test_a_thread_starts_after_the_threads_whose_results_it_was_given() -> None:
    events = [ROOT, child("0.0", 0), wrote("0.0", 6), done("0.0"), child("0.1", 0, after=("0.0",)),
              wrote("0.1", 4), done("0.1"), Joined(0.0, "0", ("0.1",))]
    assert measure(events).critical_path_tokens == 10


def test_a_retry_comes_after_the_attempt_that_failed_and_wastes_it() -> None:
    events = [ROOT, child("0.0", 0), wrote("0.0", 6), child("0.0", 0, attempt=1), wrote("0.0", 4),
              done("0.0"), Joined(0.0, "0", ("0.0",))]
    metrics = measure(events)
    assert (metrics.critical_path_tokens, metrics.wasted_tokens) == (10, 6)
    assert (metrics.threads, metrics.forks) == (2, 1)


def test_a_thread_that_nothing_waited_for_is_not_on_the_critical_path() -> None:
    events = [ROOT, wrote("0", 3), child("0.0", 3), wrote("0.0", 90), done("0.0", "cancelled"),
              done("0")]
    metrics = measure(events)
    assert (metrics.critical_path_tokens, metrics.wasted_tokens) == (3, 90)


def test_rewritten_tokens_stay_in_the_total_and_on_the_clock_but_are_wasted() -> None:
    events = [ROOT, wrote("0", 20), Rewrote(0.0, "0", 15, "x" * 15),
              Appended(0.0, "0", "runtime", "shorter", 2), wrote("0", 5), done("0")]
    metrics = measure(events)
    assert (metrics.total_tokens, metrics.critical_path_tokens) == (25, 25)
    assert (metrics.wasted_tokens, metrics.useful_tokens, metrics.inserted_tokens) == (15, 10, 2)


def test_once_a_fallback_ran_everything_outside_it_is_wasted() -> None:
    events = [ROOT, wrote("0", 9), Started(0.0, "0.0", "0", "spawn", "fallback", 9),
              wrote("0.0", 7), done("0.0"), Joined(0.0, "0", ("0.0",)), done("0")]
    metrics = measure(events)
    assert (metrics.wasted_tokens, metrics.useful_tokens) == (9, 7)
    assert (metrics.parallel_tokens, metrics.forks, metrics.activation) == (0, 0, False)


def test_what_judges_write_is_verification() -> None:
    events = [ROOT, wrote("0", 9), Started(0.0, "0.0", "0", "spawn", "judge", 9),
              wrote("0.0", 4), done("0.0"), Joined(0.0, "0", ("0.0",)), done("0")]
    metrics = measure(events)
    assert (metrics.verification_tokens, metrics.useful_tokens, metrics.wasted_tokens) == (4, 9, 0)


def test_the_engines_counts_are_summed_and_guesses_are_marked() -> None:
    events: list[Event] = [
        RunStarted(0.0, "r", "q", "nano", "plait-nano", "native", "apr", 0), ROOT,
        Appended(0.0, "0", "prompt", "question", 9, estimated=True), Asked(0.1, "0", 9, None),
        Wrote(0.2, "0", "ab", 2), Answered(0.3, "0", "stop", 9, 4, 2), Asked(0.3, "0", 12, None),
        Answered(0.5, "0", "eos", 12, 9, 0),
    ]
    metrics = measure(events)
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.estimated) == (21, 13, False)
    assert measure([*events, Wrote(0.6, "0", "c", 1, estimated=True)]).estimated
    end = RunEnded(2.5, "answered", "1", True, "native", None)
    assert measure([*events, end]).wall_seconds == 2.5


def test_threads_at_the_engine_are_counted_while_their_requests_are_open() -> None:
    events: list[Event] = [ROOT, child("0.0", 0), child("0.1", 0), Asked(0.0, "0.0", 1, None),
                           Asked(0.0, "0.1", 1, None), done("0.0"), Asked(0.0, "0", 1, None)]
    assert measure(events).max_parallel == 2


def test_a_thread_that_never_started_is_an_error_that_names_it() -> None:
    with pytest.raises(TraceError, match=r"`0\.4` appears in the trace before it started"):
        measure([ROOT, wrote("0.4", 1)])


@settings(max_examples=200)
@given(runs())
def test_every_number_agrees_with_a_brute_force_count(events: list[Event]) -> None:
    metrics = measure(events)
    wasted, verification = split(events)
    assert metrics.critical_path_tokens == Graph(events).critical_path()
    assert metrics.total_tokens == total(events)
    assert (metrics.wasted_tokens, metrics.verification_tokens) == (wasted, verification)
    assert metrics.useful_tokens == total(events) - wasted - verification
    assert metrics.parallel_tokens == beside(events)
    assert metrics.forks == forks(events)
    assert metrics.inserted_tokens == inserted(events)
    assert metrics.max_parallel == most_at_engine(events)
    assert metrics.threads == len({e.thread for e in events if isinstance(e, Started)})
    assert metrics.critical_path_tokens <= metrics.total_tokens


@given(runs(), st.data())
def test_asking_for_the_numbers_midway_changes_nothing(events: list[Event], data: st.DataObject
                                                       ) -> None:
    stop = data.draw(st.integers(0, len(events)))
    meter = Meter()
    for event in events[:stop]:
        meter.feed(event)
    assert meter.metrics() == measure(events[:stop])
    for event in events[stop:]:
        meter.feed(event)
    assert meter.metrics() == measure(events)
