"""A whole tree of ThreadWeaver threads runs over a server of each kind."""

from collections.abc import Mapping
from typing import Any

import pytest

from plait import solve
from plait.core import Plan, Request
from tests.engines.openai.help import served

OUTLINES = ("<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n"
            "</Outlines>")


def model(body: Mapping[str, Any]) -> str:
    """What a trained model would write; every text goes on after its stop, if nothing stops it."""
    prompt = body["prompt"]
    if isinstance(prompt, str) and prompt.endswith(("1:", "2:")):
        return " found it</Thread> too far"
    if "</Thread>" in prompt:
        return "</Parallel>\n</think>\n42"
    return f"{OUTLINES} too far"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp", "generic"])
async def test_a_tree_of_threads_is_answered(kind: str) -> None:
    async with served(model, dialect=kind) as (upstream, engine):
        result = await solve(Request("q?"), engine=engine, plan=Plan("native", "threadweaver"))
        assert result.answer == "42"
        assert (result.threads, result.max_parallel) == (3, 2)
        assert "too far" not in result.text
        assert result.text.count("found it</Thread>") == 2
        assert (upstream.calls.finished, upstream.calls.open) == (4, 0)
