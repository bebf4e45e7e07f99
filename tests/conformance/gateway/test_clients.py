"""Clients as people use them, unmodified, against `plait serve`: OpenAI's Node client, an agent of
openai-agents, an evaluation by inspect-ai. `tests/live/setup.sh clients` installs them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from plait.testing.replies import Body, Reply
from tests.conformance.gateway.case import ANSWER, slow
from tests.conformance.gateway.conftest import Served
from tests.conformance.gateway.peers import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.live]
HERE = Path(__file__).parent / "clients"
HOME = ROOT / ".live" / "clients"
PARALLEL = "plait/explore:tiny"


async def run_client(program: Sequence[str | Path]) -> Any:
    """What a client printed, read as JSON. Skips where it is not installed."""
    if not HOME.exists():
        pytest.skip("not installed: run tests/live/setup.sh clients")
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CLIENT_HOME": str(HOME)})
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()[-2000:]
    return json.loads(out.decode().splitlines()[-1])


async def node(served: Served, scenario: str, model: str = "tiny") -> Any:
    """A scenario of the Node client."""
    return await run_client(["node", HERE / "openai_node.mjs", served.target.base_url,
                             served.target.key or "", scenario, model])


async def python(served: Served, script: str, *arguments: str) -> Any:
    """A script, by the interpreter of the clients."""
    return await run_client([HOME / "bin" / "python", HERE / script, served.target.base_url,
                             served.target.key or "", *arguments])


async def closed(served: Served) -> None:
    """Every call upstream ends, soon, by being left."""
    async with asyncio.timeout(2):
        await served.upstream.until(lambda calls: calls.open == 0)
    assert served.upstream.calls.cancelled >= 1


@pytest.mark.parametrize("model", ["tiny", PARALLEL])
async def test_node_chats_and_streams(served: Served, model: str) -> None:
    served.upstream.script = f"Six times seven.\n{ANSWER}"
    whole = await node(served, "chat", model)
    assert "42" in whole["text"]
    assert whole["requestID"]
    assert whole["total"] == sum(usage["total_tokens"] for usage in served.upstream.usages)
    served.upstream.usages.clear()
    streamed = await node(served, "stream", model)
    assert "42" in streamed["text"]
    assert streamed["completion"] == sum(
        usage["completion_tokens"] for usage in served.upstream.usages)


async def test_node_uses_responses(served: Served) -> None:
    assert await node(served, "responses") == {
        "status": "completed", "text": ANSWER, "streamed": ANSWER, "final": ANSWER}


async def test_node_gets_its_own_error_classes(served: Served) -> None:
    served.upstream.script = Reply(status=400, error={"error": {
        "message": "too long", "type": "invalid_request_error", "param": "messages",
        "code": "context_length_exceeded"}})
    error = await node(served, "error")
    assert (error["name"], error["status"], error["code"]) == (
        "BadRequestError", 400, "context_length_exceeded")
    assert error["requestID"]


@pytest.mark.parametrize("model", ["tiny", PARALLEL])
async def test_node_leaves_a_stream_and_every_call_upstream_ends(
    served: Served, model: str
) -> None:
    served.upstream.script = slow("Six times\nseven is\nwhat we want. " + ANSWER, 30)
    assert await node(served, "cancel", model) == {"left": True}
    await closed(served)


async def test_node_times_out_and_the_call_upstream_ends(served: Served) -> None:
    served.upstream.script = Reply(ANSWER, gate=anyio.Event())
    assert (await node(served, "timeout"))["name"] == "APIConnectionTimeoutError"
    await closed(served)


@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_an_agent_calls_its_tool_and_answers(served: Served, kind: str) -> None:
    def play(body: Body) -> Reply:
        if any(message["role"] == "tool" for message in body["messages"]):
            return Reply("It rains in Bern.")
        return Reply("", calls=[("weather", '{"place": "Bern"}')])

    served.upstream.script = play
    found = await python(served, "agent.py", kind)
    assert found["answer"] == found["streamed"] == "It rains in Bern."
    assert found["asked"] == ["Bern", "Bern"]
    assert found["tokens"] > 0
    assert found["events"] > 2


@pytest.mark.parametrize("model", ["tiny", PARALLEL])
async def test_an_evaluation_runs_to_its_end(served: Served, model: str, tmp_path: Path) -> None:
    found = await python(served, "evaluate.py", model, str(tmp_path))
    assert (found["status"], found["samples"], found["accuracy"]) == ("success", 2, 0.5)
    assert found["output_tokens"] == sum(
        usage["completion_tokens"] for usage in served.upstream.usages)
