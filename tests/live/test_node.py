"""OpenAI's own Node client against the gateway. Needs node, and once: npm install --prefix
tests/live/node"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import before

FOLDER = Path(__file__).parent / "node"
PARALLEL = "plait/explore:tiny"
pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules" / "openai").is_dir(),
    reason="needs node and its package openai")]


def script(body: Mapping[str, Any]) -> Reply:
    """Quick, but for a question that is slow."""
    slow = "slow" in str(body)
    return Reply("Six times seven is 42.\nAnswer: 42", seconds=10.0 if slow else 0.0)


async def test_the_node_client_finds_what_it_knows() -> None:
    async with Upstream(script) as upstream, before(upstream) as served:
        found = await anyio.run_process(
            ["node", "client.mjs", f"{served.url}/v1", "tiny", PARALLEL], cwd=FOLDER, check=False)
        assert found.returncode == 0, found.stderr.decode()
        with anyio.fail_after(2):
            await upstream.until(lambda calls: calls.open == 0)
        assert upstream.calls.cancelled >= 2  # the timeout, and the stream that was left
    seen = orjson.loads(found.stdout)
    assert seen["chat"]["text"].endswith("42")
    assert seen["chat"]["finish"] == "stop"
    assert seen["chat"]["plait"]["method"] == "explore"
    assert seen["chat"]["id"].startswith("req_")
    assert seen["chat"]["usage"]["completion_tokens"] == seen["chat"]["plait"]["total_tokens"]
    assert seen["stream"]["text"].endswith("42")
    assert "Six times seven" in seen["stream"]["reasoning"]
    assert seen["stream"]["usage"]["completion_tokens"] > 0
    assert seen["response"] == {"text": seen["chat"]["text"], "status": "completed"}
    assert seen["events"][0] == "response.created"
    assert seen["events"][-1] == "response.completed"
    assert seen["bad"]["kind"] == "BadRequestError"
    assert (seen["missing"]["kind"], seen["missing"]["code"]) == ("NotFoundError",
                                                                  "model_not_found")
    assert seen["timeout"]["kind"] == "APIConnectionTimeoutError"
    assert PARALLEL in seen["models"]
