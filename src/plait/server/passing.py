"""Requests that the engine answers itself: passed on as they came, and its reply back as it came.

Little is changed, and only where it is there: the name of a model loses ``plait/...:``, the
``plait`` object is taken out, a stream is asked to report its usage, which is kept from the
client again if the client did not ask for it, and thoughts get both of their names (`taps`). The
client's key stays here; the engine gets its own. The reply says ``x-plait-method: pass-through``,
and why.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from plait.server.choosing import FIELD, PREFIX, Choice
from plait.server.errors import ApiError, cancelled, invalid
from plait.server.exchange import Exchange
from plait.server.fitting import Misfit
from plait.server.forwarding import Way, forward
from plait.server.gateway import Gateway
from plait.server.jobs import Job, who
from plait.server.models import Backend
from plait.server.passed import Passage
from plait.server.reading import wants_usage
from plait.server.streaming import EventSender
from plait.server.trials import shadow
from plait.server.watch import Endpoint, RunInfo

PASSED = "pass-through"
Work = Callable[[Passage, EventSender | None], Awaitable[None]]
"""Gets the record to be kept, and what sends events where the client waits for a stream."""


async def pass_on(
    gateway: Gateway, exchange: Exchange, misfit: Misfit, body: Mapping[str, Any], choice: Choice,
    endpoint: Endpoint, job: Job | None = None,
) -> None:
    """Let the engine answer a request that was read already; why goes into a header. ``job`` is
    the same for plait, where an experiment may repeat it.

    Raises `ApiError`, also where there is no server behind the engine.
    """
    server = server_of(gateway, misfit.why)
    changed = await bare(gateway, body, choice)
    hidden = body.get("stream") is True and endpoint != "responses" and ask_for_usage(changed)
    data = await exchange.body() if changed == body else orjson.dumps(changed)
    info = passed_info(server, exchange, changed, choice, endpoint)

    async def work(passage: Passage, sender: EventSender | None) -> None:
        await forward(exchange, server, data, Way(passage, hidden, sender))

    await attend(gateway, exchange, misfit, info, work)
    shadow(gateway, info, job)


async def bare(
    gateway: Gateway, body: Mapping[str, Any], choice: Choice
) -> dict[str, Any]:
    """``body`` without what only plait understands. Raises `ApiError` for an unknown model."""
    changed = {name: value for name, value in body.items() if name != FIELD}
    if str(changed.get("model") or "").startswith(PREFIX):
        changed["model"] = (await gateway.models.runtime(choice.model)).engine.model
    return changed


def ask_for_usage(body: dict[str, Any]) -> bool:
    """Let a stream report its usage; was it not going to?"""
    if wants_usage(body):
        return False
    options = body.get("stream_options")
    known = options if isinstance(options, Mapping) else {}
    body["stream_options"] = {**known, "include_usage": True}
    return True


def passed_info(
    server: Backend, exchange: Exchange, body: Mapping[str, Any], choice: Choice,
    endpoint: Endpoint,
) -> RunInfo:
    """What watchers are told of a request that is passed on."""
    user, session = who(exchange, body)
    return RunInfo(
        exchange.run, str(body.get("model") or server.model), question_of(body), time.time(),
        endpoint, body.get("stream") is True, exchange.key.name, user, session,
        engine=server.name, method=PASSED, texts=body.get("store") is not False,
        experiment=choice.experiment, arm=choice.arm,
        traceparent=exchange.headers.get("traceparent", ""))


async def attend(
    gateway: Gateway, exchange: Exchange, misfit: Misfit, info: RunInfo, work: Work
) -> None:
    """Do ``work`` on behalf of a client: admitted, watched, cancelled when nobody wants it, and
    with signs of life where it waits for a stream. Raises `ApiError`."""
    if gateway.metrics is not None:
        gateway.metrics.passed_through(misfit.word)
    exchange.extra |= {"x-plait-run": info.run, "x-plait-method": PASSED,
                       "x-plait-reason": misfit.why}
    use = gateway.keys.use(exchange.key)
    sender = EventSender(exchange) if info.stream else None

    async def attended() -> None:
        async with gateway.admission.place(exchange.key):
            with gateway.at_work(info.run, exchange) as active, active.scope, Passage(
                    gateway.watchers, info) as passage:
                try:
                    if sender is None:
                        await work(passage, None)
                    else:
                        async with sender.beating(gateway.settings.heartbeat):
                            await work(passage, sender)
                finally:
                    if use is not None:
                        use.charge(passage.prompt + passage.generated)
            if active.scope.cancelled_caught and sender is not None and exchange.started:
                await sender.fail(cancelled())
            elif active.scope.cancelled_caught:
                raise cancelled()

    await exchange.while_connected(attended)


async def pass_untouched(gateway: Gateway, exchange: Exchange) -> None:
    """Everything below ``/v1`` that is no business of plait's. Raises `ApiError`."""
    if ".." in exchange.path.split("/"):  # what is beside /v1 on the engine is not for clients
        raise ApiError(404, f"{exchange.path:.200} is not served here", code="not_found")
    server = server_of(gateway, f"there is no {exchange.path} here", status=404)
    data = await exchange.body()
    exchange.extra |= {"x-plait-method": PASSED}

    async def work() -> None:
        async with gateway.admission.place(exchange.key):
            await forward(exchange, server, data or None, Way())

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


def server_of(gateway: Gateway, why: str, status: int = 400) -> Backend:
    """The server behind the gateway. Raises `ApiError` where there is none."""
    server = gateway.models.server
    if server is None:
        if status == 404:
            raise ApiError(404, why, code="not_found")
        raise invalid(f"the embedded engine cannot answer this: {why}. It takes plait started with"
                      " `--engine http://...`, for a model that can")
    return server
