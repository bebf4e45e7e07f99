"""`PoolEngine`: several replicas of one model, as one `plait.interfaces.Engine`.

    engine = PoolEngine("http://a:8000,http://b:8000")

Each replica is an `OpenAIEngine`. All calls of a run go to one of them, where its prefix is in the
cache (`ring`), to the next ones when that is full (`replica`) or out (`health`), and go on there if
it breaks off in the middle of a text (`call`). What the pool can do is the least of what its
replicas can. A router in front of replicas is a pool of one: what breaks behind it is gone on with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio

from plait.core import Chunk, Prompt, Request, Sampling
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.dialects import Name
from plait.engines.pool.addresses import Addresses
from plait.engines.pool.call import PooledCall
from plait.engines.pool.link import PoolLink
from plait.engines.pool.members import Members, PoolState
from plait.engines.pool.replica import Replica
from plait.errors import EngineError, UsageError
from plait.interfaces import Capabilities, Load, Opening


class PoolEngine:
    """See the module's docstring.

    ``where``: the replicas (see `addresses`). ``model``, ``key``, ``dialect`` and ``idle`` are for
    all of them, as `OpenAIEngine` takes them. ``retries``: how often all of them are tried again
    before a call's first token.
    """

    name = "pool"

    def __init__(
        self, where: str, model: str | None = None, *, key: str | None = None,
        dialect: Name | None = None, idle: float = 120.0, retries: int = 3,
    ) -> None:
        def make(url: str) -> OpenAIEngine:
            return OpenAIEngine(url, self._wanted, key=key, dialect=dialect, idle=idle, retries=0)

        self._wanted = model
        self._members = Members(Addresses.parse(where), make, retries)
        self._again = partial(
            PoolEngine, where, key=key, dialect=dialect, idle=idle, retries=retries)
        self._others: list[PoolEngine] = []
        self._link = PoolLink(self._members)

    def __repr__(self) -> str:
        return f"PoolEngine({[r.name for r in self._members.all]}, {self.model!r})"

    @property
    def link(self) -> PoolLink:
        """The way to the replicas, for requests that are none of an engine's."""
        return self._link

    @property
    def state(self) -> PoolState:
        """Who is in, who is out and why, and how often a stream had to move."""
        return self._members.state

    @property
    def replicas(self) -> list[Replica]:
        """All of them, those that are out as well."""
        return self._members.all

    def for_model(self, model: str) -> PoolEngine:
        """Another model of the same replicas; closed with this one."""
        self._others.append(self._again(model=model))
        return self._others[-1]

    @property
    def model(self) -> str:
        """The model's name; ``""`` while it has to be found out."""
        return next((m for r in self._members.all if (m := r.engine.model)), self._wanted or "")

    @property
    def capabilities(self) -> Capabilities:
        """What all replicas can do that have been met; slots are those of all together."""
        return least([r.engine.capabilities for r in self._members.fit or self._members.all])

    async def connect(self) -> None:
        """Look at the replicas. `stream` and `open` do it by themselves.

        Raises `EngineError` if none answers, `UsageError` if they serve different models, or
        several and none is named.
        """
        await self._members.connect()

    def encode(self, text: str, *, opening: bool = False) -> Sequence[int] | None:
        """None: the tokenizer is on the replicas."""
        return None

    @asynccontextmanager
    async def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Stream the continuation of ``prompt``; leaving closes the connection at once. Raises
        `EngineError`s."""
        await self.connect()
        call = PooledCall(self._members, prompt, sampling, self.capabilities.token_ids)
        try:
            yield call
        finally:
            await call.close()

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """As a replica puts it to the model."""
        await self.connect()
        return await self._members.ask("", lambda r: r.engine.open(request, protocol))

    async def token_counts(self, texts: Sequence[str]) -> list[int | None]:
        """As one replica counts; see `plait.interfaces.Served`."""
        await self.connect()
        return await self._members.ask("", lambda r: r.engine.token_counts(texts))

    async def load(self) -> Load:
        """The sum of what the replicas say; of caches the mean. How much they hold in all is
        known if every replica tells it. Never raises."""
        try:
            await self.connect()
        except (EngineError, UsageError):
            return Load()
        found: list[Load] = []

        async def ask(engine: OpenAIEngine) -> None:
            found.append(await engine.load())

        async with anyio.create_task_group() as tasks:
            for replica in self._members.fit:
                tasks.start_soon(ask, replica.engine)
        caches = [one.cache for one in found if one.cache is not None]
        held = [one.kv_tokens for one in found]
        return Load(_sum(one.running for one in found), _sum(one.waiting for one in found),
                    sum(caches) / len(caches) if caches else None,
                    None if None in held else _sum(held))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._members.aclose()
        for other in self._others:
            await other.aclose()


def least(all_of: Sequence[Capabilities]) -> Capabilities:
    """What all of ``all_of`` can do."""
    schemas = [c.json_schema for c in all_of]
    windows = [c.window for c in all_of if c.window is not None]
    slots = [c.slots for c in all_of]
    servers = {c.server for c in all_of}
    return Capabilities(
        token_ids=all(c.token_ids for c in all_of),
        chat=all(c.chat for c in all_of),
        logprobs=all(c.logprobs for c in all_of),
        cache_report=all(c.cache_report for c in all_of),
        exact_counts=all(c.exact_counts for c in all_of),
        json_schema=False if False in schemas else None if None in schemas else True,
        window=min(windows, default=None),
        slots=None if None in slots else _sum(slots),
        server=servers.pop() if len(servers) == 1 else "mixed",
        shows_special=all(c.shows_special for c in all_of),
        protocols=tuple(p for p in (all_of[0].protocols if all_of else ())
                        if all(p in c.protocols for c in all_of)))


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
