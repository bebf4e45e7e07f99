"""What the same graph of threads would take on a given engine, if nothing else were lost.

The engine works in steps; a step with n threads takes ``step_time(n)`` seconds and gives each of
them one token. A thread joins in as soon as what it depends on is there, and while it waits for
children it takes no part. Prompts cost nothing. In such an engine the causal clock of a thread
(`plait.trace.clock`) is the number of the step, so the run is a sum over the clock, up to the
root's end, of the step time for the threads that write there. A cancelled thread takes part until
its parent gave it up, but never writes more than it did write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from plait.core.events import Ended, Event, Joined, Started, Wrote
from plait.errors import UsageError
from plait.trace.clock import Attempt, Clocks

StepTime = Callable[[int], float]


def ideal_seconds(events: Iterable[Event], step_time: StepTime) -> float:
    """Seconds from the first token of the run to the root's last one on an ideal runtime."""
    return seconds_of(steps_by_width(events), step_time)


def seconds_of(steps: Mapping[int, int], step_time: StepTime) -> float:
    """Seconds of ``steps`` as `steps_by_width` counts them."""
    return sum(count * step_time(active) for active, count in steps.items())


def steps_by_width(events: Iterable[Event]) -> dict[int, int]:
    """Threads that write at once -> steps in which so many do, on an ideal runtime. It is all that
    `ideal_seconds` needs of a run, so that another engine's step times can be tried later."""
    clocks = _follow(events)
    if clocks.root is None:
        return {}
    change: Counter[int] = Counter()
    for tries in clocks.attempts.values():
        for attempt in tries:
            until = min(_cuts(attempt, clocks.root.clock))
            for begin, end in attempt.spans():
                if begin < until:
                    change[begin] += 1
                    change[min(end, until)] -= 1
    steps: Counter[int] = Counter()
    active = since = 0
    for clock in sorted(change):
        # Nobody writes only where a cancelled thread was joined nevertheless: it was waited for,
        # so its steps are counted as those of one thread.
        steps[max(active, 1)] += clock - since
        active, since = active + change[clock], clock
    steps[1] += clocks.root.clock - since
    return {width: count for width, count in sorted(steps.items()) if count}


def attainable_speedup(
    events: Iterable[Event], sequential_seconds: float, step_time: StepTime
) -> float | None:
    """The wall speedup that the engine's step times allow for this graph, over a sequential run
    that was writing for ``sequential_seconds``; None where the run wrote nothing."""
    seconds = ideal_seconds(events, step_time)
    return sequential_seconds / seconds if seconds > 0 else None


def curve(points: Mapping[int, float]) -> StepTime:
    """The step time for any number of threads from measured ones (threads -> seconds).

    Straight lines between points. Beyond the last one its slope goes on, or the last value if
    that slope falls (more threads are never cheaper than measured); below the first one its
    value holds. Raises `UsageError` without points.
    """
    if not points:
        raise UsageError("a step-time curve needs at least one measured point")
    known = sorted(points.items())

    def step_time(active: int) -> float:
        if active <= known[0][0] or len(known) == 1:
            return known[0][1]
        for (n0, t0), (n1, t1) in pairwise(known):
            if active <= n1:
                return t0 + (t1 - t0) * (active - n0) / (n1 - n0)
        (n0, t0), (n1, t1) = known[-2:]
        return t1 + max(0.0, (t1 - t0) / (n1 - n0)) * (active - n1)

    return step_time


def _follow(events: Iterable[Event]) -> Clocks:
    clocks = Clocks()
    for event in events:
        match event:
            case Wrote():
                clocks.wrote(event)
            case Started():
                clocks.started(event)
            case Joined():
                clocks.joined(event)
            case Ended():
                clocks.ended(event)
            case _:
                pass
    for tries in clocks.attempts.values():
        for attempt in tries:
            attempt.give_up()
    return clocks


def _cuts(attempt: Attempt, root: int) -> Iterator[int]:
    """The clocks at which it may have to stop: the root's end, and where it or a thread above it
    was cancelled."""
    yield root
    above: Attempt | None = attempt
    while above is not None:
        if above.cut is not None:
            yield above.cut
        above = above.parent
