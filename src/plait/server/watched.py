"""Endpoints about what was watched: metrics, and what people say of runs."""

from __future__ import annotations

import time

from plait.errors import UsageError
from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.experiments import report
from plait.server.feedback import read_feedback
from plait.server.gateway import Gateway
from plait.server.metrics import CONTENT_TYPE

IDS = ("chatcmpl-", "cmpl-", "resp_")
"""What stands before a run's name in the ids of replies."""


async def metrics(gateway: Gateway, exchange: Exchange) -> None:
    """Numbers for Prometheus."""
    if gateway.metrics is None:
        raise ApiError(404, "metrics are switched off", code="not_found")
    await exchange.reply(200, gateway.metrics.text(), {"content-type": CONTENT_TYPE})


async def feedback(gateway: Gateway, exchange: Exchange) -> None:
    """What somebody says of a run."""
    body = await exchange.json()
    if gateway.store is None:
        raise ApiError(404, "runs are not stored here, so there is nothing to say of them",
                       code="not_found")
    if isinstance(body.get("run"), str):
        body["run"] = run_of(body["run"])
    said = read_feedback(body, at=time.time(), key=exchange.key.name)
    try:
        known = await gateway.store.run(said.run)
        if not exchange.key.admin and known.key != exchange.key.name:
            raise UsageError(f"there is no run `{said.run}`")
        record = await gateway.store.add_feedback(said)
    except UsageError as error:
        raise ApiError(404, error.line, param="run", code="not_found") from None
    if gateway.metrics is not None:
        gateway.metrics.feedback(said)
    if gateway.experiments is not None:
        gateway.experiments.rated(said, record)
    await exchange.reply_json({"object": "feedback", "run": said.run})


def run_of(name: str) -> str:
    """The run that ``name`` means: itself, or the id of a reply."""
    for prefix in IDS:
        name = name.removeprefix(prefix)
    return name


async def experiments(gateway: Gateway, exchange: Exchange) -> None:
    """What live experiments say so far."""
    if not exchange.key.admin:
        raise ApiError(403, "only an administrator's key sees the experiments")
    found = report(gateway.experiments) if gateway.experiments is not None else []
    await exchange.reply_json({"object": "list", "data": found})
