"""A second opinion on every number of a trace, by the most literal means.

`Graph` writes out one node for every generated token, join and start, with what it depends on.
The critical path is then a longest path by depth-first search, and an ideal engine is played step
by step. Sums scan the whole list of events for each thread anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Ended,
    Event,
    Joined,
    Rewrote,
    Started,
    Wrote,
)


@dataclass(eq=False)
class Node:
    """A token (weight 1), or a start or join (weight 0), that comes after ``before``."""

    weight: int
    before: list[Node]
    tokens: int
    """Tokens of its own thread so far, this one included."""
    depth: int | None = None

    def longest(self) -> int:
        stack = [self]  # chains are longer than Python's own stack
        while stack:
            node = stack[-1]
            open_ = [n for n in node.before if n.depth is None]
            stack += open_
            if not open_:
                node.depth = node.weight + max((n.depth or 0 for n in node.before), default=0)
                stack.pop()
        assert self.depth is not None
        return self.depth


@dataclass(eq=False)
class Try:
    """One attempt at a thread: its nodes in order."""

    thread: str
    parent: Try | None
    chain: list[Node] = field(default_factory=list)
    cancelled_after: tuple[Try, int] | None = None
    """The thread that gave it up, and how many of that thread's nodes were over by then."""


class Graph:
    """The nodes of all attempts."""

    def __init__(self, events: list[Event]) -> None:
        self.tries: list[Try] = []
        self.latest: dict[str, Try] = {}
        for index, event in enumerate(events):
            if isinstance(event, Started):
                self._start(event)
            elif isinstance(event, Wrote):
                for _ in range(event.tokens):
                    self._add(event.thread, 1, [])
            elif isinstance(event, Joined):
                self._add(event.thread, 0, [self.latest[c].chain[-1] for c in event.children])
            elif isinstance(event, Ended) and event.status == "cancelled":
                self._cancel(event.thread, events[index + 1:])

    def _start(self, event: Started) -> None:
        before = [self.latest[name].chain[-1] for name in event.after]
        parent = self.latest[event.parent] if event.parent else None
        if parent is not None:
            before.append([n for n in parent.chain if n.tokens <= event.at][-1])
        if event.attempt:
            before.append(self.latest[event.thread].chain[-1])
        self.latest[event.thread] = Try(event.thread, parent, [Node(0, before, 0)])
        self.tries.append(self.latest[event.thread])

    def _add(self, thread: str, weight: int, before: list[Node]) -> None:
        last = self.latest[thread].chain[-1]
        self.latest[thread].chain.append(Node(weight, [last, *before], last.tokens + weight))

    def _cancel(self, thread: str, rest: list[Event]) -> None:
        this = self.latest[thread]
        parent = this.parent
        if parent is None:
            return
        over = len(parent.chain)
        for event in rest:  # the parent's next act: if it is a join, it stopped waiting there
            if isinstance(event, Started) and event.thread == parent.thread:
                break
            if isinstance(event, Started) and event.parent == parent.thread and not event.attempt:
                break
            if isinstance(event, Wrote | Ended) and event.thread == parent.thread:
                break
            if isinstance(event, Joined) and event.thread == parent.thread:
                over += 1
                break
        this.cancelled_after = (parent, over)

    def critical_path(self) -> int:
        return self.latest["0"].chain[-1].longest()

    def seconds(self, step_time: Callable[[int], float]) -> float:
        """Play the graph: a step gives one token to everyone whose dependencies are there."""
        over: set[Node] = set()
        seconds = 0.0
        root = self.latest["0"]
        while True:
            while self._settle(over):
                pass
            if root.chain[-1] in over:
                return seconds
            active = [n for t in self.tries if not self._stopped(t, over)
                      for n in t.chain if n.weight and _ready(n, over)]
            seconds += step_time(len(active))
            over.update(active)

    def _settle(self, over: set[Node]) -> bool:
        ready = [n for t in self.tries for n in t.chain if not n.weight and _ready(n, over)]
        over.update(ready)
        return bool(ready)

    def _stopped(self, this: Try | None, over: set[Node]) -> bool:
        while this is not None:
            if this.cancelled_after is not None:
                parent, count = this.cancelled_after
                if sum(node in over for node in parent.chain) >= count:
                    return True
            this = this.parent
        return False


def _ready(node: Node, over: set[Node]) -> bool:
    return node not in over and all(n in over for n in node.before)


def total(events: list[Event]) -> int:
    return sum(e.tokens for e in events if isinstance(e, Wrote))


def split(events: list[Event]) -> tuple[int, int]:
    """Tokens wasted and of verification, by looking at each attempt's events alone."""
    starts = [(i, e) for i, e in enumerate(events) if isinstance(e, Started)]
    fallbacks = [e.thread for _, e in starts if e.role == "fallback"]
    parents = {e.thread: e.parent for _, e in starts}
    wasted = verification = 0
    for index, start in starts:
        later = [i for i, e in starts if e.thread == start.thread and i > index]
        own = [e for e in events[index:min(later, default=None)]
               if getattr(e, "thread", None) == start.thread]
        wrote = sum(e.tokens for e in own if isinstance(e, Wrote))
        ends = [e.status for e in own if isinstance(e, Ended)]
        inside = any(is_below(start.thread, f, parents) for f in fallbacks)
        if later or "cancelled" in ends or "failed" in ends or (fallbacks and not inside):
            wasted += wrote
            continue
        removed = sum(e.removed for e in own if isinstance(e, Rewrote))
        wasted += removed
        if start.role == "judge":
            verification += wrote - removed
    return wasted, verification


def is_below(thread: str, above: str, parents: dict[str, str | None]) -> bool:
    name: str | None = thread
    while name is not None:
        if name == above:
            return True
        name = parents[name]
    return False


def beside(events: list[Event]) -> int:
    """Tokens of threads that are neither the root nor a fallback."""
    roles: dict[str, str] = {}
    count = 0
    for event in events:
        if isinstance(event, Started):
            roles[event.thread] = event.role
        elif isinstance(event, Wrote) and event.thread != "0":
            count += event.tokens if roles[event.thread] != "fallback" else 0
    return count


def forks(events: list[Event]) -> int:
    """Blocks, each thread by itself: starts of children that follow a join or the beginning."""
    count = 0
    for name in {e.thread for e in events if isinstance(e, Started)}:
        opened = False
        for event in events:
            if isinstance(event, Started | Joined) and event.thread == name:
                opened = False
            elif (isinstance(event, Started) and event.parent == name and not event.attempt
                  and event.role != "fallback"):
                count += not opened
                opened = True
    return count


def inserted(events: list[Event]) -> int:
    return sum(e.tokens for e in events if isinstance(e, Appended) and e.author == "runtime")


def most_at_engine(events: list[Event]) -> int:
    """After every event: how many threads have asked and neither been answered nor ended."""
    most = 0
    for until in range(len(events) + 1):
        state: dict[str, bool] = {}
        for event in events[:until]:
            if isinstance(event, Asked):
                state[event.thread] = True
            elif isinstance(event, Answered | Ended | Started):
                state[event.thread] = False
        most = max(most, sum(state.values()))
    return most
