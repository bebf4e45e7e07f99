"""Drive a wire protocol: the model itself decides when to fork, how wide, and when to join.

Every thread of the tree is driven by the same loop, each with a machine of its own: write until
the machine says `Wait` (join children), `Amend` (change the context and go on) or `End`. Children
start the moment the machine reports their `Fork`, while the parent's stream is still open; with
`Plan.early_stop` the parent is stopped in mid-sentence when what its children have found is
enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plait.core import Finish, Outcome, Plan, Request, Stops
from plait.interfaces import (
    Amend,
    Child,
    End,
    Event,
    Fork,
    Halt,
    Oddity,
    Opening,
    Splice,
    Thread,
    Wait,
    WireProtocol,
)


class Native:
    """The method; ``machine`` makes the root's machine from the opening prompt's text."""

    def __init__(self, machine: Callable[[str], WireProtocol]) -> None:
        self._machine = machine

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        outcome = await drive(root, self._machine(opening.prompt.text), request, plan)
        value = opening.read(root.text)
        if outcome.ok and value is None:
            return Outcome("malformed", root.text, reason="the text holds no answer")
        return Outcome(outcome.status, root.text, value, outcome.reason)


async def drive(thread: Thread, machine: WireProtocol, request: Request, plan: Plan) -> Outcome:
    """Run one thread of a protocol, and below it all that it forks, to its end."""
    family = _Family(thread, machine, request, plan)
    rounds = 0
    while True:
        event = await family.write()
        match event:
            case End(status, value, reason):
                return Outcome(status, thread.text, value, reason)
            case Amend(splice, why):
                if why:
                    thread.note(why, warning=True)
                _apply(thread, splice)
            case Wait(items):
                await family.join(items)
        rounds += 1
        if request.budget.rounds is not None and rounds >= request.budget.rounds:
            thread.note(f"stopped after {rounds} rounds of forking", warning=True)
            return Outcome("budget", thread.text, reason=f"the limit on rounds is {rounds}")


class _Family:
    """A thread and the children that it has not joined yet."""

    def __init__(
        self, thread: Thread, machine: WireProtocol, request: Request, plan: Plan
    ) -> None:
        self._thread = thread
        self._machine = machine
        self._request = request
        self._plan = plan
        self._open: dict[str, tuple[Fork, Child]] = {}
        self._begun = False

    async def write(self) -> Halt:
        """Let the model write until something has to be done; start children on the way."""
        if not self._begun:
            self._begun = True
            halt = self._take(self._machine.begin())
            if halt is not None:
                return halt
        stops, stop = self._machine.stops(), None
        async with self._thread.write(stops) as stream:
            async for chunk in stream:
                stop = chunk.stop
                halt = self._take(self._machine.feed(chunk.text))
                if halt is not None:
                    return halt
                if self._plan.early_stop and self._open and self._enough():
                    return Wait()
        halt = self._take(self._machine.close(self._why_ended(stops, stop)))
        return halt or End("malformed", reason="the format has no end")

    def _why_ended(self, stops: Stops, stop: str | int | None) -> Finish:
        """Why the last stream ended, for the machine: a stop of the request's own is nothing of
        the format's, so to the machine the model ended there."""
        finish = self._thread.finish or "error"
        own = self._request.sampling
        if finish == "stop" and stop in (*own.stop, *own.stop_ids) and stop not in (
                *stops.strings, *stops.ids):
            return "eos"
        return finish

    async def join(self, items: tuple[str, ...] | None) -> None:
        """Wait for children and splice what they came to into the thread."""
        wanted = [i for i in (self._open if items is None else items) if i in self._open]
        forks, children = [], []
        for item in wanted:
            fork, child = self._open.pop(item)
            forks.append(fork)
            children.append(child)
        enough = self._machine.enough if self._plan.early_stop else None
        outcomes = await self._thread.wait(children, enough)
        self._note_losses(outcomes)
        _apply(self._thread, self._machine.join(forks, outcomes))

    def _note_losses(self, outcomes: Sequence[Outcome | None]) -> None:
        """Say which threads did not end as they should; one note a reason, not one a thread.
        The scheduler has said so already of those that failed or never began."""
        lost: dict[str, list[str]] = {}
        for outcome in outcomes:
            if outcome is not None and outcome.thread and outcome.status in ("malformed", "budget"):
                lost.setdefault(outcome.reason, []).append(outcome.thread)
        for reason, names in lost.items():
            listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")
            self._thread.note(f"thread {listed}: {reason}", warning=True)

    def _take(self, events: Sequence[Event]) -> Halt | None:
        for event in events:
            match event:
                case Fork():
                    self._start(event)
                case Oddity(what):
                    self._thread.note(what, warning=True)
                case _:
                    return event
        return None

    def _start(self, fork: Fork) -> None:
        spec, _ = self._machine.child(fork)

        async def body(thread: Thread) -> Outcome:
            _, machine = self._machine.child(fork)  # a fresh one for every attempt
            return await drive(thread, machine, self._request, self._plan)

        self._open[fork.item] = (fork, self._thread.start(spec, body))

    def _enough(self) -> bool:
        outcomes = [child.peek() for _, child in self._open.values()]
        return any(outcomes) and self._machine.enough(outcomes)


def _apply(thread: Thread, splice: Splice) -> None:
    if splice.since is None:
        thread.append(*splice.parts)
    else:
        thread.rewrite(splice.since, *splice.parts)
