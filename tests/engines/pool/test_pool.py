"""A pool behaves as one engine, whatever its replicas do."""

from __future__ import annotations

import anyio
import pytest

from plait.core import Chunk, Message, Prompt, Sampling
from plait.engines.pool import PoolEngine, members
from plait.engines.pool.call import MOST_MOVES
from plait.errors import (
    EngineError,
    EngineOverloaded,
    EngineRefused,
    EngineUnreachable,
    UsageError,
)
from plait.testing.upstream import Reply, Upstream
from tests.engines.openai.help import text_of
from tests.engines.pool.help import STORY, in_order, pooled, writer

ASK = Prompt("Tell me a story.\n")
CHAT = Prompt(messages=(Message("user", "Tell me a story."),))


async def chunks_of(
    pool: PoolEngine, prompt: Prompt = ASK, session: str = "run", **how: object
) -> list[Chunk]:
    async with pool.stream(prompt, Sampling(session=session, **how)) as stream:  # type: ignore[arg-type]
        return [chunk async for chunk in stream]


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [i for c in chunks for i in c.ids or ()]


# --- where a call goes ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_calls_of_a_run_go_to_one_replica_and_runs_to_all() -> None:
    async with pooled() as (upstreams, pool):
        for session in map(str, range(40)):
            for _ in range(2):
                (*_, last) = await chunks_of(pool, session=session)
                home = in_order(upstreams, session)[0]
                assert last.by == (home.url,)
        assert all(u.calls.started % 2 == 0 and u.calls.started for u in upstreams.values())
        headers = next(iter(upstreams.values())).headers[0]
        assert headers["X-Session-ID"] == headers["X-SMG-Routing-Key"]


@pytest.mark.anyio
async def test_what_a_full_replica_has_no_room_for_gathers_at_the_next() -> None:
    gate = anyio.Event()
    async with pooled(script=writer(gate=gate), dialect="llamacpp") as (upstreams, pool):
        first, second, third = in_order(upstreams, "run")
        async with anyio.create_task_group() as tasks:
            for _ in range(6):  # a replica has four slots
                tasks.start_soon(chunks_of, pool)
            await first.until(lambda calls: calls.open == 4)
            await second.until(lambda calls: calls.open == 2)
            gate.set()
        assert third.calls.started == 0


@pytest.mark.anyio
async def test_where_all_are_full_the_one_with_the_most_room_gets_the_next() -> None:
    gate = anyio.Event()
    async with pooled(2, writer(gate=gate), dialect="llamacpp") as (
            upstreams, pool), anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(chunks_of, pool)
        for upstream in upstreams.values():
            await upstream.until(lambda calls: calls.open == 6)
        gate.set()


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 503])
async def test_one_that_has_too_much_to_do_is_passed_by(status: int) -> None:
    async with pooled() as (upstreams, pool):
        busy, next_one, _ = in_order(upstreams, "run")
        busy.script = Reply(status=status, headers={"Retry-After": "30"})
        for _ in range(3):
            chunks = await chunks_of(pool)
            assert (text_of(chunks), chunks[-1].by) == (STORY, (next_one.url,))
        assert busy.calls.started == 1
        assert not any(s.out for s in pool.state.replicas)  # busy is not ill


@pytest.mark.anyio
async def test_one_that_reports_a_queue_is_passed_by() -> None:
    async with pooled() as (upstreams, pool):
        first, second, _ = in_order(upstreams, "run")
        first.metrics = "vllm:num_requests_running 4\nvllm:num_requests_waiting 2\n"
        assert (await chunks_of(pool))[-1].by == (second.url,)


@pytest.mark.anyio
async def test_where_all_have_too_much_to_do_the_caller_is_told() -> None:
    async with pooled(script=Reply(status=429, headers={"Retry-After": "90"})) as (_, pool):
        with pytest.raises(EngineOverloaded):
            await chunks_of(pool)


@pytest.mark.anyio
async def test_a_refusal_is_no_fault_of_the_replica_and_asked_of_no_other() -> None:
    async with pooled(script=Reply(status=400, error={"detail": "no"})) as (upstreams, pool):
        with pytest.raises(EngineRefused, match="no"):
            await chunks_of(pool)
        assert sum(u.calls.started for u in upstreams.values()) == 1
        assert not any(s.out for s in pool.state.replicas)


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_dead_replica_is_found_out_by_one_call_and_comes_back_when_it_answers(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled() as (upstreams, pool):
        await pool.connect()
        first, second, _ = in_order(upstreams, "run")
        await first.stop()
        for _ in range(3):
            assert (await chunks_of(pool))[-1].by == (second.url,)
        out = next(s for s in pool.state.replicas if s.out)
        assert (out.name, out.ejections) == (first.url, 1)
        assert "cannot connect" in out.why
        await first.listen(int(first.url.rpartition(":")[2]))
        assert (await chunks_of(pool))[-1].by == (second.url,)  # its rest is not over
        monkeypatch.setattr("plait.engines.pool.health.Health.is_due", lambda *_: True)
        assert (await chunks_of(pool))[-1].by == (first.url,)
        assert not any(s.out for s in pool.state.replicas)


@pytest.mark.anyio
async def test_one_that_comes_back_with_another_model_stays_out(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled() as (upstreams, pool):
        await pool.connect()
        first, second, _ = in_order(upstreams, "run")
        await first.stop()
        await chunks_of(pool)
        monkeypatch.setattr("plait.engines.pool.health.Health.is_due", lambda *_: True)
        async with Upstream(writer(), models=["other"]) as other:
            port = int(first.url.rpartition(":")[2])
            await other.stop()
            await other.listen(port)
            assert (await chunks_of(pool))[-1].by == (second.url,)
            assert "no longer serves `tiny`" in next(
                s.why for s in pool.state.replicas if s.name == first.url)


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp", "generic"])
@pytest.mark.parametrize("after", [0, 1, 2, 7, 15])
async def test_a_text_that_breaks_off_goes_on_elsewhere_as_if_nothing_had_been(
    dialect: str, after: int
) -> None:
    async with pooled(dialect=dialect) as (upstreams, pool):
        whole = await chunks_of(pool)
        first, second, third = in_order(upstreams, "run")
        first.script = writer(break_after=after)
        chunks = await chunks_of(pool)
        assert text_of(chunks) == text_of(whole) == STORY
        assert chunks[-1].finish == whole[-1].finish
        assert sum(c.tokens for c in chunks) == sum(c.tokens for c in whole)
        wrote = (first.url, second.url) if after else (second.url,)
        assert chunks[-1].by == wrote
        assert pool.state.failovers == (after > 0)
        assert third.calls.started == 0
        usage, before = chunks[-1].usage, whole[-1].usage
        assert usage is not None
        assert before is not None
        assert usage.generated == before.generated
        assert usage.prompt == before.prompt + (before.prompt + after if after else 0)
        if dialect in ("vllm", "sglang"):
            assert ids_of(chunks) == ids_of(whole)
            if after:  # token for token
                assert second.bodies[-1]["prompt"][-1] == first.token(
                    next(c.text for n, c in enumerate(chunks, 1) if n == after))


@pytest.mark.anyio
async def test_a_stop_that_lies_across_the_break_is_found() -> None:
    async with pooled() as (upstreams, pool):
        first, *_ = in_order(upstreams, "run")
        first.script = writer(break_after=5)  # Once there were three replicas|
        chunks = await chunks_of(pool, stop=("replicas <a>", "never"))
        assert text_of(chunks) == STORY[: STORY.index("<a>") + 3]
        assert (chunks[-1].finish, chunks[-1].stop) == ("stop", "replicas <a>")
        assert all(u.calls.open == 0 for u in upstreams.values())


@pytest.mark.anyio
async def test_a_chat_goes_on_where_the_beginning_of_an_answer_can_be_given() -> None:
    def chat(body: dict[str, object]) -> Reply:
        *_, last = body["messages"]  # type: ignore[misc]
        begun = last["content"] if last["role"] == "assistant" else ""
        return Reply(STORY.removeprefix(begun))

    def broken(body: dict[str, object]) -> Reply:
        return Reply(chat(body).text, break_after=6)

    async with pooled(script=chat) as (upstreams, pool):
        in_order(upstreams, "run")[0].script = broken
        assert text_of(await chunks_of(pool, CHAT)) == STORY
        assert in_order(upstreams, "run")[1].bodies[-1]["continue_final_message"] is True


@pytest.mark.anyio
async def test_a_chat_that_cannot_be_gone_on_with_is_left_to_be_begun_anew() -> None:
    for settings, reply in (
        ({"dialect": "generic"}, Reply(STORY, break_after=6)),  # it might answer the beginning
        ({"dialect": "vllm"}, Reply(STORY, thoughts=("Hm.",), break_after=6)),
    ):
        async with pooled(script=reply, **settings) as (_, pool):
            with pytest.raises(EngineUnreachable) as caught:
                await chunks_of(pool, CHAT)
            assert caught.value.retryable
            assert not caught.value.exhausted  # so that the scheduler begins the thread again
            assert (pool.state.failovers, pool.state.restarts) == (0, 1)


@pytest.mark.anyio
async def test_a_text_that_breaks_whoever_writes_it_is_given_up() -> None:
    async with pooled(5, writer(break_after=2)) as (upstreams, pool):
        with pytest.raises(EngineUnreachable) as caught:
            await chunks_of(pool)
        assert caught.value.exhausted
        assert sum(u.calls.started for u in upstreams.values()) == MOST_MOVES + 1


@pytest.mark.anyio
async def test_replicas_that_cannot_take_a_broken_text_are_no_breaks_of_it() -> None:
    """Nor do they count as calls that read the prompt."""
    async with pooled(6) as (upstreams, pool):
        whole = await chunks_of(pool)
        first, *between, last = in_order(upstreams, "run")
        first.script = writer(break_after=4)
        for upstream in between:
            upstream.script = Reply(status=502)
        chunks = await chunks_of(pool)
        assert text_of(chunks) == STORY
        assert chunks[-1].by == (first.url, last.url)
        assert pool.state.failovers == 1
        assert chunks[-1].usage is not None
        assert whole[-1].usage is not None
        assert chunks[-1].usage.prompt == 2 * whole[-1].usage.prompt + 4


@pytest.mark.anyio
async def test_behind_a_router_a_pool_of_one_goes_on_over_the_same_address(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.engines.openai.connect.FIRST_WAIT", 0.0)
    async with pooled(1, [writer(break_after=4)({"prompt": ""}), "x"], retries=1) as (ups, pool):
        (router,) = ups.values()
        replies = iter([writer(break_after=4), writer()])
        router.script = lambda body: next(replies)(body)
        chunks = await chunks_of(pool)
        assert text_of(chunks) == STORY
        assert chunks[-1].by == (router.url, router.url)
        assert pool.state.failovers == 1


@pytest.mark.anyio
async def test_leaving_a_stream_closes_it_and_frees_the_replica() -> None:
    gate = anyio.Event()
    async with pooled(script=writer(gate=gate, gate_after=2)) as (upstreams, pool):
        first, *_ = in_order(upstreams, "run")
        async with pool.stream(ASK, Sampling(session="run")) as stream:
            await anext(aiter(stream))
        await first.until(lambda calls: calls.cancelled == 1)
        assert all(r.streams == 0 for r in pool.replicas)


# --- one engine ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_replica_with_another_model_is_named() -> None:
    async with Upstream("x") as a, Upstream("x") as b, Upstream("x", models=["big"]) as odd:
        pool = PoolEngine(f"{a.url},{odd.url},{b.url}", retries=0)
        with pytest.raises(UsageError) as caught:
            await pool.connect()
        assert str(caught.value) == ("the replicas of a pool must serve one model: "
                                     f"{odd.url} serves `big`, the others `tiny`")
        await pool.aclose()


@pytest.mark.anyio
async def test_it_can_do_what_all_replicas_can() -> None:
    async with Upstream(writer(), window=2048) as a, Upstream(
            writer(), dialect="llamacpp", window=1024) as b:
        pool = PoolEngine(f"{a.url},{b.url}", retries=0)
        await pool.connect()
        can = pool.capabilities
        assert (can.window, can.token_ids, can.exact_counts, can.slots, can.server) == (
            1024, False, True, None, "mixed")
        for session in "abcdef":  # ids of one kind of server are not shown to the other
            assert all(c.ids is None for c in await chunks_of(pool, session=session))
        await pool.aclose()
    async with pooled(3, dialect="llamacpp") as (_, pool):
        await pool.load()
        assert (pool.capabilities.slots, pool.capabilities.server) == (12, "llamacpp")


@pytest.mark.anyio
async def test_loads_add_up_and_tags_are_counted_by_one_of_them() -> None:
    async with pooled() as (upstreams, pool):
        for number, upstream in enumerate(upstreams.values(), 1):
            upstream.metrics = (f"vllm:num_requests_running {number}\n"
                                f"vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.{number}")
        load = await pool.load()
        assert (load.running, load.waiting) == (6, 3)
        assert load.cache == pytest.approx(0.2)
        assert await pool.token_counts(["<a>", "two words"]) == [1, 2]


@pytest.mark.anyio
async def test_it_begins_with_those_that_answer_and_fails_where_none_does() -> None:
    async with pooled() as (upstreams, pool):
        away = in_order(upstreams, "run")[0]
        await away.stop()
        assert text_of(await chunks_of(pool)) == STORY
        assert [s.name for s in pool.state.replicas if s.out] == [away.url]
        for upstream in upstreams.values():
            await upstream.stop()
        with pytest.raises(EngineUnreachable):
            await chunks_of(pool)
        fresh = PoolEngine(",".join(upstreams), retries=0)
        with pytest.raises(EngineUnreachable, match="cannot connect"):
            await fresh.connect()
        await fresh.aclose()


@pytest.mark.anyio
async def test_a_probe_that_takes_too_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "PROBE_SECONDS", 0.05)
    async with pooled() as (upstreams, pool):
        await pool.connect()
        first, second, _ = in_order(upstreams, "run")
        health = pool._members.health
        now = anyio.current_time()
        health.broke(first.url, "gone", now, now)
        monkeypatch.setattr(type(health), "is_due", lambda *_: True)

        async def never(*_: object) -> str:
            await anyio.sleep_forever()
            raise AssertionError

        monkeypatch.setattr(members.Members, "_look", never)
        assert (await chunks_of(pool))[-1].by == (second.url,)
        assert "did not answer in time" in next(s.why for s in pool.state.replicas if s.out)


@pytest.mark.anyio
async def test_a_server_error_moves_the_call_on() -> None:
    async with pooled() as (upstreams, pool):
        first, second, _ = in_order(upstreams, "run")
        first.script = Reply(status=500, error={"detail": "out of memory"})
        assert (await chunks_of(pool))[-1].by == (second.url,)
        first.script = second.script = in_order(upstreams, "run")[2].script = Reply(status=500)
        with pytest.raises(EngineError, match="failed"):
            await chunks_of(pool)
