"""AsyncThink (Chi et al. 2025, arXiv 2510.26658): an organiser that goes on while workers think.

    I split this. <FORK-1>count the ones</FORK-1> Meanwhile I ... <JOIN-1>
    three ones
    </JOIN-1> so <ANSWER>3</ANSWER>

``<FORK-i>sub-query</FORK-i>`` sends a worker off and the organiser writes on; ``<JOIN-i>`` makes it
wait for that worker, whose ``<RETURN>...</RETURN>`` is put in, closed by ``</JOIN-i>``. A worker
sees its sub-query and nothing else of the organiser's, and sends off no workers itself. A number
may be used again once it is joined. The pool holds `POOL` threads, the organiser among them.

What the paper counts as format errors, and other malformed output, comes to:

    a number sent off twice while it is open     the second is not sent off
    more workers than the pool has room for      not sent off; its join says so
    a fork without a sub-query                   not sent off
    a tag inside an open fork                    that fork is given up, the tag counts
    a fork that is open at the end of text       not sent off
    a stop where it means nothing                plain text, the organiser goes on
    a join of a number that is not open          answered with "(no such thread)"
    the answer while workers are open            they are cancelled, noted
    end of text with open workers, no answer     they are joined, the organiser goes on
    end of text without an answer                the thread ends, malformed
    end of text inside <ANSWER>                  what is there is the answer
    cut off while workers are open               they are cancelled, noted
    a worker without <RETURN>                    all that it wrote is its return, malformed
    a stop that the text does not show           noted; then as at the end of text

What comes back is quoted so that it cannot pass for a tag. Text that the model wrote past a tag
before the stream could be left is taken out again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from plait.core import Finish, Message, Outcome, Prompt, Stops
from plait.interfaces import Amend, ChildSpec, End, Event, Fork, Oddity, Splice, Wait, WireProtocol
from plait.protocols.facts import HIDDEN_STOP, Facts

POOL = 4
"""Threads at work at once, the organiser among them (the paper's c = 4)."""

_TAG = re.compile(r"<(FORK|JOIN)-(\d{1,6})>|</(FORK)-(\d{1,6})>|<(/?ANSWER)>")
_LONGEST = len("</FORK-999999>")
OWN_TAGS = re.compile(r"<(?=/?(?:FORK-|JOIN-|ANSWER|RETURN))")
"""Where a tag of this format begins."""
_RETURN, _END_RETURN = "<RETURN>", "</RETURN>"

WORKER = ("You are one of several workers. Think about the task you are given, which is part of a"
          " larger one, and give back what you found, short and complete, between <RETURN> and"
          " </RETURN>.")

FACTS = Facts(
    name="asyncthink",
    title="AsyncThink",
    paper="arXiv 2510.26658",
    family="spawn",
    nesting="none; only the organiser forks",
    joins="what the worker returned, where the organiser asked for it",
    models=(),
    measure="concurrency",
    caveats=("no weights are published; the prompts are ours",
             f"at most {POOL - 1} workers at once"),
    system=(
        "You organise your own thinking. To have a part of the work done while you go on, write"
        " <FORK-i>the part, in full: whoever does it sees nothing else</FORK-i> with a number i of"
        f" your own; at most {POOL - 1} may be under way at once. When you need its result, write"
        " <JOIN-i>; the result follows and ends with </JOIN-i>. Join everything that you forked."
        " Put the final answer between <ANSWER> and </ANSWER>."),
    temperature=0.6,
    answer=("<ANSWER>", "</ANSWER>"),
    inside=True,
)


class AsyncThink:
    """The organiser's machine."""

    def __init__(self, prompt: str = "", pool: int = POOL) -> None:
        self._text = ""
        self._seen = 0
        self._pool = pool
        self._open: dict[str, bool] = {}
        """Numbers that were sent off (True) or that found no room (False), not joined yet."""
        self._inside: tuple[str, int] | None = None
        """The fork (its number) or the answer ("") that the text is in, and where it begins."""
        self._unanswered = False

    def begin(self) -> Sequence[Event]:
        return ()

    def stops(self) -> Stops:
        """No more strings than the four that an OpenAI server takes. A join of a number that was
        not sent off is seen once it is written, and what follows it is taken out again."""
        return Stops((*(f"<JOIN-{i}>" for i, sent in self._open.items() if sent), "</ANSWER>"))

    def feed(self, text: str) -> Sequence[Event]:
        events: list[Event] = []
        start = max(self._seen, len(self._text) - _LONGEST)
        self._text += text
        while found := _TAG.search(self._text, start):
            start = self._seen = found.end()
            halt = self._take(found, events)
            if halt is not None:
                self._text = self._text[: self._seen]
                return [*events, halt]
        return events

    def close(self, finish: Finish) -> Sequence[Event]:
        self._seen = len(self._text)
        cut = finish not in ("eos", "stop")
        events: list[Event] = []
        if finish == "stop":
            if shown := next((t for t in self.stops().strings if self._text.endswith(t)), ""):
                return [Amend(Splice(()), f"{shown} means nothing here")]
            events.append(Oddity(f"{HIDDEN_STOP}; it may hide special tokens"))
        if self._inside is not None and not self._inside[0]:
            value = self._text[self._inside[1] :].strip()
            events.append(Oddity("the text ends inside <ANSWER>"))
            return [*events, End("budget" if cut else "done", value, finish if cut else "")]
        if self._inside is not None:
            events.append(Oddity(f"<FORK-{self._inside[0]}> is not closed; it is given up"))
            self._inside = None
        left = [number for number, sent in self._open.items() if sent]
        if cut:
            if left:
                events.append(Oddity(f"the text is cut off before {', '.join(left)} is joined"))
            return [*events, End("budget", reason=f"the organiser was cut off ({finish})")]
        if left:
            self._unanswered = True
            events.append(Oddity("the text ends without an answer; open workers are joined"))
            return [*events, Wait()]
        return [*events, End("malformed", reason="the organiser gave no <ANSWER>")]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        prompt = Prompt(messages=(Message("system", WORKER), Message("user", fork.text)))
        return ChildSpec("spawn", prompt=prompt, label=f"{fork.item}: {fork.text}"), Worker()

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        text = ""
        for fork, outcome in zip(forks, outcomes, strict=True):
            self._open.pop(fork.item, None)
            if self._unanswered:
                text += f"\n<JOIN-{fork.item}>"
            text += _closed(fork.item, _returned(outcome))
        self._unanswered = False
        return self._splice(text)

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return False

    # --- tags ----------------------------------------------------------------------------------

    def _take(self, tag: re.Match[str], events: list[Event]) -> Event | None:
        """Read one tag; the event that halts the stream, if any."""
        opens, number, closes, closed, answer = tag.groups()
        if self._inside is not None and self._inside[0] == "":
            if answer == "/ANSWER":
                return self._answer(self._text[self._inside[1] : tag.start()], events)
            return None
        if closes:
            if self._inside is not None and self._inside[0] == closed:
                self._fork(closed, self._text[self._inside[1] : tag.start()], events)
                self._inside = None
            else:
                events.append(Oddity(f"</FORK-{closed}> closes nothing"))
            return None
        if answer == "/ANSWER":
            return None
        if self._inside is not None:
            events.append(Oddity(f"<FORK-{self._inside[0]}> is not closed; it is given up"))
            self._inside = None
        if opens == "JOIN":
            return self._wait(number, events)
        self._inside = (number or "", tag.end())
        return None

    def _fork(self, number: str, query: str, events: list[Event]) -> None:
        if number in self._open:
            events.append(Oddity(f"thread {number} is open already; it is not sent off again"))
        elif not query.strip():
            events.append(Oddity(f"<FORK-{number}> asks for nothing"))
        elif sum(self._open.values()) >= self._pool - 1:
            self._open[number] = False
            events.append(Oddity(f"the pool of {self._pool} is full; {number} is not sent off"))
        else:
            self._open[number] = True
            events.append(Fork(number, query.strip(), self._seen))

    def _wait(self, number: str, events: list[Event]) -> Event:
        sent = self._open.get(number)
        if sent:
            return Wait((number,))
        self._open.pop(number, None)
        what = "(no such thread)" if sent is None else "(no worker was free)"
        return Amend(self._splice(_closed(number, what)), f"<JOIN-{number}>: {what[1:-1]}")

    def _answer(self, text: str, events: list[Event]) -> Event:
        left = [number for number, sent in self._open.items() if sent]
        if left:
            events.append(Oddity(f"the answer does not wait for {', '.join(left)}"))
        return End("done", text.strip())

    def _splice(self, text: str) -> Splice:
        """Put ``text`` behind the last tag, in place of anything written past it."""
        splice = Splice((text,), self._seen)
        self._text = self._text[: self._seen] + text
        self._seen = len(self._text)
        return splice


class Worker:
    """The machine of a worker: it ends when it returns."""

    def __init__(self) -> None:
        self._text = ""

    def begin(self) -> Sequence[Event]:
        return ()

    def stops(self) -> Stops:
        return Stops((_END_RETURN,))

    def feed(self, text: str) -> Sequence[Event]:
        start = max(0, len(self._text) - len(_END_RETURN))
        self._text += text
        end = self._text.find(_END_RETURN, start)
        return [End("done", self._value(self._text[:end]))] if end >= 0 else []

    def close(self, finish: Finish) -> Sequence[Event]:
        value = self._value(self._text)
        if finish == "stop":
            return [Oddity(f"{HIDDEN_STOP}; it may hide special tokens"),
                    End("malformed", value, HIDDEN_STOP)]
        if finish == "eos":
            return [End("malformed", value, f"the worker ended without {_END_RETURN}")]
        return [End("budget", value, f"the worker was cut off ({finish})")]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        raise AssertionError("workers of this format do not fork")

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        return Splice(())

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return False

    def _value(self, text: str) -> str:
        """What follows ``<RETURN>``, or all there is."""
        return text.rpartition(_RETURN)[2].strip()


def _returned(outcome: Outcome | None) -> str:
    """A worker's result as untrusted text: it cannot open a tag of this format."""
    if outcome is None or not outcome.value:
        return f"(no result: {outcome.status if outcome else 'cancelled'})"
    return OWN_TAGS.sub("(", outcome.value)


def _closed(number: str, text: str) -> str:
    return f"\n{text}\n</JOIN-{number}>"
