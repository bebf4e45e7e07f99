"""Where a command's output goes: a live tree in a terminal, plain lines in a pipe, or JSON."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Literal, TypeVar

import anyio
import orjson
from rich.console import Console
from rich.text import Text

from plait.core import Result
from plait.core.events import Decided, Event
from plait.errors import PlaitError
from plait.trace import Trace
from plait.viewer import LiveTree, PlainLines, Scene
from plait.viewer.live import FRAME

T = TypeVar("T")
Mode = Literal["json", "quiet", "plain", "live"]
NOT_IN_JSON = ("text",)


def mode_for(*, json: bool, quiet: bool) -> Mode:
    """JSON and quiet if asked for; else by what standard output is."""
    if json:
        return "json"
    if quiet:
        return "quiet"
    return "live" if sys.stdout.isatty() else "plain"


def make_console() -> Console:
    """The terminal. Nothing that models wrote is taken for markup, a number or an emoji."""
    return Console(highlight=False, markup=False, emoji=False)


def say(line: str) -> None:
    """One line for a person on standard error."""
    print("plait:", " ".join(line.split()), file=sys.stderr)


def as_dict(result: Result) -> dict[str, object]:
    """The result as other tools read it (contract of ``plait solve --json``)."""
    return {f.name: getattr(result, f.name) for f in fields(result) if f.name not in NOT_IN_JSON}


def decision_dict(events: Iterable[Event]) -> dict[str, object] | None:
    """The policy's decision and what it was made from; None where no policy was asked."""
    for event in events:
        if isinstance(event, Decided):
            inputs = dict(line.split("=", 1) for line in event.inputs)
            return {"policy": event.policy, "method": event.method, "why": event.why,
                    "inputs": inputs}
    return None


def decision_lines(events: Iterable[Event]) -> list[str]:
    """The same for people."""
    for event in events:
        if isinstance(event, Decided):
            return [f"the policy {event.policy} chose {event.method}: {event.why}",
                    f"it looked at {', '.join(map(_in_words, event.inputs))}"]
    return ["no policy was asked"]


def _in_words(given: str) -> str:
    """``estimated_cost=1013`` as ``estimated cost 1013``."""
    name, _, value = given.partition("=")
    return f"{name.replace('_', ' ')} {value}"


def print_json(value: object) -> None:
    """One JSON object on one line."""
    print(orjson.dumps(value).decode())


def print_lines(lines: list[Text], mode: Mode) -> None:
    """Styled in a terminal; in a pipe as they are, without folding."""
    if mode == "live":
        console = make_console()
        for line in lines:
            console.print(line)
    else:
        for line in lines:
            print(line.plain.rstrip())


class Watcher:
    """Shows a run while it happens, as far as the mode wants that, and knows its `Scene`."""

    def __init__(self, mode: Mode) -> None:
        self._live = LiveTree(make_console()) if mode == "live" else None
        self._plain = PlainLines(_print_now) if mode == "plain" else None

    @property
    def scene(self) -> Scene | None:
        """What was seen; None if nothing is shown."""
        shown = self._live or self._plain
        return None if shown is None else shown.scene

    @contextmanager
    def watching(self, trace: Trace) -> Iterator[None]:
        """Follow ``trace`` inside the block."""
        shown = self._live or self._plain
        leave = trace.subscribe(shown.feed) if shown is not None else None
        try:
            if self._live is None:
                yield
            else:
                with self._live:
                    yield
        finally:
            if leave is not None:
                leave()

    async def while_ticking(self, work: Awaitable[T]) -> T:
        """Wait for ``work``; keep the live tree's clock going meanwhile."""
        if self._live is None:
            return await work
        failure: PlaitError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tick)
            try:
                result = await work
            except PlaitError as error:  # carried out of the task group, which would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _tick(self) -> None:
        assert self._live is not None
        while True:
            await anyio.sleep(FRAME)
            self._live.tick()


def _print_now(line: str) -> None:
    print(line, flush=True)
