"""What the gateway says of itself: that it lives, that it can answer, what it serves."""

from __future__ import annotations

from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.watched import run_of
from plait.version import VERSION


async def health(gateway: Gateway, exchange: Exchange) -> None:
    """It lives."""
    await exchange.reply_json({"status": "ok"})


async def ready(gateway: Gateway, exchange: Exchange) -> None:
    """Can a request be answered now?"""
    why = "it is shutting down" if gateway.admission.draining else await gateway.models.ready()
    await exchange.reply_json({"status": "not ready" if why else "ready", "reason": why or None},
                              503 if why else 200)


async def version(gateway: Gateway, exchange: Exchange) -> None:
    """Which plait this is."""
    await exchange.reply_json({"version": VERSION})


async def models(gateway: Gateway, exchange: Exchange) -> None:
    """All models, by each of their names."""
    await exchange.reply_json({"object": "list", "data": await gateway.models.cards()})


async def model(gateway: Gateway, exchange: Exchange) -> None:
    """One model."""
    name = exchange.parameters["name"]
    found = next((c for c in await gateway.models.cards() if c["id"] == name), None)
    if found is None:
        raise ApiError(404, f"there is no model `{name}` here", param="model",
                       code="model_not_found")
    await exchange.reply_json(found)


async def cancel(gateway: Gateway, exchange: Exchange) -> None:
    """Cancel the requests that a name means: a run, a completion, or an ``x-request-id``."""
    name = exchange.parameters["name"]
    runs = gateway.cancel(run_of(name), exchange)
    if not runs:
        raise ApiError(404, f"there is no request `{name}` at work", code="not_found")
    await exchange.reply_json({"object": "cancelled", "runs": runs})
