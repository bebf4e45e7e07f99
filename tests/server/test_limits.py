"""Places for requests at work: how many, for whom, in which order."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from plait.server.errors import ApiError
from plait.server.keys import Key
from plait.server.limits import Admission
from plait.server.settings import GatewaySettings
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before

pytestmark = pytest.mark.anyio
ADA, BOB = Key("ada"), Key("bob")


async def test_places_go_round_between_keys() -> None:
    admission = Admission(most=1, waiting=10)
    order: list[str] = []

    async def work(key: Key, name: str) -> None:
        async with admission.place(key):
            order.append(name)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks, admission.place(ADA):
        for number in range(3):
            tasks.start_soon(work, ADA, f"ada {number}")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(work, BOB, "bob 0")
        tasks.start_soon(work, BOB, "bob 1")
        await anyio.wait_all_tasks_blocked()
        assert (admission.running, admission.queued) == (1, 5)
    assert order == ["ada 0", "bob 0", "ada 1", "bob 1", "ada 2"]
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_key_has_its_own_limit_and_holds_up_nobody_else() -> None:
    admission = Admission(most=10, waiting=10)
    one = Key("one", concurrent=1)
    async with anyio.create_task_group() as tasks, admission.place(one):

        async def second() -> None:
            async with admission.place(one):
                pass

        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert admission.queued == 1
        async with admission.place(BOB) as waited:
            assert waited == 0.0
    assert (admission.running, admission.queued) == (0, 0)


async def test_no_key_fills_the_queue_for_the_others() -> None:
    admission = Admission(most=1, waiting=3)
    got: list[str] = []

    async def work(key: Key, name: str) -> None:
        try:
            async with admission.place(key):
                got.append(name)
        except ApiError as error:
            got.append(f"{name}: {error.status}")

    async with anyio.create_task_group() as tasks, admission.place(ADA):
        for key in (ADA, ADA, ADA, BOB, BOB):
            tasks.start_soon(work, key, key.name)
            await anyio.wait_all_tasks_blocked()
        assert admission.queued == 3
        assert got == ["ada: 503", "bob: 503"]  # two against one is fair enough
    assert sorted(got[2:]) == ["ada", "ada", "bob"]
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_full_queue_and_a_long_wait_are_refused() -> None:
    admission = Admission(most=1, waiting=1, seconds=0.05)
    async with admission.place(ADA), anyio.create_task_group() as tasks:
        caught: list[ApiError] = []

        async def second() -> None:
            with pytest.raises(ApiError) as error:
                await admission.place(ADA).__aenter__()
            caught.append(error.value)

        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ApiError, match="queue is full") as error:
            await admission.place(BOB).__aenter__()
        assert (error.value.status, error.value.retry) == (503, True)
        assert error.value.retry_after
    assert "it waited" in str(caught[0])
    assert (admission.running, admission.queued) == (0, 0)


async def test_overload_on_the_wire() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(
            upstream, GatewaySettings(running=1, waiting=1, queue_seconds=0.1)) as served, (
            anyio.create_task_group()) as tasks:
        tasks.start_soon(served.chat)
        await upstream.until(lambda calls: calls.open == 1)
        found = await served.chat()
        gate.set()
    assert found.status == 503
    assert found.error["code"] == "overloaded"
    assert found.header("retry-after")
    assert found.header("x-should-retry") == "true"


async def test_a_draining_server_takes_nothing_new() -> None:
    async with Upstream(ANSWER) as upstream, before(upstream) as served:
        served.gateway.admission.draining = True
        found, ready = await served.chat(), await served.get("/ready")
    assert (found.status, found.error["code"]) == (503, "shutting_down")
    assert ready.status == 503
