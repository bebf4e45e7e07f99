"""`plait serve` in a process of its own, before the suite's upstream; one for all tests here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from plait.testing.upstream import Upstream
from tests.conformance.gateway.case import Target
from tests.conformance.gateway.peers import ALL, free_port, started, wait_ready
from tests.conformance.gateway.run import clean, stage

PLAIT = replace(ALL[0], environment={**ALL[0].environment, "PLAIT_SERVE_HEARTBEAT": "1"})
"""With a short heartbeat, so that its test need not wait."""


@dataclass(frozen=True)
class Served:
    """The gateway, and what is behind it."""

    upstream: Upstream
    target: Target


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """One loop for all, in which the upstream lives."""
    return "asyncio"


@pytest.fixture(scope="package")
async def gateway(anyio_backend: str) -> AsyncIterator[Served]:
    """The gateway, up."""
    upstream = stage()
    await upstream.listen()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        with started(PLAIT, upstream.url, port) as process:
            await wait_ready(PLAIT, process, url)
            yield Served(upstream, PLAIT.target(f"{url}/v1"))
    finally:
        await upstream.stop()


@pytest.fixture
async def served(gateway: Served) -> Served:
    """The gateway, with an upstream that has seen nothing yet."""
    await clean(gateway.upstream)
    return gateway
