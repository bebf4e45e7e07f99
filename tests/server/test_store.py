"""The store: everything of a run comes back, nothing that must not be kept is in the file, and a
file that grows too large shrinks again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from plait.core.events import RunEnded, Wrote
from plait.errors import UsageError
from plait.server.feedback import Feedback
from plait.server.store import Limits, RunFilter, RunRecord, Store, StoreSettings
from plait.server.store.base import unpack
from plait.server.watch import watching
from plait.testing import ScriptedEngine
from plait.trace import measure
from tests.server.watched import about, answered, made_up, play, result_of
from tests.woven import weaver

DAY = 86_400.0


def stored(path: Path, body: Callable[[Store], Any], settings: StoreSettings | None = None,
           now: Callable[[], float] = lambda: 1000.0) -> Any:
    """Run ``body`` on an open store."""

    async def main() -> Any:
        async with Store(path, settings, now=now) as store:
            return await body(store)

    return anyio.run(main)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite"


def test_a_run_comes_back_as_it_was(path: Path) -> None:
    async def body(store: Store) -> None:
        info = about(key="alice", user="u1", stream=True, policy="auto", queued=0.5)
        result, trace = await answered([store], info)
        await store.flush()
        assert tuple(await store.trace("r1")) == trace.events
        record = await store.run("r1")
        assert (record.state, record.answer, record.question) == ("answered", "3", "1+2?")
        assert (record.key, record.user, record.stream, record.queued) == ("alice", "u1", True, 0.5)
        assert (record.method, record.protocol, record.threads) == ("native", "threadweaver", 3)
        metrics = measure(trace.events)
        for name in ("total_tokens", "useful_tokens", "wasted_tokens", "prompt_tokens",
                     "cached_tokens", "critical_path_tokens", "inserted_tokens", "max_parallel"):
            assert getattr(record, name) == getattr(metrics, name)
        assert record.correct is None
        assert result.answer == record.answer

    stored(path, body)

    async def later(store: Store) -> RunRecord:
        return await store.run("r1")

    assert stored(path, later).state == "answered"


def test_a_live_run_can_be_followed_by_many_from_any_moment(path: Path) -> None:
    engine = ScriptedEngine(weaver, every=0.01)

    async def body(store: Store) -> None:
        followed: dict[float, list[Any]] = {}

        async def follow(after: float) -> None:
            await anyio.sleep(after)
            followed[after] = [event async for event in store.follow("r1")]

        async with anyio.create_task_group() as tasks:
            for after in (0.01, 0.05, 0.08, 0.5):
                tasks.start_soon(follow, after)
            _, trace = await answered([store], about(), engine)
        assert [tuple(events) for events in followed.values()] == [trace.events] * 4
        with pytest.raises(UsageError, match="there is no run `r2`"):
            _ = [event async for event in store.follow("r2")]

    stored(path, body)


def test_a_run_that_goes_on_can_be_looked_at(path: Path) -> None:
    async def body(store: Store) -> None:
        info = about()
        with watching([store], info) as watched:
            for event in made_up(info, "a", "b")[:6]:
                watched.event(event)
            assert [r.run for r in store.running()] == ["r1"]
            assert (await store.run("r1")).state == "running"
            assert len(await store.trace("r1")) == 6
            await store.flush()
            assert [r.state for r in (await store.runs()).runs] == ["running"]
        assert store.running() == []
        await store.flush()
        assert (await store.run("r1")).state == "failed"

    stored(path, body)


def test_lists_are_filtered_and_paged(path: Path) -> None:
    async def body(store: Store) -> None:
        for i in range(25):
            play([store], about(f"r{i}", model=f"m{i % 2}", key="k" if i < 5 else "",
                                started=1000.0 + i, question=f"Question {i}"),
                 answer="42" if i % 3 else None)
        play([store], about("shadow", shadow_of="r1", arm="B"))
        await store.add_feedback(Feedback("r7", rating=-1.0))
        await store.flush()

        async def names(limit: int = 50, **wanted: Any) -> list[str]:
            found: list[str] = []
            before = None
            while True:
                page = await store.runs(RunFilter(**wanted), limit=limit, before=before)
                assert len(page.runs) <= limit
                found += [r.run for r in page.runs]
                before = page.next
                if before is None:
                    return found

        everything = [f"r{i}" for i in reversed(range(25))]
        assert await names() == await names(limit=4) == await names(limit=25) == everything
        assert await names(model="m0") == [n for n in everything if int(n[1:]) % 2 == 0]
        assert await names(limit=3, model="m0", state="failed") == ["r24", "r18", "r12", "r6", "r0"]
        assert await names(key="k") == ["r4", "r3", "r2", "r1", "r0"]
        assert await names(since=1010.0, until=1012.0) == ["r11", "r10"]
        assert await names(rated=True) == ["r7"]
        assert await names(contains="QUESTION 2") == ["r24", "r23", "r22", "r21", "r20", "r2"]
        assert await names(fallback=True) == []
        assert (await names(shadows=True))[0] == "shadow"

    stored(path, body)


def texts_in(path: Path) -> str:
    """Everything in the file that is text, events unpacked."""
    base = sqlite3.connect(path)
    found = [str(row) for table in ("runs", "texts", "feedback")
             for row in base.execute(f"SELECT * FROM {table}")]
    found += [str(unpack(data)) for (data,) in base.execute("SELECT data FROM events")]
    base.close()
    return "\n".join(found)


def test_switched_off_texts_leave_the_numbers_only(path: Path) -> None:
    async def body(store: Store) -> None:
        _, trace = await answered([store], about(user="Ada Byron", question="1+2?"))
        await store.add_feedback(Feedback("r1", rating=1.0, comment="words", answer="words"))
        await store.flush()
        kept = await store.trace("r1")
        assert measure(kept) == measure(trace.events)
        assert [type(e) for e in kept] == [type(e) for e in trace.events]
        assert (await store.feedback("r1"))[0].rating == 1.0

    stored(path, body, StoreSettings(texts="off"))
    found = texts_in(path)
    for text in ("1+2?", " one<", " two<", "Outline", "Ada", "Byron", "words", "'3'"):
        assert text not in found
    raw = b"".join(p.read_bytes() for p in path.parent.iterdir())
    assert b"1+2?" not in raw
    assert b"Ada" not in raw


def test_one_request_can_switch_its_texts_off(path: Path) -> None:
    async def body(store: Store) -> None:
        await answered([store], about("secret", question="private 1", texts=False))
        await answered([store], about("open", question="public 1"))
        await store.flush()

    stored(path, body)
    found = texts_in(path)
    assert "private 1" not in found
    assert "public 1" in found


def test_what_looks_private_is_replaced_also_where_chunks_cut_it(path: Path) -> None:
    words = ["Mail ", "ada", "@exa", "mple.org or call +49 30 ", "1234 5678", ", card 4111 1111 ",
             "1111 1111, key sk-", "abcdefghijklmnop1234", ", host 10.0.", "12.7, order 20240501."]
    wanted = "Mail [email] or call [phone], card [card], key [key], host [ip], order 20240501."

    async def body(store: Store) -> None:
        info = about(question="I am ada@example.org")
        events = play([store], info, *words, answer="Write to ada@example.org")
        await store.flush()
        kept = await store.trace("r1")
        assert "".join(e.text for e in kept if isinstance(e, Wrote)) == wanted
        assert measure(kept) == measure(events)
        record = await store.run("r1")
        assert (record.question, record.answer) == ("I am [email]", "Write to [email]")
        assert next(e for e in kept if isinstance(e, RunEnded)).answer == "Write to [email]"

    stored(path, body, StoreSettings(texts="redact"))
    assert "ada" not in texts_in(path)


def test_a_call_that_is_cut_off_keeps_its_redacted_text(path: Path) -> None:
    async def body(store: Store) -> None:
        info = about()
        with watching([store], info) as watched:
            for event in made_up(info, "hello ", "ada@example.org")[:6]:
                watched.event(event)
            watched.event(RunEnded(2.0, "failed", None, None, "sequential", None))
        await store.flush()
        assert "".join(e.text for e in await store.trace("r1") if isinstance(e, Wrote)) == (
            "hello [email]")

    stored(path, body, StoreSettings(texts="redact"))


def test_patterns_of_the_operators_own_are_taken_out_too(path: Path) -> None:
    async def body(store: Store) -> str | None:
        play([store], about(question="Project Condor is late"))
        return (await store.run("r1")).question

    rule = StoreSettings(texts="redact", private=("[Cc]ondor",))
    assert stored(path, body, rule) == "Project [private] is late"
    with pytest.raises(UsageError, match="`\\(` is no regular expression"):
        Store(path, StoreSettings(private=("(",)))


def test_old_runs_are_forgotten_with_all_that_belongs_to_them(path: Path) -> None:
    now = [1000.0]

    async def body(store: Store) -> None:
        play([store], about("old", started=1000.0))
        await store.add_feedback(Feedback("old", comment="bad"))
        play([store], about("new", started=1000.0 + 2 * DAY))
        now[0] = 1000.0 + 3.5 * DAY
        await store.flush()
        assert [r.run for r in (await store.runs()).runs] == ["new"]
        with pytest.raises(UsageError, match="there is no run `old`"):
            await store.trace("old")

    stored(path, body, StoreSettings(limits=Limits(days=3)), now=lambda: now[0])
    assert "bad" not in texts_in(path)
    base = sqlite3.connect(path)
    (left,) = base.execute("SELECT count(DISTINCT number) FROM events").fetchone()
    assert left == 1


def test_a_store_that_grows_too_large_gives_its_space_back(path: Path) -> None:
    noise = [f"{i * 7919 % 99991:x} " for i in range(400)]
    limit = 300_000

    def size() -> int:
        return path.stat().st_size

    async def body(store: Store) -> None:
        largest = 0
        for i in range(80):
            play([store], about(f"r{i}", question="q" * 500), *noise)
            if i % 10 == 9:
                await store.flush()
                largest = max(largest, size())
                assert size() <= limit
        runs = (await store.runs(limit=1000)).runs
        assert 10 < len(runs) < 80
        assert runs[0].run == "r79"
        assert len(await store.trace(runs[-1].run)) > 400
        assert largest > limit / 2

    stored(path, body, StoreSettings(limits=Limits(size=limit)))
    assert size() <= limit


def test_one_gateway_at_a_time(path: Path) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(UsageError, match="another gateway writes to the store"):
            Store(path)

    stored(path, body)
    stored(path, lambda store: store.runs())


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 50,
                                     b"SQLite"])
def test_a_file_that_is_no_store_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no store of plait"):
        Store(path)
    assert path.read_bytes() == content


def test_another_programs_database_and_another_version_are_refused(path: Path) -> None:
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE theirs (x)")
    base.close()
    with pytest.raises(UsageError, match="is no store of plait"):
        Store(path)
    path.unlink()
    stored(path, lambda store: store.runs())
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(UsageError, match="is of version 99"):
        Store(path)
    with pytest.raises(UsageError, match="cannot write the store"):
        Store(path / "below")


def test_a_database_that_is_held_up_holds_up_nobody(path: Path) -> None:
    async def body(store: Store) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        slowest = 0.0
        for i in range(50):
            began = time.perf_counter()
            play([store], about(f"r{i}"), *["word "] * 50)
            slowest = max(slowest, time.perf_counter() - began)
            await anyio.sleep(0.005)
        other.execute("COMMIT")
        other.close()
        await store.flush()
        assert slowest < 0.25
        assert len((await store.runs(limit=100)).runs) == 50
        assert len(await store.trace("r49")) == 50 + 8

    stored(path, body)


def test_a_second_run_by_the_same_name_does_not_touch_the_first(path: Path) -> None:
    async def body(store: Store) -> None:
        events = play([store], about(question="first"))
        await store.flush()
        play([store], about(question="second"), "more", "words")
        await store.flush()
        assert (await store.run("r1")).question == "first"
        assert await store.trace("r1") == events
        play([store], about("r2"))
        await store.flush()
        assert (await store.run("r2")).state == "answered"

    stored(path, body)


def test_events_beyond_what_can_wait_are_dropped_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.server.store.store.FULL", 20)

    async def body(store: Store) -> None:
        play([store], about(), *["word "] * 100)
        await store.flush()
        record = await store.run("r1")
        assert record.incomplete
        assert record.total_tokens == 100
        assert len(await store.trace("r1")) < 60

    stored(path, body)


def test_records_are_json(path: Path) -> None:
    async def body(store: Store) -> RunRecord:
        events = play([store], about())
        assert result_of(events).answer == "42"
        return await store.run("r1")

    record = stored(path, body)
    assert replace(record, **record.as_dict()) == record
