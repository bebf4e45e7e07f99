"""Checking transcripts of the formats that spawn: AsyncThink organisers and APR searches.

Their children write elsewhere; the transcript holds only what came back. Where the children's own
texts are not given, what came back stands for them, and the report says that T and L are lower
bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from plait.core import Outcome
from plait.interfaces import Amend, End, Event, Fork, Oddity, Wait
from plait.protocols import apr, asyncthink
from plait.protocols.sizes import Count, Report, Size
from plait.protocols.transcript import Fault, halts

LOWER_BOUND = "the threads' own texts are not given: T and L count what they returned"
_JOIN = re.compile(rf"{apr.JOINED}(.*?)({apr.END_JOINED}|\Z)", re.DOTALL)
_LINE = re.compile(
    r"<(No Solution|Goal Reached) in Sub Search (\d+) at level \d+ at Node #([\d,]+)>")


def check_asyncthink(text: str, threads: Mapping[str, str], count: Count) -> Report:
    """Replay an organiser's text: what it writes goes to its machine, what was joined is read."""
    return _Organiser(text, threads, count).report()


class _Organiser:
    def __init__(self, text: str, threads: Mapping[str, str], count: Count) -> None:
        self.text, self.threads, self.count = text, threads, count
        self.faults: list[Fault] = []
        self.at = 0
        self.clock = self.own = self.inside = 0
        self.longest = 0
        self.started: dict[str, int] = {}
        self.forks: dict[str, Fork] = {}
        self.known = self.blocks = 0
        self.missing = False

    def report(self) -> Report:
        machine = asyncthink.AsyncThink(pool=1 << 20)
        while True:
            events = self._feed(machine)
            halt = events[-1] if events else None
            if isinstance(halt, Wait) and halt.items:
                self._join(machine, halt.items[0])
            elif isinstance(halt, Amend):
                self.faults.append(Fault(self.at, halt.why))
                self._skip_return()
            else:
                break
        if self.at < len(self.text):
            self.faults.append(Fault(self.at, "text after </ANSWER>"))
        elif isinstance(halt, End) and halt.status != "done":
            self.faults.append(Fault(self.at, halt.reason))
        self.longest = max(self.longest, self.own)
        size = Size(self.own + self.inside, max(self.clock, self.longest if not self.known else 0),
                    self.inside, self.longest, 1 + self.known, self.blocks, int(self.known > 0))
        return Report(tuple(self.faults), size, LOWER_BOUND if self.missing else "")

    def _feed(self, machine: asyncthink.AsyncThink) -> list[Event]:
        """Feed the organiser's words tag by tag; the events up to one that halts."""
        while self.at < len(self.text):
            start = self.at
            end = self.text.find(">", start) + 1 or len(self.text)
            self.at = end
            tokens = self.count(self.text[start:end])
            self.own, self.clock = self.own + tokens, self.clock + tokens
            found = list(machine.feed(self.text[start:end]))
            self._note(found)
            if halts(found):
                return found
        found = list(machine.close("eos"))
        self._note(found)
        if isinstance(found[-1], Wait):
            return [End("malformed", reason="the organiser gave no <ANSWER>")]
        return found

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Oddity):
                self.faults.append(Fault(self.at, event.what))
            elif isinstance(event, Fork):
                if not self.started:
                    self.blocks += 1
                self.forks[event.item] = event
                self.started[event.item] = self.clock
                self.known += 1

    def _join(self, machine: asyncthink.AsyncThink, number: str) -> None:
        returned = self._skip_return()
        fork = self.forks.pop(number)
        value = (returned or "").strip()
        splice = machine.join([fork], [Outcome("done", value=value)])
        if returned is not None and splice.text != f"{returned}</JOIN-{number}>":
            self.faults.append(Fault(self.at - len(returned) - len(f"</JOIN-{number}>"),
                                     f"expected {splice.text!r} after <JOIN-{number}>"))
        own = self.threads.get(number)
        self.missing |= own is None
        length = self.count(value if own is None else own)
        self.inside += length
        self.longest = max(self.longest, length)
        self.clock = max(self.clock, self.started.pop(number) + length)

    def _skip_return(self) -> str | None:
        """Read over what was put in after a join; None, and a fault, if nothing was."""
        number = re.search(r"<JOIN-(\d+)>\Z", self.text[max(0, self.at - 20) : self.at])
        close = f"</JOIN-{number[1]}>" if number else ""
        place = self.text.find(close, self.at) if close else -1
        if place < 0:
            if close:
                self.faults.append(Fault(self.at, f"{close} is missing"))
            return None
        returned = self.text[self.at : place]
        if tag := asyncthink.OWN_TAGS.search(returned):  # what comes back is quoted: it has none
            self.at += tag.start()
            self.faults.append(Fault(self.at, f"{close} is missing before this tag, or the tag was"
                                     " not quoted"))
            return None
        self.at = place + len(close)
        return returned


def check_apr(text: str, threads: Mapping[str, str], count: Count) -> Report:
    """Check the joins and the last call of one search. A joined block follows no call: the call
    was rewritten by it, so its nodes are looked up among those that were named before."""
    faults: list[Fault] = []
    machine = apr.APR(level=0)
    at = own = path = inside = longest = known = blocks = 0
    missing = False
    for found in _JOIN.finditer(text):
        words = text[at : found.start()]
        _feed(machine, words, at, faults, last=False)
        blocks += 1
        lengths = []
        for line in _LINE.finditer(found[1]):
            known += 1
            child = threads.get(line[3])
            missing |= child is None
            lengths.append(count(child if child is not None else line[0]))
        _check_join(machine, found, faults)
        own, path = own + count(words), path + count(words) + max(lengths, default=0)
        inside, longest = inside + sum(lengths), max([longest, *lengths])
        at = found.end()
    rest = text[at:]
    _feed(machine, rest, at, faults, last=True)
    own, path = own + count(rest), path + count(rest)
    size = Size(own + inside, path, inside, max(longest, own), 1 + known, blocks, int(known > 0))
    faults.sort(key=lambda fault: fault.at)
    return Report(tuple(faults), size, LOWER_BOUND if missing else "")


def _feed(machine: apr.APR, words: str, at: int, faults: list[Fault], *, last: bool) -> None:
    """Feed what the search wrote, line by line; ``last``: nothing is joined behind it."""
    end = at + len(words)
    events: list[Event] = []
    for line in words.splitlines(keepends=True):
        events = list(machine.feed(line))
        _collect(events, at, faults)
        at += len(line)
        if halts(events):
            if isinstance(events[-1], Wait) and not (last and at == end):
                faults.append(Fault(at - len(line), "a call that no join has replaced"))
            machine.join([], [])  # go on behind it
    if last and not halts(events):
        _collect(machine.close("eos"), end, faults)


def _check_join(machine: apr.APR, found: re.Match[str], faults: list[Fault]) -> None:
    """One line a child, numbered from 0; the rest belongs to the success above it."""
    body, at = found[1], found.start(1)
    if not found[2]:
        faults.append(Fault(found.start(), f"{apr.END_JOINED} is missing"))
    elif not body.startswith("\n") or not body.endswith("\n"):
        faults.append(Fault(at, f"{apr.JOINED} and {apr.END_JOINED} stand on lines of their own"))
    if not _LINE.search(body):
        faults.append(Fault(at, "a join of no sub search"))
    for index, child in enumerate(_LINE.finditer(body)):
        if child[2] != str(index):
            faults.append(Fault(at + child.start(), f"sub search {child[2]} where {index} belongs"))
        if not machine.knows(child[3]):
            faults.append(Fault(at + child.start(), f"node #{child[3]} was never generated"))
    last = "No Solution"
    place = at
    for line_text in body.splitlines(keepends=True):
        if line := _LINE.match(line_text):
            last = line[1]
        elif line_text.strip() and last == "No Solution":
            faults.append(Fault(place, "text that belongs to no successful sub search"))
        place += len(line_text)


def _collect(events: Iterable[Event], at: int, faults: list[Fault]) -> None:
    for event in events:
        if isinstance(event, Oddity):
            faults.append(Fault(at, event.what))
        elif isinstance(event, Amend):
            faults.append(Fault(at, event.why))
        elif isinstance(event, End) and event.status == "malformed":
            faults.append(Fault(at, event.reason))
