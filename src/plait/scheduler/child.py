"""A child thread seen from its parent: peek at its outcome, cancel it with all below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from plait.core import Outcome
from plait.core.events import Ended
from plait.interfaces import Body, ChildSpec

if TYPE_CHECKING:
    from plait.scheduler.context import Context
    from plait.scheduler.run import Run
    from plait.scheduler.thread import ScheduledThread


class ScheduledChild:
    """The scheduler's `Child`. It ends once: by itself, or by `cancel`."""

    def __init__(
        self, run: Run, name: str, parent: ScheduledThread, spec: ChildSpec, body: Body,
        base: Context,
    ) -> None:
        self.run = run
        self.name = name
        self.parent = parent
        self.spec = spec
        self.body = body
        self.base = base
        self.thread: ScheduledThread | None = None
        self.scope = anyio.CancelScope()
        self.at = 0
        self.start_clock = 0
        self._outcome: Outcome | None = None

    def peek(self) -> Outcome | None:
        return self._outcome

    def cancel(self, why: str) -> None:
        if self._outcome is not None:
            return
        for child in self.thread.children if self.thread else ():
            child.cancel(why)
        text = self.thread.text if self.thread else ""
        self.end(Outcome("cancelled", text, reason=why))
        self.scope.cancel()

    def end(self, outcome: Outcome) -> None:
        """Set the outcome, once, and tell whoever waits."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        run = self.run
        run.emit(Ended(run.now(), self.name, outcome.status, outcome.reason, outcome.value))
        run.child_ended(self)
