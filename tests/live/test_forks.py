"""Forks on a real llama.cpp: what is copied is used, and no meddling makes a text wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from benchmarks.prefix import Burst
from plait import solve
from plait.core import Plan, Prompt, Request, Sampling
from plait.engines.openai import OpenAIEngine
from tests.live.conftest import Server, start_llamacpp, tiny_gguf

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(300)]
TRUNK = " ".join(f"the thing {n * n} and another" for n in range(36))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slots")


@pytest.fixture(scope="module")
def exact_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("exact"), "F32")


@pytest.fixture(scope="module")
def saving(exact_file: Path, folder: Path) -> Iterator[Server]:
    """A llama.cpp with eight slots that can be saved."""
    server = start_llamacpp(exact_file, "--exact", "--slots", "8", "--save", str(folder))
    yield server
    server.stop()


@asynccontextmanager
async def engine_at(url: str, *, forks: bool = True) -> AsyncIterator[OpenAIEngine]:
    engine = OpenAIEngine(url)
    server = await engine.connect()
    engine._server = replace(server, saves_slots=server.saves_slots and forks)
    try:
        yield engine
    finally:
        await engine.aclose()


def files_in(folder: Path) -> int:
    return len(list(folder.iterdir()))


async def fork(engine: OpenAIEngine, count: int, question: str = TRUNK) -> tuple[float, list[str]]:
    """The part of the prompts that was cached, and the children's texts."""
    method = Burst(count)
    result = await solve(Request(question), engine=engine, plan=Plan("burst"), method=method)
    return result.cached_tokens / result.prompt_tokens, method.texts


async def plain(url: str, count: int, question: str = TRUNK) -> list[str]:
    """The texts as a server writes them that is asked one by one, nothing cached."""
    async with engine_at(url, forks=False) as engine:
        async def write(asked: str, n: int) -> str:
            opening = await engine.open(Request(asked), None)
            prompt = replace(opening.prompt, text=f"{opening.prompt.text}<Thread>{n}:")
            sampling = Sampling(max_tokens=12, ignore_eos=True, extra={"cache_prompt": False})
            async with engine.stream(prompt, sampling) as stream:
                return "".join([chunk.text async for chunk in stream])

        texts = [await write(question, n) for n in range(count)]
        other = await write("quite another text " * 40, 0)
        assert other not in texts, "a text that is always the same would prove nothing"
    return texts


@pytest.mark.parametrize("count", [4, 8, 16])
async def test_a_burst_finds_its_trunk_whatever_its_width(saving: Server, count: int) -> None:
    question = f"{count} {TRUNK}"
    async with engine_at(saving.url) as engine:
        share, texts = await fork(engine, count, question)
        assert share > 0.95 * (count - 1) / count  # one has to read it
    assert texts == await plain(saving.url, count, question)


async def test_two_runs_at_once(saving: Server) -> None:
    found: dict[str, tuple[float, list[str]]] = {}

    async with engine_at(saving.url) as engine:
        async def run(question: str) -> None:
            found[question] = await fork(engine, 8, question)

        async with anyio.create_task_group() as group:
            for name in "ab":
                group.start_soon(run, f"{name}, twice: {TRUNK}")
    for question, (share, texts) in found.items():
        assert share > 0.7
        assert texts == await plain(saving.url, 8, question)


async def test_files_are_few(saving: Server, folder: Path) -> None:
    async with engine_at(saving.url) as engine:
        for n in range(8):
            await fork(engine, 2, f"{n} again {TRUNK}")
    assert 0 < files_in(folder) <= 4 * 8


async def test_another_client_takes_and_fills_slots_all_the_while(saving: Server) -> None:
    """Whatever it puts into our slots, in the middle of our copies, our texts are right."""
    question = f"meddled with, {TRUNK}"
    expected = await plain(saving.url, 8, question)
    over = anyio.Event()

    async def meddle(n: int) -> None:
        async with engine_at(saving.url, forks=False) as stranger:
            turn = n
            while not over.is_set():
                turn += 3
                sampling = Sampling(max_tokens=5, ignore_eos=True, extra={"id_slot": turn % 8})
                text = question[: 100 * (turn % 7)] + f" {turn} meddling"
                async with stranger.stream(Prompt(text), sampling) as stream:
                    async for _ in stream:
                        pass

    async with engine_at(saving.url) as engine, anyio.create_task_group() as group:
        for n in range(2):
            group.start_soon(meddle, n)
        for _ in range(4):
            _, texts = await fork(engine, 8, question)
            assert texts == expected
        over.set()


async def test_files_that_another_text_is_in_cost_time_and_not_the_text(
    saving: Server, folder: Path
) -> None:
    """The worst that other engines could do: every restore puts something else into the slot."""
    question = f"overwritten, {TRUNK}"
    expected = await plain(saving.url, 8, question)
    async with engine_at(saving.url) as engine, engine_at(saving.url, forks=False) as stranger:
        sampling = Sampling(max_tokens=1, extra={"id_slot": 7})
        async with stranger.stream(Prompt("quite another text " * 40), sampling) as stream:
            async for _ in stream:
                pass
        await fork(engine, 2, f"first {TRUNK}")  # makes the engine's forks
        act = engine._forks._act  # type: ignore[union-attr]

        async def swapped(slot, action, trunk, count):  # type: ignore[no-untyped-def]
            if action == "restore":
                await engine.link.call("/slots/7?action=save", {"filename": trunk.file})
            return await act(slot, action, trunk, count)

        engine._forks._act = swapped  # type: ignore[union-attr, method-assign]
        _, texts = await fork(engine, 8, question)
        assert texts == expected


async def test_cancelling_in_the_middle_leaves_the_slots_free(saving: Server) -> None:
    async with engine_at(saving.url) as engine:
        for seconds in (0.001, 0.01, 0.1, 0.4, 0.8):
            with anyio.move_on_after(seconds):
                await solve(Request(f"{seconds} {TRUNK}"), engine=engine, plan=Plan("burst"),
                            method=Burst(12, 400))
            assert engine._forks is None or not any(s.holder for s in engine._forks.book.slots)
        share, texts = await fork(engine, 8, f"after that, {TRUNK}")
        assert share > 0.8
    assert texts == await plain(saving.url, 8, f"after that, {TRUNK}")


async def test_a_server_without_a_path_for_slots_works_as_before(exact_file: Path) -> None:
    server = start_llamacpp(exact_file, "--exact")
    async with engine_at(server.url) as engine:
        _, texts = await fork(engine, 6)
        assert engine._forks is None
    assert texts == await plain(server.url, 6)
    server.stop()


async def test_a_server_that_moves_idle_slots_out_of_its_memory_is_left_alone(
    exact_file: Path, tmp_path: Path
) -> None:
    server = start_llamacpp(
        exact_file, "--exact", "--slots", "8", "--unified", "--save", str(tmp_path))
    async with engine_at(server.url) as engine:
        for n in range(16):  # on a busy machine some copies are not worth a try
            await fork(engine, 4, f"{n} {TRUNK}")
            assert engine._forks is not None
            if engine._forks._off_until > anyio.current_time():
                break
        else:
            pytest.fail("copies that the server does not use are made again and again")
        _, texts = await fork(engine, 4)
    assert texts == await plain(server.url, 4)
    server.stop()
