"""`plait engine check` against real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.core import EngineProfile
from plait.engines.openai import OpenAIEngine
from plait.survey import Survey, advice
from tests.live import tiny_model
from tests.live.conftest import Server, start_llamacpp

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(400)]
WRITES = {"text_prompts", "chat", "id_prompts", "logprobs", "stop_strings", "special_stops",
          "stop_ids", "json_schema", "window", "prefix_cache", "cache_report", "cancellation"}
"""What both kinds of server can do however they are started here."""


async def survey(server: Server) -> EngineProfile:
    engine = OpenAIEngine(f"{server.url}/v1")
    try:
        return await Survey(engine, server.url).run()
    finally:
        await engine.aclose()


def able(profile: EngineProfile) -> set[str]:
    return {name for name, found in profile.findings.items() if found.holds}


async def test_llamacpp_as_it_comes(llamacpp: Server) -> None:
    profile = await survey(llamacpp)
    assert able(profile) == WRITES | {"parallel"}
    assert {name for name, found in profile.findings.items() if found.holds is None} == set()
    assert (profile.kind, profile.slots, profile.window) == ("llamacpp", 4, tiny_model.WINDOW)
    assert 1 in profile.step_seconds
    assert max(profile.step_seconds) <= 4
    words = " ".join(advice(profile))
    assert "--parallel 16 -c 65536 (4,096 tokens each)" in words
    assert "--slot-save-path" in words
    assert "--special" in words


async def test_llamacpp_with_one_slot(gguf_file: Path) -> None:
    server = start_llamacpp(gguf_file, "--slots", "1")
    try:
        profile = await survey(server)
    finally:
        server.stop()
    assert able(profile) == WRITES
    assert (profile.slots, set(profile.step_seconds)) == (1, {1})
    assert "it has one slot" in advice(profile)[0]


async def test_llamacpp_that_saves_slots_and_shows_special_tokens(
    gguf_file: Path, tmp_path: Path
) -> None:
    server = start_llamacpp(gguf_file, "--special", "--slots", "16", "--save", f"{tmp_path}/")
    try:
        profile = await survey(server)
    finally:
        server.stop()
    assert able(profile) == WRITES | {"parallel", "slot_files", "special_shown"}
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - nothing was saved to find that out
    assert not [line for line in advice(profile) if line.startswith("Start")]


async def test_vllm(vllm: Server) -> None:
    profile = await survey(vllm)
    assert able(profile) == WRITES | {
        "output_ids", "special_shown", "continuous_usage", "cache_salt", "parallel"}
    assert (profile.kind, profile.slots, profile.window) == ("vllm", 16, tiny_model.WINDOW)
    assert profile.version.startswith("0.")
    assert profile.kv_tokens is not None
    assert profile.kv_tokens > 16 * tiny_model.WINDOW
    assert profile.findings["priority"].holds is False  # first come, first served
    assert "scheduling-policy priority" in " ".join(advice(profile))
