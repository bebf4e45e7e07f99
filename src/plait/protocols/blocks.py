"""Block formats as data, and the one machine that drives them all.

A block, as it stands in the text once it is joined:

    <Parallel>                      written by the model
    <Outlines>                      ``list_open``
    <Outline>1: a</Outline>         ``items``: the tags that an item may have
    <Outline>2: b</Outline>
    </Outlines>                     ``trigger``: here the stream stops, the threads start
    <Thread>                        ``first``: the header, each thread's context gets it
    1: ...</Thread><Thread>         ``close`` ends a thread; ``later``: the header after another one
    2: ...</Thread>
                                    ``suffix``: what the join adds behind the last thread
    </Parallel>                     written by the model again

Formats without a list (``list_open`` empty) start ``width`` threads of the same words, which
differ by their seeds; with an empty ``trigger`` they do so right after the prompt. In formats
whose ``tail_close`` is set the join begins a text (a summary) that runs up to that tag.

Rules of this file. A format is a `BlockFormat` and nothing else: no format has code of its own.
The machine of the main line and of a thread are one class, told apart by ``level``; a thread of a
nested format is a main line that also has an end. Text is kept in pieces, so that a long line costs
no more a chunk than a short one: ``_old`` and ``_new`` hold all that was ever fed or spliced, and
``_new`` begins where no block has used it yet. What lies before never triggers again, so a
thread's words cannot fork a second time once they are quoted by a join. Tags are looked for in
``_recent``, the last few characters of ``_new``, and the chunk that follows them.

What malformed output comes to, in every format:

    items before the last ``list_open``, or without one     not read
    no item at all                                          no fork, the model goes on
    a number twice                                          the first counts
    gaps, dotted numbers                                    taken as they are
    more than ``most`` items                                the rest skipped
    a thread ends without its close tag                     closed at the join, joined like the
                                                            others; the main line goes on
    a trigger where the format does not nest                plain text
    more than ``blocks`` blocks, deeper than ``depth``      plain text
    end of text inside an open list                         no fork, the answer ends
    the model writes a thread itself                        plain text
    a tail that the model ends without its tag              closed, the model goes on
    a stop that the engine reports but does not show        the main line ends, malformed, since
                                                            what it wanted cannot be known; a
                                                            thread or a tail is closed

All but the numbers that are taken and the items that are not read are noted, once a line each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from plait.core import Finish, Outcome, Stops
from plait.interfaces import Amend, ChildSpec, End, Event, Fork, Oddity, Splice, Wait, WireProtocol
from plait.protocols.facts import HIDDEN_STOP

NUMBER = "{n}"
"""Stands for the item's number in headers and close tags."""


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """One block format. The module's docstring shows what the parts are called."""

    name: str
    trigger: str
    first: str
    later: str
    close: str
    mend: str
    """Closes a thread that did not close itself."""
    suffix: str
    open: str
    """What begins a thread in the text, for noticing a model that writes threads itself."""
    list_open: str = ""
    items: tuple[str, ...] = ()
    width: int = 0
    """Threads of a block that has no list."""
    most: int = 50
    tail_close: str = ""
    final_tail: bool = False
    """The tail is the answer: nothing follows it."""
    depth: int = 1
    """Levels of threads; above 1 the format nests."""
    blocks: int | None = None
    """Blocks that one line may have, one after the other."""
    limit: int | None = None
    """Tokens of one thread."""
    temperature: float | None = None
    """Of threads, where the request is greedy (see `ChildSpec.temperature`)."""
    wrap: tuple[str, str] | None = None
    """The tags around a whole block, if the model writes any."""

    @property
    def nested(self) -> bool:
        return self.depth > 1

    def machine(self, prompt: str = "") -> Blocks:
        """The machine of a main line. Its prompt never matters to a block format."""
        del prompt
        return Blocks(self)

    def read_items(self, text: str) -> list[tuple[str, str, int]]:
        """Number, text and place of every item in ``text``, as they stand."""
        tags = "|".join(map(re.escape, self.items))
        pattern = rf"<(?:{tags})>\s*(\d+(?:\.\d+)*)\s*:(.*?)(?=</?(?:{tags})>|\Z)"
        return [(m[1], m[2], m.start()) for m in re.finditer(pattern, text, re.DOTALL)]


def fill(template: str, number: str) -> str:
    """``template`` for the thread ``number``."""
    return template.replace(NUMBER, number)


class Blocks:
    """The machine of one line of a block format: the main line, or the thread ``item``."""

    def __init__(self, form: BlockFormat, level: int = 0, item: str = "") -> None:
        self._form = form
        self._level = level
        self._close = fill(form.close, item) if level else ""
        self._own = re.compile(re.escape(form.open).replace(re.escape(NUMBER), r"\d{1,3}"))
        self._old: list[str] = []
        self._new: list[str] = []
        self._recent = ""
        self._length = 0
        self._blocks = 0
        self._in_tail = False
        self._noted_own = self._noted_trigger = False
        self._reach = max(len(tag) for tag in (form.trigger, form.tail_close, self._close,
                                               fill(form.open, "100")))

    def begin(self) -> Sequence[Event]:
        if self._form.trigger or self._level or self._blocks:
            return ()
        return self._fork()

    def stops(self) -> Stops:
        return Stops(self._tags())

    def feed(self, text: str) -> Sequence[Event]:
        window = self._recent + text
        end, tag = len(window), ""
        for candidate in self._tags():
            place = window.find(candidate, 0, end)
            if place >= 0:
                end, tag = place + len(candidate), candidate
        events = self._note(window[:end])
        self._add(window[len(self._recent) : end])
        self._recent = window[max(0, end - self._reach) : end]
        return events + self._reached(tag) if tag else events

    def close(self, finish: Finish) -> Sequence[Event]:
        form, events = self._form, list[Event]()
        if finish == "stop":
            events.append(Oddity(f"{HIDDEN_STOP}; it may hide special tokens"))
        new, text = "".join(self._new), self._text
        if form.list_open and self._can_fork and new.rfind(form.list_open) > new.rfind(
                form.trigger):
            events.append(Oddity(f"the text ends inside {form.list_open}"))
        if finish not in ("eos", "stop"):
            what = "thread" if self._level else "answer"
            return [*events, End("budget", text, f"the {what} was cut off ({finish})")]
        if self._level:
            return [*events, End("malformed", text, f"the thread ended without {self._close}")]
        if self._in_tail:
            why = f"the model ended without {form.tail_close}"
            if not form.final_tail:
                return [*events, self._leave_tail(why)]
            events.append(Oddity(why))
        elif finish == "stop":
            return [*events, End("malformed", text, HIDDEN_STOP)]
        return [*events, End("done", text)]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        form = self._form
        label = f"{fork.item}:{fork.text}" if form.items else fork.item
        spec = ChildSpec("fork", fill(form.first, fork.item), label=label, limit=form.limit,
                         temperature=form.temperature)
        return spec, Blocks(form, self._level + 1, fork.item)

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        form = self._form
        parts: list[str | Outcome] = []
        for fork, outcome in zip(forks, outcomes, strict=True):
            if outcome is None:
                continue
            close = fill(form.close, fork.item)
            parts.append(fill(form.later if parts else form.first, fork.item))
            if outcome.status == "failed" and not outcome.text:
                parts.append(f" (no result){close}")
                continue
            parts.append(outcome)
            if not outcome.text.endswith(close):
                parts.append(fill(form.mend, fork.item))
        parts.append(form.suffix)
        splice = Splice(tuple(parts))
        self._add(splice.text)
        self._use()
        self._in_tail = bool(form.tail_close)
        return splice

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        """Never: later text refers to all threads."""
        return False

    # --- inside --------------------------------------------------------------------------------

    @property
    def _text(self) -> str:
        return "".join(self._old) + "".join(self._new)

    def _add(self, text: str) -> None:
        self._new.append(text)
        self._length += len(text)

    def _use(self) -> None:
        """What is there now never triggers again."""
        self._old.append("".join(self._new))
        self._new, self._recent = [], ""

    @property
    def _can_fork(self) -> bool:
        form = self._form
        return (self._level < form.depth and not self._in_tail and bool(form.trigger)
                and (form.blocks is None or self._blocks < form.blocks))

    def _tags(self) -> tuple[str, ...]:
        """The tags at which something happens now."""
        if self._in_tail:
            return (self._form.tail_close,)
        wanted = (self._form.trigger if self._can_fork else "", self._close)
        return tuple(tag for tag in wanted if tag)

    def _reached(self, tag: str) -> list[Event]:
        """The text ends in ``tag``, one of `_tags`."""
        if self._in_tail and tag == self._form.tail_close:
            self._use()
            self._in_tail = False
            if self._form.final_tail:
                return [End("done", self._text)]
            return [Amend(Splice(()), "")]
        if tag == self._close:
            return [End("done", self._text.removesuffix(tag))]
        return self._fork()

    def _fork(self) -> list[Event]:
        items, events = self._items("".join(self._new))
        self._use()
        if not items:
            return [*events, Amend(Splice(()), f"{self._form.trigger} without any item")]
        self._blocks += 1
        events += [Fork(number, text, self._length) for number, text in items.items()]
        return [*events, Wait()]

    def _items(self, new: str) -> tuple[dict[str, str], list[Event]]:
        """What the block that ends ``new`` asks for."""
        form, events = self._form, list[Event]()
        if not form.list_open:
            return {str(i + 1): "" for i in range(form.width)}, events
        start = new.rfind(form.list_open)
        found = form.read_items(new[start : -len(form.trigger)]) if start >= 0 else []
        items: dict[str, str] = {}
        twice = dict[str, None]()
        skipped = 0
        for number, text, _ in found:
            if number in items:
                twice[number] = None
            elif len(items) >= form.most:
                skipped += 1
            else:
                items[number] = text
        events += [Oddity(f"item {number} is given twice; the first counts") for number in twice]
        if skipped:
            events.append(Oddity(f"more than {form.most} items; {skipped} skipped"))
        return items, events

    def _note(self, text: str) -> list[Event]:
        """Warnings, once a line each, for tags that are plain text where they stand."""
        form = self._form
        found: list[tuple[int, str]] = []
        if not self._noted_own and (own := self._own.search(text)):
            self._noted_own = True
            found.append((own.end(), f"the model wrote {own[0]} itself"))
        if form.trigger and not self._noted_trigger and not self._can_fork:
            place = text.find(form.trigger)
            if place >= 0:
                self._noted_trigger = True
                found.append((place + len(form.trigger), self._why_plain()))
        return [Oddity(what) for _, what in sorted(found)]

    def _why_plain(self) -> str:
        """Why a trigger does not fork here."""
        form = self._form
        if self._in_tail:
            return f"{form.trigger} before {form.tail_close} is plain text"
        if self._level >= form.depth:
            where = f"more than {form.depth} levels deep" if form.nested else "inside a thread"
            return f"{form.trigger} {where} is plain text"
        return f"{form.trigger} after {form.blocks} blocks is plain text"

    def _leave_tail(self, why: str) -> Amend:
        self._in_tail = False
        splice = Splice((self._form.tail_close,))
        self._add(splice.text)
        self._use()
        return Amend(splice, why)
