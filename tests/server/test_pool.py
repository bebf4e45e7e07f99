"""A gateway before several replicas: runs and what is passed on survive the loss of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from plait.cli.serve import pool_of
from plait.engines.pool import PoolEngine
from plait.server.metrics import GatewayMetrics, Observed
from plait.testing.upstream import Reply, Upstream
from tests.engines.pool.help import in_order, pooled
from tests.server.help import ANSWER, Served, content, serving, until

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@asynccontextmanager
async def gateway(script: Any = ANSWER, **settings: Any) -> AsyncIterator[
        tuple[dict[str, Upstream], PoolEngine, Served]]:
    async with pooled(3, script, **settings) as (upstreams, pool):
        metrics = GatewayMetrics(Observed(pool=pool_of(pool)))
        async with serving(pool, metrics=metrics) as served:
            yield upstreams, pool, served


async def samples(served: Served) -> dict[tuple[str, str], float]:
    text = (await served.get("/metrics")).body.decode()
    return {(s.name, next(iter(s.labels.values()), "")): s.value
            for f in text_string_to_metric_families(text) for s in f.samples
            if s.name.startswith("plait_replica")}


@pytest.mark.anyio
async def test_what_is_passed_on_goes_to_a_replica_that_is_there() -> None:
    async with gateway() as (upstreams, _, served):
        first, second, _ = in_order(upstreams, "mine")
        for _ in range(2):
            reply = await served.chat(tools=TOOLS, X_SESSION_ID="mine")
            assert (reply.status, reply.text) == (200, ANSWER)
        assert (first.calls.finished, second.calls.finished) == (2, 0)
        await first.stop()
        for _ in range(2):
            reply = await served.chat(tools=TOOLS, X_SESSION_ID="mine")
            assert (reply.status, reply.text) == (200, ANSWER)
        assert second.calls.finished == 2
        found = await samples(served)
        assert found["plait_replica_healthy", first.url] == 0
        assert found["plait_replica_healthy", second.url] == 1
        assert found["plait_replica_ejections_total", first.url] == 1


@pytest.mark.anyio
async def test_what_one_has_no_time_for_another_is_asked() -> None:
    async with gateway() as (upstreams, _, served):
        first, second, _ = in_order(upstreams, "mine")
        first.script = Reply(status=429, error={"error": {"message": "later", "type": "x"}})
        assert (await served.chat(tools=TOOLS, X_SESSION_ID="mine")).text == ANSWER
        assert second.calls.finished == 1
        for upstream in upstreams.values():
            upstream.script = first.script
        assert (await served.chat(tools=TOOLS, X_SESSION_ID="mine")).status == 429


@pytest.mark.anyio
async def test_where_no_replica_is_there_it_says_so() -> None:
    async with gateway() as (upstreams, _, served):
        assert (await served.get("/ready")).status == 200
        for upstream in upstreams.values():
            await upstream.stop()
        reply = await served.chat(tools=TOOLS)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")
        assert (await served.get("/ready")).status == 503


@pytest.mark.anyio
async def test_models_are_listed_and_chosen_as_those_of_one_server() -> None:
    async with gateway(models=["tiny", "big"], model="tiny") as (upstreams, _, served):
        listed = [card["id"] for card in (await served.get("/v1/models")).json["data"]]
        assert {"tiny", "big", "plait/plan:big"} <= set(listed)
        assert (await served.chat("plait/sequential:big")).text == ANSWER
        assert (await served.chat("plait/sequential:tiny")).text == ANSWER
        assert [b["model"] for u in upstreams.values() for b in u.bodies].count("big") == 1
        assert (await served.chat("plait/sequential:none")).status == 404


@pytest.mark.anyio
async def test_a_run_of_the_gateway_goes_on_when_its_replica_breaks_off() -> None:
    def chat(body: dict[str, Any]) -> Reply:
        *_, last = body["messages"]
        begun = last["content"] if last["role"] == "assistant" else ""
        return Reply(ANSWER.removeprefix(begun), break_after=None if begun else 3)

    async with gateway(chat) as (_, pool, served):
        async with served.streaming("plait/sequential:tiny") as events:
            assert content(await events.rest()) == ANSWER
        found = await samples(served)
        assert found["plait_replica_breaks_total", "continued"] == pool.state.failovers == 1
        await until(lambda: served.seen.endings)
        assert "goes on with it" in served.seen.result.warnings[0]
