"""The store as the gateway uses it: a watcher of runs, lists of them, and live runs to follow.

    async with Store(path) as store:
        with watching([store, ...], info) as watched: ...
        page = await store.runs(RunFilter(model="m"), limit=50)
        async for event in store.follow(run): ...

Taking an event costs a place in two lists; encoding and writing are the writer thread's. Reading
is done in worker threads on connections of their own, a few at a time.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import anyio
from anyio import to_thread

from plait.core.events import Event
from plait.errors import PlaitError
from plait.server.feedback import Feedback
from plait.server.redact import Redactor, RunTexts, Texts
from plait.server.store.base import reading
from plait.server.store.reader import Reader
from plait.server.store.records import Page, RunFilter, RunRecord, closing, opened
from plait.server.store.writer import FULL, Closing, Limits, Writer
from plait.server.watch import Ending, RunInfo

T = TypeVar("T")
READERS = 4


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What is kept, and for how long. ``private``: regular expressions of what ``redact`` is to
    take out beside what it knows."""

    texts: Texts = "keep"
    limits: Limits = field(default_factory=Limits)
    private: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Live:
    """A run that goes on, or whose end is being written."""

    record: RunRecord
    texts: RunTexts
    events: list[Event] = field(default_factory=list)
    over: bool = False
    changed: anyio.Event | None = None

    def wake(self) -> None:
        if self.changed is not None:
            self.changed.set()
            self.changed = None


class Store:
    """A `Watcher` that remembers. Use as ``async with``. Raises `UsageError` if the file cannot be
    used, or is used by another gateway."""

    def __init__(
        self, path: str | Path, settings: StoreSettings | None = None, *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self.settings = settings or StoreSettings()
        self._redactor = Redactor(self.settings.private)
        self._writer = Writer(self.path, self.settings.limits, now)
        self._number = self._writer.last
        self._live: dict[str, _Live] = {}
        self._readers = anyio.CapacityLimiter(READERS)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._writer.close)

    @property
    def failing(self) -> str:
        """Why nothing can be written just now; empty while all is well."""
        return self._writer.failing

    @property
    def lost(self) -> int:
        """Entries that could not be written so far."""
        return self._writer.lost

    # --- watching --------------------------------------------------------------------------------

    def started(self, info: RunInfo) -> None:
        self._number += 1
        texts = RunTexts(self.settings.texts if info.texts else "off", self._redactor)
        live = self._live[info.run] = _Live(opened(self._number, info, texts), texts)
        self._writer.put(live.record)

    def event(self, info: RunInfo, event: Event) -> None:
        live = self._live[info.run]
        if self._writer.waiting > FULL:
            live.record = replace(live.record, incomplete=True)
            return
        for kept in live.texts.feed(event):
            live.events.append(kept)
            self._writer.put((live.record.number, kept))
        live.wake()

    def ended(self, info: RunInfo, ending: Ending) -> None:
        live = self._live[info.run]
        values = closing(ending, live.texts) | {"incomplete": live.record.incomplete}
        live.record = replace(live.record, **values)  # type: ignore[arg-type]
        live.over = True
        live.wake()
        self._writer.put(Closing(live.record.number, values, partial(self._forget, info.run)))

    def _forget(self, run: str) -> None:
        """Its end is written: from here on it is read from the file. Called by the writer."""
        self._live.pop(run, None)

    # --- reading ---------------------------------------------------------------------------------

    async def runs(
        self, wanted: RunFilter | None = None, *, limit: int = 50, before: int | None = None
    ) -> Page:
        """The latest runs, without their answers; ``before``: those behind the page whose ``next``
        it is. What happened in the last `plait.server.store.writer.PAUSE` may be missing."""
        return await self._read(lambda reader: reader.runs(wanted or RunFilter(), limit, before))

    async def run(self, run: str) -> RunRecord:
        """The record of ``run``, as far as it got. Raises `UsageError` if there is none."""
        if live := self._live.get(run):
            return live.record
        return await self._read(lambda reader: reader.run(run))

    async def trace(self, run: str) -> list[Event]:
        """What happened in ``run`` so far. Raises `UsageError` if there is no such run."""
        if live := self._live.get(run):
            return list(live.events)
        return await self._read(lambda reader: reader.trace(run))

    async def follow(self, run: str) -> AsyncIterator[Event]:
        """Everything that happened in ``run``, then what happens, until it ends. Any number may
        follow; nobody holds up the run. Raises `UsageError` if there is no such run."""
        live = self._live.get(run)
        if live is None:
            for event in await self.trace(run):
                yield event
            return
        place = 0
        while True:
            while place < len(live.events):
                yield live.events[place]
                place += 1
            if live.over:
                return
            if live.changed is None:
                live.changed = anyio.Event()
            await live.changed.wait()

    def running(self) -> list[RunRecord]:
        """The runs that go on just now, the latest first."""
        return [live.record for live in reversed(list(self._live.values())) if not live.over]

    # --- feedback --------------------------------------------------------------------------------

    async def add_feedback(self, said: Feedback) -> RunRecord:
        """Remember ``said``; the record of the run it is about. On return it is written.

        Raises `UsageError` if there is no such run, and `PlaitError` if it cannot be written.
        """
        record = await self.run(said.run)
        self._writer.put(self._redacted(said, record))
        await self.flush()
        if self.failing:
            raise PlaitError(f"the feedback could not be stored: {self.failing}",
                             hint="Try again later.")
        return record

    async def feedback(self, run: str) -> list[Feedback]:
        """What was said of ``run``, in order. Raises `UsageError` if there is no such run."""
        return await self._read(lambda reader: reader.feedback(run))

    def _redacted(self, said: Feedback, record: RunRecord) -> Feedback:
        """``said`` under the rule of its run: with ``off`` only its numbers and label stay."""
        if record.texts == "keep":
            return said
        if record.texts == "off":
            return replace(said, comment="", answer=None)
        answer = None if said.answer is None else self._redactor(said.answer)
        return replace(said, comment=self._redactor(said.comment), answer=answer)

    # --- plumbing --------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until everything so far is written, and what is too old or too much is gone."""
        mark: Future[None] = Future()
        self._writer.put(mark)
        await to_thread.run_sync(mark.result)

    async def _read(self, query: Callable[[Reader], T]) -> T:
        def work() -> T:
            with reading(self.path) as base:
                return query(Reader(base))

        return await to_thread.run_sync(work, limiter=self._readers)


def read_feedback_of(path: Path) -> list[tuple[RunRecord, Feedback]]:
    """Every feedback in a store with the run it is about, in order. Also while a gateway writes.

    Raises `UsageError` if the file is no store.
    """
    with reading(path) as base:
        return Reader(base).all_feedback()
