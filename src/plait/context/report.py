"""How full contexts became, beside what one sequential thread would have had to hold.

Counted from the trace. The peak of a thread is the largest context that one of its requests ended
with: what it was asked to read (as the engine counted it, where it said) plus what it wrote. A
sequential run of the same work would have held the root's prompt and every useful token that was
written anywhere, since a single thread keeps everything; joins are not counted in its favour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plait.core.events import Answered, Appended, Asked, Event, Rewrote
from plait.trace import Meter


@dataclass(frozen=True, slots=True)
class ContextReport:
    """Tokens of context. ``peaks`` by thread; ``resets`` of all threads together."""

    peaks: dict[str, int]
    resets: int
    sequential: int
    """What one thread would have held at its end, had it done all of the useful work."""

    @property
    def peak(self) -> int:
        """The largest context of any thread; 0 if none asked anything."""
        return max(self.peaks.values(), default=0)

    @property
    def share(self) -> float | None:
        """``peak`` over ``sequential``; None where nothing was written."""
        return self.peak / self.sequential if self.sequential else None


class ContextMeter:
    """Counts the events of one run as they come."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._resets = self._opening = 0

    def feed(self, event: Event) -> None:
        """Count ``event``."""
        match event:
            case Asked():
                self._asked[event.thread] = event.context
                self._raise(event.thread, event.context)
            case Answered():
                read = max(event.prompt, self._asked.get(event.thread, 0))
                self._raise(event.thread, read + event.generated)
            case Rewrote(reset=True):
                self._resets += 1
            case Appended(author="prompt", thread="0"):
                self._opening += event.tokens
            case _:
                pass

    def _raise(self, thread: str, held: int) -> None:
        self._peaks[thread] = max(self._peaks.get(thread, 0), held)

    def report(self, useful: int) -> ContextReport:
        """The report so far. ``useful``: tokens that were generated and not wasted."""
        return ContextReport(dict(self._peaks), self._resets,
                             self._opening + useful if useful else 0)


def report_contexts(events: Iterable[Event]) -> ContextReport:
    """The report of a whole run, or of what there is of it."""
    contexts, meter = ContextMeter(), Meter()
    for event in events:
        contexts.feed(event)
        meter.feed(event)
    return contexts.report(meter.metrics().useful_tokens)
