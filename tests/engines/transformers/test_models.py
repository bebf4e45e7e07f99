"""Which models run, that they write what `model.generate` writes, and what is refused."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from plait.core import Prompt, Sampling
from plait.errors import UsageError
from plait.registry import make_engine
from tests.engines.transformers.models import KINDS, MARKS, generate, write_model, write_tokenizer

pytestmark = MARKS
COUNT = 24
PREFIX = [5 * k % 250 for k in range(30)]
PROMPTS = [*(PREFIX + [k + 3] * (1 + k % 3) for k in range(5)), [9] * 40, [4, 5]]
"""Five that share their first 30 tokens, one longer than a chunk, one short."""


def make(folder: Path, **options: object) -> Any:
    """An engine with small blocks and chunks, so that short texts cross their borders."""
    module = import_module("plait.engines.transformers.engine")
    sizes = {"blocks": 400, "block": 4, "chunk": 24, "checked": True, **options}
    return module.TransformersEngine(f"hf:{folder}", **sizes)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_with_shared_prefixes_writes_what_generate_writes_alone(
    kind: str, tmp_path: Path
) -> None:
    model = write_model(tmp_path, kind)
    engine = make(tmp_path)

    async def read(prompt: list[int]) -> tuple[list[int], int]:
        sampling = Sampling(max_tokens=COUNT, ignore_eos=True)
        async with engine.stream(Prompt(ids=tuple(prompt)), sampling) as stream:
            chunks = [chunk async for chunk in stream]
        return [i for c in chunks for i in c.ids or ()], chunks[-1].usage.cached

    async def play() -> list[tuple[list[int], int]]:
        found = await asyncio.gather(*(read(p) for p in PROMPTS))
        await engine.aclose()
        return found

    found = asyncio.run(play())
    assert [ids for ids, _ in found] == [generate(model, p, COUNT) for p in PROMPTS]
    assert [cached for _, cached in found] == [0, 30, 30, 30, 30, 0, 0]


@pytest.mark.parametrize(("kind", "words"), [
    ("bloom", "has an attention of its own"),
    ("mamba", "layers of the kind `linear_attention`"),
    ("llama4_text", "layers of the kind `chunked_attention`"),
    ("bert", "its logits are off"),
])
def test_models_that_compute_otherwise_are_refused_by_name(
    kind: str, words: str, tmp_path: Path
) -> None:
    write_model(tmp_path, kind)
    with pytest.raises(UsageError, match=words) as caught:
        make(tmp_path)
    assert "\n" not in caught.value.line


def test_what_is_no_causal_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": 8}))
    with pytest.raises(UsageError, match="no causal language model but a `t5`"):
        make(tmp_path)


def test_folders_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_engine(f"hf:{tmp_path}")
    assert "cannot be loaded" in caught.value.line
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UsageError) as caught:
        make_engine(f"hf:{tmp_path}")
    assert "cannot be loaded" in caught.value.line
    assert "\n" not in caught.value.line


def test_a_name_that_the_hub_does_not_give_is_said() -> None:
    with pytest.raises(UsageError) as caught:
        make_engine("hf:nobody/no-such-model-anywhere")
    assert "huggingface.co did not give it" in caught.value.line


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no device 'meteor'"):
        make_engine(f"hf:{tmp_path}:device=meteor")


def test_memory_that_is_not_there_is_said(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    with pytest.raises(UsageError) as caught:
        make_engine(f"hf:{tmp_path}:memory={1 << 36}")
    assert "Say less `memory`" in caught.value.line


def test_positions_that_change_with_the_longest_text_end_the_window(tmp_path: Path) -> None:
    write_model(tmp_path, "phi3", original_max_position_embeddings=128, rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0,
        "short_factor": [1.0] * 8, "long_factor": [2.0] * 8})
    assert make(tmp_path).capabilities.window == 128


def test_the_dtype_is_the_models_own_unless_it_is_given(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write_model(tmp_path, "llama").to(torch.bfloat16).save_pretrained(tmp_path)
    for option, dtype in (("", torch.bfloat16), (":dtype=float32", torch.float32)):
        engine: Any = make_engine(f"hf:{tmp_path}{option}:memory=16")
        assert engine._worker.batch.forward._loaded.model.dtype == dtype
