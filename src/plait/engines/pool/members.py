"""The replicas of a pool: who they are now, which one a call goes to, what its end says of it.

Nothing runs in the background. What has to be done now and then (looking up the name, asking a
replica that was out, reading loads) is done by a call that comes by when it is due, within bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import anyio

from plait.engines.openai import OpenAIEngine
from plait.engines.openai.connect import Patience
from plait.engines.pool.addresses import LOOK_AGAIN, Addresses
from plait.engines.pool.health import Health, Standing
from plait.engines.pool.replica import Replica
from plait.engines.pool.ring import order
from plait.errors import (
    EngineError,
    EngineOverloaded,
    EngineRefused,
    EngineUnreachable,
    UsageError,
)

T = TypeVar("T")
PROBE_SECONDS = 1.0
"""A replica that was out has to say within this time that it is back."""
LOAD_SECONDS = 0.2
"""A call waits no longer for a replica's word on its load; the last word is good enough."""


def agree(models: Mapping[str, str]) -> None:
    """Raises `UsageError` if the replicas, by name, serve different models."""
    served = Counter(models.values())
    if len(served) < 2:
        return
    usual, most = served.most_common(1)[0]
    name, other = next((n, m) for n, m in models.items() if m != usual)
    others = "the others" if most > 1 else next(n for n, m in models.items() if m == usual)
    raise UsageError(
        f"the replicas of a pool must serve one model: {name} serves `{other}`, {others} `{usual}`",
        hint="Leave it out, or name a model that all have with --model.")


@dataclass(frozen=True, slots=True)
class PoolState:
    """A look at the pool. ``failovers``: streams that went on at another replica, so far;
    ``restarts``: that could not, and were left to be begun anew."""

    replicas: tuple[Standing, ...]
    failovers: int
    restarts: int


class Members:
    """See the module's docstring. ``make`` makes the engine of an address."""

    def __init__(
        self, addresses: Addresses, make: Callable[[str], OpenAIEngine], retries: int
    ) -> None:
        self._addresses = addresses
        self._make = make
        self.retries = retries
        self.patience = Patience(retries)
        self.health = Health()
        self.failovers = 0
        self.restarts = 0
        self._by_url: dict[str, Replica] = {}
        self._replicas: dict[str, Replica] = {}
        """By what they are called, which is their address without a password."""
        self._gone: list[Replica] = []
        self._looked = float("-inf")
        self._looking = anyio.Lock()
        self._trying: set[str] = set()
        self._keys = count()
        if not addresses.dns:
            self._have(addresses.urls)

    @property
    def all(self) -> list[Replica]:
        return list(self._replicas.values())

    @property
    def fit(self) -> list[Replica]:
        """Those that are in."""
        return [r for r in self.all if not self.health.is_out(r.name)]

    @property
    def state(self) -> PoolState:
        return PoolState(tuple(self.health.standings()), self.failovers, self.restarts)

    # --- who they are ----------------------------------------------------------------------------

    async def refresh(self) -> None:
        """See to it that the replicas are known. Raises `EngineUnreachable` if they cannot be."""
        if not self._addresses.dns or anyio.current_time() - self._looked < LOOK_AGAIN:
            return
        if self._replicas and self._looking.locked():
            return  # somebody is at it, and what is known will do
        async with self._looking:
            if anyio.current_time() - self._looked < LOOK_AGAIN:
                return
            try:
                urls = await self._addresses.now()
            except EngineUnreachable:
                if not self._replicas:
                    raise
                urls = tuple(self._by_url)  # a name server that fails says nothing of replicas
            self._looked = anyio.current_time()
            self._have(urls)
            for replica in [r for r in self._gone if r.streams == 0]:
                self._gone.remove(replica)
                await replica.engine.aclose()

    def _have(self, urls: Collection[str]) -> None:
        known = self._by_url
        self._by_url = {url: known.get(url) or Replica(self._make(url)) for url in urls}
        self._gone += [r for url, r in known.items() if url not in self._by_url]
        self._replicas = {r.name: r for r in self._by_url.values()}
        self.health.watch(list(self._replicas))

    async def aclose(self) -> None:
        """Close all connections."""
        for replica in (*self.all, *self._gone):
            await replica.engine.aclose()
        self._gone.clear()

    async def connect(self) -> None:
        """Look at all replicas that were never seen, at once. Raises `EngineError` if none answers,
        `UsageError` if they do not agree on the model, or if it has to be named."""
        await self.refresh()
        if self.fit:
            return
        attempt = 0
        async with self._looking:
            while not self.fit:
                failures: dict[str, EngineError | UsageError] = {}
                async with anyio.create_task_group() as tasks:
                    for replica in self.all:
                        tasks.start_soon(self._meet, replica, failures)
                wrong = next((e for e in failures.values() if not isinstance(e, EngineError)), None)
                if wrong is not None:
                    raise wrong
                met = [r for r in self.all if r.name not in failures]
                agree({r.name: r.engine.model for r in met})
                now = anyio.current_time()
                for replica in met:
                    self.health.admit(replica.name, now)
                for name, error in failures.items():
                    self.health.reject(name, str(error), now)
                if not met:
                    first = next(e for e in failures.values() if isinstance(e, EngineError))
                    await self.patience.pause(first, attempt)
                    attempt += 1

    async def _meet(
        self, replica: Replica, failures: dict[str, EngineError | UsageError]
    ) -> None:
        try:
            await replica.engine.connect()
        except (EngineError, UsageError) as error:
            failures[replica.name] = error

    # --- which one -------------------------------------------------------------------------------

    async def pick(self, session: str, tried: Collection[str] = ()) -> Replica | None:
        """The replica for a call of ``session`` (empty: of none) that is not among ``tried``: the
        first in the session's order that is in and not full; where all are full, the one with the
        most room. None if there is none left.
        """
        await self.refresh()
        key = session or f"call {next(self._keys)}"
        names = [n for n in order(key, self._replicas) if n not in tried]
        healthy: list[Replica] = []
        for name in names:
            if name in self._replicas and await self._is_in(self._replicas[name]):
                replica = self._replicas[name]
                healthy.append(replica)
                await self._ask_load(replica)
                if not replica.is_full(self._mean(), anyio.current_time()):
                    return replica
        if not healthy and not tried:  # all are out: better a call that may fail than none
            healthy = [self._replicas[n] for n in names if n in self._replicas]
        mean = self._mean()
        return min(healthy, key=lambda r: r.streams / r.room(mean), default=None)

    def _mean(self) -> float:
        return sum(r.streams for r in self.all) / max(1, len(self.all))

    async def _is_in(self, replica: Replica) -> bool:
        """Is it in? One that is due is asked, by one call at a time."""
        name = replica.name
        if not self.health.is_out(name):
            return True
        if name in self._trying or not self.health.is_due(name, anyio.current_time()):
            return False
        self._trying.add(name)
        why = "it did not answer in time"
        try:
            with anyio.move_on_after(PROBE_SECONDS):
                why = await self._look(replica)
        finally:
            self._trying.discard(name)
        now = anyio.current_time()
        if why:
            self.health.reject(name, why, now)
        else:
            self.health.admit(name, now)
        return not why

    async def _look(self, replica: Replica) -> str:
        """What is wrong with a replica that was out; empty if nothing is."""
        try:
            await replica.engine.connect()
            reply = await replica.engine.link.call("/v1/models")
        except (EngineError, UsageError) as error:
            return str(error)
        data = reply.get("data") if isinstance(reply, Mapping) else None
        names = {c.get("id") for c in data if isinstance(c, Mapping)} if isinstance(
            data, list) else set()
        for other in self.fit:
            if replica.engine.model != other.engine.model:
                return f"it serves `{replica.engine.model}`, the others `{other.engine.model}`"
        if names and replica.engine.model not in names:
            return f"it no longer serves `{replica.engine.model}`"
        return ""

    async def _ask_load(self, replica: Replica) -> None:
        with anyio.move_on_after(LOAD_SECONDS):
            replica.load = await replica.engine.load()

    # --- what a call's end says ------------------------------------------------------------------

    def failed(self, replica: Replica, error: EngineError, began: float) -> bool:
        """A call that began at ``began`` has failed. May another replica do better?"""
        now, name = anyio.current_time(), replica.name
        if isinstance(error, EngineOverloaded):
            replica.spare(error.retry_after, now)
        elif isinstance(error, EngineUnreachable):
            self.health.broke(name, str(error), began, now)
        elif isinstance(error, EngineRefused) or not error.retryable:
            return False
        else:
            self.health.failed(name, str(error), began, now)
        return True

    async def ask(self, session: str, question: Callable[[Replica], Awaitable[T]]) -> T:
        """``question`` to a replica; to the next ones where it fails. Raises `EngineError`."""
        failure: EngineError = EngineUnreachable("the pool has no replica")
        tried: set[str] = set()
        attempt = 0
        while True:
            replica = await self.pick(session, tried)
            if replica is None:
                await self.patience.pause(failure, attempt)
                attempt += 1
                tried.clear()
                continue
            began = anyio.current_time()
            try:
                return await question(replica)
            except EngineError as error:
                failure = error
                if not self.failed(replica, error, began):
                    raise
                tried.add(replica.name)
