"""One request to the engine as it is, and its reply back: whole, as a stream, or as an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio
import orjson

from plait.engines.openai.errors import NETWORK, from_network, said_in
from plait.server.errors import ApiError, from_plait
from plait.server.exchange import JSON, Exchange
from plait.server.jobs import DEADLINE, deadline
from plait.server.models import Backend
from plait.server.passed import Passage
from plait.server.streaming import EventSender, sse_headers
from plait.server.taps import Garbage, StreamTap, twin

SILENCE = 600.0
"""Seconds without a byte after which an engine that was passed a request counts as gone."""
_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade"))
_NOT_ON = _HOP | {"host", "authorization", "x-api-key", "cookie", "content-length", "expect",
                  "accept-encoding", DEADLINE}
_NOT_BACK = _HOP | {"content-length", "server", "date", "x-request-id", "set-cookie"}


@dataclass(frozen=True, slots=True)
class Way:
    """How a reply goes back. ``passage``: its record, None for what is no completion; ``hidden``:
    its usage was asked for by us; ``sender``: set where the client waits for a stream."""

    passage: Passage | None = None
    hidden: bool = False
    sender: EventSender | None = None


async def forward(
    exchange: Exchange, server: Backend, data: bytes | None, way: Way
) -> None:
    """One request to the engine and its reply back. Raises `ApiError` before anything was sent."""
    headers = {k: v for k, v in exchange.headers.items() if k not in _NOT_ON}
    headers["accept-encoding"] = "identity"  # the bytes go back as they come
    seconds = deadline(exchange)
    response: aiohttp.ClientResponse | None = None
    try:
        with anyio.fail_after(seconds):
            response = await server.link.send(exchange.method, exchange.target, data, headers,
                                              idle=SILENCE)
            await _back(exchange, response, way)
    except NETWORK as error:
        failed = network_error(error, server, seconds, spent=exchange.started)
        if not exchange.started:
            raise failed from error
        if way.sender is None:  # the connection is cut, so that nobody takes the half for the whole
            raise
        await way.sender.fail(failed)
    finally:
        if response is not None:
            response.close()


async def _back(exchange: Exchange, response: aiohttp.ClientResponse, way: Way) -> None:
    """The engine's reply to the client."""
    headers = {k.lower(): v for k, v in response.headers.items() if k.lower() not in _NOT_BACK}
    if way.passage is None and not sse_headers(headers) and response.status < 400:
        await exchange.start(response.status, headers)
        async for piece in response.content.iter_any():
            await exchange.write(piece)
        await exchange.write(b"", more=False)
    elif sse_headers(headers):
        await _back_events(exchange, response, headers, way)
    else:
        await _back_whole(exchange, response.status, await response.read(), headers, way)


async def _back_events(
    exchange: Exchange, response: aiohttp.ClientResponse, headers: dict[str, str], way: Way
) -> None:
    """A stream of events; one that ends before it is over says so."""
    tap, sender = StreamTap(way.hidden), way.sender or EventSender(exchange)
    if response.status != 200 and not exchange.started:
        await exchange.start(response.status, headers)
    sender.headers = headers
    why = "the engine's stream broke off before its end"
    try:
        async for piece in response.content.iter_any():
            if way.passage is not None:
                way.passage.token()
            if given := tap.feed(piece):
                await sender.raw(given)
        await sender.raw(tap.close())
    except Garbage as error:
        why = f"the engine's stream is broken: {error}"
        tap.whole = False
    if way.passage is not None and not tap.whole:
        await sender.fail(ApiError(502, why, code="engine_failed", retry=False))
        return
    if way.passage is not None:
        way.passage.used(tap.usage, response.status)
    await sender.end()


async def _back_whole(
    exchange: Exchange, status: int, body: bytes, headers: Mapping[str, str], way: Way
) -> None:
    """A reply that is no stream; what is in no known shape becomes an error in OpenAI's."""
    data = object_in(body)
    error: ApiError | None = None
    if status >= 400 and not _is_error(data):
        error = engine_error(status, body, headers)
    elif data is None and way.passage is not None:
        error = engine_error(502, body, headers)
    elif status >= 400 and exchange.started:  # by a heartbeat
        error = ApiError(status, said_in(data), code="engine_failed")
    if error is not None:
        if not exchange.started:
            raise error
        await (way.sender or EventSender(exchange)).fail(error)
        return
    if way.passage is not None and data is not None:
        way.passage.used(usage_of(data), status)
        if twin(data):
            body = orjson.dumps(data)
    await exchange.reply(status, body, {**headers, "content-type": JSON} if data else headers)


def _is_error(data: dict[str, Any] | None) -> bool:
    """Is it an error in OpenAI's shape?"""
    error = data.get("error") if data is not None else None
    return isinstance(error, Mapping) and all(
        isinstance(error.get(name), str) for name in ("message", "type"))


def engine_error(status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """What an engine said in another shape than OpenAI's, in that one."""
    data = object_in(body)
    words = said_in(data) if data is not None else body.decode("utf-8", "replace").strip()
    if not words or words.startswith("<"):
        words = "no word of why" if data is not None else "no JSON"
    found = data.get("error") if data is not None else None
    code = found.get("code") if isinstance(found, Mapping) else None
    kept = {k.lower(): v for k, v in headers.items()
            if k.lower().startswith(("retry-after", "x-"))}
    return ApiError(status, f"the engine replied with HTTP {status}: {words[:500]}",
                    code=code if isinstance(code, str) else "engine_failed", headers=kept)


def object_in(body: bytes) -> dict[str, Any] | None:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def usage_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = data.get("usage")
    return usage if isinstance(usage, Mapping) else {}


def network_error(
    error: Exception, server: Backend, seconds: float | None, *, spent: bool
) -> ApiError:
    """The way to the engine failed, or ``seconds`` were over. ``spent``: something had come."""
    if isinstance(error, TimeoutError):
        return ApiError(504, f"the engine did not answer within {seconds or SILENCE:g} s",
                        code="timeout", retry=False)
    return from_plait(from_network(error, server.link.where, SILENCE), spent=spent)
