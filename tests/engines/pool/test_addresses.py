"""How the replicas of a pool are named and found."""

import socket

import anyio
import pytest

from plait.core import Prompt, Sampling
from plait.engines.pool import PoolEngine, addresses
from plait.engines.pool.addresses import Addresses
from plait.errors import EngineUnreachable, UsageError
from plait.registry import make_engine
from plait.testing.upstream import Upstream
from tests.engines.openai.help import text_of
from tests.engines.pool.help import writer


def test_replicas_are_named_one_by_one_or_by_a_name_for_all() -> None:
    assert Addresses.parse("http://a:1/v1, http://b:2;http://c").urls == (
        "http://a:1", "http://b:2", "http://c")
    named = Addresses.parse("dns:http://all.svc:8000/v1")
    assert named == Addresses(("http://all.svc:8000",), dns=True)


@pytest.mark.parametrize(("text", "why"), [
    ("", "no replicas"), (" , ", "no replicas"), ("a:1", "not the address of a server"),
    ("http://a,http://a/v1/", "twice"), ("dns:https://a", "https"), ("dns:", "not the address")])
def test_what_makes_no_sense_is_refused_with_a_hint(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        make_engine(f"pool:{text}")
    assert caught.value.hint


def found(*hosts: str) -> object:
    async def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET6 if ":" in h else socket.AF_INET, 1, 6, "", (h, port))
                for h in hosts]
    return look_up


@pytest.mark.anyio
async def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", found("10.0.0.1", "10.0.0.2", "10.0.0.1", "fd00::1"))
    known = await Addresses.parse("dns:http://me:secret@all.svc:8000/x").now()
    assert known == ("http://me:secret@10.0.0.1:8000/x", "http://me:secret@10.0.0.2:8000/x",
                     "http://me:secret@[fd00::1]:8000/x")


@pytest.mark.anyio
async def test_a_name_that_nobody_knows_is_an_engine_that_cannot_be_reached() -> None:
    pool = PoolEngine("dns:http://nowhere.invalid:1", retries=0)
    with pytest.raises(EngineUnreachable, match=r"cannot look up nowhere\.invalid"):
        await pool.connect()
    await pool.aclose()


@pytest.mark.anyio
async def test_the_name_is_looked_up_again_and_its_replicas_follow(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.engines.pool.members.LOOK_AGAIN", 0.0)
    async with Upstream(writer()) as old, Upstream(writer()) as new:
        names = {"http://old": old.url, "http://new": new.url}
        now = ["http://old"]

        async def look_up(url: str) -> tuple[str, ...]:
            if not now:
                raise EngineUnreachable("the name server is away")
            return tuple(names[name] for name in now)

        monkeypatch.setattr(addresses, "_look_up", look_up)
        pool = PoolEngine("dns:http://all.svc", retries=0)

        async def call() -> None:
            async with pool.stream(Prompt("Q\n"), Sampling(session="s")) as stream:
                assert text_of([chunk async for chunk in stream]).startswith("Once")

        await call()
        now[:] = ["http://old", "http://new"]
        for number in range(50):  # the new one is asked whether it is well, and takes its share
            async with pool.stream(Prompt("Q\n"), Sampling(session=f"s{number}")) as stream:
                [_ async for _ in stream]
        assert new.calls.finished > 5
        now[:] = ["http://new"]
        before = old.calls.started
        await call()
        now.clear()
        await call()  # what is known stays, if nobody answers
        assert old.calls.started == before
        assert [s.name for s in pool.state.replicas] == [new.url]
        await pool.aclose()
