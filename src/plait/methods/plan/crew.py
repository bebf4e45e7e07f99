"""The threads that work on a board: started, watched, put off, tried again, hedged.

`poll` is the whole policy in one place: it books what has ended and starts what is ready. It is
called with each chunk of the plan, while the plan streams, and whenever a thread ends after that.
A unit may have two threads (a straggler and its hedge); the first that is done counts. A thread
that was cancelled for a good reason is forgotten, so its outcome has no say any more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from math import ceil

import anyio

from plait.core import Outcome, Part, Verdict
from plait.interfaces import Body, Child, Thread
from plait.methods.plan.board import Board, Unit
from plait.methods.plan.job import Job
from plait.methods.plan.subtask import Subtask
from plait.methods.plan.work import LACKS, REJECTED, TOO_LARGE, work
from plait.methods.work import AGAIN
from plait.prompts import one_line, quote, write_answer

Split = Callable[[Thread, Job], Awaitable[Outcome]]
"""Plans a part that is too large for one thread, on a thread of its own."""
FEWEST = 3
"""Siblings that must have ended before one can be called a straggler."""
DECLINED = "the planner would not split it: "
_NEEDS = re.compile(r"^\W*(?P<unit>[\w-]+)\W+needs\W+(?P<need>[\w-]+)\W*$", re.MULTILINE)


@dataclass(slots=True, eq=False)
class Try:
    """One thread at work on a unit. ``began`` holds when it got its place, once it has."""

    unit: Unit
    child: Child
    split: bool
    hedge: bool
    began: list[float] = field(default_factory=list)


class Crew:
    """The threads below one planner. ``split``: what does a part that is too large."""

    def __init__(self, thread: Thread, job: Job, board: Board, split: Split) -> None:
        self.board = board
        self.late = False
        """The deadline came before everything was done."""
        self.children: dict[Unit, Child] = {}
        """The threads whose results count."""
        self._thread = thread
        self._job = job
        self._split = split
        self._tries: list[Try] = []
        self._checker: Child | None = None
        self._seconds: list[float] = []
        """How long the parts that are done took."""
        self._failures: Counter[Unit] = Counter()
        self._last: dict[Unit, str] = {}
        self._lacking: dict[Unit, str] = {}
        """Units that lack something which the rest of the plan may name."""
        self._whole: set[Unit] = set()
        """Units that are not to be split: a planner would not."""
        self._verdicts: dict[Unit, bool | None] = {}

    # --- what happens --------------------------------------------------------------------------

    def add(self, subtask: Subtask) -> None:
        """Take a subtask of the plan; put off what turns out to depend on it."""
        for unit in self.board.add(subtask):
            self._put_off(unit)
        self.poll()

    def poll(self) -> None:
        """Book what has ended, start what is ready."""
        for tried in [t for t in self._tries if t.child.peek() is not None]:
            self._settle(tried)
        self._read_check()
        if self.board.closed:
            lacking, self._lacking = self._lacking, {}
            for unit, why in lacking.items():
                self._lacks(unit, why)
        while stuck := self.board.stuck:
            failed = [u.name for u in self.board.given(stuck[0]) if u.state == "failed"]
            self._fail(stuck[0], f"it needs {', '.join(failed)}, which failed")
        for unit in self.board.ready:
            unit.state = "running"
            self._start(unit)
        for note in self.board.notes:
            self._thread.note(note, warning=True)
        self.board.notes.clear()

    async def finish(self, seconds: float | None) -> None:
        """Work until nothing is left to do, for at most ``seconds``."""
        until = anyio.current_time() + (float("inf") if seconds is None else seconds)
        self.poll()
        while self._tries or self._checker is not None:
            now = anyio.current_time()
            if now >= until:
                self.late = True
                self.stop("the deadline is near")
                return
            with anyio.move_on_after(min(until, self._next_straggler()) - now):
                checker = [self._checker] if self._checker is not None else []
                await self._thread.any_ended([*(t.child for t in self._tries), *checker])
            self.poll()
            self._mind_stragglers()

    def stop(self, why: str) -> None:
        """Cancel everything that still runs."""
        if self._checker is not None:
            self._checker.cancel(why)
            self._checker = None
        for unit in {t.unit: None for t in self._tries} | self._lacking:
            self._drop(unit, why)
            self._fail(unit, why)

    def redo(self, unit: Unit, remarks: str, seen: Iterable[str]) -> None:
        """Do a unit again that is done; ``seen``: threads whose results the ``remarks`` show.

        What was built on it is done again if it changes.
        """
        unit.state = "running"
        self._start(unit, remarks, seen=seen)

    def check(self) -> None:
        """Have a model look for dependences that the plan does not declare."""
        spec = self._job.ask_prompt("independent", {"plan": self._job.show_plan(self.board.units)})
        self._job.note_prompts(self._thread, "independent")
        self._checker = self._thread.start(spec, write_answer)

    def parts(self) -> list[Part]:
        """All units as parts, in the order of the plan."""
        return [self._part(unit) for unit in self.board.units]

    def _part(self, unit: Unit) -> Part:
        done, known = unit.state == "done", self._verdicts.get(unit)
        child = self.children.get(unit)
        return Part(unit.text, label=unit.name, task=unit.task, ok=done,
                    reason="" if done else unit.text,
                    verdict=None if known is None else Verdict(known, float(known)),
                    thread=child.name if child is not None else "")

    def restore(self, unit: Unit, text: str) -> None:
        """A unit that was to be done again failed: what it had found before counts."""
        unit.state, unit.text = "done", text

    # --- threads -------------------------------------------------------------------------------

    def _start(
        self, unit: Unit, remarks: str = "", *, hedge: bool = False, seen: Iterable[str] = ()
    ) -> None:
        given = self.board.given(unit)
        after = [self.children[u].name for u in given] + list(seen)
        if remarks and unit in self._last:
            after.append(self._last[unit])
        split = not hedge and self._is_too_large(unit)
        if split:
            job = self._job.below("\n\n".join(filter(None, [unit.task, self._job.show(given)])))
            spec = replace(job.planner(), label=unit.name, after=tuple(after))
        else:
            job = self._job
            spec = job.worker(unit, given, tuple(after), remarks)
        if hedge:
            spec = replace(spec, temperature=AGAIN)
        began = [anyio.current_time()] if hedge else []
        child = self._thread.start(spec, self._body(job, unit, split, began))
        tried = Try(unit, child, split, hedge, began)
        self._tries.append(tried)
        if child.peek() is not None:  # no budget allowed it
            self._settle(tried)

    def _is_too_large(self, unit: Unit) -> bool:
        levels = self._thread.room.levels
        return (unit.tokens > self._job.split_above and unit not in self._whole
                and self._job.level < self._job.options.levels and (levels is None or levels >= 2))

    def _body(self, job: Job, unit: Unit, split: bool, began: list[float]) -> Body:
        async def body(thread: Thread) -> Outcome:
            began[:] = [anyio.current_time()]
            return await (self._split(thread, job) if split else work(thread, job, unit))

        return body

    def _drop(self, unit: Unit, why: str) -> None:
        for tried in [t for t in self._tries if t.unit is unit]:
            self._tries.remove(tried)
            tried.child.cancel(why)

    # --- endings -------------------------------------------------------------------------------

    def _settle(self, tried: Try) -> None:
        """Book the end of one thread."""
        outcome, unit = tried.child.peek(), tried.unit
        if outcome is None or tried not in self._tries:
            return
        self._tries.remove(tried)
        self._last[unit] = tried.child.name
        if outcome.ok and outcome.value is not None:
            self._done(tried, outcome, outcome.value)
        elif any(t.unit is unit for t in self._tries):
            return  # its hedge, or what it hedges, is still at it
        elif outcome.reason.startswith(LACKS):
            self._lacks(unit, outcome.reason)
        else:
            self._failed(tried, outcome)

    def _done(self, tried: Try, outcome: Outcome, text: str) -> None:
        unit = tried.unit
        if tried.began and not tried.split:
            self._seconds.append(anyio.current_time() - tried.began[0])
        self._drop(unit, "its hedge was faster" if tried.hedge is False else "the hedge was faster")
        changed = bool(unit.text) and unit.text != text
        unit.state, unit.text = "done", text
        self.children[unit] = tried.child
        self._verdicts[unit] = outcome.verified
        if changed:
            self._put_off_dependants(unit)

    def _lacks(self, unit: Unit, why: str) -> None:
        """Move it to a later wave: behind the parts that it names, else behind all others, which
        are known at the end of the plan."""
        others = set(self.board.subtasks) - unit.ids
        named = self.board.mentioned(why) & others
        if not named and not self.board.closed:
            self._lacking[unit] = why
            return None
        unit.moves += 1
        if unit.moves > self._job.options.moves:
            return self._fail(unit, f"{why}, and was put off {unit.moves - 1} times already")
        name = unit.subtasks[0].id
        if not self.board.depend(name, named) and not self.board.depend(name, others):
            return self._fail(unit, f"{why}, which no other part can give")
        self._thread.note(f"`{unit.name}` was put off: {why}")
        return None

    def _failed(self, tried: Try, outcome: Outcome) -> None:
        """Once more, alone, if another try may do better; the engine's faults were tried again."""
        unit, why = tried.unit, outcome.reason or outcome.status
        self._failures[unit] += 1
        if tried.split:
            self._whole.add(unit)
            self._thread.note(f"`{unit.name}` is done in one thread: {why}")
            return self._start(unit)
        if why.startswith(TOO_LARGE) and unit not in self._whole:
            unit.subtasks[0] = replace(unit.subtasks[0], tokens=max(
                unit.subtasks[0].tokens, self._job.split_above + 1))
            if self._is_too_large(unit):
                self._thread.note(f"`{unit.name}` is planned itself: {why}")
                return self._start(unit)
        if outcome.status == "malformed" and self._failures[unit] <= self._job.plan.retries:
            self._thread.note(f"`{unit.name}` is done again: {why}", warning=True)
            reason = quote(one_line(why.removeprefix(REJECTED)))
            return self._start(unit, "An earlier try at this part was not accepted. The reason is"
                                     f" quoted here:\n{reason}")
        return self._fail(unit, why)

    def _fail(self, unit: Unit, why: str) -> None:
        unit.state, unit.text = "failed", why
        self._thread.note(f"part `{unit.name}` failed: {why}", warning=True)

    # --- late dependences ------------------------------------------------------------------------

    def _put_off(self, unit: Unit) -> None:
        """Cancel the threads of ``unit``; it starts again when what it needs is done."""
        self._drop(unit, "it turned out to depend on another part")
        unit.state, unit.text = "waiting", ""
        self._put_off_dependants(unit)

    def _put_off_dependants(self, unit: Unit) -> None:
        for other in self.board.units:
            if unit.ids & other.needs and other.state in ("running", "done"):
                self._put_off(other)

    def _read_check(self) -> None:
        outcome = self._checker.peek() if self._checker is not None else None
        if outcome is None:
            return
        self._checker = None
        if not outcome.ok or outcome.value is None:
            why = outcome.reason or outcome.status
            self._thread.note(f"the check for dependences failed: {why}", warning=True)
            return
        for found in _NEEDS.finditer(outcome.value):
            pair = found["unit"], found["need"]
            if all(name in self.board.subtasks for name in pair):
                unit = self.board.depend(pair[0], {pair[1]})
                if unit is not None:
                    self._put_off(unit)

    # --- stragglers ------------------------------------------------------------------------------

    def _limit(self) -> float | None:
        """Seconds after which a part is a straggler; None while nobody can say."""
        options, ended = self._job.options, sorted(self._seconds)
        siblings = len(ended) + len({t.unit for t in self._tries})
        enough = max(FEWEST, ceil(options.percentile * siblings))
        if options.straggler == "off" or len(ended) < enough:
            return None
        return options.factor * ended[ceil(options.percentile * len(ended)) - 1]

    def _slow(self) -> Iterable[Try]:
        """Tries that may be called stragglers: not one whose hedge is at work."""
        for tried in self._tries:
            hedged = not tried.hedge and any(
                t.unit is tried.unit and t.hedge for t in self._tries)
            if not tried.split and not hedged:
                yield tried

    def _next_straggler(self) -> float:
        """When the next part becomes one."""
        limit = self._limit()
        if limit is None:
            return float("inf")
        now = anyio.current_time()  # one that has not begun yet will be looked at again
        return min(((t.began[0] if t.began else now) + limit for t in self._slow()),
                   default=float("inf"))

    def _mind_stragglers(self) -> None:
        limit = self._limit()
        if limit is None:
            return
        now = anyio.current_time()
        for tried in list(self._slow()):
            if not tried.began or now - tried.began[0] < limit - 1e-9:
                continue
            unit = tried.unit
            why = (f"it took longer than {self._job.options.factor:g} times the"
                   f" {self._job.options.percentile:.0%} of its siblings ({limit:.2f} s)")
            if tried.hedge or self._job.options.straggler == "cut":
                self._drop(unit, why)
                self._fail(unit, why)
            else:
                self._thread.note(f"a second thread for `{unit.name}`: {why}")
                self._start(unit, hedge=True)
        self.poll()
