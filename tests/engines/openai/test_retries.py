"""What goes wrong before the first token may be tried again; afterwards nothing is."""

import anyio
import pytest

from plait.core import Prompt, Sampling
from plait.engines.openai import OpenAIEngine, connect
from plait.engines.openai.connect import Link, server_root
from plait.errors import (
    EngineError,
    EngineOverloaded,
    EngineRefused,
    EngineUnreachable,
    UsageError,
)
from plait.testing import run_virtual
from plait.testing.upstream import Reply, Upstream
from tests.engines.openai.help import chunks_of, served, text_of

NOW = {"Retry-After": "0"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "trouble",
    [Reply(status=429, headers=NOW), Reply(status=503, headers=NOW),
     Reply("one", break_after=0), Reply(raw=[b": nothing\n\n"]),
     Reply("one", error={"error": {"message": "m", "code": 500}})],
    ids=["429", "503", "broken", "empty", "error first"])
async def test_trouble_before_the_first_token_is_tried_again(
    trouble: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "FIRST_WAIT", 0.0)
    async with served([trouble, trouble, "one"], retries=2, dialect="vllm") as (upstream, engine):
        assert text_of(await chunks_of(engine)) == "one"
        assert upstream.calls.started == 3


@pytest.mark.anyio
async def test_pooled_connections_that_the_server_closed_are_passed_over() -> None:
    async with served("one", dialect="vllm") as (upstream, engine):
        for _ in range(3):
            assert text_of(await chunks_of(engine)) == "one"
            upstream.drop_connections()


@pytest.mark.anyio
async def test_attempts_are_bounded_and_the_last_error_is_raised() -> None:
    async with served(Reply(status=429, headers=NOW, error={"detail": "busy"}),
                      retries=2, dialect="vllm") as (upstream, engine):
        with pytest.raises(EngineOverloaded, match="busy") as caught:
            await chunks_of(engine)
        assert caught.value.retry_after == 0
        assert upstream.calls.refused == 3


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_a_refusal_is_final(status: int) -> None:
    refusal = Reply(status=status, error={"detail": "never"})
    async with served(refusal, retries=3, dialect="vllm") as (upstream, engine):
        with pytest.raises(EngineRefused, match="never"):
            await chunks_of(engine)
        assert upstream.calls.started == 1


@pytest.mark.anyio
async def test_after_the_first_token_nothing_is_tried_again() -> None:
    async with served(Reply("one two", break_after=1), retries=3,
                      dialect="vllm") as (upstream, engine):
        with pytest.raises(EngineUnreachable):
            await chunks_of(engine)
        assert upstream.calls.started == 1


@pytest.mark.anyio
async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    busy = Reply(status=429, headers={"Retry-After": "30"})
    async with served(busy, retries=3, dialect="vllm") as (upstream, engine):
        with anyio.fail_after(20), pytest.raises(EngineOverloaded) as caught:
            await chunks_of(engine)
        assert caught.value.retry_after == 30
        assert upstream.calls.started == 1


@pytest.mark.anyio
async def test_a_server_that_asks_for_endless_patience_gets_none() -> None:
    busy = Reply(status=503, headers={"Retry-After": "3600"})
    async with served(busy, retries=3, dialect="vllm") as (_, engine):
        with pytest.raises(EngineOverloaded):
            await chunks_of(engine)


@pytest.mark.anyio
async def test_nobody_at_the_address_is_unreachable() -> None:
    async with Upstream("x") as gone:
        pass
    engine = OpenAIEngine(gone.url, retries=0)
    with pytest.raises(EngineUnreachable, match="cannot connect") as caught:
        await chunks_of(engine)
    assert caught.value.exit_status == 3
    assert "\n" not in caught.value.line
    await engine.aclose()


def test_waits_double_up_to_their_cap_and_never_coincide() -> None:
    async def waits() -> list[float]:
        link = Link("http://host", retries=9)
        error = EngineUnreachable("gone")
        found = []
        for attempt in range(8):
            before = anyio.current_time()
            await link.pause(error, attempt)
            found.append(anyio.current_time() - before)
        return found

    found = run_virtual(waits)
    for attempt, wait in enumerate(found):
        full = min(8.0, 0.25 * 2**attempt)
        assert 0.75 * full <= wait <= full
    assert found[-1] != found[-2]


def test_what_the_server_asks_for_is_waited() -> None:
    async def waited() -> float:
        link = Link("http://host", retries=1)
        await link.pause(EngineOverloaded("busy", retry_after=7.0), 0)
        return anyio.current_time()

    assert run_virtual(waited) == 7.0


@pytest.mark.parametrize(
    ("url", "root"),
    [("http://host:8000", "http://host:8000"), ("http://host:8000/", "http://host:8000"),
     ("http://host:8000/v1", "http://host:8000"), ("http://host/v1/", "http://host"),
     ("https://host/openai/v1?x=1", "https://host/openai")])
def test_an_address_goes_with_or_without_v1(url: str, root: str) -> None:
    assert server_root(url) == root


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", ""])
def test_something_else_than_an_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        OpenAIEngine(url)
    with pytest.raises(UsageError):
        OpenAIEngine("http://host", dialect="klingon")  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_a_server_error_without_end_is_an_engine_error() -> None:
    async with served(Reply(status=500), dialect="vllm") as (_, engine):
        with pytest.raises(EngineError):
            async with engine.stream(Prompt("x"), Sampling()) as stream:
                await anext(aiter(stream))
