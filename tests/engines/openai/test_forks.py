"""Forks on a server that behaves like llama.cpp: what is copied, and all that can come between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from plait import solve
from plait.core import Plan, Prompt, Request, Sampling
from plait.engines.openai import OpenAIEngine, forks
from plait.testing.replies import Reply
from plait.testing.slots import Slots
from plait.testing.upstream import Upstream
from tests.engines.openai.help import chunks_of, served, text_of

pytestmark = pytest.mark.anyio
TRUNK = "the question and what was found so far, " * 20
SIZE = 160
"""Tokens of it, about; no burst that shares it may read it twice."""


PAYS = forks.Rates.pays


@pytest.fixture(autouse=True)
def _copies_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake server reads in no time, so that by the clock no copy would pay."""
    monkeypatch.setattr(forks.Rates, "pays", lambda self, characters, copies: True)


@asynccontextmanager
async def llamacpp(
    count: int = 8, script: Any = " well, so", **settings: Any
) -> AsyncIterator[tuple[Upstream, OpenAIEngine, Slots]]:
    """A fake llama.cpp whose slots can be saved, and an engine that talks to it."""
    async with served(script, dialect="llamacpp") as (upstream, engine):
        upstream.slots = slots = Slots(count, **settings)
        yield upstream, engine, slots


async def burst(
    engine: OpenAIEngine, count: int, trunk: str = TRUNK, session: str = "r"
) -> list[int]:
    """Children of ``trunk``, all at once; how many tokens of each were cached."""
    cached = [0] * count

    async def write(n: int) -> None:
        chunks = await chunks_of(engine, f"{trunk}<Thread>{n}:", Sampling(session=session))
        assert text_of(chunks) == " well, so"
        assert chunks[-1].usage is not None
        cached[n] = chunks[-1].usage.cached

    async with anyio.create_task_group() as group:
        for n in range(count):
            group.start_soon(write, n)
    return cached


def held(engine: OpenAIEngine) -> int:
    """Slots that streams of the engine hold."""
    assert engine._forks is not None
    return sum(s.holder is not None for s in engine._forks.book.slots)


@pytest.mark.parametrize("count", [4, 8, 16])
async def test_a_burst_reads_its_trunk_once(count: int) -> None:
    async with llamacpp() as (_, engine, slots):
        first, *others = sorted(await burst(engine, count))
        assert first < SIZE * 0.05  # one of them has it on its account
        assert min(others) > SIZE * 0.95
        assert slots.read < 1.2 * SIZE + 4 * count
        assert held(engine) == 0


async def test_without_our_forks_it_is_read_as_often_as_there_are_slots() -> None:
    gate = anyio.Event()
    script = Reply(" well, so", gate=gate)
    async with llamacpp(script=script, path=False) as (upstream, engine, slots):
        async def open_gate() -> None:
            await upstream.until(lambda calls: calls.open == 8)
            gate.set()

        async with anyio.create_task_group() as group:
            group.start_soon(open_gate)
            assert sum(await burst(engine, 8)) == 0
        assert slots.read > 8 * SIZE
        assert not any("id_slot" in body for body in upstream.bodies)
        assert engine._forks is None


async def test_children_continue_the_slot_of_their_parent() -> None:
    async with llamacpp() as (_, engine, slots):
        await chunks_of(engine, TRUNK, Sampling(session="r"))
        slots.read = 0
        assert min(await burst(engine, 8, f"{TRUNK} well, so")) >= SIZE
        assert slots.read <= 8 * 6
        assert [what.split()[0] for what in slots.log].count("save") == 1


async def test_a_join_finds_the_text_of_its_first_child() -> None:
    """A whole tree of threads: what was read once is read again nowhere."""
    outlines = ("<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n"
                "</Outlines>")

    def model(body: Any) -> str:
        prompt = body["prompt"]
        if prompt.endswith(("1:", "2:")):
            return f" found {'it and ' * 30}</Thread>"
        return "</Parallel>\n</think>\n42" if "</Thread>" in prompt else outlines

    async with llamacpp(script=model) as (upstream, engine, _):
        result = await solve(Request(TRUNK), engine=engine, plan=Plan("native", "threadweaver"))
        assert result.answer == "42"
        join: Any = upstream.usages[-1]
        second_child = 2 * 30 + 20
        assert join["prompt_tokens"] - join["prompt_tokens_details"]["cached_tokens"] < second_child
        assert result.cached_tokens > 0.6 * result.prompt_tokens
        assert len({h["X-Session-ID"] for h in upstream.headers}) == 1


async def test_a_user_who_names_a_slot_gets_that() -> None:
    async with llamacpp() as (upstream, engine, slots):
        await chunks_of(engine, TRUNK, Sampling(extra={"id_slot": 3}))
        assert upstream.bodies[-1]["id_slot"] == 3
        assert slots.log == ["write 3"]


async def test_slots_that_other_clients_take_are_left_to_them() -> None:
    gate = anyio.Event()

    def script(body: Any) -> Reply:
        mine = body["prompt"].startswith(TRUNK)
        return Reply(" well, so", gate=None if mine else gate)

    async with llamacpp(4, script) as (upstream, engine, slots):
        stranger = OpenAIEngine(upstream.url)
        await chunks_of(engine, TRUNK, Sampling(session="r"))

        async def occupy(n: int) -> None:
            await chunks_of(stranger, f"stranger {n}", Sampling(extra={"id_slot": n}))

        async with anyio.create_task_group() as group:
            for n in (0, 2):  # the parent's slot is among them
                group.start_soon(occupy, n)
            await upstream.until(lambda calls: calls.open == 2)
            slots.log.clear()
            with anyio.fail_after(5):
                cached = sorted(await burst(engine, 4))
            assert {what.split()[1] for what in slots.log} <= {"1", "3"}
            assert cached[1] > SIZE * 0.95
            gate.set()
        await stranger.aclose()


async def test_with_all_slots_taken_the_servers_own_queue_decides() -> None:
    gate = anyio.Event()

    def script(body: Any) -> Reply:
        return Reply(" well, so", gate=None if body["prompt"].startswith(TRUNK) else gate)

    async with llamacpp(2, script) as (upstream, engine, _):
        stranger = OpenAIEngine(upstream.url)

        async def occupy(n: int) -> None:
            await chunks_of(stranger, f"stranger {n}", Sampling(extra={"id_slot": n}))

        async def ask() -> None:
            await burst(engine, 3)

        async with anyio.create_task_group() as group:
            for n in range(2):
                group.start_soon(occupy, n)
            await upstream.until(lambda calls: calls.open == 2)
            group.start_soon(ask)
            await upstream.until(lambda calls: calls.open == 5)
            mine = [b for b in upstream.bodies if b["prompt"].startswith(TRUNK)]
            assert not any("id_slot" in body for body in mine)
            gate.set()
        await stranger.aclose()


async def test_a_server_that_was_started_anew_with_fewer_slots_is_seen_as_it_is() -> None:
    async with llamacpp(8) as (upstream, engine, slots):
        await burst(engine, 8)
        slots.restart(2)
        slots.read = 0
        upstream.bodies.clear()
        await burst(engine, 6)
        assert {b["id_slot"] for b in upstream.bodies} == {0, 1}
        assert slots.read < 1.5 * SIZE
        assert held(engine) == 0


@pytest.mark.parametrize("path", ["/slots", "/slots/0", "/slots/1"])
async def test_a_call_that_fails_costs_time_and_nothing_else(path: str) -> None:
    async with llamacpp(4) as (upstream, engine, _):
        await engine.connect()
        upstream.failing[path] = 500
        assert len(await burst(engine, 4)) == 4
        upstream.failing.clear()
        assert min(await burst(engine, 4)) > SIZE * 0.95
        assert held(engine) == 0


async def test_a_server_that_does_not_use_what_was_copied_is_left_alone() -> None:
    """As llama.cpp does that moves idle slots out of its memory."""
    async with llamacpp(8) as (upstream, engine, slots):
        restore = slots._act

        def act(slot: Any, action: str, name: str) -> object:
            done = restore(slot, action, name)
            if action == "restore":
                slot.tokens = []
            return done

        slots._act = act  # type: ignore[method-assign]
        for n in range(4):
            await burst(engine, 4, f"{n} {TRUNK}")
        assert "id_slot" not in upstream.bodies[-1]
        saves = [what.split()[0] for what in slots.log].count("save")
        assert saves == 3  # after nine copies for nothing


async def test_what_is_cancelled_leaves_its_slot_whenever_that_is() -> None:
    """At every moment of a burst, one after the other."""
    for steps in range(0, 60, 3):
        async with llamacpp(4) as (_, engine, slots):
            await engine.connect()

            async def some(engine: OpenAIEngine = engine) -> None:
                await burst(engine, 6)

            async with anyio.create_task_group() as group:
                group.start_soon(some)
                for _ in range(steps):
                    await anyio.sleep(0.0005)
                group.cancel_scope.cancel()
            assert engine._forks is None or held(engine) == 0
            with anyio.fail_after(5):
                await burst(engine, 6)
            assert held(engine) == 0
            assert not any(s.busy for s in slots.held)


async def test_one_that_is_cancelled_does_not_stop_its_siblings() -> None:
    async with llamacpp(4) as (upstream, engine, _):
        await engine.connect()
        scopes = [anyio.CancelScope() for _ in range(4)]
        ended: list[int] = []

        async def write(n: int) -> None:
            with scopes[n]:
                await chunks_of(engine, f"{TRUNK}<Thread>{n}:", Sampling(session="r"))
                ended.append(n)

        async with anyio.create_task_group() as group:
            for n in range(4):
                group.start_soon(write, n)
            while "/slots" not in upstream.paths[4:]:
                await anyio.lowlevel.checkpoint()
            scopes[0].cancel()  # the one that carries it out
        assert sorted(ended) == [1, 2, 3]
        assert held(engine) == 0


async def test_copies_that_take_longer_than_reading_are_not_made(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks.Rates, "pays", PAYS)
    rates = forks.Rates()
    assert rates.pays(10_000, 4)
    rates.read(10_000, 1.0)
    rates.saved(10_000, 0.5)
    rates.restored(40_000, 2.0)
    assert rates.pays(10_000, 4)
    assert not rates.pays(10_000, 1)
    assert not rates.pays(10, 8)
    assert not any(rates.pays(10_000, 1) for _ in range(forks.MOST_REFUSED - 1))
    assert rates.pays(10_000, 1)  # measured anew


async def test_prompts_without_text_go_as_they_are() -> None:
    async with llamacpp() as (upstream, engine, _):
        await chunks_of(engine, Prompt(ids=(1, 2, 3)))
        assert "id_slot" not in upstream.bodies[-1]
