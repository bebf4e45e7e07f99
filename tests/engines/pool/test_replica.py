"""When a replica has room for more."""

import pytest

from plait.engines.openai import OpenAIEngine
from plait.engines.pool.replica import LEAST, REST_SECONDS, SILENT_SECONDS, Replica
from plait.interfaces import Load
from plait.testing.upstream import Upstream


def replica() -> Replica:
    return Replica(OpenAIEngine("http://127.0.0.1:9"))


def test_once_full_it_needs_a_quarter_of_its_room_to_be_open_again() -> None:
    one = replica()  # tells no slots
    for _ in range(LEAST):
        assert not one.is_full(mean=1, now=0)
        one.begin(0)
    assert one.is_full(mean=1, now=0)
    states = []
    for _ in range(6):
        one.end()
        states.append(one.is_full(mean=1, now=0))
    assert states == [True, True, True, True, False, False]


def test_where_all_have_many_its_share_is_no_excess() -> None:
    one = replica()
    for _ in range(LEAST + 4):
        one.begin(0)
    assert not one.is_full(mean=LEAST + 4, now=0)
    assert one.is_full(mean=2, now=0)


@pytest.mark.anyio
async def test_its_slots_are_its_room() -> None:
    async with Upstream("x", dialect="llamacpp") as upstream:
        engine = OpenAIEngine(upstream.url)
        await engine.connect()
        one = Replica(engine)
        for _ in range(4):
            assert not one.is_full(mean=1, now=0)
            one.begin(0)
        assert one.is_full(mean=1, now=0)
        await engine.aclose()


def test_one_that_reports_waiting_requests_is_full() -> None:
    one = replica()
    one.load = Load(running=4, waiting=1)
    assert one.is_full(mean=0, now=0)
    one.load = Load(running=4, waiting=0)
    assert not one.is_full(mean=0, now=0)


def test_one_that_has_too_much_to_do_is_spared_for_as_long_as_it_asks() -> None:
    one = replica()
    one.spare(5.0, now=10)
    one.spare(None, now=10)
    assert one.is_full(mean=0, now=14.9)
    assert not one.is_full(mean=0, now=15.1)
    one.spare(None, now=20)
    assert one.is_full(mean=0, now=20 + REST_SECONDS / 2)


def test_one_whose_streams_have_gone_silent_gets_no_more() -> None:
    one = replica()
    one.begin(now=100)
    assert not one.is_full(mean=1, now=101)
    assert one.is_full(mean=1, now=101 + SILENT_SECONDS)
    one.heard(now=111)
    assert not one.is_full(mean=1, now=112)
    one.end()
    one.begin(now=500)  # nothing was silent in between: there was nothing
    assert not one.is_full(mean=1, now=501)
