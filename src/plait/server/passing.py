"""Requests that the engine answers itself: passed on as they came, and its reply back as it came.

Little is changed, and only where it is there: the name of a model loses ``plait/...:``, the
``plait`` object is taken out, a stream is asked to report its usage, which is kept from the
client again if the client did not ask for it, and thoughts get both of their names (`taps`). The
client's key stays here; the engine gets its own. The reply says ``x-plait-method: pass-through``,
and why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio
import orjson

from plait.engines.openai import OpenAIEngine
from plait.engines.openai.errors import NETWORK, from_network, said_in
from plait.server.choosing import FIELD, PREFIX, Choice
from plait.server.errors import ApiError, cancelled, from_plait, invalid
from plait.server.exchange import JSON, Exchange
from plait.server.fitting import Misfit
from plait.server.gateway import Gateway
from plait.server.jobs import DEADLINE, Job, deadline
from plait.server.passed import Passage
from plait.server.streaming import EventSender, sse_headers
from plait.server.taps import Garbage, StreamTap, twin
from plait.server.trials import shadow
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


@dataclass(frozen=True, slots=True)
class Way:
    """How a reply goes back. ``passage``: its record, None for what is no completion; ``hidden``:
    its usage was asked for by us; ``sender``: set where the client waits for a stream."""

    passage: Passage | None = None
    hidden: bool = False
    sender: EventSender | None = None


async def pass_on(
    gateway: Gateway, exchange: Exchange, misfit: Misfit, body: Mapping[str, Any], choice: Choice,
    endpoint: Endpoint, job: Job | None = None,
) -> None:
    """Let the engine answer a request that was read already; why goes into a header. ``job`` is
    the same for plait, where an experiment may repeat it.

    Raises `ApiError`, also where there is no server behind the engine.
    """
    server = _server(gateway, misfit.why)
    if gateway.metrics is not None:
        gateway.metrics.passed_through(misfit.word)
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
    run = exchange.run
    exchange.extra |= {"x-plait-run": run, "x-plait-method": PASSED, "x-plait-reason": misfit.why}
    info = RunInfo(
        run, str(changed.get("model") or server.model), question_of(body), time.time(), endpoint,
        body.get("stream") is True, exchange.key.name, str(body.get("user") or ""),
        engine=server.name, method=PASSED, texts=body.get("store") is not False,
        experiment=choice.experiment, arm=choice.arm,
        traceparent=exchange.headers.get("traceparent", ""))

    async def work() -> None:
        use = gateway.keys.use(exchange.key)
        async with gateway.admission.place(exchange.key):
            with gateway.at_work(run, exchange) as active, active.scope, Passage(
                    gateway.watchers, info) as passage:
                try:
                    if body.get("stream") is True:
                        sender = EventSender(exchange)
                        async with sender.beating(gateway.settings.heartbeat):
                            await _forward(exchange, server, data, Way(passage, hidden, sender))
                    else:
                        await _forward(exchange, server, data, Way(passage))
                finally:
                    if use is not None:
                        use.charge(passage.prompt + passage.generated)
            if active.scope.cancelled_caught and not exchange.started:
                raise cancelled()
        shadow(gateway, info, job)

    await exchange.while_connected(work)


async def pass_untouched(gateway: Gateway, exchange: Exchange) -> None:
    """Everything below ``/v1`` that is no business of plait's."""
    server = _server(gateway, f"there is no {exchange.path} here", status=404)
    data = await exchange.body()
    exchange.extra |= {"x-plait-method": PASSED}

    async def work() -> None:
        async with gateway.admission.place(exchange.key):
            await _forward(exchange, server, data or None, Way())

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
    exchange: Exchange, server: OpenAIEngine, data: bytes | None, way: Way
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
        failed = from_plait(from_network(error, server.link.where, SILENCE),
                            spent=exchange.started)
        if isinstance(error, TimeoutError):
            failed = ApiError(504, f"the engine did not answer within {seconds or SILENCE:g} s",
                              code="timeout", retry=False)
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
    data = _object(body)
    error: ApiError | None = None
    if status >= 400 and not _is_error(data):
        error = _error(status, body, headers)
    elif data is None and way.passage is not None:
        error = _error(502, body, headers)
    elif status >= 400 and exchange.started:  # by a heartbeat
        error = ApiError(status, said_in(data), code="engine_failed")
    if error is not None:
        if not exchange.started:
            raise error
        await (way.sender or EventSender(exchange)).fail(error)
        return
    if way.passage is not None and data is not None:
        way.passage.used(_usage(data), status)
        if twin(data):
            body = orjson.dumps(data)
    await exchange.reply(status, body, {**headers, "content-type": JSON} if data else headers)


def _is_error(data: dict[str, Any] | None) -> bool:
    """Is it an error in OpenAI's shape?"""
    error = data.get("error") if data is not None else None
    return isinstance(error, Mapping) and all(
        isinstance(error.get(name), str) for name in ("message", "type"))


def _error(status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """What an engine said in another shape than OpenAI's, in that one."""
    data = _object(body)
    words = said_in(data) if data is not None else body.decode("utf-8", "replace").strip()
    if not words or words.startswith("<"):
        words = "no word of why" if data is not None else "no JSON"
    found = data.get("error") if data is not None else None
    code = found.get("code") if isinstance(found, Mapping) else None
    kept = {k: v for k, v in headers.items() if k.startswith(("retry-after", "x-"))}
    return ApiError(status, f"the engine replied with HTTP {status}: {words[:500]}",
                    code=code if isinstance(code, str) else "engine_failed", headers=kept)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def _usage(data: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = data.get("usage")
    return usage if isinstance(usage, Mapping) else {}
