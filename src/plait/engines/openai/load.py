"""How busy a server is, from what it says of itself. Unknown is None, never an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

import anyio

from plait.engines.openai.connect import Link
from plait.engines.openai.dialects import Gauges
from plait.engines.openai.probe import Server
from plait.errors import EngineError, EngineRefused
from plait.interfaces import Load

FRESH_SECONDS = 0.5
"""For this long an answer is good enough for everybody who asks."""
PATIENCE_SECONDS = 1.0
"""A server that takes longer to say how it is is too busy to be asked."""


class LoadGauge:
    """Asks one server, seldom. What it refuses to tell is not asked again."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._last = Load()
        self._asked = float("-inf")
        self._metrics = self._slots = True

    async def read(self, server: Server) -> Load:
        """The load now, or at most `FRESH_SECONDS` ago."""
        if anyio.current_time() - self._asked < FRESH_SECONDS:
            return self._last
        self._asked = anyio.current_time()
        load = Load()
        with anyio.move_on_after(PATIENCE_SECONDS):
            load = await self._ask(server)
        self._last = load
        return load

    async def _ask(self, server: Server) -> Load:
        gauges = server.dialect.gauges
        if gauges is None:
            return Load()
        if self._metrics:
            try:
                return read_metrics(str(await self._link.call("/metrics")), gauges)
            except EngineRefused:
                self._metrics = False
            except EngineError:
                return Load()
        if server.dialect.native and self._slots:
            return await self._read_slots()
        return Load()

    async def _read_slots(self) -> Load:
        """llama.cpp without metrics still shows its slots, though not its queue."""
        try:
            slots = await self._link.call("/slots")
        except EngineRefused:
            self._slots = False
            return Load()
        except EngineError:
            return Load()
        if not isinstance(slots, list):
            return Load()
        return Load(running=sum(bool(s.get("is_processing")) for s in slots))


def read_metrics(text: str, gauges: Gauges) -> Load:
    """A page of Prometheus metrics. Several engines behind one page add up; the used shares of
    their caches average."""
    running = _values(text, [gauges.running])
    waiting = _values(text, [gauges.waiting])
    cache = _values(text, gauges.cache)
    return Load(
        int(sum(running)) if running else None,
        int(sum(waiting)) if waiting else None,
        sum(cache) / len(cache) if cache else None,
        int(sum(_kv_tokens(text, *gauges.kv_tokens))) or None if gauges.kv_tokens else None)


def _values(text: str, names: Iterable[str]) -> list[float]:
    found = []
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.partition("{")[0] in names:
            try:
                found.append(float(value))
            except ValueError:
                continue
    return found


def _kv_tokens(text: str, name: str, label: str) -> list[float]:
    """What metric ``name`` says, in its ``label`` if there is one."""
    if not label:
        return _values(text, [name])
    lines = (line for line in text.splitlines() if line.startswith(f"{name}{{"))
    found = (re.search(rf'[{{,]{label}="(\d+)"', line) for line in lines)
    return [float(match[1]) for match in found if match]
