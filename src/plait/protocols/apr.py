"""APR, Adaptive Parallel Reasoning (Pan et al. 2025, arXiv 2504.15466): spawn from fresh contexts.

The parent searches, and calls sub searches at nodes that it has named before:

    Generated Node #0,1: 62:[5, 50, 52] Operation: 79-27=52
    <Calling Sub Searches>
    <Start Sub Search 0 at level 1> Moving to Node #0,1
    <End Calling Sub Searches>

Each child gets a fresh prompt, nothing else of the parent's:

    Moving to Node #0,1
    Current State: 62:[5, 50, 52], Operations: ['79-27=52']

At the join the parent's text is *rewritten*: everything from ``<Calling Sub Searches>`` on gives
way to one line a child, and the solution path of those that found one:

    <Sub Searches>
    <No Solution in Sub Search 0 at level 1 at Node #0,1>
    <End Sub Searches>

A search has reached its goal when "Goal Reached" occurs twice; what follows the second-last one is
its result. Node states may be given by ``Generated Node`` lines or by a ``Moving to Node`` line
and the ``Current State`` line after it, anywhere before the call, inside the block too. All this
follows the published client. Where that client loses the whole answer, this machine goes on:

    a call of an unknown node, or of one called already     skipped
    more than `MOST` calls in one block                     the rest skipped
    end of text, or of tokens, inside an open block         what was called is joined
    a block without calls                                   the thread ends, malformed
    tags and Start lines on one line                        each is read
    <Calling Sub Searches> in an open block                 plain text, the block goes on
    the model writes <Sub Searches> itself                  replaced by <Calling Sub Searches>
    a sub search calls sub searches (one level only)        it ends without result, malformed
    CR LF                                                   read as LF
    a stop that the text does not show                      noted; what was called is joined, else
                                                            the thread ends, malformed

A prompt may open with a condition that the model was trained to heed: ``Sub Call Budget: N ``
before the parent's alone, or ``Token Budget: N `` before every search's, so the latter is copied to
the children.

A child starts as soon as its Start line is complete, while the parent still writes (the published
client waits for the end of the block; the texts are the same). With ``enough`` a caller may join
at the first success: children that were not waited for have no line at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from plait.core import Finish, Outcome, Stops
from plait.interfaces import Amend, ChildSpec, End, Event, Fork, Oddity, Splice, Wait, WireProtocol
from plait.protocols.facts import HIDDEN_STOP, Facts
from plait.puzzles.countdown_text import CONDITION

CALL, END_CALL = "<Calling Sub Searches>", "<End Calling Sub Searches>"
JOINED, END_JOINED = "<Sub Searches>", "<End Sub Searches>"
GOAL = "Goal Reached"
MOST = 64

FACTS = Facts(
    name="apr",
    title="APR",
    paper="arXiv 2504.15466",
    family="spawn",
    nesting="none; sub searches do not call",
    joins="the call gives way to one line a child, and the paths of those that succeeded",
    models=("plait-nano", "Parallel-Reasoning/llama-apr_cond10_grpo",
            "Parallel-Reasoning/apr_grpo"),
    measure="longest thread",
    caveats=("the published models play countdown only",
             "a question may begin with `Sub Call Budget: N ` or `Token Budget: N `"),
    temperature=1.0,
    trained_context=4096,
)

_MOVE = re.compile(r"Moving to Node #([\d,]+)\s*$")
_STATE = re.compile(r"Current State: *(\d+): *\[([\d, ]*)\], Operations: *\[(.*)\]\s*$")
_NODE = re.compile(r"Generated Node #([\d,]+): *(\d+): *\[([\d, ]*)\] Operation: *(\S+)\s*$")
_START = re.compile(r"<Start Sub Search \d+ at level \d+> *Moving to Node #([\d,]+)"
                    r"\s*(?=$|<Start |<End Calling|<Sub Searches>)")
_OWN_TAGS = re.compile(r"<(?=(?:Calling|Start|End|Sub|No Solution|Goal Reached)\b)")


@dataclass(frozen=True, slots=True)
class Node:
    """A state of the search: reach ``target`` with ``numbers``; ``operations`` led here."""

    target: str
    numbers: str
    operations: tuple[str, ...]

    def prompt(self, name: str) -> str:
        """The fresh context of a sub search at this node."""
        done = ", ".join(f"'{op}'" for op in self.operations)
        return (f"Moving to Node #{name}\n"
                f"Current State: {self.target}:[{self.numbers}], Operations: [{done}]")


def search_result(text: str) -> str | None:
    """The solution path that a finished search returns; None if it did not reach its goal."""
    before_last = text.rfind(GOAL, 0, max(0, text.rfind(GOAL)))
    if before_last < 0:
        return None
    return text[before_last:].strip()[len(GOAL) + 1 :]


class APR:
    """The machine of one search; ``prompt`` is its opening, ``level`` 0 for the root's."""

    def __init__(self, prompt: str = "", level: int = 0) -> None:
        self._level = level
        condition = CONDITION.match(prompt)
        self._inherited = condition[0] if condition and condition[0].startswith("Token") else ""
        self._nodes: dict[str, Node] = {}
        self._moved: str | None = None
        self._text = ""
        self._line_start = 0
        self._block: int | None = None
        self._called: dict[str, str] = {}
        self._full = False
        for line in prompt.split("\n"):
            self._learn(line)

    def begin(self) -> Sequence[Event]:
        return ()

    def stops(self) -> Stops:
        return Stops((END_CALL, JOINED))

    def feed(self, text: str) -> Sequence[Event]:
        events: list[Event] = []
        self._text += text
        while (end := self._next_end()) is not None:
            line = self._text[self._line_start : end]
            event = self._take(line, events)
            if event is not None:
                events.append(event)
                return events
            self._line_start = end
        return events

    def close(self, finish: Finish) -> Sequence[Event]:
        events: list[Event] = []
        if finish == "stop":
            events.append(Oddity(HIDDEN_STOP))
        rest = self._text[self._line_start :]
        event = self._take(rest, events) if rest else None
        self._line_start = len(self._text)
        if event is None:
            event = self._end(finish, events)
        return [*events, event]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        return (ChildSpec("spawn", fork.text, label=f"#{fork.item}"),
                APR(fork.text, self._level + 1))

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        level = self._level + 1
        lines = [f"{JOINED}\n"]
        for index, (fork, outcome) in enumerate(zip(forks, outcomes, strict=True)):
            where = f"in Sub Search {index} at level {level} at Node #{fork.item}>\n"
            if outcome is None:
                continue
            if outcome.ok and outcome.value is not None:
                lines.append(f"<{GOAL} {where}{_quote(outcome.value)}\n")
            else:
                lines.append(f"<No Solution {where}")
        lines.append(f"{END_JOINED}\n")
        since = self._block if self._block is not None else len(self._text)
        splice = Splice(("".join(lines),), since)
        self._apply(splice)
        return splice

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return any(o is not None and o.ok and o.value is not None for o in outcomes)

    def knows(self, name: str) -> bool:
        """Has the node ``name`` been described so far?"""
        return name in self._nodes

    # --- lines ---------------------------------------------------------------------------------

    def _next_end(self) -> int | None:
        """Where the next complete piece ends: a line, or a tag that must be seen at once."""
        newline = self._text.find("\n", self._line_start) + 1
        line_end = newline or len(self._text)
        ends = [newline] if newline else []
        for tag in (END_CALL, JOINED):
            place = self._text.find(tag, self._line_start, line_end)
            if place >= 0:
                ends.append(place + len(tag))
        return min(ends, default=None)

    def _take(self, line: str, events: list[Event]) -> Event | None:
        """Read one line (or the piece up to a tag); the event that halts the stream, if any."""
        if CALL in line and self._called:
            events.append(Oddity(f"{CALL} inside an open call"))
        elif CALL in line:
            self._block = self._line_start + line.index(CALL)
            self._full = False
        if self._block is not None:
            for start in _START.finditer(line):
                self._start(start[1], self._line_start + len(line), events)
        if JOINED in line:
            return self._guard(line, events)
        if END_CALL in line:
            return self._call(events)
        self._learn(line)
        return None

    def _learn(self, line: str) -> None:
        """Remember the state of a node that ``line`` describes."""
        if found := _NODE.search(line):
            name, target, numbers, operation = found.groups()
            above = self._nodes.get(name.rpartition(",")[0])
            if name not in self._nodes:
                before = above.operations if above else ()
                self._nodes[name] = Node(target, numbers, (*before, operation))
        elif (found := _STATE.search(line)) and self._moved is not None:
            target, numbers, done = found.groups()
            operations = tuple(re.findall(r"'([^']*)'", done))
            self._nodes.setdefault(self._moved, Node(target, numbers, operations))
        moved = _MOVE.search(line)
        self._moved = moved[1] if moved else None

    def _start(self, name: str, at: int, events: list[Event]) -> None:
        if self._level > 0:
            return
        if name in self._called:
            events.append(Oddity(f"node #{name} is called twice in one block"))
        elif name not in self._nodes:
            events.append(Oddity(f"node #{name} is called but was never generated"))
        elif len(self._called) >= MOST:
            if not self._full:
                events.append(Oddity(f"more than {MOST} calls in one block: #{name} and what"
                                     " follows it are skipped"))
            self._full = True
        else:
            self._called[name] = name
            prompt = self._inherited + self._nodes[name].prompt(name)
            events.append(Fork(name, prompt, at))

    def _call(self, events: list[Event]) -> Event:
        """The end tag of a block was written."""
        if self._level > 0:
            return End("malformed", reason="a sub search called sub searches")
        if self._block is None:
            events.append(Oddity(f"{END_CALL} without {CALL}"))
        if not self._called:
            return End("malformed", reason="a call without sub searches")
        return Wait()

    def _guard(self, line: str, events: list[Event]) -> Event:
        """The model began to write a join itself: make it call instead."""
        if self._level > 0:
            return End("malformed", reason=f"a sub search wrote {JOINED} itself")
        if self._called:
            events.append(Oddity(f"{JOINED} where {END_CALL} belongs"))
            return Wait()
        splice = Splice((CALL,), self._line_start + line.index(JOINED))
        self._apply(splice)
        return Amend(splice, f"the model wrote {JOINED} itself")

    def _end(self, finish: Finish, events: list[Event]) -> Event:
        if self._block is not None:
            events.append(Oddity(f"the text ends inside {CALL}"))
        if self._called:
            return Wait()
        result = search_result(self._text)
        if finish == "stop" and result is None:
            return End("malformed", reason=HIDDEN_STOP)
        if finish in ("eos", "stop") or result is not None:
            return End("done", result)
        return End("budget", reason=f"the search was cut off ({finish})")

    def _apply(self, splice: Splice) -> None:
        """Follow what the runtime does to the context."""
        assert splice.since is not None
        self._text = self._text[: splice.since] + splice.text
        line = self._text.rfind("\n") + 1
        self._line_start = line
        self._block = splice.since if splice.text == CALL else None
        self._called = {}
        self._moved = None


def _quote(result: str) -> str:
    """A child's result as untrusted text: its angle brackets cannot open a tag of this format."""
    return _OWN_TAGS.sub("(", result)
