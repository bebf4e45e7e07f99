"""The gateway against its own description: whatever is sent, it never breaks (no 5xx)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from plait.server.openapi import description
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway in a thread of its own, since schemathesis is not asynchronous."""
    up, down, found = threading.Event(), asyncio.Event(), list[str]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with Upstream(ANSWER) as upstream, before(upstream) as served:
            found.append(served.url)
            up.set()
            await down.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(down.set)
    thread.join()
    loop.close()


schema = schemathesis.openapi.from_dict(description())


@schema.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))
def test_nothing_that_is_sent_breaks_it(case: schemathesis.Case, url: str) -> None:
    reply = case.call(base_url=url, timeout=20)
    assert reply.status_code < 500, (case.path, case.body, reply.text[:300])
    if reply.status_code >= 400:
        assert reply.json()["error"]["message"]
