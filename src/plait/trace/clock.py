"""Causal clocks: when each thread's tokens come, counted in tokens instead of seconds.

The clock of a thread is the length, in generated tokens, of the longest chain of work that its
next token depends on:

- the root starts at 0; a thread starts where its parent stood after ``at`` tokens, but not before
  the threads in ``after`` had ended;
- a generated token moves the clock of its thread by one;
- a join raises the clock to that of the slowest child that was waited for;
- a retry does not start before the attempt that failed.

So a thread's clock is a function of its own token count: slope one, with a jump at each join. Its
`points` are where the pieces begin. The same numbers say when the thread would write on an engine
that serves everybody at once, one token each a step (`plait.trace.simulate`): from the start of
each piece to its end it writes, in between it waits.

``at`` counts tokens of the parent's present attempt. A join at the same token count belongs to
the past of a child that is started after it, not of one that was started before it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from plait.core.events import Ended, Joined, Rewrote, Role, Started, Wrote
from plait.core.outcome import Status
from plait.errors import TraceError


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at a thread, with its clock as far as it got."""

    thread: str
    role: Role
    parent: Attempt | None
    depth: int
    points: list[int]
    """Token counts at which a piece of the clock begins; the first is 0."""
    clocks: list[int]
    """The clock at those points."""
    tokens: int = 0
    removed: int = 0
    """Generated tokens that a rewrite took out of the context."""
    status: Status | None = None
    """None while it runs, or if a retry took its place."""
    cut: int | None = None
    """The clock at which it was cancelled: that of its parent's join, step or end just then."""
    origins: list[Place | None] = field(default_factory=list)
    """What each piece waited for: where its clock comes from. None for the root's first one."""
    undecided: list[Attempt] = field(default_factory=list)
    """Cancelled children; what this thread does next says when it gave them up: a join that leaves
    them out is the one that cancelled them."""

    @property
    def clock(self) -> int:
        """The clock after everything written and joined so far."""
        return self.clocks[-1] + self.tokens - self.points[-1]

    def place(self, tokens: int | None = None) -> Place:
        """After the first ``tokens`` tokens (None: all) and all joins so far up to there."""
        tokens = self.tokens if tokens is None else min(tokens, self.tokens)
        return Place(self, tokens, bisect_right(self.points, tokens) - 1)

    def raise_to(self, place: Place) -> None:
        """A join: nothing comes before ``place`` from here on."""
        if place.clock > self.clock:
            self.points.append(self.tokens)
            self.clocks.append(place.clock)
            self.origins.append(place)

    def give_up(self) -> None:
        """Cancelled children of this thread stop at the present clock."""
        for child in self.undecided:
            child.cut = self.clock
        self.undecided.clear()

    def spans(self) -> list[tuple[int, int]]:
        """The stretches of the clock ``[from, to)`` in which it writes."""
        ends = [*self.points[1:], self.tokens]
        return [(clock, clock + end - point)
                for point, clock, end in zip(self.points, self.clocks, ends, strict=True)
                if end > point]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a thread: after ``tokens`` of its tokens, in the given piece of its clock."""

    attempt: Attempt
    tokens: int
    piece: int

    @property
    def clock(self) -> int:
        return self.attempt.clocks[self.piece] + self.tokens - self.attempt.points[self.piece]


class Clocks:
    """Follows the events of a run and keeps every thread's clock. O(log joins) an event."""

    def __init__(self) -> None:
        self.root: Attempt | None = None
        self.attempts: dict[str, list[Attempt]] = {}
        """The attempts at each thread, in order. The last one is the one that counts."""
        self._now: dict[str, Attempt] = {}

    def __getitem__(self, thread: str) -> Attempt:
        """The present attempt at ``thread``. Raises `TraceError` if it never started."""
        try:
            return self._now[thread]
        except KeyError:
            raise TraceError(f"thread `{thread}` appears in the trace before it started") from None

    def started(self, event: Started) -> Attempt:
        parent = None if event.parent is None else self[event.parent]
        waits = [] if parent is None else [parent.place(event.at)]
        waits += [self[name].place() for name in event.after]
        if event.attempt and event.thread in self._now:
            waits.append(self._now[event.thread].place())
        elif parent is not None:
            parent.give_up()
        origin = max(waits, key=_clock, default=None)
        depth = 0 if parent is None else parent.depth + 1
        attempt = Attempt(event.thread, event.role, parent, depth, [0],
                          [0 if origin is None else origin.clock], origins=[origin])
        self.attempts.setdefault(event.thread, []).append(attempt)
        self._now[event.thread] = attempt
        if parent is None:
            self.root = attempt
        return attempt

    def wrote(self, event: Wrote) -> None:
        attempt = self[event.thread]
        if attempt.undecided:
            attempt.give_up()
        attempt.tokens += event.tokens

    def joined(self, event: Joined) -> Attempt:
        attempt = self[event.thread]
        if event.children:
            attempt.raise_to(max((self[name].place() for name in event.children), key=_clock))
        if attempt.undecided:
            attempt.undecided = [c for c in attempt.undecided if c.thread not in event.children]
        attempt.give_up()
        return attempt

    def rewrote(self, event: Rewrote) -> None:
        attempt = self[event.thread]
        attempt.removed = min(attempt.removed + event.removed, attempt.tokens)

    def ended(self, event: Ended) -> None:
        attempt = self[event.thread]
        attempt.status = event.status
        attempt.give_up()
        if event.status != "cancelled" or attempt.parent is None:
            return
        parent = attempt.parent
        if parent.status is not None:
            attempt.cut = parent.clock
        else:
            parent.undecided.append(attempt)


def _clock(place: Place) -> int:
    return place.clock
