"""From the events of a run to what a client is told while it happens: thoughts, then the answer.

    full       what threads think, word by word; a thread's name stands before what it says where
               another one spoke before
    summary    one calm line an event: who started, who is done, what was joined
    none       the answer alone

Threads that think at the same time would make a mess of one text, so each is held back until a
line is full; a thread that is alone is heard at once. The answer is what was committed, and nothing
else. Pure: events in, pieces out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from plait.core.events import (
    Committed,
    Decided,
    Ended,
    Event,
    Joined,
    Noted,
    RunStarted,
    Started,
    Wrote,
)
from plait.core.reading import END_THINK, THINK
from plait.server.choosing import Thoughts

ROOT = "0"
PAUSE = 1.0
"""Seconds after which what is held back of a thread is said in any case."""
LINE = 160
"""Characters after which a line counts as full, line break or not."""


@dataclass(frozen=True, slots=True)
class Thought:
    """What ``thread`` thinks, or a line about it. ``text`` names it where that is needed."""

    thread: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of the answer; never taken back."""

    text: str


Piece = Thought | Words


class Narrator:
    """See the module's docstring. One a run."""

    def __init__(self, mode: Thoughts = "full") -> None:
        self.method = ""
        self.answer: list[str] = []
        self.answer_tokens = 0
        """Generated tokens of the answer, as far as it was committed while it was written."""
        self._mode = mode
        self._labels: dict[str, str] = {}
        self._tokens: dict[str, int] = {}
        self.begun = False
        """Something was written."""
        self._held: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._open: set[str] = set()
        self._speaker = ""
        self._at_start = True
        self._answering = False
        self._root_text = ""

    def take(self, events: Iterable[Event]) -> list[Piece]:
        """What a batch of events says. A batch holds all that happened at one moment."""
        pieces: list[Piece] = []
        pending: Wrote | None = None
        for event in events:
            if isinstance(event, Committed):
                pieces += self._commit(event, pending)
                pending = None
                continue
            if pending is not None:
                pieces += self._wrote(pending)
                pending = None
            if isinstance(event, Wrote):
                pending = event  # the root's text may turn out to be the answer
            else:
                pieces += self._other(event)
        if pending is not None:
            pieces += self._wrote(pending)
        return _joined(pieces)

    # --- the answer ----------------------------------------------------------------------------

    def _commit(self, event: Committed, wrote: Wrote | None) -> list[Piece]:
        pieces: list[Piece] = []
        if wrote is not None and wrote.thread == event.thread == ROOT:
            thought, mark, _ = wrote.text.partition(END_THINK)
            if mark:
                pieces += self._say(ROOT, thought.replace(THINK, ""), event.t)
            self._answering = True
            self.answer_tokens += wrote.tokens
            self._count(wrote)
        elif wrote is not None:
            pieces += self._wrote(wrote)
        self.answer.append(event.text)
        return [*pieces, Words(event.text)]

    # --- thoughts ------------------------------------------------------------------------------

    def _wrote(self, event: Wrote) -> list[Piece]:
        self._count(event)
        text = event.text
        if event.thread == ROOT:
            if self._answering:
                self.answer_tokens += event.tokens
                return []
            before = self._root_text[1 - len(END_THINK):] + text
            self._root_text = before[-len(END_THINK):]
            if END_THINK in before:  # what follows is the answer, and comes when it is committed
                self._answering = True
                text = before.partition(END_THINK)[0][len(before) - len(text):]
        return self._say(event.thread, text.replace(THINK, "").replace(END_THINK, ""), event.t)

    def _say(self, thread: str, text: str, t: float) -> list[Piece]:
        """``text`` of a thread, now or when it has a whole line."""
        if self._mode != "full" or not text:
            return []
        text = self._held.pop(thread, "") + text
        if len(self._open) > 1:
            full = len(text) >= LINE or t - self._since.setdefault(thread, t) >= PAUSE
            end = len(text) if full else text.rfind("\n") + 1
            if rest := text[end:]:
                self._held[thread] = rest
            text = text[:end]
        if text:
            self._since.pop(thread, None)
        return self._speak(thread, text)

    def _speak(self, thread: str, text: str) -> list[Piece]:
        """``text`` of a thread, which is named where another one spoke before it."""
        opening = ""
        if thread != self._speaker:
            text = text.lstrip("\n")
            if text and (self._speaker or thread != ROOT):
                label = self._labels.get(thread, "")
                opening = ("" if self._at_start else "\n") + f"[{thread}{label and ' '}{label}] "
        if not text:
            return []
        self._speaker, self._at_start = thread, text.endswith("\n")
        return [self._thought(thread, opening + text)]

    def _thought(self, thread: str, text: str) -> Thought:
        return Thought(thread, self._labels.get(thread, ""), text)

    def _count(self, event: Wrote) -> None:
        self.begun = True
        self._tokens[event.thread] = self._tokens.get(event.thread, 0) + event.tokens

    # --- events --------------------------------------------------------------------------------

    def _other(self, event: Event) -> list[Piece]:
        if isinstance(event, RunStarted):
            self.method = event.method
            return []
        if isinstance(event, Started):
            self._open.add(event.thread)
            self._labels[event.thread] = " ".join((event.label or _role(event)).split())
        pieces: list[Piece] = []
        if isinstance(event, Ended):
            self._open.discard(event.thread)
            pieces += self._speak(event.thread, self._held.pop(event.thread, ""))
        if self._mode == "summary" and (line := self._line(event)):
            thread = getattr(event, "thread", ROOT)
            pieces.append(self._thought(thread, line + "\n"))
        return pieces

    def _line(self, event: Event) -> str:
        """One calm line about ``event``; empty where there is nothing to say."""
        match event:
            case Decided():
                return f"{event.method}: {event.why}" if event.why else event.method
            case Started() if event.thread != ROOT:
                again = " again" if event.attempt else ""
                return f"{self._name(event.thread)} started{again}"
            case Ended() if event.thread != ROOT:
                why = f": {event.reason}" if event.reason and event.status != "done" else ""
                tokens = self._tokens.get(event.thread, 0)
                return f"{self._name(event.thread)} {event.status}, {tokens} tokens{why}"
            case Joined():
                count = len(event.children)
                return f"joined {count} thread{'s' if count > 1 else ''}"
            case Noted():
                return event.what
        return ""

    def _name(self, thread: str) -> str:
        label = self._labels.get(thread, "")
        return f"{thread} ({label})" if label else thread


def _role(event: Started) -> str:
    return event.role if event.role != "thread" else ""


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours that belong together as one piece."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if isinstance(piece, Words) and isinstance(last, Words):
            found[-1] = Words(last.text + piece.text)
        elif isinstance(piece, Thought) and isinstance(last, Thought) and (
                piece.thread == last.thread):
            found[-1] = replace(last, text=last.text + piece.text)
        else:
            found.append(piece)
    return found
