r"""ThreadWeaver (Lian et al. 2025, arXiv 2512.07843): threads share the parent's whole context.

    <Parallel>
    <Outlines>
    <Outline>1: first part</Outline>
    <Outline>2: second part</Outline>
    </Outlines>
    <Thread>
    1: ...</Thread><Thread>
    2: ...</Thread>
    </Parallel>

The model writes up to ``</Outlines>`` and stops. Each thread continues the whole context with the
header ``\n<Thread>\nn:`` and ends at ``</Thread>``; it sees all outlines and no sibling. At the
join all thread texts follow in the order of the outlines: the first keeps the header's line
break, later ones are glued to the ``</Thread>`` before, a line break ends the list, and the model
itself writes ``</Parallel>``. That spacing is what the published models were trained on.

The two published clients differ on malformed output; this machine does what kept most answers:

    outlines before the last <Outlines>, or without one     not read
    no outline at all                                       no fork, the model goes on
    a number twice                                          the first counts
    gaps, dotted numbers                                    taken as they are
    more than `MOST` outlines                               the rest skipped
    a thread ends without </Thread>                         closed with "\n</Thread>", joined like
                                                            the others; the main line goes on
    </Outlines> or <Parallel> inside a thread               plain text (no nesting)
    end of text inside an open <Outlines>                   no fork, the answer ends
    the model writes <Thread> itself                        plain text, noted
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from plait.core import Finish, Outcome, Stops
from plait.interfaces import Amend, ChildSpec, End, Event, Fork, Oddity, Splice, Wait, WireProtocol

TRIGGER, OPEN_LIST = "</Outlines>", "<Outlines>"
OPEN, CLOSE = "<Thread>", "</Thread>"
MOST = 50

_OUTLINE = re.compile(r"<Outline>\s*(\d+(?:\.\d+)*)\s*:(.*?)(?=</Outline>|<Outline>|\Z)", re.DOTALL)


class ThreadWeaver:
    """The machine of the main line."""

    def __init__(self, prompt: str = "") -> None:
        self._text = ""
        self._seen = 0
        self._noted = False

    def stops(self) -> Stops:
        return Stops((TRIGGER,))

    def feed(self, text: str) -> Sequence[Event]:
        events: list[Event] = []
        search_from = max(self._seen, len(self._text) - len(TRIGGER))
        self._text += text
        trigger = self._text.find(TRIGGER, search_from)
        end = len(self._text) if trigger < 0 else trigger + len(TRIGGER)
        if not self._noted and self._text.find(OPEN, search_from, end) >= 0:
            self._noted = True
            events.append(Oddity(f"the model wrote {OPEN} itself"))
        if trigger < 0:
            return events
        events += self._fork(end)
        self._text = self._text[:end]
        self._seen = end
        return events

    def close(self, finish: Finish) -> Sequence[Event]:
        new = self._text[self._seen :]
        if new.rfind(OPEN_LIST) > new.rfind(TRIGGER):
            return [Oddity(f"the text ends inside {OPEN_LIST}"), self._end(finish)]
        return [self._end(finish)]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        header = f"\n{OPEN}\n{fork.item}:"
        return ChildSpec("fork", header, label=f"{fork.item}:{fork.text}"), _ThreadText()

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        parts: list[str | Outcome] = []
        for fork, outcome in zip(forks, outcomes, strict=True):
            if outcome is None:
                continue
            parts.append(f"{'' if parts else chr(10)}{OPEN}\n{fork.item}:")
            if outcome.status == "failed" and not outcome.text:
                parts.append(f" (no result){CLOSE}")
                continue
            parts.append(outcome)
            if not outcome.text.endswith(CLOSE):
                parts.append(f"\n{CLOSE}")
        parts.append("\n")
        splice = Splice(tuple(parts))
        self._text += splice.text
        self._seen = len(self._text)
        return splice

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        """Never: later text refers to all threads."""
        return False

    def _fork(self, end: int) -> list[Event]:
        new = self._text[self._seen : end]
        start = new.rfind(OPEN_LIST)
        found = _OUTLINE.findall(new[start : -len(TRIGGER)]) if start >= 0 else []
        events: list[Event] = []
        items: dict[str, str] = {}
        for number, text in found:
            if number in items:
                events.append(Oddity(f"outline {number} is given twice; the first counts"))
            elif len(items) >= MOST:
                events.append(Oddity(f"more than {MOST} outlines; {number} is skipped"))
            else:
                items[number] = text
        events += [Fork(number, text, end) for number, text in items.items()]
        if items:
            return [*events, Wait()]
        return [*events, Amend(Splice(()), f"{TRIGGER} without any outline")]

    def _end(self, finish: Finish) -> End:
        if finish in ("eos", "stop"):
            return End("done", self._text)
        return End("budget", self._text, f"the answer was cut off ({finish})")


class _ThreadText:
    """The machine of one thread: everything up to ``</Thread>`` is its text."""

    def __init__(self) -> None:
        self._text = ""

    def stops(self) -> Stops:
        return Stops((CLOSE,))

    def feed(self, text: str) -> Sequence[Event]:
        self._text += text
        end = self._text.find(CLOSE)
        return [End("done", self._text[:end])] if end >= 0 else []

    def close(self, finish: Finish) -> Sequence[Event]:
        if finish in ("eos", "stop"):
            return [End("malformed", self._text, f"the thread ended without {CLOSE}")]
        return [End("budget", self._text, f"the thread was cut off ({finish})")]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        raise AssertionError("threads of this format do not fork")

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        return Splice(())

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return False
