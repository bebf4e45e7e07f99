"""The slots of the fake llama.cpp: what its memory holds, and what it does with ``id_slot``.

    slots = Slots(4)
    async with Upstream(script, dialect="llamacpp", slots=slots) as upstream:
        ...

As on the real one, a prompt is compared with what its slot holds and with nothing else; a slot at
work makes whoever wants it wait; an ``id_slot`` that there is none of is silently replaced; files
are saved and restored only by a server that was given a path for them, and are never deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from aiohttp import web

ALIKE = 0.1
"""The part of a prompt that an idle slot has to hold to be chosen for it."""


@dataclass(eq=False, slots=True)
class Held:
    """One slot. ``tokens``: what it holds; ``task``: the last one that ran on it."""

    number: int
    tokens: list[str] = field(default_factory=list)
    busy: bool = False
    task: int = -1


class Slots:
    """See the module's docstring. ``path`` False: started without ``--slot-save-path``."""

    def __init__(self, count: int, *, path: bool = True) -> None:
        self.count = count
        self.path = path
        self.read = 0
        """Tokens of prompts that had to be read, since none of the slots had them."""
        self.log: list[str] = []
        """What was saved, restored and written where, in order."""
        self.files: dict[str, list[str]] = {}
        self.shown = True
        """False: started with ``--no-slots``."""
        self._changed = anyio.Event()
        self._tasks = 0
        self.restart()

    def restart(self, count: int | None = None) -> None:
        """Forget everything, as a server that is started anew; files stay."""
        self.count = count or self.count
        self.held = [Held(n) for n in range(self.count)]
        self._tasks = 0

    @asynccontextmanager
    async def at_work(self, wanted: object, prompt: Sequence[str]) -> AsyncIterator[Work]:
        """Read ``prompt`` into a slot, and keep that until the text is written."""
        slot = await self._take(wanted, prompt)
        cached = min(_common(slot.tokens, prompt), max(0, len(prompt) - 1))
        self.read += len(prompt) - cached
        self._tasks += 1
        slot.tokens, slot.task = list(prompt), self._tasks
        self.log.append(f"write {slot.number}")
        try:
            yield Work(cached, slot.tokens)
        finally:
            self._release(slot)

    async def answer(
        self, path: str, query: Mapping[str, str], body: Mapping[str, object]
    ) -> object:
        """What ``/slots`` and the paths below it say."""
        if path == "/slots":
            return self._list() if self.shown else _error(501, "This server does not support slots")
        if not self.path:
            return _error(501, "This server does not support slots action. Start it with "
                               "`--slot-save-path`")
        number, action = int(path.rpartition("/")[2]), query.get("action")
        if action not in ("save", "restore"):
            return _error(400, "Invalid action")
        slot = await self._take(number, ())
        try:
            return self._act(slot, action, str(body["filename"]))
        finally:
            self._release(slot)

    def _act(self, slot: Held, action: str, name: str) -> object:
        self.log.append(f"{action} {slot.number}")
        if action == "save":
            self.files[name] = list(slot.tokens)
            return {"id_slot": slot.number, "filename": name, "n_saved": len(slot.tokens)}
        if name not in self.files:
            slot.tokens = []
            return _error(400, "Unable to restore slot: No available space in KV cache or invalid "
                               "slot save file")
        slot.tokens = list(self.files[name])
        return {"id_slot": slot.number, "filename": name, "n_restored": len(slot.tokens)}

    def _list(self) -> list[dict[str, object]]:
        return [{"id": s.number, "is_processing": s.busy,
                 **({"id_task": s.task, "n_prompt_tokens": len(s.tokens)} if s.task >= 0 else {})}
                for s in self.held]

    async def _take(self, wanted: object, prompt: Sequence[str]) -> Held:
        while True:
            slot = self._choose(wanted, prompt)
            if slot is not None and not slot.busy:
                slot.busy = True
                return slot
            await self._changed.wait()

    def _choose(self, wanted: object, prompt: Sequence[str]) -> Held | None:
        if isinstance(wanted, int) and 0 <= wanted < len(self.held):
            return self.held[wanted]
        idle = [s for s in self.held if not s.busy]
        best = max(idle, key=lambda s: _common(s.tokens, prompt), default=None)
        if best is not None and _common(best.tokens, prompt) > ALIKE * len(prompt):
            return best
        return min(idle, key=lambda s: s.task, default=None)

    def _release(self, slot: Held) -> None:
        slot.busy = False
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


@dataclass(frozen=True, slots=True)
class Work:
    """A prompt in its slot. ``cached``: tokens of it that were there; ``tokens``: all that the slot
    holds, to which the text is added."""

    cached: int
    tokens: list[str]


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                min(len(a), len(b)))


def _error(status: int, why: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": why}}, status=status)
