"""The trace of a run while it happens: an append-only list of events, and a live bus.

`Trace.emit` is on the path of every token, so it does nothing but append and call the sinks. A
sink is somebody else's code (a file, a terminal, a client that went away): one that raises is
taken off the bus and reported as a warning, once, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from plait.core.events import Event, Noted, RunEnded, RunStarted
from plait.interfaces import Sink


class Trace:
    """Everything that happened in a run, in order. Used from one thread of the program."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: list[Event] = list(events)
        self._sinks: tuple[Sink, ...] = ()
        self._view: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far. The tuple is made anew only after something was added."""
        if len(self._view) != len(self._events):
            self._view = tuple(self._events)
        return self._view

    def subscribe(self, sink: Sink, *, replay: bool = False) -> Callable[[], None]:
        """Call ``sink`` with each event from now on; returns the call that ends this.

        ``replay``: first hand it what happened already. Errors of a replay are the caller's.
        """
        if replay:
            for event in self.events:
                sink(event)
        self._sinks = (*self._sinks, sink)

        def unsubscribe() -> None:
            self._sinks = tuple(kept for kept in self._sinks if kept is not sink)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Record ``event`` and hand it to every sink. Never raises."""
        self._events.append(event)
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:  # noqa: BLE001 - boundary: sinks are foreign, runs go on
                self._drop(sink, event, error)

    def _drop(self, sink: Sink, event: Event, error: Exception) -> None:
        if sink not in self._sinks:  # it failed again while its first failure was reported
            return
        self._sinks = tuple(kept for kept in self._sinks if kept is not sink)
        thread = "0" if isinstance(event, RunStarted | RunEnded) else event.thread
        name = getattr(sink, "__qualname__", type(sink).__name__)
        what = f"the trace sink {name} failed and was dropped: {type(error).__name__}: {error}"
        self.emit(Noted(event.t, thread, what, warning=True))
