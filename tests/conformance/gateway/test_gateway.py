"""plait's gateway passes its own suite, and the suite tells a gateway from a broken one."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.conformance.gateway.case import CASES, Case, Target
from tests.conformance.gateway.conftest import Served
from tests.conformance.gateway.run import judge, stage

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_gateway_keeps_the_promise(case: Case, gateway: Served) -> None:
    verdict = await judge(case, gateway.target, gateway.upstream)
    assert verdict.result != "fail", f"{case.checks}: {verdict.why}"
    assert verdict.result == "pass", f"not judged: {verdict.why}"


async def test_a_server_that_answers_everything_with_one_word_passes_next_to_nothing() -> None:
    """The cases are no formality: what says 200 and nothing else keeps none of the promises."""
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"word": "yes"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream = stage()
    await upstream.listen()
    host, port = runner.addresses[0][:2]
    target = Target("yes", f"http://{host}:{port}/v1", "tiny", "tiny", "key", deadline="timeout")
    passed = set()

    async def ask(case: Case) -> None:
        verdict = await judge(case, target, upstream, patience=1.0)
        passed.update([case.name] if verdict.result == "pass" else [])

    try:
        async with asyncio.TaskGroup() as tasks:
            for case in CASES:
                tasks.create_task(ask(case))
    finally:
        await upstream.stop()
        await runner.cleanup()
    # It does answer, fail nothing, and knows no keys to show.
    assert passed <= {"health.alive", "health.ready", "hostile.half_closed", "hostile.fuzz",
                      "hostile.garbage_stream", "many.alive", "stream.alive"}
