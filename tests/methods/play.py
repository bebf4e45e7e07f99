"""One request by a method, on a scripted engine in virtual time; what happened, for a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plait.core import Message, Request, Result
from plait.core.events import Ended, Event, Noted, Started
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace

QUESTION = "How many legs have seven spiders?"


def chat(question: str = QUESTION, **options: Any) -> Request:
    """A request to a model that chats."""
    return Request(messages=(Message("user", question),), **options)


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    result: Result
    trace: Trace
    engine: ScriptedEngine

    def of(self, kind: type[Event]) -> list[Any]:
        return [e for e in self.trace.events if isinstance(e, kind)]

    @property
    def notes(self) -> list[str]:
        return [e.what for e in self.of(Noted)]

    @property
    def cancelled(self) -> list[Ended]:
        return [e for e in self.of(Ended) if e.status == "cancelled"]

    def started(self, role: str) -> list[Started]:
        return [e for e in self.of(Started) if e.role == role]


def run(
    method: Any, script: Callable[..., Play | str], request: Request | None = None,
    roles: Any = None, **options: Any,
) -> Ran:
    """Answer ``request`` (a chat's question unless given) and check that nothing is left open."""
    engine, trace = ScriptedEngine(script), Trace()

    async def main() -> Result:
        async with Runtime(engine, roles=roles) as runtime:
            return await solve(request or chat(), runtime=runtime, method=method, trace=trace,
                               **options)

    ran = Ran(run_virtual(main), trace, engine)
    calls = engine.calls
    assert calls.open == 0
    assert calls.started == calls.finished + calls.failed + calls.left
    return ran


def turns(*plays: Play | str) -> Callable[..., Play | str]:
    """A script that gives ``plays`` one after the other, the last one for ever."""
    left = list(plays)
    return lambda prompt, sampling: left.pop(0) if len(left) > 1 else left[0]
