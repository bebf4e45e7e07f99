"""A whole tree of ThreadWeaver threads runs over a server of each kind."""

from collections.abc import Mapping
from typing import Any

import pytest

from plait import solve
from plait.core import Plan, Request
from plait.errors import EngineError
from plait.testing.replies import Reply
from tests.engines.openai.help import served

DOWN = Reply(status=500, error={"error": {"message": "out of order"}})
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


@pytest.mark.anyio
async def test_a_server_that_is_down_is_not_asked_again_by_those_above_its_link() -> None:
    """Tries of the link, of the thread and of the fallback would multiply."""
    async with served(DOWN, retries=1) as (upstream, engine):
        with pytest.raises(EngineError, match="out of order"):
            await solve(Request("q?"), engine=engine, plan=Plan("explore", width=4, retries=2))
        threads = 8 + 1  # the attempts and the fallback
        assert upstream.calls.started == 2 * threads


@pytest.mark.anyio
async def test_a_stream_that_broke_off_is_written_again_by_its_thread() -> None:
    calls = iter(range(100))
    async with served(lambda body: Reply("The answer is 42.", break_after=3 if next(calls) == 0
                                         else None)) as (upstream, engine):
        result = await solve(Request("q?"), engine=engine, plan=Plan("explore", width=1, retries=1))
        assert "42" in (result.answer or "")
        assert upstream.calls.started >= 2
