"""plait-nano writes the same on every engine, wherever it is not in two minds."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from plait.engines.nano import WEIGHTS
from plait.engines.openai import OpenAIEngine
from plait.interfaces import Engine
from plait.registry import make_engine
from tests.live.agreement import AS_GOOD_AS_EQUAL, ask_nano, compare, prompts
from training.gguf import write_gguf

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

Answers = tuple[list[list[int]], list[list[int]]]


@pytest.fixture(scope="module")
def answers() -> Answers:
    """50 openings as ids, and what the embedded engine writes behind each."""
    return anyio.run(ask_nano, prompts())


def other_engine(kind: str, request: pytest.FixtureRequest) -> Engine:
    if kind == "openvino":
        pytest.importorskip("openvino_genai")
        return make_engine(str(request.getfixturevalue("nano_gguf")))
    server = request.getfixturevalue(f"{kind}_nano")
    return OpenAIEngine(f"{server.url}/v1")


@pytest.mark.parametrize("kind", ["openvino", "llamacpp", "vllm"])
def test_greedy_answers_agree_token_by_token(
    kind: str, answers: Answers, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        engine = other_engine(kind, request)
        found = await compare(engine, *answers)
        await engine.aclose()
        with capsys.disabled():
            print(f"\n{kind}: {found.tokens} tokens, {len(found.gaps)} near ties"
                  f" (widest {max(found.gaps, default=0.0):.1e})")
        assert found.tokens > 5000
        assert all(gap <= AS_GOOD_AS_EQUAL for gap in found.gaps), found.gaps

    anyio.run(run)


def test_rounded_weights_do_not_agree(answers: Answers, tmp_path: Path) -> None:
    """Or the comparison would see nothing."""
    pytest.importorskip("openvino_genai")
    path = tmp_path / "rounded.gguf"
    write_gguf(WEIGHTS, path, "Q8_0")

    async def run() -> None:
        engine = make_engine(str(path))
        found = await compare(engine, *answers)
        await engine.aclose()
        assert max(found.gaps) > AS_GOOD_AS_EQUAL

    anyio.run(run)
