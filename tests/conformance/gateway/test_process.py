"""`plait serve` as a process among others: told to end, overrun, before an engine that is gone."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import anyio
import pytest

from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.conformance.gateway.case import ANSWER, Desk, check_error
from tests.conformance.gateway.client import Client
from tests.conformance.gateway.conftest import PLAIT
from tests.conformance.gateway.peers import free_port, started, wait_ready
from tests.conformance.gateway.run import stage

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def gateway(**settings: str) -> AsyncIterator[tuple[Desk, subprocess.Popen[bytes]]]:
    """A gateway with settings of its own, and what is behind it."""
    peer = replace(PLAIT, environment={**PLAIT.environment, **{
        f"PLAIT_SERVE_{name.upper()}": value for name, value in settings.items()}})
    upstream = stage()
    await upstream.listen()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        async with Client() as client:
            with started(peer, upstream.url, port) as process:
                await wait_ready(peer, process, url)
                yield Desk(peer.target(f"{url}/v1"), client, upstream), process
    finally:
        await upstream.stop()


async def until_open(upstream: Upstream, count: int) -> None:
    """Wait until so many calls are open upstream."""
    async with asyncio.timeout(5):
        await upstream.until(lambda calls: calls.open >= count)


async def test_who_comes_when_it_is_full_is_told_when_to_come_again() -> None:
    async with gateway(running="1", waiting="1") as (desk, _):
        gate = anyio.Event()
        desk.script(Reply(ANSWER, gate=gate))
        first = asyncio.create_task(desk.chat())
        await until_open(desk.upstream, 1)
        second = asyncio.create_task(desk.chat())
        await asyncio.sleep(0.2)  # it is in the queue
        refused = await desk.chat()
        gate.set()
        check_error(refused, 429, 503)
        assert float(refused.headers["Retry-After"]) > 0
        assert [(await task).content for task in (first, second)] == [ANSWER, ANSWER]


async def test_told_to_end_it_finishes_what_it_has_and_takes_nothing_new() -> None:
    async with gateway() as (desk, process):
        gate = anyio.Event()
        desk.script(Reply(ANSWER, gate=gate, gate_after=3))
        async with desk.stream() as stream:
            await stream.until("content")
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            try:
                status = (await desk.chat()).status
            except aiohttp.ClientError:
                status = 503  # it listens no more
            assert status == 503
            gate.set()
            await stream.read()
        assert stream.text() == ANSWER
        assert stream.done == 1
        assert await anyio.to_thread.run_sync(lambda: process.wait(10)) == 0


async def test_an_engine_that_goes_away_and_comes_back_needs_no_restart() -> None:
    async with gateway() as (desk, _):
        port = int(desk.upstream.url.rpartition(":")[2])
        await desk.upstream.stop()
        gone = await desk.chat()
        check_error(gone, 502, 503)
        ready = await desk.get(f"{desk.target.root}/ready", key=False)
        alive = await desk.get(f"{desk.target.root}/health", key=False)
        assert (alive.status, ready.status) == (200, 503)
        await desk.upstream.listen(port)
        assert (await desk.chat()).content == ANSWER
        assert (await desk.get(f"{desk.target.root}/ready", key=False)).status == 200
