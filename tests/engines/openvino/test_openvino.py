"""The engine over OpenVINO, played by `fake`: what it asks of it, and what it makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio.to_thread
import pytest

from plait.core import Message, Prompt, Request, Sampling
from plait.engines.nano import NanoEngine
from plait.engines.openvino import OpenVINOEngine
from plait.errors import EngineError, EngineRefused, UsageError
from plait.registry import make_engine
from tests.conformance.engines.cases import (
    CASES,
    LONG,
    OPENING,
    SHORT,
    Case,
    ids_of,
    read,
    text_of,
    until_idle,
)
from tests.engines.openvino.fake import FakePipeline, FakeTokenizer

CHAT = (Message("user", "hi"),)


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_does_what_every_engine_does(case: Case, engine: OpenVINOEngine) -> None:
    await case(engine)


def test_it_computes_in_float32(engine: OpenVINOEngine, genai: type[FakePipeline]) -> None:
    """Anything else ends the process or gives garbage on some CPUs."""
    pipeline = genai.made[0]
    assert pipeline.settings == {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    assert (pipeline.device, pipeline.scheduler.enable_prefix_caching) == ("CPU", True)


def test_threads_and_memory_are_passed_on(nano_gguf: Path, genai: type[FakePipeline]) -> None:
    OpenVINOEngine(nano_gguf, memory=2, threads=3)
    settings = genai.made[0].settings
    assert isinstance(settings, dict)
    assert (settings["INFERENCE_NUM_THREADS"], genai.made[0].scheduler.cache_size) == (3, 2)
    with pytest.raises(UsageError, match="`memory` is 0"):
        OpenVINOEngine(nano_gguf, memory=0)


def test_the_files_name_for_its_model_decides_how_it_is_asked(
    nano_gguf: Path, genai: type[FakePipeline]
) -> None:
    ours = make_engine(str(nano_gguf))
    assert (ours.model, ours.capabilities.protocols) == ("plait-nano", ("apr", "threadweaver"))
    assert not ours.capabilities.chat
    other = make_engine(str(nano_gguf), "somebody-else")
    assert (other.model, other.capabilities.protocols) == ("somebody-else", ())
    assert other.capabilities.chat


def test_a_folder_is_called_by_its_name_and_its_configuration_is_read(
    tmp_path: Path, genai: type[FakePipeline]
) -> None:
    folder = tmp_path / "Llama-3.1-8B"
    folder.mkdir()
    for part in ("model", "tokenizer", "detokenizer"):
        (folder / f"openvino_{part}.xml").touch()
    assert make_engine(str(folder)).capabilities.window is None
    (folder / "config.json").write_text('{"max_position_embeddings": 77}')
    engine = make_engine(str(folder))
    assert (engine.model, engine.capabilities.window) == ("Llama-3.1-8B", 77)
    (folder / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"cannot read .*config\.json"):
        make_engine(str(folder))


def test_tags_that_begin_alike_are_cut_as_the_model_was_trained(engine: OpenVINOEngine) -> None:
    assert engine.encode(OPENING, opening=True) == NanoEngine().encode(OPENING, opening=True)
    assert engine.encode("<|begin|>a", opening=True) == engine.encode("a", opening=True)


@pytest.mark.anyio
async def test_no_token_is_computed_after_the_one_that_stops(
    engine: OpenVINOEngine, genai: type[FakePipeline]
) -> None:
    ids = ids_of(await read(engine, OPENING, SHORT))
    before = genai.made[0].computed
    await read(engine, OPENING, Sampling(stop_ids=(ids[5],)))
    assert genai.made[0].computed - before == ids.index(ids[5]) + 1


@pytest.mark.anyio
async def test_leaving_frees_the_memory_of_a_request(
    engine: OpenVINOEngine, genai: type[FakePipeline]
) -> None:
    pipeline = genai.made[0]
    async with engine.stream(Prompt(OPENING), LONG) as stream:
        await anext(stream)
        assert ((await engine.load()).cache or 0) > 0
    await anyio.to_thread.run_sync(engine._worker.wait_idle)
    assert (pipeline.get_metrics().requests, pipeline.get_metrics().cache_usage) == (0, 0.0)
    assert pipeline.computed < 1000


@pytest.mark.anyio
async def test_closing_frees_what_runs_and_says_so(
    engine: OpenVINOEngine, genai: type[FakePipeline]
) -> None:
    async with engine.stream(Prompt(OPENING), LONG) as stream:
        await anext(stream)
        await engine.aclose()
        with pytest.raises(EngineError, match="the engine was closed"):
            async for _ in stream:
                pass
    assert genai.made[0].get_metrics().requests == 0


@pytest.mark.anyio
async def test_a_step_that_fails_fails_its_streams_and_the_next_one_works(
    engine: OpenVINOEngine, genai: type[FakePipeline]
) -> None:
    genai.made[0].broken = RuntimeError("Check failed at cache.cpp:9:\nout of memory\n")
    with pytest.raises(EngineError, match="OpenVINO failed in a step: out of memory"):
        await read(engine, OPENING, SHORT)
    await until_idle(engine)
    assert len(ids_of(await read(engine, OPENING, SHORT))) == 24


@pytest.mark.anyio
async def test_what_no_memory_can_hold_ends_with_the_window(
    nano_gguf: Path, genai: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genai, "blocks", 5)
    engine = OpenVINOEngine(nano_gguf)
    chunks = await read(engine, OPENING, LONG)
    assert chunks[-1].finish == "window"
    assert 10 < len(ids_of(chunks)) <= 80
    await engine.aclose()


@pytest.mark.anyio
async def test_conversations_go_through_the_models_template(
    nano_gguf: Path, genai: type[FakePipeline]
) -> None:
    engine = OpenVINOEngine(nano_gguf, "a-chat-model")
    problem = OPENING.removesuffix("\n")
    chat = await read(engine, Prompt(messages=(Message("user", problem),)), SHORT)
    assert text_of(chat) == text_of(await read(engine, OPENING, SHORT))
    opening = await engine.open(Request("hi"), None)
    assert (opening.prompt.messages, opening.live is None) == (CHAT, False)
    spliced = await engine.open(Request("hi"), "threadweaver")
    assert spliced.prompt.text == "hi\n"
    with pytest.raises(EngineRefused, match="does not take this conversation: no such role"):
        await read(engine, Prompt(messages=(Message("developer", "be good"),)), SHORT)
    with pytest.raises(EngineRefused, match="calls of tools"):
        await read(engine, Prompt(messages=(*CHAT, Message("tool", "found", call_id="1"))), SHORT)
    await engine.aclose()


@pytest.mark.anyio
async def test_a_model_without_a_template_is_asked_in_plain_text(
    nano_gguf: Path, genai: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genai, "template", "")
    engine = OpenVINOEngine(nano_gguf, "a-base-model")
    assert not engine.capabilities.chat
    assert (await engine.open(Request("hi"), None)).prompt == Prompt("hi\n")


def test_sampling_is_passed_on_and_what_openvino_lacks_is_refused(
    engine: OpenVINOEngine, genai: type[FakePipeline]
) -> None:
    config = engine._pipeline.config(
        Sampling(temperature=0.7, top_p=0.9, top_k=4, min_p=0.1, seed=-1, logprobs=True,
                 schema={"type": "object"}, extra={"presence_penalty": 1.0, "user": "me"}), 7)
    assert (config.temperature, config.top_p, config.top_k, config.min_p) == (0.7, 0.9, 4, 0.1)
    assert (config.rng_seed, config.max_new_tokens, config.logprobs) == (2**64 - 1, 7, 1)
    assert (config.do_sample, config.ignore_eos, config.presence_penalty) == (True, True, 1.0)
    assert config.structured_output_config.json_schema == '{"type": "object"}'
    assert not engine._pipeline.config(Sampling(), None).do_sample
    for extra, what in (({"logit_bias": {"5": 1}}, "logit_bias"),
                        ({"presence_penalty": "much"}, "must be a number"),
                        ({"presence_penalty": 5}, "refuses this sampling: it must be in")):
        with pytest.raises(EngineRefused, match=what):
            engine.stream(Prompt("a"), Sampling(extra=extra))


def test_a_tokenizer_that_is_not_read_by_bytes_is_refused(
    nano_gguf: Path, genai: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FakeTokenizer.get_vocab
    monkeypatch.setattr(FakeTokenizer, "get_vocab", lambda self: {
        piece.replace(b" ", "\u2581".encode()): i for piece, i in plain(self).items()})
    with pytest.raises(UsageError, match="no text for each single token"):
        OpenVINOEngine(nano_gguf)


def test_without_the_extra_one_line_says_what_to_install(
    nano_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(UsageError) as refused:
        make_engine(str(nano_gguf))
    assert "pip install 'plait[openvino]'" in refused.value.line


def test_what_openvino_cannot_run_is_one_line_with_what_the_file_holds(
    nano_gguf: Path, genai: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Exception from /home/x/building_blocks.cpp:716:\nUnsupported type\n")

    monkeypatch.setattr(genai, "__init__", fail)
    with pytest.raises(UsageError) as refused:
        make_engine(str(nano_gguf))
    assert refused.value.line == (
        f"OpenVINO cannot run {nano_gguf}: Unsupported type. Its architecture is `llama`, its"
        " matrices are F16; F16 and Q8_0 of Llama models are known to run.")


def test_a_wrong_path_is_one_line(tmp_path: Path, genai: type[FakePipeline]) -> None:
    with pytest.raises(UsageError, match=r"there is no file or folder .*nothing\.gguf"):
        make_engine(str(tmp_path / "nothing.gguf"))
    with pytest.raises(UsageError, match=r"holds no openvino_model\.xml"):
        make_engine(str(tmp_path))
    with pytest.raises(UsageError, match="there is no engine `no-engine`"):
        make_engine("no-engine")
    assert not genai.made
