"""plait-nano's folder is a Hugging Face Llama: both engines answer the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from plait.core import Prompt, Request, Sampling
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.puzzles import generate
from plait.registry import make_engine
from tests.engines.transformers.models import MARKS

pytestmark = MARKS
AS_GOOD_AS_EQUAL = 1e-3
"""How near the two likeliest log-probabilities lie where the engines may write different tokens."""
QUESTIONS = [(f"Make {p.target} from {', '.join(map(str, p.numbers))}", protocol)
             for protocol, numbers in (("apr", 4), (None, 3), ("threadweaver", 3))
             for p in islice(generate(51, numbers, "natural", held_out=True), 4)]


async def answer(engine: Any, prompts: list[Prompt]) -> list[list[int]]:
    async def read(prompt: Prompt) -> list[int]:
        async with engine.stream(prompt, Sampling(max_tokens=250)) as stream:
            return [i async for chunk in stream for i in chunk.ids or ()]

    try:
        return await asyncio.gather(*(read(p) for p in prompts))
    finally:
        await engine.aclose()


def margin(engine: Any, context: list[int]) -> float:
    """By how much the likeliest token after ``context`` leads."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    with torch.inference_mode():
        first, second = model(torch.tensor([context])).logits[0, -1].log_softmax(-1).topk(2).values
    return float(first - second)


def test_a_dozen_problems_are_answered_as_the_embedded_engine_answers() -> None:
    nano, torch_engine = NanoEngine(), make_engine(f"hf:{WEIGHTS}:memory=256")
    assert torch_engine.model == nano.model
    assert torch_engine.capabilities.protocols == nano.capabilities.protocols

    async def openings(engine: Any) -> list[Prompt]:
        return [(await engine.open(Request(prompt=q), p)).prompt for q, p in QUESTIONS]

    prompts = asyncio.run(openings(torch_engine))
    assert prompts == asyncio.run(openings(nano))
    encoded = [list(nano.encode(p.text, opening=True)) for p in prompts]
    assert encoded == [list(torch_engine.encode(p.text, opening=True) or ()) for p in prompts]
    ours = asyncio.run(answer(torch_engine, prompts))
    theirs = asyncio.run(answer(nano, prompts))
    alike = 0
    for prompt, a, b in zip(encoded, ours, theirs, strict=True):
        if a == b:
            alike += 1
            continue
        same = next(k for k, (x, y) in enumerate(zip([*a, -1], [*b, -1], strict=False)) if x != y)
        assert margin(torch_engine, [*prompt, *a[:same]]) < AS_GOOD_AS_EQUAL
    assert alike > len(QUESTIONS) // 2


def test_the_command_line_solves_with_forks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "plait.cli", "solve", "--engine", f"hf:{WEIGHTS}", "--json",
         "Make 92 from 46, 39, 29 and 20"],
        capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert (result["correct"], result["protocol"], result["fallback"]) == (True, "apr", None)
    assert result["threads"] > 8
    assert result["cached_tokens"] > 0
    assert not result["estimated"]
