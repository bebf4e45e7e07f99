"""What is fed with generated text, and what must hold whatever the text is.

*Machines* play a whole conversation: several turns of the model, with joins of children that ended
in all possible ways between them, on the main line or a thread of any level. It is played three
times, the turns whole, cut at random, and a character at a time. All three must see the same
events, ask for the same splices and leave the same context; a line of a block format must end with
all of its text.

*Transcripts* are read into trees and checked: the tree's text is the text, every fault has a place
in it, and the numbers fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import get_args

from plait.core import Finish, Outcome
from plait.core.outcome import Status
from plait.interfaces import Amend, End, Event, Fork, Splice, Wait, WireProtocol
from plait.protocols import CATALOGUE, Known, apr
from plait.protocols.blocks import fill
from plait.protocols.check import check
from plait.protocols.transcript import read_transcript
from tests.fuzz.grammar import Grammar

FINISHES: tuple[Finish, ...] = ("eos", "eos", "stop", "length", "budget", "window", "error")
STATUSES: tuple[Status, ...] = get_args(Status)
OPENING = "Moving to Node #0\nCurrent State: 9:[2, 3, 4], Operations: []"


class Broken(AssertionError):
    """Something does not hold of an input."""


def must(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


@dataclass(frozen=True)
class Input:
    """One generated input: what the model writes, how each turn ends, where it is cut, what
    children come to. ``level``: 0 for the main line."""

    turns: tuple[str, ...]
    finishes: tuple[Finish, ...] = ()
    cuts: int = 0
    level: int = 0
    item: str = "1"
    outcomes: tuple[Outcome | None, ...] = ()


Target = tuple[Callable[[Random], Input], Callable[[Input], None]]


# --- machines ----------------------------------------------------------------------------------

Cut = Callable[[str], Sequence[str]]


def whole(text: str) -> Sequence[str]:
    return (text,)


def at_random(seed: int) -> Cut:
    def cut(text: str) -> Sequence[str]:
        rng, pieces, at = Random(seed), [], 0
        while at < len(text):
            size = rng.choice((1, 2, 3, 5, 8, 20, 60))
            pieces.append(text[at : at + size])
            at += size
        return pieces

    return cut


@dataclass
class Conversation:
    """A machine, the context that a runtime keeps for it, and a log of all that it did."""

    known: Known
    machine: WireProtocol
    given: Input
    context: str = ""
    log: list[object] = field(default_factory=list)
    forks: dict[str, Fork] = field(default_factory=dict)
    ended: End | None = None

    def play(self, cut: Cut) -> list[object]:
        events = list(self.machine.begin())
        for turn, finish in zip(self.given.turns, self.given.finishes, strict=True):
            if not events:
                events = self.stream(turn, finish, cut)
            self.take(events)
            if self.ended is not None:
                break
            events = []
        return self.log

    def stream(self, turn: str, finish: Finish, cut: Cut) -> list[Event]:
        """One turn, ended by the stops as an engine ends it; the events up to one that halts."""
        ends = [turn.find(s) + len(s) for s in self.machine.stops().strings if s in turn]
        if ends:
            turn, finish = turn[: min(ends)], "stop"
        events: list[Event] = []
        for chunk in cut(turn):
            self.context += chunk
            events += self.machine.feed(chunk)
            if events and isinstance(events[-1], Wait | Amend | End):
                return events
        events += self.machine.close(finish)
        must(bool(events) and isinstance(events[-1], Wait | Amend | End), "the stream has no end")
        return events

    def take(self, events: list[Event]) -> None:
        self.log += events
        *before, halt = events
        must(not any(isinstance(e, Wait | Amend | End) for e in before), "events after a halt")
        for event in before:
            if isinstance(event, Fork):
                must(event.item not in self.forks, f"{event.item} is forked while it is open")
                must(event.at <= len(self.context), "a fork lies beyond the text")
                self.forks[event.item] = event
                self.log.append(self.machine.child(event)[0])
        match halt:
            case Wait(items):
                wanted = tuple(self.forks) if items is None else items
                must(all(i in self.forks for i in wanted), "a join of what is not open")
                must(bool(wanted), "a wait for nothing")
                forks = [self.forks.pop(i) for i in wanted]
                pool = self.given.outcomes
                outcomes = [pool[i % len(pool)] for i in range(len(forks))]
                self.splice(self.machine.join(forks, outcomes))
            case Amend(splice):
                self.splice(splice)
            case End():
                self.ended = halt
                self.at_end(halt)

    def splice(self, splice: Splice) -> None:
        since = len(self.context) if splice.since is None else splice.since
        must(0 <= since <= len(self.context), "a splice outside the text")
        if splice.since is not None and self.known.facts.name == "apr":
            replaced = self.context[since:].startswith((apr.CALL, apr.JOINED))
            must(replaced, "a rewrite that does not begin at the call")
        self.context = self.context[:since] + splice.text
        self.log.append((splice, self.context))

    def at_end(self, end: End) -> None:
        """A line of a block format ends with all of its text, a thread without its close tag."""
        if self.known.form is None:
            return
        close = fill(self.known.form.close, self.given.item) if self.given.level else ""
        closed = close if end.status == "done" else ""
        must((end.value or "") + closed == self.context, "text is lost")


def machine_target(name: str) -> Target:
    known, grammar = CATALOGUE[name], Grammar(name)
    depth = known.form.depth if known.form else 1

    def make(rng: Random) -> Input:
        turns = tuple(grammar.text(rng) for _ in range(rng.choice((1, 1, 2, 3))))
        level = rng.choice((0, 0, 0, 1, depth))
        item = rng.choice(("1", "2", "1.2", "7"))
        outcomes = tuple(_outcome(rng, grammar, fill(known.form.close, item) if known.form else "")
                         for _ in range(rng.randrange(1, 4)))
        return Input(turns, tuple(rng.choice(FINISHES) for _ in turns), rng.getrandbits(32), level,
                     item, outcomes)

    def machine_for(given: Input) -> WireProtocol:
        machine = known.machine(OPENING if name == "apr" else "")
        for _ in range(given.level):
            machine = machine.child(Fork(given.item, OPENING, 0))[1]
        return machine

    def hold(given: Input) -> None:
        logs = []
        for cut in (whole, at_random(given.cuts), list):
            logs.append(Conversation(known, machine_for(given), given).play(cut))
        must(logs[0] == logs[1], f"cut at random: {_differ(logs[0], logs[1])}")
        must(logs[0] == logs[2], f"a character at a time: {_differ(logs[0], logs[2])}")

    return make, hold


def _outcome(rng: Random, grammar: Grammar, close: str) -> Outcome | None:
    if rng.random() < 0.1:
        return None
    status = rng.choice(STATUSES)
    text = grammar.text(rng, 3) + rng.choice(("", close))
    value = rng.choice((None, text))
    return Outcome(status, text, value)


def _differ(one: Sequence[object], other: Sequence[object]) -> str:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"{a!r} against {b!r}"
    return f"{one[len(other):]!r} against {other[len(one):]!r}"


# --- transcripts -------------------------------------------------------------------------------


def transcript_target(name: str) -> Target:
    known, grammar = CATALOGUE[name], Grammar(name)

    def make(rng: Random) -> Input:
        return Input((grammar.text(rng, 20),))

    def hold(given: Input) -> None:
        (text,) = given.turns
        if known.form is not None:
            line, _ = read_transcript(known.form, text)
            must(line.text == text, "the tree is not the text")
        report = check(known, text)
        places = [fault.at for fault in report.faults]
        must(all(0 <= at <= len(text) for at in places), "a fault outside the text")
        size = report.size
        must(0 <= size.longest_path <= size.total, f"L {size.longest_path}, T {size.total}")
        must(0 <= size.in_threads <= size.total, "more in threads than there is")
        must((size.threads > 1) == (size.depth > 0), "threads without depth")
        must(size.published(known.facts.measure) >= 0, "a negative measure")

    return make, hold


TARGETS: dict[str, Target] = {
    **{f"machine {name}": machine_target(name) for name in CATALOGUE},
    **{f"transcript {name}": transcript_target(name) for name in CATALOGUE},
}
