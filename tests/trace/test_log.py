"""The live trace: order, sinks that come and go, sinks that fail."""

from __future__ import annotations

from plait.core.events import Event, Noted, RunEnded, Started, Wrote
from plait.trace import Trace


def wrote(index: int) -> Wrote:
    return Wrote(float(index), "0", "x", 1)


def test_events_are_kept_in_the_order_in_which_they_were_emitted() -> None:
    trace = Trace([wrote(0)])
    trace.emit(wrote(1))
    assert trace.events == (wrote(0), wrote(1))
    assert len(trace) == 2
    assert trace.events is trace.events


def test_a_sink_gets_what_happens_after_it_subscribed_until_it_leaves() -> None:
    trace, seen = Trace(), list[Event]()
    trace.emit(wrote(0))
    leave = trace.subscribe(seen.append)
    trace.emit(wrote(1))
    leave()
    leave()
    trace.emit(wrote(2))
    assert seen == [wrote(1)]


def test_a_sink_that_asks_for_it_gets_the_past_first() -> None:
    trace, seen = Trace([wrote(0)]), list[Event]()
    trace.subscribe(seen.append, replay=True)
    trace.emit(wrote(1))
    assert seen == [wrote(0), wrote(1)]


def test_a_sink_that_raises_is_dropped_and_reported_once_and_the_others_go_on() -> None:
    trace, seen = Trace(), list[Event]()
    calls = 0

    def broken(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise OSError("disk full")

    trace.subscribe(broken)
    trace.subscribe(seen.append)
    trace.emit(wrote(1))
    trace.emit(wrote(2))
    assert calls == 1
    notes = [e for e in trace.events if isinstance(e, Noted)]
    assert len(notes) == 1
    assert notes[0].warning
    assert "broken failed and was dropped: OSError: disk full" in notes[0].what
    assert [e for e in seen if isinstance(e, Wrote)] == [wrote(1), wrote(2)]
    assert notes[0] in seen


def test_all_sinks_failing_at_once_leave_the_run_alone() -> None:
    trace = Trace()

    def broken(event: Event) -> None:
        raise ValueError(event.kind)

    def worse(event: Event) -> None:
        raise KeyError(event.kind)

    trace.subscribe(broken)
    trace.subscribe(worse)
    trace.emit(RunEnded(1.0, "answered", "x", None, "sequential", None))
    assert len([e for e in trace.events if isinstance(e, Noted)]) == 2
    assert all(e.thread == "0" for e in trace.events if isinstance(e, Noted))


def test_a_sink_may_leave_while_it_is_called() -> None:
    trace, seen = Trace(), list[Event]()

    def once(event: Event) -> None:
        seen.append(event)
        leave()

    leave = trace.subscribe(once)
    trace.emit(Started(0.0, "0", None, "root", "thread", 0))
    trace.emit(wrote(1))
    assert len(seen) == 1
