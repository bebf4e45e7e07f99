"""Keys: who may ask, how often, how much; and what is never shown."""

from __future__ import annotations

import base64
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from plait.cli.main import app
from plait.engines.openai import OpenAIEngine
from plait.errors import UsageError
from plait.server.errors import ApiError
from plait.server.keys import Key, KeyRing, Use, Window, hash_key, new_key, read_keys
from plait.server.serving import check_open
from plait.server.settings import GatewaySettings
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.server.help import ANSWER, before, serving

SECRET = "plait-a-long-random-key"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
ADA = Key("ada", hash_key(SECRET), requests_per_minute=3)
BOB = Key("bob", hash_key("another"), concurrent=1)


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("headers", [
    {"authorization": f"Bearer {SECRET}"}, {"authorization": f"bearer {SECRET}"},
    {"x-api-key": SECRET}])
def test_a_key_is_known_however_it_comes(headers: dict[str, str]) -> None:
    assert KeyRing([BOB, ADA]).identify(headers).name == "ada"


@pytest.mark.parametrize("headers", [
    {}, {"authorization": "Bearer wrong"}, {"authorization": BASIC},
    {"authorization": "Bearer"}, {"x-api-key": hash_key(SECRET)}])
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        KeyRing([ADA]).identify(headers)
    assert caught.value.status == 401


def test_a_browser_may_send_it_as_a_password() -> None:
    assert KeyRing([BOB, ADA]).identify({"authorization": BASIC}, browser=True).name == "ada"
    with pytest.raises(ApiError, match="key is needed"):
        KeyRing([ADA]).identify({"authorization": "Basic !!"}, browser=True)


def test_without_keys_everybody_may_ask() -> None:
    assert KeyRing().identify({}).admin


def test_a_key_is_in_no_representation() -> None:
    assert ADA.sha256 not in repr(ADA)


def test_rates_are_counted_over_a_sliding_minute() -> None:
    clock = Clock()
    use = Use(ADA, clock)
    for _ in range(3):
        use.enter()
        clock.now += 10
    with pytest.raises(ApiError) as caught:
        use.enter()
    assert (caught.value.status, caught.value.retry_after) == (429, 30.0)
    assert use.headers()["x-ratelimit-remaining-requests"] == "0"
    clock.now += 30
    use.enter()


def test_tokens_are_counted_and_bound_the_next_run() -> None:
    clock = Clock()
    use = Use(Key("k", tokens_per_minute=100, tokens_per_day=150), clock)
    use.charge(80)
    assert use.tokens_left == 20
    use.charge(60)
    with pytest.raises(ApiError):
        use.enter()
    clock.now += 61
    use.enter()
    assert use.tokens_left == 10
    assert Use(Key("free"), clock).tokens_left is None


def test_a_window_says_when_it_is_below() -> None:
    window = Window(60.0)
    for t in (0.0, 20.0, 40.0):
        window.add(1, t)
    assert window.total(50.0) == 3
    assert window.until_below(2, 50.0) == 30.0
    assert window.until_below(5, 50.0) == 0.0
    assert window.total(61.0) == 2


def test_the_command_makes_a_key_that_the_file_takes(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["key", "ada"])
    file = tmp_path / "keys.toml"
    file.write_text(found.stdout)
    key = found.stderr.split()[-1]
    assert key not in found.stdout
    assert KeyRing(read_keys(file)).identify({"x-api-key": key}).name == "ada"
    assert new_key() != new_key()


@pytest.mark.parametrize(("text", "what"), [
    ("", "tables"), ("keys = 1", "tables"), ("[keys.a]\nsha256 = 'short'", "SHA-256"),
    (f"[keys.a]\nsha256 = '{'0' * 64}'\nrate = 5", "`rate`"),
    (f"[keys.a]\nsha256 = '{'0' * 64}'\nconcurrent = 0", "`concurrent`"),
    (f"[keys.a]\nsha256 = '{'0' * 64}'\nadmin = 1", "`admin`"), ("[keys", "TOML")])
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=what):
        read_keys(file)


def test_without_keys_only_this_machine_is_served() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.3.2.1"):
        check_open(host, keys=False, without=False)
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(UsageError, match="without keys"):
            check_open(host, keys=False, without=False)
        check_open(host, keys=True, without=False)
        check_open(host, keys=False, without=True)


@pytest.mark.anyio
async def test_keys_on_the_wire() -> None:
    settings = GatewaySettings(keys=(ADA, BOB))
    async with Upstream(ANSWER, key="engines-own") as upstream:
        engine = OpenAIEngine(upstream.url, key="engines-own", retries=0)
        async with serving(engine, settings) as served:
            for path in ("/health", "/ready", "/version"):
                assert (await served.get(path)).status == 200
            assert (await served.get("/v1/models")).status == 401
            refused = await served.chat()
            found = [await served.chat(AUTHORIZATION=f"Bearer {SECRET}") for _ in range(4)]
        await engine.aclose()
    assert refused.status == 401
    assert [f.status for f in found] == [200, 200, 200, 429]
    assert found[3].header("retry-after")
    assert found[0].header("x-ratelimit-remaining-requests") == "2"
    assert {info.key for info in served.seen.infos} == {"ada"}
    for headers in upstream.headers:
        assert headers["Authorization"] == "Bearer engines-own"
        assert SECRET not in str(headers)


@pytest.mark.anyio
async def test_a_key_reaches_its_own_requests_only() -> None:
    gate = anyio.Event()
    async with Upstream(Reply(ANSWER, gate=gate)) as upstream, before(
            upstream, GatewaySettings(keys=(ADA, BOB))) as served, (
            anyio.create_task_group()) as tasks:
        replies = []

        async def ask() -> None:
            replies.append(await served.chat(X_API_KEY=SECRET, X_REQUEST_ID="mine"))

        tasks.start_soon(ask)
        await upstream.until(lambda calls: calls.open == 1)
        other = await served.post("/v1/runs/mine/cancel", {}, X_API_KEY="another")
        gate.set()
    assert other.status == 404
    assert replies[0].status == 200
