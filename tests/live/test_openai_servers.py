"""The OpenAI engine against real servers: llama.cpp, and vLLM on the CPU, with a tiny model."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from plait.core import Chunk, Message, Prompt, Request, Sampling, Tool, ToolCall
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.rendering import tokenize
from plait.errors import EngineRefused, EngineUnreachable
from tests.live import tiny_model
from tests.live.conftest import Server, start_llamacpp

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(400)]
CHAT = (Message("user", "hi"),)
TOOL = Tool("look_up", "Looks up.", {"type": "object", "properties": {"what": {"type": "string"}}})


@pytest.fixture
async def engine(server: Server) -> AsyncIterator[OpenAIEngine]:
    engine = OpenAIEngine(f"{server.url}/v1")
    yield engine
    await engine.aclose()


async def chunks_of(
    engine: OpenAIEngine, prompt: Prompt | str, sampling: Sampling
) -> list[Chunk]:
    if isinstance(prompt, str):
        prompt = Prompt(prompt)
    async with engine.stream(prompt, sampling) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def always(token: str) -> dict[str, object]:
    """Fields that make the model write nothing but ``token``."""
    return {"logit_bias": {str(tiny_model.token_id(token)): 100}}


async def test_the_server_is_known_for_what_it_is(
    engine: OpenAIEngine, server: Server, request: pytest.FixtureRequest
) -> None:
    found = await engine.connect()
    assert found.dialect.name in request.node.name
    assert engine.capabilities.window == tiny_model.WINDOW
    assert engine.capabilities.chat


async def test_usage_is_exact_and_the_chunks_add_up_to_it(engine: OpenAIEngine) -> None:
    chunks = await chunks_of(engine, "hello there", Sampling(max_tokens=40))
    usage = chunks[-1].usage
    assert usage is not None
    assert chunks[-1].finish == "length"
    assert (usage.prompt, usage.generated, usage.estimated) == (9, 40, False)
    assert sum(c.tokens for c in chunks) == 40
    assert not any(c.estimated for c in chunks)


async def test_the_servers_tokenizer_tells_tags_from_text(engine: OpenAIEngine) -> None:
    assert await engine.token_counts(["<Thread>", "</Outlines>", "<step>", "hello"]) == [1, 1, 6, 5]


async def test_a_conversation_with_calls_is_taken_as_we_send_it(
    engine: OpenAIEngine, server: Server
) -> None:
    called = Message("assistant", "", (ToolCall("c1", "look_up", '{"what":"x"}'),), thoughts="hm")
    ask = Prompt(messages=(*CHAT, called, Message("tool", "found", call_id="c1")), tools=(TOOL,))
    sampling = Sampling(max_tokens=12, extra={"tool_choice": "none"})
    chunks = await chunks_of(engine, ask, sampling)
    assert chunks[-1].finish in ("length", "eos")
    usage = chunks[-1].usage
    assert usage is not None
    assert sum(c.tokens for c in chunks) == usage.generated


async def test_text_and_ids_say_the_same(engine: OpenAIEngine) -> None:
    ids = tuple(map(tiny_model.token_id, "hello"))
    text = await chunks_of(engine, "hello", Sampling(max_tokens=24))
    by_ids = await chunks_of(engine, Prompt(ids=ids), Sampling(max_tokens=24))
    assert text_of(text) == text_of(by_ids)
    if engine.capabilities.token_ids:
        assert sum(len(c.ids or ()) for c in text) == 24


async def test_a_chat_is_the_template_and_its_continuation(engine: OpenAIEngine) -> None:
    sampling = Sampling(max_tokens=16)
    chat = await chunks_of(engine, Prompt(messages=CHAT), sampling)
    opening = await engine.open(Request(messages=CHAT), "threadweaver")
    assert opening.prompt.text == "<|user|>hi<|end|><|assistant|>"
    assert text_of(await chunks_of(engine, opening.prompt, sampling)) == text_of(chat)
    begun = await chunks_of(engine, Prompt("well", messages=CHAT), sampling)
    written = await chunks_of(engine, f"{opening.prompt.text}well", sampling)
    assert text_of(begun) == text_of(written)
    assert begun[-1].usage is not None
    assert begun[-1].usage.prompt == 9


async def test_a_tag_stops_the_text_and_stays_in_it(engine: OpenAIEngine) -> None:
    sampling = Sampling(max_tokens=9, stop=("<Thread>", "</Thread>"), extra=always("</Thread>"))
    for prompt in (Prompt("hello"), Prompt(messages=CHAT)):
        chunks = await chunks_of(engine, prompt, sampling)
        assert text_of(chunks) == "</Thread>"
        assert (chunks[-1].finish, chunks[-1].stop) == ("stop", "</Thread>")


async def test_tags_are_visible_where_they_do_not_stop(engine: OpenAIEngine) -> None:
    sampling = Sampling(max_tokens=3, extra=always("<Outline>"))
    assert text_of(await chunks_of(engine, "hello", sampling)) == "<Outline>" * 3


async def test_a_stop_of_several_tokens_stays_in_the_text(engine: OpenAIEngine) -> None:
    text = text_of(await chunks_of(engine, "hello there", Sampling(max_tokens=120)))
    found = re.search(r"[!-~]{3}", text[8:])
    assert found is not None
    sampling = Sampling(max_tokens=120, stop=("no such text", found[0]))
    chunks = await chunks_of(engine, "hello there", sampling)
    assert text_of(chunks) == text[: text.index(found[0]) + 3]
    assert chunks[-1].stop == found[0]


async def test_a_stop_by_id_is_met(engine: OpenAIEngine) -> None:
    tag = tiny_model.token_id("</Thread>")
    sampling = Sampling(max_tokens=9, stop_ids=(tag,), extra=always("</Thread>"))
    chunks = await chunks_of(engine, "hello", sampling)
    assert (text_of(chunks), chunks[-1].finish, chunks[-1].stop) == ("</Thread>", "stop", tag)


async def test_the_models_own_end_is_not_in_the_text(engine: OpenAIEngine) -> None:
    for stops in ((), ("</Thread>", "x")):
        sampling = Sampling(max_tokens=9, stop=stops, extra=always(tiny_model.EOS))
        chunks = await chunks_of(engine, "hello", sampling)
        assert text_of(chunks) == ""
        assert (chunks[-1].finish, chunks[-1].stop) == ("eos", None)
        assert sum(c.tokens for c in chunks) == 1


async def test_cached_tokens_are_reported_on_the_second_call(engine: OpenAIEngine) -> None:
    prompt = f"{time.time_ns()} " + "the thing and another one " * 12
    first, second = [(await chunks_of(engine, prompt, Sampling(max_tokens=1)))[-1].usage
                     for _ in range(2)]
    assert first is not None
    assert second is not None
    assert first.prompt == second.prompt > 100
    assert second.cached > first.cached
    assert second.cached > 0.7 * second.prompt


async def test_log_probabilities_come_one_a_token(engine: OpenAIEngine) -> None:
    for prompt in (Prompt("hello"), Prompt(messages=CHAT)):
        chunks = await chunks_of(engine, prompt, Sampling(max_tokens=5, logprobs=True))
        found = [p for c in chunks for p in c.logprobs or ()]
        assert 0 < len(found) <= 5
        assert all(p < 0 for p in found)


async def test_a_seed_makes_a_draw_repeatable(engine: OpenAIEngine) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95, top_k=50, min_p=0.01, max_tokens=24, seed=11)
    texts = [text_of(await chunks_of(engine, "hello", sampling)) for _ in range(2)]
    assert texts[0] == texts[1]


async def test_a_full_window_ends_the_text(engine: OpenAIEngine) -> None:
    chunks = await chunks_of(engine, "x" * 5000, Sampling(max_tokens=4))
    assert chunks[-1].finish == "window"
    room = await chunks_of(engine, "x" * 4090, Sampling(max_tokens=100, ignore_eos=True))
    assert room[-1].finish == "window"
    assert 0 < sum(c.tokens for c in room) <= 6


async def test_a_refusal_has_the_servers_own_words(engine: OpenAIEngine) -> None:
    sampling = Sampling(max_tokens=4, extra={"logit_bias": "nonsense", "grammar": 5, "n": "x"})
    with pytest.raises(EngineRefused) as caught:
        await chunks_of(engine, "hello", sampling)
    assert "\n" not in caught.value.line


async def test_leaving_frees_the_slot_and_the_load_shows_it(
    engine: OpenAIEngine, server: Server
) -> None:
    async def until(wanted: int) -> None:
        with anyio.fail_after(2):
            running = None
            while running != wanted:
                probe = OpenAIEngine(server.url)  # a new one, since loads are kept for a while
                running = (await probe.load()).running
                await probe.aclose()

    sampling = Sampling(max_tokens=3000, ignore_eos=True)
    async with engine.stream(Prompt("hello"), sampling) as stream:
        await anext(aiter(stream))
        await until(1)
    await until(0)


async def test_many_streams_run_side_by_side(engine: OpenAIEngine) -> None:
    texts: dict[int, str] = {}

    async def write(i: int) -> None:
        texts[i] = text_of(await chunks_of(engine, f"{i} hello", Sampling(max_tokens=12)))

    async with anyio.create_task_group() as group:
        for i in range(12):
            group.start_soon(write, i)
    assert len(texts) == 12
    assert all(texts.values())


async def test_a_template_in_front_is_not_doubled_by_a_begin_of_text(vllm: Server) -> None:
    engine = OpenAIEngine(vllm.url)
    opening = await engine.open(Request(messages=CHAT), "threadweaver")
    again = await tokenize(engine._link, {"model": "tiny", "prompt": opening.prompt.text})
    assert tuple(again) == opening.prompt.ids
    await engine.aclose()


async def test_special_tokens_may_be_shown_by_the_server(gguf_file: Path) -> None:
    server = start_llamacpp(gguf_file, "--special")
    engine = OpenAIEngine(server.url)
    chunks = await chunks_of(engine, "hello", Sampling(max_tokens=9, extra=always(tiny_model.EOS)))
    assert (text_of(chunks), chunks[-1].finish) == ("", "eos")
    await engine.aclose()
    server.stop()


async def test_a_server_that_is_killed_is_unreachable_at_once(gguf_file: Path) -> None:
    server = start_llamacpp(gguf_file)
    engine = OpenAIEngine(server.url, retries=1)
    failed: list[float] = []
    seen = anyio.Event()

    async def write() -> None:
        sampling = Sampling(max_tokens=4000, ignore_eos=True)
        try:
            async with engine.stream(Prompt("hello"), sampling) as stream:
                async for _ in stream:
                    seen.set()
        except EngineUnreachable:
            failed.append(time.monotonic())

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(write)
            await seen.wait()
            server.kill()
            killed = time.monotonic()
    assert len(failed) == 3
    assert max(failed) - killed < 1.0
    with pytest.raises(EngineUnreachable, match="cannot connect"):
        await chunks_of(engine, "hello", Sampling(max_tokens=1))
    await engine.aclose()
    server.stop()
