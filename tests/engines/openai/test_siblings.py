"""Siblings wait for the first of them where that has been seen to pay, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from plait.core import Chunk, Message, Prompt, Sampling
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.siblings import LEAST, WATCHED, Siblings
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.engines.openai.help import chunks_of, served

pytestmark = pytest.mark.anyio
TRUNK = "the question and what was found so far, " * (LEAST // 20)


class Caches:
    """A server's cache in which a prefix is found once the text behind it has begun, or
    (``at once``) once it was sent; or never."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.read: list[str] = []
        self.gate = anyio.Event()

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        trunk, _, _ = body["prompt"].partition("<Thread>")
        known = self.kind != "never" and trunk in self.read
        if self.kind == "at once":
            self.read.append(trunk)
        return Reply("well, so", cached=len(trunk.split()) if known else 0, gate=self.gate)


async def burst(
    engine: OpenAIEngine, upstream: Upstream, cache: Caches, trunk: str, count: int = 4
) -> int:
    """Children of ``trunk`` at once; how many were sent while none of them had said anything."""
    cache.gate = anyio.Event()
    before = upstream.calls.started

    async def write(n: int) -> None:
        async with engine.stream(Prompt(f"{trunk}<Thread>{n}:"), Sampling()) as stream:
            async for _ in stream:
                cache.read.append(trunk)

    async with anyio.create_task_group() as group:
        for n in range(count):
            group.start_soon(write, n)
        with anyio.move_on_after(0.3):
            await upstream.until(lambda calls: calls.started == before + count)
        early = upstream.calls.started - before
        cache.gate.set()
    return early


async def learn(engine: OpenAIEngine, upstream: Upstream, cache: Caches) -> None:
    """The engine sees that the server reports what it caches, and that waiting may help."""
    for _ in range(2):
        await burst(engine, upstream, cache, "warm up ", 1)
    await burst(engine, upstream, cache, f"a {TRUNK}")


@pytest.mark.parametrize(("kind", "expected"), [
    ("at once", [4, 4, 4]), ("when begun", [4, 1, 1]), ("never", [4, 4, 4])])
async def test_who_waits_is_measured(kind: str, expected: list[int]) -> None:
    cache = Caches(kind)
    async with served(cache, dialect="vllm") as (upstream, engine):
        await burst(engine, upstream, cache, "warm up ", 1)
        await burst(engine, upstream, cache, "warm up ", 1)  # it reports what it caches
        found = [await burst(engine, upstream, cache, f"{n} {TRUNK}") for n in range(3)]
        assert found == expected


async def test_waiting_that_does_not_help_is_given_up() -> None:
    cache = Caches("when begun")
    async with served(cache, dialect="vllm") as (upstream, engine):
        await learn(engine, upstream, cache)
        cache.kind = "never"
        found = [await burst(engine, upstream, cache, f"{n} {TRUNK}") for n in range(3)]
        assert found == [1, 4, 4]


async def test_children_of_a_thread_that_has_stopped_go_at_once() -> None:
    cache = Caches("when begun")
    async with served(cache, dialect="vllm") as (upstream, engine):
        await learn(engine, upstream, cache)
        assert engine._siblings.way == "first alone"
        cache.gate.set()
        await chunks_of(engine, f"b {TRUNK}")
        assert await burst(engine, upstream, cache, f"b {TRUNK}") == 4


async def test_who_waits_for_one_that_fails_goes_on() -> None:
    cache = Caches("when begun")
    async with served(cache, dialect="vllm") as (upstream, engine):
        await learn(engine, upstream, cache)
        cache.gate = anyio.Event()
        cancelled = anyio.CancelScope()
        ended = []

        async def write(n: int) -> None:
            if n == 0:
                with cancelled:
                    await chunks_of(engine, f"c {TRUNK}<Thread>{n}:")
            else:
                await chunks_of(engine, f"c {TRUNK}<Thread>{n}:")
                ended.append(n)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for n in range(3):
                    group.start_soon(write, n)
                await upstream.until(lambda calls: calls.open == 1)
                cancelled.cancel()
                cache.gate.set()
        assert sorted(ended) == [1, 2]


async def test_chats_are_compared_by_their_messages() -> None:
    async with served("fine", dialect="generic") as (_, engine):
        await chunks_of(engine, Prompt(messages=(Message("user", TRUNK),)))
        assert TRUNK in engine._siblings._warm[-1]


async def test_what_is_held_of_many_streams_does_not_grow_with_them() -> None:
    siblings, most = Siblings(), 0

    async def one(number: int) -> None:
        nonlocal most
        async with siblings.place(f"{number} {TRUNK}") as place:
            place.saw(Chunk(text="word"))
            most = max(most, len(siblings._reading))
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        for number in range(WATCHED + 100):
            tasks.start_soon(one, number)
    assert most == WATCHED
