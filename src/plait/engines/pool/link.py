"""The way to a pool for requests that are none of an engine's: as they are, to one replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import anyio

from plait.engines.openai.connect import SESSION
from plait.engines.openai.errors import from_network, retry_after
from plait.engines.pool.members import Members
from plait.engines.pool.replica import Replica

NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Failures before a request was sent, which another replica can take."""
BUSY = (429, 503)


class PoolLink:
    """Like `plait.engines.openai.connect.Link`, for whoever passes requests on. What was sent to a
    replica is never sent to another: nobody knows what it does twice."""

    def __init__(self, members: Members) -> None:
        self._members = members

    @property
    def where(self) -> str:
        """The servers, for people."""
        names = [r.name for r in self._members.all]
        return f"the pool of {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"

    async def call(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """GET ``path``, or POST ``body`` to it, at any replica that answers. Raises
        `EngineError`."""
        return await self._members.ask("", lambda replica: replica.engine.link.call(path, body))

    async def send(
        self, method: str, path: str, data: bytes | None = None,
        headers: Mapping[str, str] | None = None, *, idle: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Any request, to the replica of its session, else to any; to the next one where that
        cannot be connected to or has too much to do. Raises what `errors.NETWORK` lists."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        session = next((v for name in SESSION if (v := given.get(name.lower()))), "")
        tried: set[str] = set()
        replica = await self._members.pick(session)
        while replica is not None:
            tried.add(replica.name)
            began = anyio.current_time()
            try:
                response = await replica.engine.link.send(method, path, data, headers, idle=idle)
            except NOT_CONNECTED as error:
                self._broke(replica, error, began)
                replica = await self._members.pick(session, tried)
                if replica is None:
                    raise
                continue
            if response.status not in BUSY:
                return response
            replica.spare(retry_after(response.headers), anyio.current_time())
            replica = await self._members.pick(session, tried)
            if replica is None:
                return response
            response.close()
        raise aiohttp.ClientConnectionError("the pool has no replica")

    def _broke(self, replica: Replica, error: Exception, began: float) -> None:
        failure = from_network(error, replica.name, replica.engine.link.idle)
        self._members.failed(replica, failure, began)
