"""``/v1/responses``: OpenAI's newer API. Its objects are here, its stream in `response_stream`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio

from plait.core import Message
from plait.server.bridged import bridge
from plait.server.choosing import choose
from plait.server.errors import ApiError, ClientGone, internal
from plait.server.exchange import Exchange
from plait.server.fitting import Misfit, response_misfit
from plait.server.gateway import Gateway
from plait.server.jobs import Job, make_job
from plait.server.kept import KeptResponse
from plait.server.narrate import Piece, Words
from plait.server.passing import pass_on, pass_untouched
from plait.server.reading import read_response
from plait.server.response_objects import finished, message_item, new_response, reasoning_item
from plait.server.response_stream import ResponseEvents
from plait.server.runs import Answer, facts, perform
from plait.server.streaming import EventSender
from plait.server.trials import assigned
from plait.server.writers import METHOD, RUN, stream

PREFIX = "resp_"
ENGINES = Misfit("continued", "it continues a response of the engine's")


async def responses(gateway: Gateway, exchange: Exchange) -> None:
    """Make a response."""
    body = await exchange.json()
    choice = choose(body)
    if misfit := response_misfit(body):
        if gateway.models.server is None or await gateway.models.knows_responses():
            await pass_on(gateway, exchange, misfit, body, choice, "responses")
        else:
            await bridge(gateway, exchange, misfit, body, choice)
        return
    before: tuple[Message, ...] = ()
    if (previous := body.get("previous_response_id")) is not None:
        found = gateway.responses.find(str(previous), exchange.key.name)
        if found is None and gateway.models.server is not None and not choice.explicit:
            await pass_on(gateway, exchange, ENGINES, body, choice, "responses")
            return
        if found is None:
            raise ApiError(404, f"there is no response `{previous!s:.80}` here",
                           param="previous_response_id", code="previous_response_not_found")
        before = found.messages
    choice = assigned(gateway, exchange, body, choice)
    request = read_response(body, choice, gateway.settings.most, before)
    runtime = await gateway.models.runtime(choice.model)
    job = make_job(gateway, exchange, body, choice, runtime, request, "responses")
    exchange.extra[RUN] = job.run
    data = new_response(job.run, body, job.model)
    asked = tuple(m for m in request.messages if m.role not in ("system", "developer"))
    keeper = _Keeper(gateway, exchange, job, data, asked)
    if job.stream:
        writer = ResponseStream(job, EventSender(exchange), data, keeper)
        await exchange.while_connected(
            lambda: keeper.watch(stream(gateway, exchange, job, writer)))
    else:
        await exchange.while_connected(
            lambda: keeper.watch(_whole(gateway, exchange, job, keeper)))


class _Keeper:
    """Keeps a response from its beginning to its end, unless it is not to be stored."""

    def __init__(
        self, gateway: Gateway, exchange: Exchange, job: Job, data: dict[str, Any],
        asked: tuple[Message, ...],
    ) -> None:
        self._responses = gateway.responses
        self._owner = exchange.key.name
        self._asked = asked
        self._stores = job.texts
        self._run = job.run
        self._over = False
        self.data = data

    async def watch(self, work: Any) -> None:
        """Await ``work``; whoever leaves before its end has cancelled it."""
        self._keep(self.data)
        try:
            await work
        except ApiError as error:
            self.failed(error)
            raise
        except (ClientGone, anyio.get_cancelled_exc_class()):
            self._keep({**self.data, "status": "cancelled"})
            raise
        except Exception as error:
            self.failed(internal(error))
            raise

    def failed(self, error: ApiError) -> None:
        """It came to nothing."""
        status = "cancelled" if error.code == "cancelled" else "failed"
        said = {"code": error.code or "server_error", "message": str(error)}
        self._keep({**self.data, "status": status, "error": said})

    def ended(self, output: list[dict[str, Any]], answer: Answer) -> dict[str, Any]:
        """It is complete: the whole of it."""
        data = {**finished(self.data, output, answer.finish, answer.tokens),
                "plait": facts(answer, self._run)}
        self._keep(data, (*self._asked, Message("assistant", answer.text)))
        self._over = True  # what breaks while it is sent changes nothing
        return data

    def _keep(self, data: dict[str, Any], messages: tuple[Message, ...] = ()) -> None:
        if self._stores and not self._over:
            self._responses.keep(data["id"], KeptResponse(self._owner, data, messages))


async def _whole(gateway: Gateway, exchange: Exchange, job: Job, keeper: _Keeper) -> None:
    thoughts: list[str] = []

    async def take(pieces: list[Piece]) -> None:
        thoughts.extend(p.text for p in pieces if not isinstance(p, Words))

    answer = await perform(gateway, exchange, job, take)
    summary = job.thoughts == "summary"
    output = [reasoning_item(job.run, "".join(thoughts), summary=summary)] if thoughts else []
    data = keeper.ended([*output, message_item(job.run, answer.text)], answer)
    await exchange.reply_json(data, headers={METHOD: answer.result.method})


class ResponseStream:
    """A response as a stream. What is thought once the answer has begun is left out."""

    def __init__(
        self, job: Job, sender: EventSender, data: dict[str, Any], keeper: _Keeper
    ) -> None:
        self.sender = sender
        self._events = ResponseEvents(sender, job.run, data, summary=job.thoughts == "summary")
        self._keeper = keeper
        self._answering = False

    async def fail(self, error: ApiError) -> None:
        """Send that it failed."""
        self._keeper.failed(error)
        await self._events.fail(error)

    async def take(self, pieces: list[Piece]) -> None:
        """Send what is to be told now."""
        await self._events.begin()
        for piece in pieces:
            if isinstance(piece, Words):
                self._answering = True
                await self._events.say(piece.text)
            elif not self._answering:
                named = {"thread": piece.thread, "label": piece.label}
                await self._events.think(piece.text, plait=named)

    async def finish(self, answer: Answer) -> None:
        """Send the whole of it."""
        if not self._answering:
            await self._events.say("")
        await self._events.close()
        await self._events.end(self._keeper.ended(self._events.output, answer))


async def response(gateway: Gateway, exchange: Exchange) -> None:
    """Give a response that was kept; the engine is asked for those that it may know."""
    found = gateway.responses.find(exchange.parameters["name"], exchange.key.name)
    if found is None:
        await _elsewhere(gateway, exchange)
        return
    if exchange.method == "DELETE":
        gateway.responses.drop(exchange.parameters["name"])
        await exchange.reply_json({"id": found.data["id"], "object": "response", "deleted": True})
        return
    await exchange.reply_json(found.data)


async def cancel_response(gateway: Gateway, exchange: Exchange) -> None:
    """Cancel a response that is at work."""
    name = exchange.parameters["name"]
    found = gateway.responses.find(name, exchange.key.name)
    runs = gateway.cancel(name.removeprefix(PREFIX), exchange)
    if found is None and not runs:
        await _elsewhere(gateway, exchange)
        return
    data: Mapping[str, Any] = found.data if found is not None else {
        "id": name, "object": "response", "created_at": int(time.time())}
    await exchange.reply_json({**data, "status": "cancelled"} if runs else data)


async def _elsewhere(gateway: Gateway, exchange: Exchange) -> None:
    name = exchange.parameters["name"]
    if gateway.models.server is None:
        raise ApiError(404, f"there is no response `{name:.80}` here", code="not_found")
    await pass_untouched(gateway, exchange)
