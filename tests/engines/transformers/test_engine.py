"""Streams of a small random Llama: sharing, stopping, sampling, leaving, running out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from plait.core import Chunk, Message, Prompt, Request, Sampling, Tool
from plait.errors import EngineOverloaded, EngineRefused
from tests.engines.transformers.models import MARKS, generate
from tests.engines.transformers.test_models import make
from tests.live import tiny_model

pytestmark = MARKS
PREFIX = [11 * k % 250 for k in range(41)]
ASK = (Message("system", "Be brief."), Message("user", "hé?"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def engine(folder: Path) -> Iterator[Any]:
    engine = make(folder)
    yield engine
    engine._worker.stop()


async def read(engine: Any, prompt: Prompt, **sampling: Any) -> list[Chunk]:
    async with engine.stream(prompt, Sampling(**sampling)) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(c.text for c in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [i for c in chunks for i in c.ids or ()]


@pytest.mark.anyio
async def test_a_fork_of_a_running_stream_reads_only_its_header(engine: Any, model: Any) -> None:
    async with engine.stream(Prompt(ids=tuple(PREFIX)), Sampling(max_tokens=60)) as stream:
        written: list[int] = []
        async for chunk in stream:
            written += chunk.ids or ()
            if len(written) >= 7:
                break
        context = [*PREFIX, *written[:6], 7, 8]
        child = await read(engine, Prompt(ids=tuple(context)), max_tokens=5, ignore_eos=True)
    assert child[-1].usage is not None
    assert child[-1].usage.cached == len(context) - 2
    assert ids_of(child) == generate(model, context, 5)


@pytest.mark.anyio
async def test_a_stream_that_has_ended_leaves_its_prefix_until_memory_is_needed(
    folder: Path,
) -> None:
    engine = make(folder, blocks=24)  # 96 tokens
    prompt = Prompt(ids=tuple(PREFIX))
    first = await read(engine, prompt, max_tokens=4)
    again = await read(engine, prompt, max_tokens=4)
    await read(engine, Prompt(ids=tuple(range(3, 93))), max_tokens=4)
    evicted = await read(engine, prompt, max_tokens=4)
    cached = [c[-1].usage.cached for c in (first, again, evicted) if c[-1].usage]
    assert cached == [0, 40, 0]
    assert text_of(first) == text_of(again) == text_of(evicted)
    await engine.aclose()


@pytest.mark.anyio
async def test_more_than_the_memory_holds_takes_turns_and_writes_the_same(
    folder: Path, model: Any
) -> None:
    engine = make(folder, blocks=30)  # 120 tokens; each of six needs 50 in the end
    prompts = [[k + 3, *PREFIX[:9]] for k in range(6)]
    found = await asyncio.gather(*(
        read(engine, Prompt(ids=tuple(p)), max_tokens=40, ignore_eos=True) for p in prompts))
    assert [ids_of(c) for c in found] == [generate(model, p, 40) for p in prompts]
    assert engine.statistics().preempted
    await engine.aclose()


@pytest.mark.anyio
async def test_a_seed_writes_the_same_whatever_else_runs(engine: Any) -> None:
    prompt = Prompt(ids=tuple(PREFIX))
    settings = {"temperature": 1.0, "top_p": 0.9, "min_p": 0.01, "max_tokens": 30,
                "ignore_eos": True}
    alone = await read(engine, prompt, seed=5, **settings)
    beside = await asyncio.gather(*(
        read(engine, prompt, seed=seed, **settings) for seed in (4, 5, 6, 7)))
    assert ids_of(beside[1]) == ids_of(alone)
    assert len({tuple(ids_of(c)) for c in beside}) == 4


@pytest.mark.anyio
async def test_stops_by_string_and_by_id(engine: Any) -> None:
    free = await read(engine, Prompt(text="a"), max_tokens=40, ignore_eos=True)
    text, ids = text_of(free), ids_of(free)
    stop = text[10:13]
    chunks = await read(engine, Prompt(text="a"), max_tokens=40, stop=(stop,), ignore_eos=True)
    assert text_of(chunks) == text[: text.index(stop) + len(stop)]
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", stop)
    by_id = await read(engine, Prompt(text="a"), max_tokens=40, stop_ids=(ids[5],))
    assert ids_of(by_id) == ids[: ids.index(ids[5]) + 1]
    assert (by_id[-1].finish, by_id[-1].stop) == ("stop", ids[5])


@pytest.mark.anyio
async def test_log_probabilities_are_those_of_the_model(engine: Any, model: Any) -> None:
    torch = pytest.importorskip("torch")
    chunks = await read(engine, Prompt(ids=tuple(PREFIX)), max_tokens=6, logprobs=True,
                        ignore_eos=True)
    whole = torch.tensor([[*PREFIX, *ids_of(chunks)]])
    with torch.inference_mode():
        expected = model(whole).logits[0].log_softmax(-1)
    found = [p for c in chunks for p in c.logprobs or ()]
    places = range(len(PREFIX) - 1, whole.shape[1] - 1)
    assert found == pytest.approx([float(expected[p, whole[0, p + 1]]) for p in places], abs=1e-4)


@pytest.mark.anyio
async def test_messages_go_through_the_chat_template(engine: Any) -> None:
    assert engine.capabilities.chat
    rendered = engine._chat.render(ASK)
    assert rendered == "<|system|>Be brief.<|end|><|user|>hé?<|end|><|assistant|>"
    chat = await read(engine, Prompt("So", messages=ASK), max_tokens=5)
    plain = await read(engine, Prompt(ids=tuple(engine.encode(rendered + "So"))), max_tokens=5)
    assert ids_of(chat) == ids_of(plain)
    own = await engine.open(Request(prompt="hi"), None)
    woven = await engine.open(Request(prompt="hi"), "threadweaver")
    assert own.prompt.messages == (Message("user", "hi"),)
    assert woven.prompt.text == "<|user|>hi<|end|><|assistant|>"
    assert woven.prompt.ids == tuple(engine.encode(woven.prompt.text))


@pytest.mark.anyio
async def test_leaving_a_stream_frees_its_blocks(engine: Any) -> None:
    async with engine.stream(Prompt(ids=tuple(PREFIX)), Sampling(ignore_eos=True)) as stream:
        await anext(stream)
        assert (await engine.load()).running == 1
    await anyio.to_thread.run_sync(engine._worker.wait_idle)
    assert engine.statistics().blocks.used == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("prompt", "words"), [
    (Prompt(ids=(3,) * 5000), "can never fit: the window is 4096"),
    (Prompt(ids=()), "empty"),
    (Prompt(ids=(3, 9999)), "outside"),
    (Prompt(messages=ASK, tools=(Tool("f", "", {}),)), "no tools"),
])
async def test_prompts_that_cannot_be_run_are_refused(
    engine: Any, prompt: Prompt, words: str
) -> None:
    with pytest.raises(EngineRefused, match=words):
        await read(engine, prompt)


@pytest.mark.anyio
async def test_a_step_without_memory_says_so_and_the_engine_goes_on(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with monkeypatch.context() as patch:
        patch.setattr(engine._worker.batch.forward._loaded.model, "forward", full)
        with pytest.raises(EngineOverloaded, match="out of memory in a step of 1 streams"):
            await read(engine, Prompt(ids=tuple(PREFIX)), max_tokens=2)
    assert (await read(engine, Prompt(ids=tuple(PREFIX)), max_tokens=2))[-1].finish == "length"
