"""Which models there are: those of the engine, each by its name and by the ways to answer with it.

One runtime an engine: the models of one server share its limiter, so that together they are as
polite to it as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from plait.engines.openai import OpenAIEngine
from plait.engines.openai.errors import NotThere
from plait.engines.pool import PoolEngine
from plait.errors import EngineError, EngineRefused, UsageError
from plait.interfaces import Engine
from plait.registry import METHODS
from plait.server.choosing import PREFIX
from plait.server.errors import ApiError, invalid
from plait.solve import Runtime

Backend = OpenAIEngine | PoolEngine
"""An engine with a server behind it that can be passed requests."""
MOST = 64
"""Models that are kept at hand. A server that does not list its own takes any name."""
FRESH_SECONDS = 30.0
"""How long a server's list of models is believed."""
WITHOUT_CHAT = ("sequential", "native", "explore", "fixed")
"""Methods for a model that takes no instructions."""


class Models:
    """The models behind a gateway. ``runtime`` is that of the engine as it was named."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._others: dict[str, Runtime] = {}
        self._cards: list[Mapping[str, Any]] = []
        self._looked = float("-inf")
        self._looking = anyio.Lock()
        self._responses: bool | None = None

    @property
    def engine(self) -> Engine:
        """The engine as it was named."""
        return self._runtime.engine

    @property
    def server(self) -> Backend | None:
        """The engine, if there is a server behind it that can be passed requests."""
        engine = self.engine
        return engine if isinstance(engine, Backend) else None

    async def runtime(self, name: str) -> Runtime:
        """The runtime for the model ``name``, empty for the only one. Raises `ApiError`."""
        if not name or name == self.engine.model:
            if not self.engine.model and self.server is not None:
                await self._connect(self.server)
            return self._runtime
        if name in self._others:
            return self._others[name]
        server = self.server
        names = await self.names()
        if server is None or (names and name not in names):
            raise ApiError(404, f"there is no model `{name}` here: {', '.join(names[:8])}",
                           param="model", code="model_not_found")
        if name == self.engine.model:  # found out by looking
            return self._runtime
        if len(self._others) >= MOST:
            del self._others[next(iter(self._others))]  # who uses it goes on
        found = self._others[name] = self._runtime.beside(server.for_model(name))
        return found

    async def _connect(self, server: Backend) -> None:
        """Find out which model is the only one. Raises `ApiError` if several are served."""
        try:
            await server.connect()
        except UsageError as error:
            raise invalid(f"`model` is needed: {error}", "model") from None

    async def names(self) -> list[str]:
        """The engine's names of its models; empty if it does not tell. Raises `EngineError`."""
        return [str(card["id"]) for card in await self._listed()]

    async def _listed(self) -> list[Mapping[str, Any]]:
        server = self.server
        if server is None:
            return [{"id": self.engine.model, "owned_by": "plait"}]
        async with self._looking:
            if anyio.current_time() - self._looked < FRESH_SECONDS:
                return self._cards
            reply = await server.link.call("/v1/models")
            data = reply.get("data") if isinstance(reply, Mapping) else None
            self._cards = [c for c in data if isinstance(c, Mapping) and "id" in c] if isinstance(
                data, list) else []
            self._looked = anyio.current_time()
        return self._cards

    async def cards(self) -> list[dict[str, Any]]:
        """Entries for ``/v1/models``: each model, and each way to answer with it."""
        found: list[dict[str, Any]] = []
        for card in await self._listed():
            whole = {"object": "model", "created": 0, "owned_by": "plait", **card}
            found.append(whole)
            chat = self.engine.capabilities.chat or self.server is not None
            for way in ("auto", *(METHODS if chat else WITHOUT_CHAT)):
                found.append({**whole, "id": f"{PREFIX}{way}:{card['id']}", "owned_by": "plait"})
        return found

    async def knows_responses(self) -> bool:
        """Has the server an endpoint for responses? Asked once, with a body that makes no sense.
        Raises `EngineError` if it cannot be asked."""
        if self._responses is None:
            assert self.server is not None
            try:
                await self.server.link.call("/v1/responses", {})
            except NotThere:
                self._responses = False
                return False
            except EngineRefused:
                pass
            self._responses = True
        return self._responses

    async def ready(self) -> str:
        """Why no request can be answered now; empty if one can."""
        if self.server is None:
            return ""
        self._looked = float("-inf")  # that it answered a while ago does not say that it still does
        try:
            await self._listed()
        except EngineError as error:
            return str(error)
        return ""
