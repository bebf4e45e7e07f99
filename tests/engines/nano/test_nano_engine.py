"""The asynchronous front: streams, leaving them, the worker thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from plait.core import Chunk, Message, Prompt, Request, Sampling
from plait.engines.nano import NanoEngine
from plait.engines.nano.batch import Batch
from plait.errors import EngineError, EngineRefused, UsageError
from tests.engines.nano.tiny import Tiny, random_ids

PREFIX = tuple(random_ids(0, 21))
MANY = Sampling(max_tokens=150, ignore_eos=True)


@pytest.fixture
def engine(tiny: Tiny) -> Iterator[NanoEngine]:
    engine = NanoEngine(tiny.folder, blocks=300, block=4, chunk=16, checked=True)
    yield engine
    engine._worker.stop()
    assert not [t for t in threading.enumerate() if t.name == "plait-nano"]


async def read(engine: NanoEngine, prompt: Prompt, sampling: Sampling) -> list[Chunk]:
    async with engine.stream(prompt, sampling) as stream:
        return [chunk async for chunk in stream]


async def idle(engine: NanoEngine) -> None:
    """Until the worker has nothing left to do."""
    await anyio.to_thread.run_sync(engine._worker.wait_idle)


@pytest.mark.anyio
async def test_a_stream_gives_what_the_model_writes_and_its_usage(
    engine: NanoEngine, tiny: Tiny
) -> None:
    chunks = await read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=9, ignore_eos=True))
    ids = [i for c in chunks for i in c.ids or ()]
    assert ids == tiny.greedy(list(PREFIX), 9)
    assert sum(c.tokens for c in chunks) == 9
    assert [c.finish for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    usage = chunks[-1].usage
    assert usage is not None
    assert (chunks[-1].finish, usage.prompt, usage.cached, usage.generated) == ("length", 21, 0, 9)
    again = await read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=1, logprobs=True))
    assert again[-1].usage is not None
    assert again[-1].usage.cached == 20
    assert again[0].logprobs is not None
    assert again[0].logprobs[0] < 0


@pytest.mark.anyio
async def test_text_prompts_open_with_the_begin_token(engine: NanoEngine) -> None:
    text = await read(engine, Prompt(text="hé"), Sampling(max_tokens=3, ignore_eos=True))
    ids = tuple(engine.encode("hé", opening=True))
    same = await read(engine, Prompt(ids=ids), Sampling(max_tokens=3, ignore_eos=True))
    assert "".join(c.text for c in text) == "".join(c.text for c in same)
    assert text[-1].usage is not None
    assert text[-1].usage.prompt == len(ids)


@pytest.mark.anyio
async def test_a_stop_string_is_in_the_text_and_the_ids_match_it(engine: NanoEngine) -> None:
    free = await read(engine, Prompt(text="a"), Sampling(max_tokens=40, ignore_eos=True))
    text = "".join(c.text for c in free)
    stop = text[10:13]
    stopped = await read(engine, Prompt(text="a"), Sampling(max_tokens=40, stop=(stop,),
                                                           ignore_eos=True))
    cut = text[: text.index(stop) + len(stop)]
    assert "".join(c.text for c in stopped) == cut
    assert (stopped[-1].finish, stopped[-1].stop) == ("stop", stop)


@pytest.mark.anyio
async def test_leaving_a_stream_frees_its_blocks(engine: NanoEngine) -> None:
    async with engine.stream(Prompt(ids=PREFIX), MANY) as stream:
        await anext(stream)
        assert (await engine.load()).running == 1
    await idle(engine)
    statistics = engine.statistics()
    assert (statistics.running, statistics.blocks.used) == (0, 0)
    assert statistics.generated < 150


@pytest.mark.anyio
async def test_cancelled_readers_leave_nothing_behind(engine: NanoEngine) -> None:
    async with anyio.create_task_group() as group:
        for k in range(6):
            group.start_soon(read, engine, Prompt(ids=(*PREFIX, 3 + k)), MANY)
        async with engine.stream(Prompt(ids=PREFIX), MANY) as stream:
            await anext(stream)
        group.cancel_scope.cancel()
    await idle(engine)
    assert engine.statistics().blocks.used == 0


def test_the_engine_serves_one_event_loop_after_another(engine: NanoEngine) -> None:
    results = []
    for _ in range(2):
        chunks = asyncio.run(read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=4)))
        results.append("".join(c.text for c in chunks))
    assert results[0] == results[1]


def test_a_loop_that_went_away_with_its_streams_is_survived(engine: NanoEngine) -> None:
    async def vanish() -> None:
        stream = engine.stream(Prompt(ids=PREFIX), MANY)
        await stream.__aenter__()
        await anext(stream)

    asyncio.run(vanish())
    chunks = asyncio.run(read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=4)))
    assert chunks[-1].finish is not None


@pytest.mark.anyio
async def test_closing_fails_open_streams_and_the_engine_can_be_used_again(
    engine: NanoEngine,
) -> None:
    async def close_while_reading() -> None:
        async with engine.stream(Prompt(ids=PREFIX), MANY) as stream:
            await engine.aclose()
            async for _ in stream:
                pass

    with pytest.raises(EngineError, match="closed"):
        await close_while_reading()
    assert engine.statistics().blocks.used == 0
    assert (await read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=2)))[-1].finish
    await engine.aclose()
    await engine.aclose()


@pytest.mark.anyio
async def test_a_step_that_breaks_fails_its_streams_and_not_the_engine(
    engine: NanoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Batch) -> None:
        raise ZeroDivisionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "step", broken)
        with pytest.raises(EngineError, match="gone"):
            await read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=2))
    assert (await read(engine, Prompt(ids=PREFIX), Sampling(max_tokens=2)))[-1].finish


@pytest.mark.anyio
@pytest.mark.parametrize(("prompt", "words"), [
    (Prompt(ids=(3,) * 200), "never fit"),
    (Prompt(ids=()), "empty"),
    (Prompt(ids=(3, 280)), "outside"),
    (Prompt(messages=(Message("user", "hi"),)), "chat template"),
])
async def test_prompts_that_cannot_be_run_are_refused(
    engine: NanoEngine, prompt: Prompt, words: str
) -> None:
    with pytest.raises(EngineRefused, match=words):
        await read(engine, prompt, Sampling())


def test_a_prompt_larger_than_the_memory_is_refused(tiny: Tiny) -> None:
    engine = NanoEngine(tiny.folder, blocks=2, block=4)
    with pytest.raises(EngineRefused, match="the cache holds 8"):
        engine.stream(Prompt(ids=PREFIX), Sampling())
    with pytest.raises(UsageError, match="memory"):
        NanoEngine(tiny.folder, memory=0)


@pytest.mark.anyio
async def test_questions_are_put_in_the_dialect_of_the_protocol(engine: NanoEngine) -> None:
    four = Request(prompt="Make 92 from 46, 39, 29 and 20")
    sheet = Request(prompt="x = 2 + 3, y = x * 4, y?")
    plain = await engine.open(four, None)
    forked = await engine.open(four, "apr")
    woven = await engine.open(sheet, "threadweaver")
    assert plain.prompt.text.startswith("Current State: 92:")
    assert forked.prompt.text.startswith("Moving to Node #0\n")
    assert woven.prompt.text == "Sheet\n1:a=2+3\nb=a*4?\n<think>\n"
    assert (plain.early_stop, forked.early_stop, woven.early_stop) == (False, True, False)
    assert plain.read("still thinking") is None


@pytest.mark.anyio
@pytest.mark.parametrize(("question", "protocol", "words"), [
    ("Write me a poem", None, "--engine http://"),
    ("Make 92 from 46, 39, 29 and 20", "threadweaver", "Use `apr`"),
    ("a = 2 + 3, b = a * 4, b?", "apr", "Use `threadweaver`"),
    ("a = 2 - 3, a?", None, "whole number"),
    ("Make 92 from 46, 39, 29 and 20", "multiverse", "multiverse"),
])
async def test_what_the_model_cannot_do_is_said(
    engine: NanoEngine, question: str, protocol: str | None, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await engine.open(Request(prompt=question), protocol)
    assert words in caught.value.line
    assert "\n" not in caught.value.line


@pytest.mark.anyio
async def test_the_formats_follow_from_the_puzzle(engine: NanoEngine) -> None:
    def formats(question: str) -> tuple[str, ...]:
        return engine.protocols(Request(prompt=question))

    assert formats("Make 92 from 46, 39, 29 and 20") == ("apr",)
    assert formats("Make 24 from 3, 8 and 1") == ("apr",)
    assert formats("a = 2 + 3, b = a * 4, b?") == ("threadweaver",)
    assert formats("Write me a poem") == ()


def test_a_forgotten_engine_does_not_keep_the_interpreter(tiny: Tiny) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from plait.core import Prompt, Sampling\nfrom plait.engines.nano import NanoEngine\n"
        "engine = NanoEngine(Path(sys.argv[1]), blocks=50)\n"
        "async def main():\n"
        "    stream = engine.stream(Prompt(ids=(5, 6)), Sampling(ignore_eos=True))\n"
        "    await stream.__aenter__()\n"
        "    print((await anext(stream)).tokens > 0)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny.folder)], timeout=60,
                          capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
