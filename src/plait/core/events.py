"""The trace schema, version 1: what can happen in a run.

A trace is an append-only list of events in the order in which they happened. Every event has the
time ``t`` (seconds since the run started) and, except for the run's own, the ``thread`` it
happened in. From them every number that plait reports is computed (`plait.trace.metrics`):
generated tokens are `Wrote`; a thread depends on the point of its parent at which it was
`Started` and on the threads in ``after``; a `Joined` waits for its ``children``.
Threads are named by their place in the tree: the root is ``0``, its children ``0.0``, ``0.1``...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from plait.core.outcome import Status
from plait.core.text import Author, Finish

SCHEMA = 1

Family = Literal["root", "fork", "spawn"]
Role = Literal["thread", "planner", "worker", "merger", "judge", "fallback"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The request was accepted. ``question`` is its text; ``engine`` and ``model`` are names.
    ``limits``: its budget, ``name=value`` each; what is not limited is left out."""

    kind: ClassVar[str] = "run_started"
    t: float
    run: str
    question: str
    engine: str
    model: str
    method: str
    protocol: str | None
    seed: int
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """A policy chose how to answer. ``inputs``: everything that it looked at, ``name=value``."""

    kind: ClassVar[str] = "decided"
    t: float
    thread: str
    policy: str
    method: str
    why: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A thread came to be.

    ``at``: how many tokens its parent had generated when its instructions were complete (the
    fork's place in the causal graph; never more than the parent has generated so far).
    ``after``: other threads whose results it was given. ``attempt`` counts retries from 0.
    """

    kind: ClassVar[str] = "started"
    t: float
    thread: str
    parent: str | None
    family: Family
    role: Role
    at: int
    label: str = ""
    after: tuple[str, ...] = ()
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Appended:
    """The prompt or the runtime put text into a thread's context."""

    kind: ClassVar[str] = "appended"
    t: float
    thread: str
    author: Author
    text: str
    tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request went to the engine: it now has to read ``context`` tokens and then write."""

    kind: ClassVar[str] = "asked"
    t: float
    thread: str
    context: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Wrote:
    """The model wrote a chunk."""

    kind: ClassVar[str] = "wrote"
    t: float
    thread: str
    text: str
    tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """An engine request ended; the counts are the engine's own unless ``estimated``. ``by``: the
    replicas that wrote, one after the other, where there are several."""

    kind: ClassVar[str] = "answered"
    t: float
    thread: str
    finish: Finish
    prompt: int
    cached: int
    generated: int
    estimated: bool = False
    error: str = ""
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrote:
    """The end of a context was replaced. ``removed``: generated tokens that no longer count as
    useful; ``text`` is what was removed. ``reset``: the thread wrote down what it knows and goes on
    in a clean context; what was removed lives on in that state, so ``removed`` is 0."""

    kind: ClassVar[str] = "rewrote"
    t: float
    thread: str
    removed: int
    text: str
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A thread waited for children and has their outcomes."""

    kind: ClassVar[str] = "joined"
    t: float
    thread: str
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A thread is over. ``reason`` explains every status but ``done``."""

    kind: ClassVar[str] = "ended"
    t: float
    thread: str
    status: Status
    reason: str = ""
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a person should know: malformed output, a retry, a limit that was reached."""

    kind: ClassVar[str] = "noted"
    t: float
    thread: str
    what: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """A piece of the final answer; what is committed is never taken back."""

    kind: ClassVar[str] = "committed"
    t: float
    thread: str
    text: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The request is answered, or given up."""

    kind: ClassVar[str] = "run_ended"
    t: float
    finish: Literal["answered", "budget", "failed"]
    answer: str | None
    correct: bool | None
    method: str
    fallback: str | None


Event = (
    RunStarted | Decided | Started | Appended | Asked | Wrote | Answered | Rewrote | Joined | Ended
    | Noted | Committed | RunEnded
)
"""Everything that a trace may hold."""

KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (RunStarted, Decided, Started, Appended, Asked, Wrote, Answered, Rewrote, Joined,
                Ended, Noted, Committed, RunEnded)
}
