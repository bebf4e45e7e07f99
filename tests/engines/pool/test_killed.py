"""A replica is killed in the middle of 50 forked runs on a pool of three: no run is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
import pytest

from plait.core import Message, Plan, Request, Result
from plait.core.events import Answered, Noted, Started, Wrote
from plait.engines.pool import PoolEngine
from plait.engines.pool.ring import order
from plait.solve import Runtime, solve
from plait.testing.upstream import Reply, Upstream
from plait.trace import Trace
from tests.engines.pool.help import pooled

RUNS = 50
BLOCK = ("<think>\n<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n"
         "</Outlines>")
THREADS = {n: f" thread {n} looks at one thing after the other and finds {n}</Thread>"
           for n in ("1", "2")}
END = "</Parallel>\n</think>\n3"


def weaver(body: Mapping[str, Any], gate: anyio.Event | None = None) -> Reply:
    """What a model that writes ThreadWeaver's format has still to write, wherever it stands.
    ``gate``: children wait for it in the middle of their texts."""
    _, _, prompt = body["prompt"].rpartition("<|assistant|>")
    *_, after = prompt.rpartition("</Thread>\n")
    if "</Thread>\n" in prompt and END.startswith(after):
        whole, begun = END, after
    elif found := re.search(r"<Thread>\n(\d):((?:(?!</Thread>).)*)\Z", prompt, re.DOTALL):
        whole, begun = THREADS[found[1]], found[2]
    else:
        whole, begun = BLOCK, prompt
    assert whole.startswith(begun), (whole, begun)
    return Reply(whole.removeprefix(begun), gate=gate if whole in THREADS.values() else None,
                 gate_after=3)


async def runs_on(pool: PoolEngine, traces: list[Trace]) -> list[Result]:
    """A run for each of ``traces``, all at once."""
    results: list[Result] = []

    async def one(number: int, runtime: Runtime) -> None:
        results.append(await solve(
            f"Question {number}", runtime=runtime, trace=traces[number], run_id=f"run-{number}",
            plan=Plan("native", "threadweaver")))

    async with Runtime(pool) as runtime, anyio.create_task_group() as tasks:
        for number in range(len(traces)):
            tasks.start_soon(one, number, runtime)
    return results


@pytest.mark.anyio
async def test_no_run_is_lost_and_nothing_is_doubled() -> None:
    async with pooled(3, weaver, retries=3) as (_, pool):
        calm = await runs_on(pool, [Trace()])
    traces = [Trace() for _ in range(RUNS)]
    gate = anyio.Event()
    async with pooled(3, partial(weaver, gate=gate), retries=3) as (upstreams, pool):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_busiest, upstreams, traces, gate)
            results = await runs_on(pool, traces)
        state = pool.state
        assert all(u.calls.open == 0 for u in upstreams.values())

    def told(found: list[Result]) -> set[tuple[object, ...]]:
        return {(r.answer, r.text, r.finish, r.fallback, r.threads, r.total_tokens,
                 r.critical_path_tokens, r.wasted_tokens) for r in found}

    assert len(results) == RUNS
    assert told(results) == told(calm)
    events = [event for trace in traces for event in trace.events]
    moved = [e for e in events if isinstance(e, Answered) and len(e.by) > 1]
    assert state.failovers == len(moved) > 5
    assert state.restarts == 0
    assert [s.ejections for s in state.replicas if s.out] == [1]
    notes = [e for e in events if isinstance(e, Noted) and "goes on with it" in e.what]
    assert len(notes) == len(moved)  # every move stands in the trace


async def kill_busiest(
    upstreams: dict[str, Upstream], traces: list[Trace], gate: anyio.Event
) -> None:
    """End the replica in the middle of many texts, once there are some; then let all go on."""
    while not gate.is_set():
        homes = Counter(order(f"run-{number}", upstreams)[0]
                        for number, trace in enumerate(traces) if in_a_text(trace))
        for url, texts in homes.most_common(1):
            if texts > 5:
                upstreams[url].drop_connections()
                await upstreams[url].stop()
                gate.set()
        await anyio.sleep(0.01)


def in_a_text(trace: Trace) -> bool:
    """Has a child's stream of this run brought something, and is it to bring more?"""
    open_: set[str] = set()
    for event in trace.events:
        if isinstance(event, Wrote) and event.thread != "0":
            open_.add(event.thread)
        elif isinstance(event, Answered):
            open_.discard(event.thread)
    return bool(open_)


@pytest.mark.anyio
async def test_a_child_whose_text_cannot_be_gone_on_with_is_begun_anew() -> None:
    """A plain server may answer the beginning of an answer instead of continuing it."""
    breaks = iter([2, 3])

    def chat(body: Mapping[str, Any]) -> Reply:
        assert body["messages"][-1]["role"] == "user"
        return Reply("I think it is\n\n42", break_after=next(breaks, None))

    trace = Trace()
    async with pooled(3, chat, dialect="generic") as (_, pool):
        result = await solve(Request(messages=(Message("user", "What is six times seven?"),)),
                             engine=pool, method="fixed", trace=trace)
        state = pool.state
    assert result.answer is not None
    assert "42" in result.answer
    assert (result.finish, result.fallback) == ("answered", None)
    assert (state.failovers, state.restarts) == (0, 2)
    assert sum(e.attempt for e in trace.events if isinstance(e, Started)) == 2
