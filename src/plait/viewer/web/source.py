"""Where the pages get their runs from: the seam between the viewer and whatever keeps runs.

`plait view` reads trace files (`plait.viewer.web.folder`); a gateway hands in its store.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from plait.core.events import Event

State = Literal["answered", "budget", "failed", "cancelled", "running", "lost"]
"""How a run ended: as `RunEnded.finish` says; ``cancelled`` by its client; still ``running``; or
``lost``: what it ran in died, and there is no end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run as a line of a list. None, or an empty text, is what is not known."""

    key: str
    """What the source calls this run; opaque to the pages, and part of their addresses, so no part
    of it between slashes is ``.`` or ``..``."""
    state: State
    question: str = ""
    engine: str = ""
    model: str = ""
    method: str = ""
    protocol: str | None = None
    correct: bool | None = None
    fallback: str | None = None
    started: float | None = None
    """Seconds since 1970."""
    seconds: float | None = None
    threads: int | None = None
    total_tokens: int | None = None
    critical_path_tokens: int | None = None
    rating: float | None = None
    """Of the latest feedback, from -1 (bad) to 1 (good)."""
    texts: Literal["keep", "redact", "off"] = "keep"
    """What was kept of its texts: all, all but what looks private, or none."""
    note: str = ""
    """What a person should know about the recording itself: why it cannot be read, say."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted; what is empty or None does not restrict. Newest first.

    ``outcome`` is a `State`, or ``right``, ``wrong`` or ``fallback``. ``text`` is looked for in
    questions and keys, whatever its case. ``since`` is in seconds since 1970.
    """

    method: str = ""
    model: str = ""
    outcome: str = ""
    text: str = ""
    since: float | None = None
    page: str = ""
    """`Listing.older` of the page before; empty for the newest runs."""
    most: int = 50

    @property
    def place(self) -> int | None:
        """`page` where it is a number that can be one; None otherwise."""
        return int(self.page) if re.fullmatch(r"[0-9]{1,18}", self.page) else None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list. ``older`` names the next one, None at the end; ``total`` is how many runs
    the filter leaves in all, None where nobody counts; the rest is what there is to choose."""

    entries: Sequence[Entry]
    older: str | None = None
    total: int | None = None
    methods: Sequence[str] = ()
    models: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said about a run. ``answer``: what it should have been. ``coherent``: did the
    actions of an agent hold together? ``rating`` from -1 (bad) to 1 (good), ``at`` in seconds since
    1970."""

    rating: float | None = None
    label: str = ""
    comment: str = ""
    answer: str | None = None
    coherent: bool | None = None
    at: float | None = None


class Source(Protocol):
    """Keeps runs. Called from the event loop: what takes long belongs into a worker thread."""

    async def runs(self, wanted: Filter) -> Listing:
        """The runs that pass the filter."""
        ...

    async def entry(self, key: str) -> Entry | None:
        """One run; None if there is none of that key."""
        ...

    async def events(self, key: str) -> Sequence[Event]:
        """What happened in a run so far, empty if nothing is kept of it.

        Raises `TraceError` if it cannot be read.
        """
        ...

    def follow(self, key: str) -> AsyncIterator[Event]:
        """The events of a run from the first one on, as they come; ends with the run.

        Raises `TraceError` if it cannot be read.
        """
        ...

    async def alike(self, key: str) -> Sequence[Entry]:
        """Other runs of the same question that may stand beside this one; a sequential run of the
        same model first, if there is one."""
        ...

    async def feedback(self, key: str) -> Sequence[Feedback]:
        """What people said about a run, oldest first."""
        ...
