"""How busy a server is, from what it says of itself. Unknown is None, never an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod

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

_NUMBER = re.compile(r'[{,](\w+)="(\d+)"')
"""A label that is a number."""


class LoadGauge:
    """Asks one server, seldom. What it refuses to tell is not asked again."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._last = Load()
        self._asked = float("-inf")
        self._metrics = self._slots = True
        self._fact: Load | None = None

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
        if gauges.kv_fact is not None:
            return await self._read_fact(*gauges.kv_fact)
        return Load()

    async def _read_fact(self, path: str, name: str) -> Load:
        """SGLang without metrics still says how much its KV holds, which stays the same."""
        if self._fact is None:
            try:
                facts = await self._link.call(path)
            except EngineRefused:
                facts = None
            except EngineError:
                return Load()
            found = facts.get(name) if isinstance(facts, Mapping) else None
            self._fact = Load(kv_tokens=found if isinstance(found, int) else None)
        return self._fact

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
        int(sum(_kv_tokens(text, gauges))) or None)


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


def _kv_tokens(text: str, gauges: Gauges) -> list[float]:
    """How many tokens each engine's KV holds, of those that say so."""
    if not gauges.kv_labels:
        return _values(text, [gauges.kv_tokens])
    lines = (line for line in text.splitlines() if line.startswith(f"{gauges.kv_tokens}{{"))
    found = []
    for line in lines:
        labels = {name: int(value) for name, value in _NUMBER.findall(line)}
        told = (row for row in gauges.kv_labels if all(name in labels for name in row))
        if row := next(told, None):
            found.append(float(prod(labels[name] for name in row)))
    return found
