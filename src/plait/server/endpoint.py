"""What all endpoints have in common: who asks, what a failure looks like, what is logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from plait.errors import PlaitError
from plait.server.errors import ApiError, ClientGone, from_plait, internal
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway


class Handler(Protocol):
    """What answers a request. Its name is what metrics call the endpoint."""

    __name__: str

    def __call__(self, gateway: Gateway, exchange: Exchange, /) -> Awaitable[None]: ...


log = logging.getLogger("plait.server")


class Endpoint:
    """An ASGI application around ``handler``.

    ``public``: no key is asked for. ``counted``: the request counts against its key's rates, and
    may have an idempotency key.
    """

    def __init__(
        self, gateway: Gateway, handler: Handler, *, public: bool = False, counted: bool = False,
    ) -> None:
        self._gateway = gateway
        self._name = handler.__name__
        self._handler = handler
        self._public = public
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._gateway.settings
        exchange = Exchange(scope, receive, send, most_bytes=settings.body_bytes,
                            patience=settings.patience)
        began = time.monotonic()
        try:
            await self._answer(exchange)
        except ClientGone:
            log.info("the client left %s %r (%s)", exchange.method, exchange.path,
                     exchange.request_id)
        except ApiError as error:
            await self._refuse(exchange, error)
        except PlaitError as error:
            await self._refuse(exchange, from_plait(error, spent=False))
        except Exception as error:
            log.exception("%s %r (%s) failed", exchange.method, exchange.path, exchange.request_id)
            if exchange.started:
                raise  # the connection is cut, so that nobody takes the half for the whole
            await self._refuse(exchange, internal(error))
        finally:
            if self._gateway.metrics is not None:
                self._gateway.metrics.request(self._name, exchange.status, time.monotonic() - began)

    async def _answer(self, exchange: Exchange) -> None:
        gateway = self._gateway
        if not self._public:
            exchange.key = gateway.keys.identify(exchange.headers)
        if not self._counted:
            await self._handler(gateway, exchange)
            return
        use = gateway.keys.use(exchange.key)
        if use is not None:
            use.enter()
            exchange.extra |= use.headers()
        key = exchange.headers.get("idempotency-key")
        if key is None:
            await self._handler(gateway, exchange)
            return
        replay = gateway.replays.begin(
            exchange.key.name, f"{exchange.method} {exchange.target}", key, await exchange.body())
        if replay.known:
            await exchange.replayed(replay)
            return
        exchange.record(replay)
        try:
            await self._handler(gateway, exchange)
        finally:
            replay.close()

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        if exchange.started:
            raise error
        try:
            await exchange.refuse(error)
        except ClientGone:
            log.info("the client left before it was refused (%s)", exchange.request_id)
