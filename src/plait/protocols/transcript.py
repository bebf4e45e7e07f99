"""Whole transcripts of block formats, read into trees and written back byte for byte.

A transcript is the main line's text with everything that was joined into it. It is read by the
same machines that drive live threads: the main line's is fed up to a trigger, a machine for every
thread is fed what follows its header, and so on down the tree. Where the text is not what the
runtime would have put there (other whitespace, a thread missing or out of order, a tag left open)
a `Fault` says so with its exact place, and reading goes on behind it: any text has a tree, and the
tree's text is that text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from plait.core import Outcome
from plait.interfaces import Amend, End, Event, Fork, Halt, Oddity, Wait
from plait.protocols.blocks import NUMBER, BlockFormat, Blocks, fill


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that the format does not allow, at character ``at`` of the transcript."""

    at: int
    what: str


@dataclass(frozen=True, slots=True)
class Line:
    """The text of the main line or of one thread: words, and the blocks between them."""

    parts: tuple[str | Block, ...]
    close: str = ""

    @property
    def text(self) -> str:
        """Exactly what was read."""
        return "".join(p if isinstance(p, str) else p.text for p in self.parts) + self.close

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(p for p in self.parts if isinstance(p, Block))


@dataclass(frozen=True, slots=True)
class ThreadText:
    """One thread of a block: its number and item, its header as it stands, its own text."""

    number: str
    item: str
    header: str
    line: Line

    @property
    def text(self) -> str:
        return self.header + self.line.text


@dataclass(frozen=True, slots=True)
class Block:
    """The threads of one fork, and what stands between them and the main line that goes on."""

    threads: tuple[ThreadText, ...]
    suffix: str

    @property
    def text(self) -> str:
        return "".join(t.text for t in self.threads) + self.suffix


def read_transcript(form: BlockFormat, text: str) -> tuple[Line, list[Fault]]:
    """The tree of ``text`` and all its faults in order. The tree's text is ``text``."""
    reader = _Reader(form, text)
    line = reader.line(Blocks(form), "", None)
    if rest := text[reader.at :]:
        reader.fault(reader.at, f"text after {form.tail_close}")
        line = Line(_merged([*line.parts, rest]))
    reader.faults.sort(key=lambda fault: fault.at)
    return line, reader.faults


@dataclass(slots=True)
class _Reader:
    form: BlockFormat
    text: str
    at: int = 0
    faults: list[Fault] = field(default_factory=list)

    def fault(self, at: int, what: str) -> None:
        self.faults.append(Fault(at, what))

    # --- lines ---------------------------------------------------------------------------------

    def line(self, machine: Blocks, close: str, limit: int | None) -> Line:
        """Read one line, up to its close tag, ``limit``, or the end of the text."""
        parts: list[str | Block] = []
        end = len(self.text) if limit is None else limit
        events: Sequence[Event] = machine.begin()
        while True:
            start = self.at
            if not events:
                self.at = self._next_stop(machine.stops().strings, end)
                events = machine.feed(self.text[start : self.at])
                if not halts(events) and self.at == end:
                    events = [*events, *machine.close("eos")]
            words = self.text[start : self.at]
            forks = [e for e in events if isinstance(e, Fork)]
            halt = self._report(events, start)
            if isinstance(halt, Wait):
                parts += [words, self._block(machine, forks)]
                self._check_open_tags(parts)
            elif isinstance(halt, End):
                return self._ended(parts, words, close)
            else:
                parts.append(words)
                if self.at == end and isinstance(halt, Amend):
                    return self._ended(parts, "", close)
            events = ()

    def _ended(self, parts: list[str | Block], words: str, close: str) -> Line:
        closed = bool(close) and words.endswith(close)
        parts.append(words.removesuffix(close) if closed else words)
        if close and not closed:
            self.fault(self.at, f"a thread is not closed by {close}")
        self._check_wrapped(parts, self.at - len(words))
        return Line(_merged(parts), close if closed else "")

    def _next_stop(self, stops: Sequence[str], end: int) -> int:
        found = [place + len(s) for s in stops if (place := self.text.find(s, self.at, end)) >= 0]
        return min(found, default=end)

    def _report(self, events: Sequence[Event], start: int) -> Event | None:
        """Turn oddities into faults; the event that halts, if any."""
        for event in events:
            if isinstance(event, Oddity):
                self.fault(self._place_of(event.what, start), event.what)
            elif isinstance(event, Amend) and event.why:
                self.fault(self.at, event.why)
            if isinstance(event, Halt):
                return event
        return None

    def _place_of(self, what: str, start: int) -> int:
        """Where an oddity is: at the tag that it names, if it names one that is there."""
        for tag in re.findall(r"<[^<>\s]+>", what):
            place = self.text.find(tag, start, self.at)
            if place >= 0:
                return place
        if number := re.match(r"item (\S+) is given twice", what):
            places = [p for n, _, p in self.form.read_items(self.text[start : self.at])
                      if n == number[1]]
            return start + places[1] if len(places) > 1 else self.at
        return self.at

    # --- blocks --------------------------------------------------------------------------------

    def _block(self, machine: Blocks, forks: Sequence[Fork]) -> Block:
        self._check_numbers([fork.item for fork in forks])
        threads: list[ThreadText] = []
        for index, fork in enumerate(forks):
            following = forks[index + 1].item if index + 1 < len(forks) else None
            thread = self._thread(machine, fork, bool(threads), following)
            if thread is not None:
                threads.append(thread)
        known = {fork.item for fork in forks}
        while extra := self._extra_header():
            number = extra[1] if NUMBER in self.form.first else ""
            self.fault(self.at, f"thread {number or len(threads) + 1} "
                       + ("stands here a second time" if number in known else "has no item"))
            self.at = extra.end()
            _, child = machine.child(Fork(number, "", 0))
            assert isinstance(child, Blocks)
            line = self.line(child, fill(self.form.close, number), None)
            threads.append(ThreadText(number, "", extra[0], line))
        block = Block(tuple(threads), self._suffix())
        machine.join(forks, [Outcome("done", "") for _ in forks])
        return block

    def _thread(
        self, machine: Blocks, fork: Fork, later: bool, following: str | None
    ) -> ThreadText | None:
        form = self.form
        template = form.later if later else form.first
        header = fill(template, fork.item)
        found = self._expect(header)
        if found is None:
            self.fault(self.at, f"thread {fork.item} is missing; expected {header!r}")
            return None
        _, child = machine.child(fork)
        assert isinstance(child, Blocks)
        close = fill(form.close, fork.item)
        begin = self.at
        line = self.line(child, close, self._limit(close, following))
        if form.depth == 1:
            self._check_flat(begin)
        return ThreadText(fork.item, fork.text, found, line)

    def _limit(self, close: str, following: str | None) -> int | None:
        """Where a thread that forgot its close tag ends: at the next header, if that comes first.
        Paths that may nest hold headers of their own, so nothing is known there."""
        if following is None or self.form.depth > 1:
            return None
        place = self.text.find(close, self.at)
        header = re.compile(_loose(fill(self.form.later, following)).removeprefix(r"\s*"))
        found = header.search(self.text, self.at)
        if NUMBER not in self.form.later or found is None or 0 <= place < found.start():
            return None
        return found.start()

    def _extra_header(self) -> re.Match[str] | None:
        pattern = _loose(self.form.later).replace(re.escape(NUMBER), r"(\d+(?:\.\d+)*)")
        return re.compile(pattern).match(self.text, self.at)

    def _suffix(self) -> str:
        found = self._expect(self.form.suffix)
        if found is None:
            self.fault(self.at, f"expected {self.form.suffix!r} after the last thread")
        return found or ""

    def _expect(self, expected: str) -> str | None:
        """Read ``expected``; other whitespace is read over as well, and a fault."""
        if self.text.startswith(expected, self.at):
            self.at += len(expected)
            return expected
        found = re.compile(_loose(expected)).match(self.text, self.at)
        if found is None:
            return None
        self.fault(self.at, f"expected {expected!r} but this is {found[0]!r}")
        self.at = found.end()
        return found[0]

    # --- what the machines let pass but a good transcript does not have -------------------------

    def _check_numbers(self, numbers: Sequence[str]) -> None:
        for index, number in enumerate(numbers):
            if number.rpartition(".")[2] != str(index + 1):
                listed = ", ".join(numbers[:8]) + (", ..." if len(numbers) > 8 else "")
                self.fault(self.at, f"items are numbered {listed}, not from 1 without gaps")
                return

    def _check_flat(self, begin: int) -> None:
        """No list inside a thread. (Its machine has noted triggers and threads.)"""
        tag = self.form.list_open
        place = self.text.find(tag, begin, self.at) if tag else -1
        if place >= 0:
            self.fault(place, f"{tag} inside a thread")

    def _check_open_tags(self, parts: Sequence[str | Block]) -> None:
        """The block that was just read stands inside its wrapper."""
        wrap = self.form.wrap
        if wrap is None or wrap[0] == self.form.trigger:
            return
        words, block = parts[-2], parts[-1]
        assert isinstance(words, str)
        if words.rfind(wrap[0]) <= words.rfind(wrap[1]):
            self.fault(self.at - len(block if isinstance(block, str) else block.text),
                       f"a block that is not opened by {wrap[0]}")

    def _check_wrapped(self, parts: Sequence[str | Block], last: int) -> None:
        """What a join begins, and what wraps a block, is closed in the words that follow."""
        form = self.form
        opened = () if form.tail_close else re.findall(r"<(\w+)>", form.suffix)
        wanted = [f"</{name}>" for name in opened]
        if form.wrap and form.wrap[0] != form.trigger:
            wanted.append(form.wrap[1])
        at = last
        for index in range(len(parts) - 1, 0, -1):
            part, before = parts[index], parts[index - 1]
            if isinstance(part, str) and isinstance(before, Block):
                at_words = at
                for tag in wanted:
                    if tag not in part:
                        self.fault(at_words, f"{tag} is missing after a block")
            at -= len(before if isinstance(before, str) else before.text)


def halts(events: Sequence[Event]) -> bool:
    """Is the stream left for the last of ``events``?"""
    return bool(events) and isinstance(events[-1], Halt)


def _loose(expected: str) -> str:
    """A pattern for ``expected`` with any whitespace around and between its tags and words."""
    pieces = re.findall(r"<[^<>]+>|\s+|[^<\s]+|<", expected)
    body = r"\s*".join(re.escape(p) for p in pieces if not p.isspace())
    return rf"\s*{body}" if body else r"\n?"


def _merged(parts: Sequence[str | Block]) -> tuple[str | Block, ...]:
    """Neighbouring words made one, empty ones left out."""
    merged: list[str | Block] = []
    for words, group in groupby(parts, lambda part: isinstance(part, str)):
        if not words:
            merged += group
        elif text := "".join(part for part in group if isinstance(part, str)):
            merged.append(text)
    return tuple(merged)
