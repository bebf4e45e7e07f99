"""The client leaves: every call upstream ends, at once, whatever the phase."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

from plait.testing.replies import Reply
from tests.conformance.gateway.case import ANSWER, CANCEL_SECONDS, Desk, case, expect, slow
from tests.conformance.gateway.cases.many import LONG

TRIES = 3
"""A busy machine makes it slower, never faster: the best of so many counts."""
GRACE = 2.0
FANNING = 0.3
"""Seconds in which a gateway gets to its several calls."""
WHY = "the server's slot and the tokens are paid for, by nobody's wish"


async def closed(desk: Desk, leave: Callable[[], Awaitable[None]]) -> None:
    """After ``leave``, all calls upstream are closed in time and none is started any more."""
    upstream, best = desk.upstream, float("inf")
    loop = asyncio.get_running_loop()
    for _ in range(TRIES):
        await leave()
        begin = loop.time()
        try:
            async with asyncio.timeout(GRACE):
                await upstream.until(lambda calls: calls.open == 0)
        except TimeoutError:
            expect(False, f"{upstream.calls.open} calls still open after {GRACE:g} s")
        best = min(best, loop.time() - begin)
        started = upstream.calls.started
        await asyncio.sleep(0.3)
        more = upstream.calls.started - started
        expect(not more, f"{more} calls were started after the client had left")
        if best <= CANCEL_SECONDS:
            break
    desk.remark = f"{best * 1000:.0f} ms"
    expect(upstream.calls.cancelled, "no call was cancelled: they ran to their ends")
    expect(best <= CANCEL_SECONDS, f"closed after {best * 1000:.0f} ms")


async def leave_open(desk: Desk, ask: Coroutine[Any, Any, object], pause: float = 0.0) -> None:
    """``ask``, and leave ``pause`` seconds after calls were opened upstream."""
    before = desk.upstream.calls.started
    asking = asyncio.create_task(ask)
    try:
        async with asyncio.timeout(5):
            await desk.upstream.until(lambda calls: calls.started > before)
        await asyncio.sleep(pause)
    finally:  # also where no call came: what asks must not outlive its client
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def read_stream(desk: Desk, *, parallel: bool = False) -> None:
    """Ask for a stream, and read it to its end."""
    async with desk.stream(parallel=parallel) as stream:
        await stream.read()


@case("leaving.stream", "in the middle of a stream: the call upstream is closed within 100 ms",
      WHY, "upstream")
async def mid_stream(desk: Desk) -> None:
    async def leave() -> None:
        desk.script(Reply(ANSWER, gate=anyio.Event(), gate_after=4))
        with contextlib.suppress(TimeoutError):  # then it leaves before the first word
            async with asyncio.timeout(3), desk.stream() as stream:
                await stream.until("content")

    await closed(desk, leave)


@case("leaving.before_first", "a stream before its first token: closed within 100 ms", WHY,
      "upstream")
async def before_first(desk: Desk) -> None:
    async def leave() -> None:
        desk.script(Reply(ANSWER, gate=anyio.Event()))
        await leave_open(desk, read_stream(desk), 0.05)

    await closed(desk, leave)


@case("leaving.plain", "without a stream: the call upstream is closed within 100 ms", WHY,
      "upstream")
async def plain(desk: Desk) -> None:
    desk.script(Reply(ANSWER, gate=anyio.Event()))
    await closed(desk, lambda: leave_open(desk, desk.chat()))


@case("leaving.many", "many calls, no stream: all are closed within 100 ms, none follows",
      WHY + "; 27 calls in 20 s were measured", "upstream", "parallel")
async def many(desk: Desk) -> None:
    desk.script(slow(LONG, 5))
    await closed(desk, lambda: leave_open(desk, desk.chat(parallel=True), FANNING))


@case("leaving.many_stream", "many calls in a stream: all are closed within 100 ms, none follows",
      WHY, "upstream", "parallel")
async def many_stream(desk: Desk) -> None:
    async def leave() -> None:
        desk.script(slow(LONG, 5))
        await leave_open(desk, read_stream(desk, parallel=True), FANNING)

    await closed(desk, leave)
