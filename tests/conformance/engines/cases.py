"""The cases: each takes an engine that runs plait-nano, and fails where it does not keep to
`plait.interfaces.Engine` and `plait.core.Sampling`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from plait.core import Chunk, Message, Plan, Prompt, Request, Sampling, Tool
from plait.engines.nano import NanoEngine
from plait.errors import EngineRefused, UsageError
from plait.interfaces import Engine
from plait.solve import solve

OPENING = "Moving to Node #0\nCurrent State: 92:[46, 39, 29, 20], Operations: []\n"
QUESTION = "Make 92 from 46, 39, 29 and 20"
SHORT = Sampling(max_tokens=24)
LONG = Sampling(max_tokens=2000, ignore_eos=True)
WILD = Sampling(max_tokens=24, temperature=3.0, ignore_eos=True)

Case = Callable[[Engine], Awaitable[None]]


async def read(engine: Engine, prompt: Prompt | str, sampling: Sampling) -> list[Chunk]:
    prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
    async with engine.stream(prompt, sampling) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [i for chunk in chunks for i in chunk.ids or ()]


async def until_idle(engine: Engine) -> None:
    with anyio.fail_after(10):
        while (await engine.load()).running:  # noqa: ASYNC110  only asking tells
            await anyio.sleep(0.005)


async def a_stream_ends_once_and_adds_up(engine: Engine) -> None:
    chunks = await read(engine, OPENING, SHORT)
    assert [c.finish for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    usage = chunks[-1].usage
    assert usage is not None
    assert chunks[-1].finish == "length"
    opening = engine.encode(OPENING, opening=True)
    assert opening is not None
    assert (usage.prompt, usage.generated) == (len(opening), 24)
    assert sum(c.tokens for c in chunks) == len(ids_of(chunks)) == 24
    assert engine.encode(text_of(chunks)) == ids_of(chunks)


async def it_writes_what_the_embedded_engine_writes(engine: Engine) -> None:
    nano = NanoEngine()
    for sampling in (SHORT, replace(SHORT, max_tokens=None, stop=("<End Calling Sub Searches>",))):
        ours, theirs = await read(nano, OPENING, sampling), await read(engine, OPENING, sampling)
        assert text_of(theirs) == text_of(ours)
        assert ids_of(theirs) == ids_of(ours)
    await nano.aclose()


async def ids_and_text_are_the_same_prompt(engine: Engine) -> None:
    ids = engine.encode(OPENING, opening=True)
    assert ids is not None
    by_ids = await read(engine, Prompt(ids=tuple(ids)), SHORT)
    assert text_of(by_ids) == text_of(await read(engine, OPENING, SHORT))


async def a_stop_is_in_the_text_and_nothing_is_after_it(engine: Engine) -> None:
    text = text_of(await read(engine, OPENING, SHORT))
    stop = text[9:13]
    chunks = await read(engine, OPENING, replace(SHORT, stop=("never", stop)))
    assert text_of(chunks) == text[: text.index(stop) + len(stop)]
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", stop)
    assert engine.encode(text_of(chunks)) == ids_of(chunks)


async def a_token_can_stop(engine: Engine) -> None:
    ids = ids_of(await read(engine, OPENING, SHORT))
    token = ids[5]
    chunks = await read(engine, OPENING, replace(SHORT, stop_ids=(token,)))
    assert ids_of(chunks) == ids[: ids.index(token) + 1]
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", token)


async def the_end_of_a_text_ends_it_unless_it_is_ignored(engine: Engine) -> None:
    found = await read(engine, f"{OPENING}92,92 equal: Goal Reached\n39-29=10,20/10=2,46*2=92\n"
                               "92,92 equal: Goal Reached\n", Sampling(max_tokens=40))
    assert found[-1].finish == "eos"
    assert "<|end|>" not in text_of(found)


async def log_probabilities_come_one_a_token(engine: Engine) -> None:
    chunks = await read(engine, OPENING, replace(SHORT, logprobs=True))
    values = [v for c in chunks for v in c.logprobs or ()]
    assert len(values) == 24
    assert all(v <= 1e-6 for v in values)
    wild = await read(engine, OPENING, replace(WILD, logprobs=True))
    likely = sum(v for c in wild for v in c.logprobs or ())
    assert likely < sum(values) - 5, "they are those at temperature 1, whatever was asked for"
    assert all(math.isfinite(v) for c in wild for v in c.logprobs or ())


async def a_seed_decides_alone_and_in_company(engine: Engine) -> None:
    alone = ids_of(await read(engine, OPENING, replace(WILD, seed=5)))
    found: dict[int, list[int]] = {}

    async def one(seed: int) -> None:
        found[seed] = ids_of(await read(engine, OPENING, replace(WILD, seed=seed)))

    async with anyio.create_task_group() as group:
        for seed in range(3, 8):
            group.start_soon(one, seed)
    assert found[5] == alone
    assert len({tuple(ids) for ids in found.values()}) == 5


async def narrow_sampling_is_greedy(engine: Engine) -> None:
    greedy = text_of(await read(engine, OPENING, SHORT))
    for narrow in ({"top_k": 1}, {"top_p": 0.01}, {"min_p": 1.0}):
        sampling = replace(SHORT, temperature=1.0, **narrow)
        assert text_of(await read(engine, OPENING, sampling)) == greedy, narrow


async def leaving_a_stream_frees_it(engine: Engine) -> None:
    async with engine.stream(Prompt(OPENING), LONG) as stream:
        await anext(stream)
        assert (await engine.load()).running == 1
    await until_idle(engine)


async def what_cannot_be_served_is_refused(engine: Engine) -> None:
    tool = Tool("t", "d", {})
    window = engine.capabilities.window or 0
    for prompt in (Prompt(ids=()), Prompt(ids=(5, 1 << 20)), Prompt("a", tools=(tool,)),
                   Prompt(messages=(Message("user", "hi"),)), Prompt(ids=(5,) * (window + 1))):
        with pytest.raises(EngineRefused) as refused:
            await read(engine, prompt, SHORT)
        assert "\n" not in refused.value.line


async def a_question_of_people_is_answered_with_forks(engine: Engine) -> None:
    result = await solve(Request(QUESTION), engine=engine,
                         plan=Plan(method="native", protocol="apr"))
    assert (result.correct, result.fallback) == (True, None)
    assert result.threads > 8
    with pytest.raises(UsageError):
        await engine.open(Request("Write a poem."), None)


CASES: tuple[Case, ...] = (
    a_stream_ends_once_and_adds_up, it_writes_what_the_embedded_engine_writes,
    ids_and_text_are_the_same_prompt, a_stop_is_in_the_text_and_nothing_is_after_it,
    a_token_can_stop, the_end_of_a_text_ends_it_unless_it_is_ignored,
    log_probabilities_come_one_a_token, a_seed_decides_alone_and_in_company,
    narrow_sampling_is_greedy, leaving_a_stream_frees_it, what_cannot_be_served_is_refused,
    a_question_of_people_is_answered_with_forks)
