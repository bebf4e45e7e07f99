"""Without keys only this machine is answered; a browser's password opens pages and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from plait.server.keys import Key, hash_key
from plait.server.local import stranger
from plait.server.settings import GatewaySettings
from plait.server.store import Store
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, ASK, before

pytestmark = pytest.mark.anyio
SECRET = "plait-a-long-random-key"
BODY = {"model": "tiny", "messages": ASK}


@pytest.mark.parametrize("headers", [
    {"host": "127.0.0.1:8080"}, {"host": "localhost"}, {"host": "LOCALHOST:1"},
    {"host": "[::1]:8080"}, {"host": "127.0.0.1:8080", "origin": "http://localhost:3000"}])
def test_this_machine_is_no_stranger(headers: Mapping[str, str]) -> None:
    assert stranger(headers) is None


@pytest.mark.parametrize("headers", [
    {}, {"host": ""}, {"host": "evil.example:8080"}, {"host": "localhost.evil.example"},
    {"host": "127.0.0.1@evil.example"}, {"host": "[::1"}, {"host": "192.168.0.1"},
    {"host": "localhost", "origin": "https://evil.example"},
    {"host": "localhost", "origin": "null"}, {"host": "localhost", "origin": "http://[::"}])
def test_everybody_else_is(headers: Mapping[str, str]) -> None:
    assert stranger(headers) is not None


async def test_a_page_from_elsewhere_reaches_nothing() -> None:
    async with Upstream(Reply(ANSWER)) as upstream, before(upstream) as served:
        foreign = await served.post("/v1/chat/completions", BODY, ORIGIN="https://evil.example",
                                    CONTENT_TYPE="text/plain")
        bound = await served.get("/v1/models", HOST="evil.example")
        assert (foreign.status, bound.status) == (403, 403)
        assert foreign.error["code"] == bound.error["code"] == "not_local"
        assert "--keys" in bound.error["message"]
        assert not upstream.calls.started
        assert not served.seen.infos


@pytest.mark.parametrize("settings", [
    GatewaySettings(no_keys=True), GatewaySettings(keys=(Key("ada", hash_key(SECRET)),))])
async def test_with_keys_or_without_a_guard_any_name_will_do(settings: GatewaySettings) -> None:
    async with Upstream(Reply(ANSWER)) as upstream, before(upstream, settings) as served:
        reply = await served.post("/v1/chat/completions", BODY, HOST="gateway.example",
                                  AUTHORIZATION=f"Bearer {SECRET}")
        assert reply.status == 200


async def test_a_password_that_a_browser_keeps_opens_pages_only(tmp_path: Path) -> None:
    """The browser sends it along with what a stranger's page asks for, too."""
    settings = GatewaySettings(keys=(Key("ada", hash_key(SECRET), admin=True),))
    password = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    async with (Store(tmp_path / "runs.sqlite") as store, Upstream(Reply(ANSWER)) as upstream,
                before(upstream, settings, store=store) as served):
        page = await served.get("/", AUTHORIZATION=password)
        asked = await served.post("/v1/chat/completions", BODY, AUTHORIZATION=password)
        assert (page.status, asked.status) == (200, 401)
        assert not upstream.calls.started
