"""Requests that the engine answers itself: passed on as they came, and its reply back as it came.

Three things are changed, where they are there: the name of a model loses ``plait/...:``, the
``plait`` object is taken out, and a stream is asked to report its usage, which is kept from the
client again if the client did not ask for it. The client's key stays here; the engine gets its
own. The reply says ``x-plait-method: pass-through``, and why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import anyio
import orjson

from plait.engines.openai import OpenAIEngine
from plait.engines.openai.errors import NETWORK, from_network
from plait.server.choosing import FIELD, PREFIX, Choice
from plait.server.errors import ApiError, cancelled, from_plait, invalid
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.passed import Passage
from plait.server.runs import DEADLINE, deadline, new_run
from plait.server.streaming import sse_headers
from plait.server.taps import UsageTap
from plait.server.watch import Endpoint, RunInfo

PASSED = "pass-through"
SILENCE = 600.0
"""Seconds without a byte after which an engine that was passed a request counts as gone."""
_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade"))
_NOT_ON = _HOP | {"host", "authorization", "x-api-key", "cookie", "content-length", "expect",
                  "accept-encoding", DEADLINE}
_NOT_BACK = _HOP | {"content-length", "server", "date", "x-request-id", "set-cookie"}


async def pass_on(
    gateway: Gateway, exchange: Exchange, why: str, body: Mapping[str, Any], choice: Choice,
    endpoint: Endpoint,
) -> None:
    """Let the engine answer a request that was read already; ``why`` goes into a header.

    Raises `ApiError`, also where there is no server behind the engine.
    """
    server = _server(gateway, why)
    changed, hidden = dict(body), False
    changed.pop(FIELD, None)
    if str(changed.get("model") or "").startswith(PREFIX):
        changed["model"] = (await gateway.models.runtime(choice.model)).engine.model
    if body.get("stream") is True and endpoint != "responses":
        options = body.get("stream_options")
        if not (isinstance(options, Mapping) and options.get("include_usage")):
            changed["stream_options"] = {**(options if isinstance(options, Mapping) else {}),
                                         "include_usage": True}
            hidden = True
    data = await exchange.body() if changed == body else orjson.dumps(changed)
    run = new_run()
    exchange.extra |= {"x-plait-run": run, "x-plait-method": PASSED, "x-plait-reason": why}
    info = RunInfo(
        run, str(changed.get("model") or server.model), question_of(body), time.time(), endpoint,
        body.get("stream") is True, exchange.key.name, str(body.get("user") or ""),
        engine=server.name, method=PASSED, texts=body.get("store") is not False,
        traceparent=exchange.headers.get("traceparent", ""))

    async def work() -> None:
        use = gateway.keys.use(exchange.key)
        async with gateway.admission.place(exchange.key):
            with gateway.at_work(run, exchange) as active, active.scope, Passage(
                    gateway.watchers, info) as passage:
                await _forward(exchange, server, data, passage, UsageTap(hidden))
                if use is not None:
                    use.charge(passage.prompt + passage.generated)
            if active.scope.cancelled_caught and not exchange.started:
                raise cancelled()

    await exchange.while_connected(work)


async def pass_untouched(gateway: Gateway, exchange: Exchange) -> None:
    """Everything below ``/v1`` that is no business of plait's."""
    server = _server(gateway, f"there is no {exchange.path} here", status=404)
    data = await exchange.body()
    exchange.extra |= {"x-plait-method": PASSED}

    async def work() -> None:
        async with gateway.admission.place(exchange.key):
            await _forward(exchange, server, data or None, None, UsageTap(hidden=False))

    await exchange.while_connected(work)


def question_of(body: Mapping[str, Any]) -> str:
    """What is asked, for people who look at runs."""
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, Mapping) else None
    for text in (content, body.get("prompt"), body.get("input")):
        if isinstance(text, str):
            return text
    return ""


def _server(gateway: Gateway, why: str, status: int = 400) -> OpenAIEngine:
    server = gateway.models.server
    if server is None:
        if status == 404:
            raise ApiError(404, why, code="not_found")
        raise invalid(f"the embedded engine cannot answer this: {why}. Start `plait serve --engine"
                      " http://...` for a model that can")
    return server


async def _forward(
    exchange: Exchange, server: OpenAIEngine, data: bytes | None, passage: Passage | None,
    tap: UsageTap,
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
            await _back(exchange, response, passage, tap)
    except NETWORK as error:
        failed = from_plait(from_network(error, server.link.where, SILENCE),
                            spent=exchange.started)
        if isinstance(error, TimeoutError):
            failed = ApiError(504, f"the engine did not answer within {seconds or SILENCE:g} s",
                              code="timeout", retry=False)
        if not exchange.started:
            raise failed from error
        await _break_off(exchange, response, failed, error)
    finally:
        if response is not None:
            response.close()


async def _break_off(
    exchange: Exchange, response: aiohttp.ClientResponse | None, failed: ApiError,
    error: Exception,
) -> None:
    """A reply that had begun cannot be completed: an event says so, where it is a stream; else
    the connection is cut, so that nobody takes the half for the whole."""
    if response is None or not sse_headers(response.headers):
        raise error
    await exchange.write(b"data: " + failed.body() + b"\n\n")
    await exchange.write(b"", more=False)


async def _back(
    exchange: Exchange, response: aiohttp.ClientResponse, passage: Passage | None, tap: UsageTap,
) -> None:
    """The engine's reply to the client."""
    headers = {k.lower(): v for k, v in response.headers.items() if k.lower() not in _NOT_BACK}
    if sse_headers(headers):
        await exchange.start(response.status, headers)
        async for piece in response.content.iter_any():
            if passage is not None:
                passage.token()
            if given := tap.feed(piece):
                await exchange.write(given)
        if passage is not None:
            passage.used(tap.usage(), response.status)
        await exchange.write(tap.rest(), more=False)
    elif passage is not None or response.status >= 400:
        body = await response.read()
        if passage is not None:
            passage.used(_usage(body), response.status)
        await _reply_whole(exchange, response.status, body, headers)
    else:
        await exchange.start(response.status, headers)
        async for piece in response.content.iter_any():
            await exchange.write(piece)
        await exchange.write(b"", more=False)


async def _reply_whole(
    exchange: Exchange, status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    """A reply that is no stream; an error that is not in any known shape gets OpenAI's."""
    if status >= 400 and not headers.get("content-type", "").startswith("application/json"):
        words = body.decode("utf-8", "replace").strip()
        said = "" if words.startswith("<") else f": {words[:500]}"
        kept = {k: v for k, v in headers.items() if k.startswith(("retry-after", "x-"))}
        error = ApiError(status, f"the engine replied with HTTP {status}{said}",
                         code="engine_failed" if status >= 500 else None, headers=kept)
        await exchange.refuse(error)
        return
    await exchange.reply(status, body, headers)


def _usage(body: bytes) -> Mapping[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    usage = data.get("usage") if isinstance(data, Mapping) else None
    return usage if isinstance(usage, Mapping) else {}
