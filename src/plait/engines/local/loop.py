"""The step loop: one worker thread, with asyncio in front of it.

Rules of this file
  * Only the worker touches the `Batch`. Others leave commands in the inbox and wake it; leaving
    a stream is such a command, so blocks are free before the next step begins.
  * What was written goes to each event loop in one `call_soon_threadsafe`, not in one for each
    stream. Waking a loop and each of its readers costs as much as a good part of a step, so
    text is handed out at most once in `PAUSE` seconds, or `SHARE` seconds for each stream where
    that is longer. What somebody waits for goes at once: a stream's first token and its end.
  * The worker starts with the first command, sleeps while there is nothing to do, and ends with
    `stop`, or before the interpreter does. After `stop` the next command starts it again.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from plait.engines.local.writing import Output, Piece, Writing
from plait.errors import EngineError

PAUSE = 0.003
SHARE = 0.0004

Parcel = tuple["Listener", list[Piece]]


class Batch(Protocol):
    """Requests that advance together. Only the worker's thread calls it."""

    @property
    def busy(self) -> bool:
        """Is there anything for a step to do?"""
        ...

    def add(self, request: Any) -> None:
        """Queue a request, a `Writing` of the kind that this batch knows, and `begin` it."""
        ...

    def cancel(self, request: Any) -> None:
        """Forget a request and free what it holds. Harmless when it is over."""
        ...

    def step(self) -> Output:
        """Let the requests advance. Those that end are forgotten."""
        ...

    def check(self) -> None:
        """Raise `Bug` where an invariant does not hold. For tests."""
        ...


B = TypeVar("B", bound=Batch)


class Listener(Protocol):
    """Whoever waits for a request's pieces. Both methods are called in its event loop."""

    loop: asyncio.AbstractEventLoop

    def take(self, pieces: list[Piece]) -> None: ...

    def fail(self, error: EngineError) -> None: ...


class Worker(Generic[B]):
    """Runs the batch that ``make`` makes, in a thread called ``name``. After a step that failed, a
    new one is made. ``checked``: check all invariants after each step."""

    def __init__(self, make: Callable[[], B], name: str, checked: bool = False) -> None:
        self._name = name
        self._make = make
        self._checked = checked
        self.batch = make()
        self._changed = threading.Condition()
        self._inbox: deque[tuple[bool, Writing]] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._listeners: dict[int, tuple[Writing, Listener]] = {}
        self._unsent: dict[int, list[Piece]] = {}
        self._handed_out = 0.0

    @property
    def running(self) -> bool:
        return self._thread is not None

    def submit(self, request: Writing) -> None:
        """Queue a request; its ``listener`` is told what becomes of it."""
        self._post(True, request)

    def cancel(self, request: Writing) -> None:
        """Drop a request before the next step."""
        self._post(False, request)

    def _post(self, wanted: bool, request: Writing) -> None:
        with self._changed:
            self._inbox.append((wanted, request))
            if self._thread is None and wanted:
                self._stopping = False
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
                _stop_at_exit(self)
            self._changed.notify_all()

    def stop(self) -> None:
        """End the thread after the step it is in; streams that are still open fail."""
        with self._changed:
            thread, self._stopping = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def wait_idle(self) -> None:
        """Block until there is nothing left to do."""
        with self._changed:
            while self._thread is not None and (self._inbox or self.batch.busy):
                self._changed.wait()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._inbox or self.batch.busy or self._stopping):
                    self._changed.notify_all()  # for `wait_idle`
                    self._changed.wait()
                commands = list(self._inbox)
                self._inbox.clear()
                if self._stopping:
                    try:
                        self._obey(commands)
                        self._fail_all(EngineError("the engine was closed"))
                        if self.batch.busy:
                            self.batch.step()  # some free only then what was cancelled
                    finally:
                        self._thread = None
                        self._changed.notify_all()
                    return
            self._obey(commands)
            try:
                output = self.batch.step() if self.batch.busy else []
                if self._checked:
                    self.batch.check()
            except Exception as error:  # noqa: BLE001  the boundary: one bad step fails its
                # streams, loudly, and must not leave them waiting for ever
                self._fail_all(error if isinstance(error, EngineError) else
                               EngineError(f"a step of the engine failed: {error!r}"))
                self.batch = self._make()
            else:
                self._hand_out(output)

    def _obey(self, commands: list[tuple[bool, Writing]]) -> None:
        for wanted, request in commands:
            if wanted:
                listener = request.listener
                self.batch.add(request)
                self._listeners[request.number] = request, listener  # type: ignore[assignment]
            elif self._listeners.pop(request.number, None) is not None:
                self.batch.cancel(request)

    def _hand_out(self, output: Output) -> None:
        """Pass on what was written, unless it can wait a little."""
        unsent, urgent = self._unsent, []
        for request, piece in output:
            unsent.setdefault(request.number, []).append(piece)
            if piece.finish is not None or request.generated == 1:
                urgent.append(request.number)
        now = time.monotonic()
        pause = max(PAUSE, SHARE * len(unsent))
        if now >= self._handed_out + pause or not self.batch.busy:
            self._handed_out = now
            urgent = list(unsent)
        loops: dict[asyncio.AbstractEventLoop, list[Parcel]] = {}
        for number in urgent:
            pieces = unsent.pop(number)
            found = self._listeners.get(number)
            if found is None:
                continue  # it was left meanwhile
            if pieces[-1].finish is not None:
                del self._listeners[number]
            loops.setdefault(found[1].loop, []).append((found[1], pieces))
        for loop, parcels in loops.items():
            try:
                loop.call_soon_threadsafe(_deliver, parcels)
            except RuntimeError:  # the loop is closed, and with it whoever was waiting there
                self._drop(loop)

    def _drop(self, loop: asyncio.AbstractEventLoop) -> None:
        for number, (request, listener) in list(self._listeners.items()):
            if listener.loop is loop:
                del self._listeners[number]
                self.batch.cancel(request)

    def _fail_all(self, error: EngineError) -> None:
        for request, listener in self._listeners.values():
            self.batch.cancel(request)
            if not listener.loop.is_closed():
                listener.loop.call_soon_threadsafe(listener.fail, error)
        self._listeners.clear()
        self._unsent.clear()


def _deliver(parcels: list[Parcel]) -> None:
    for listener, pieces in parcels:
        listener.take(pieces)


def _stop_at_exit(worker: Worker[Any]) -> None:
    """A daemon thread inside native code must not see the interpreter go; an engine that nobody
    closed must not keep the process alive."""
    reference = weakref.ref(worker)

    def stop() -> None:
        found = reference()
        if found is not None:
            found.stop()

    atexit.register(stop)
