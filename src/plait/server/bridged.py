"""The way of a response over an engine that knows chat completions only (`bridge`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from plait.engines.openai.errors import NETWORK
from plait.engines.openai.sse import Decoder
from plait.server.bridge import chat_body
from plait.server.choosing import Choice
from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.fitting import Misfit
from plait.server.forwarding import SILENCE, engine_error, network_error, object_in, usage_of
from plait.server.gateway import Gateway
from plait.server.models import Backend
from plait.server.passed import Passage, tokens_in
from plait.server.passing import ask_for_usage, attend, bare, passed_info, server_of
from plait.server.response_objects import (
    call_item,
    finished,
    message_item,
    new_response,
    reasoning_item,
)
from plait.server.response_stream import ResponseEvents
from plait.server.runs import Finish
from plait.server.streaming import EventSender
from plait.server.taps import TWINS

PATH = "/v1/chat/completions"
_FINISHES: dict[str, Finish] = {"length": "length", "content_filter": "content_filter"}


async def bridge(
    gateway: Gateway, exchange: Exchange, misfit: Misfit, body: Mapping[str, Any], choice: Choice
) -> None:
    """Answer a response by a chat completion of the engine's. Raises `ApiError`."""
    server = server_of(gateway, misfit.why)
    asked = await bare(gateway, body, choice)
    chat = chat_body(asked)
    if chat.get("stream") is True:
        ask_for_usage(chat)
    info = passed_info(server, exchange, asked, choice, "responses")
    data = new_response(exchange.run, body, str(body.get("model") or info.model))

    async def work(passage: Passage, sender: EventSender | None) -> None:
        try:
            response = await server.link.send(
                "POST", PATH, orjson.dumps(chat), {"content-type": "application/json"},
                idle=SILENCE)
            async with response:
                if sender is None:
                    await _whole(exchange, response, data, passage)
                else:
                    await _stream(exchange, server, response, ResponseEvents(
                        sender, exchange.run, data), data, passage)
        except NETWORK as error:
            raise network_error(error, server, None, spent=exchange.started) from error

    await attend(gateway, exchange, misfit, info, work)


async def _whole(
    exchange: Exchange, response: aiohttp.ClientResponse, data: dict[str, Any], passage: Passage
) -> None:
    reply = await response.read()
    found = object_in(reply)
    if response.status >= 400 or found is None:
        raise engine_error(max(response.status, 400) if found else 502, reply, response.headers)
    choice = next(iter(_objects(found, "choices")), None)
    if choice is None:
        raise engine_error(502, reply, response.headers)
    message, run = _object(choice, "message"), exchange.run
    output = []
    if thoughts := _thoughts(message):
        output.append(reasoning_item(run, thoughts, summary=False))
    calls = _objects(message, "tool_calls")
    if (text := _text(message, "content")) or not calls:
        output.append(message_item(run, text))
    for number, call in enumerate(calls):
        output.append(call_item(run, number, _called(call)))
    usage = usage_of(found)
    passage.used(usage, response.status)
    finish = _FINISHES.get(_text(choice, "finish_reason"), "stop")
    await exchange.reply_json(finished(data, output, finish, tokens_in(usage)))


async def _stream(
    exchange: Exchange, server: Backend, response: aiohttp.ClientResponse,
    events: ResponseEvents, data: dict[str, Any], passage: Passage,
) -> None:
    failed: ApiError | None = None
    finish = ""
    usage: Mapping[str, Any] = {}
    try:
        if response.status >= 400:
            raise engine_error(response.status, await response.read(), response.headers)
        async for chunk in _chunks(response):
            passage.token()
            usage = usage_of(chunk) or usage
            for choice in _objects(chunk, "choices"):
                finish = _text(choice, "finish_reason") or finish
                await _delta(events, _object(choice, "delta"))
        if not finish:
            raise ApiError(502, "the engine's stream broke off before its end",
                           code="engine_failed", retry=False)
    except NETWORK as error:
        failed = network_error(error, server, None, spent=exchange.started)
    except ApiError as error:
        failed = error
    if failed is not None:
        if not exchange.started:
            raise failed
        await events.fail(failed)
        return
    await events.close()
    passage.used(usage, response.status)
    await events.end(finished(data, events.output, _FINISHES.get(finish, "stop"),
                              tokens_in(usage)))


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The objects of a stream. Raises `ApiError` for an error among them, and for garbage."""
    decoder = Decoder()
    async for piece in response.content.iter_any():
        for event in decoder.feed(piece):
            if event.data.strip() == "[DONE]":
                return
            found = object_in(event.data.encode())
            if found is None or "error" in found:
                raise engine_error(502, event.data.encode(), {})
            yield found


async def _delta(events: ResponseEvents, delta: Mapping[str, Any]) -> None:
    """One delta of a chat, as events of a response."""
    if thoughts := _thoughts(delta):
        await events.think(thoughts)
    if text := _text(delta, "content"):
        await events.say(text)
    for place, call in enumerate(_objects(delta, "tool_calls")):
        index = call.get("index")
        await events.call(index if type(index) is int else place, *_called(call))


# What engines send is not always what it should be: anything of the wrong kind counts as absent.

def _objects(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = data.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(data: Mapping[str, Any], name: str) -> str:
    found = data.get(name)
    return found if isinstance(found, str) else ""


def _thoughts(message: Mapping[str, Any]) -> str:
    return next((text for name in TWINS if (text := _text(message, name))), "")


def _called(call: Mapping[str, Any]) -> tuple[str, str, str]:
    """Id, name and arguments of a call, or of a piece of one."""
    function = _object(call, "function")
    return _text(call, "id"), _text(function, "name"), _text(function, "arguments")
