"""Forking by tools over HTTP: the streams of real servers, calls cut anywhere."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from plait.core import Budget, Request, Result
from plait.core.events import Started, Wrote
from plait.engines.nano import NanoEngine
from plait.errors import EngineError
from plait.methods.calls import TOOLS
from plait.solve import solve
from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from plait.trace import Trace
from tests.engines.openai.help import served

pytestmark = pytest.mark.anyio
KINDS = ["vllm", "sglang", "llamacpp", "generic"]


def letters(value: object) -> list[str]:
    """The arguments of a call, a character a piece."""
    return list(json.dumps(value))


def is_thread(body: Mapping[str, Any]) -> bool:
    return bool(body["messages"][0]["role"] == "system")


def model(body: Mapping[str, Any]) -> Reply | str:
    """Spawns by two calls in one turn, joins all, answers."""
    if is_thread(body):
        return f"did {body['messages'][-1]['content']}"
    results = [m for m in body["messages"] if m["role"] == "tool"]
    if not results:
        return Reply("Splitting.", thoughts=("hm",), calls=[
            ("spawn_threads", letters({"tasks": [{"task": "a"}, "b"]})),
            ("spawn_threads", letters({"tasks": ["c"]}))])
    if len(results) == 2:
        return Reply("", calls=[("join_threads", ["{", "}"])])
    found = json.loads(results[-1]["content"])["results"]
    return ", ".join(r["result"] for r in found)


async def ask(engine: Any, trace: Trace | None = None, **budget: Any) -> Result:
    request = Request("Q?", budget=Budget(**budget))
    return await solve(request, engine=engine, method="tools", trace=trace)


@pytest.mark.parametrize("kind", KINDS)
async def test_parallel_calls_fork_and_join_on_every_server(kind: str) -> None:
    async with served(model, dialect=kind) as (upstream, engine):
        result = await ask(engine)
        assert result.answer == "did a, did b, did c"
        assert (result.threads, result.forks, result.depth, result.warnings) == (4, 1, 1, ())
        assert (result.method, result.fallback) == ("tools", None)
        assert (upstream.calls.finished, upstream.calls.open) == (6, 0)
        last = upstream.bodies[-1]["messages"]
    said = last[1]
    assert (said["role"], said["content"]) == ("assistant", "Splitting.")
    assert [c["id"] for c in said["tool_calls"]] == [m["tool_call_id"] for m in last[2:4]]
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {
        "tasks": [{"task": "a"}, "b"]}
    assert said.get("reasoning_content") == (None if kind == "generic" else "hm")


async def test_a_thread_works_while_the_call_that_starts_it_is_still_open() -> None:
    gate = anyio.Event()
    trace = Trace()

    def script(body: Mapping[str, Any]) -> Reply | str:
        if is_thread(body):
            return "done early"
        if any(m["role"] == "tool" for m in body["messages"]):
            return "42"
        pieces = ['{"tasks": ["first"', ', "second"', "]}"]
        return Reply("", calls=[("spawn_threads", pieces), ("join_threads", ["{}"])],
                     gate=gate, gate_after=4)

    async with served(script) as (upstream, engine), anyio.create_task_group() as tasks:
        tasks.start_soon(ask, engine, trace)
        await upstream.until(lambda calls: calls.finished == 1)  # the parent's is still open
        assert upstream.calls.open == 1
        gate.set()
    started = [e for e in trace.events if isinstance(e, Started)][1:]
    closed = next(e.t for e in trace.events if isinstance(e, Wrote) and e.text == "]}")
    assert started[0].t < closed
    assert started[0].at < started[1].at


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_takes_no_tools_answers_sequentially_and_says_why(kind: str) -> None:
    async with served("42", dialect=kind) as (upstream, engine):
        upstream.tools = False
        result = await ask(engine)
    assert (result.answer, result.threads) == ("42", 2)
    assert result.fallback is not None
    assert result.fallback.startswith("a request with tools was refused: ")
    assert "--tool-call-parser" in result.fallback
    assert result.warnings == (f"falling back to sequential reasoning: {result.fallback}",)


async def test_a_model_without_a_chat_template_answers_sequentially_and_says_why() -> None:
    async with served("42", template=False) as (_, engine):
        result = await ask(engine)
    assert (result.answer, result.fallback) == (
        "42", "a request with tools was refused: a model without a chat template can be offered"
        " no tools")


async def test_the_embedded_engine_refuses_tools_and_answers_sequentially() -> None:
    engine = NanoEngine()
    try:
        request = Request("Make 24 from 3, 5 and 9", budget=Budget(total_tokens=400))
        result = await solve(request, engine=engine, method="tools")
    finally:
        await engine.aclose()
    assert result.fallback == (
        "a request with tools was refused: the models of the embedded engine call no tools")


async def test_tools_are_offered_as_deep_as_threads_may_fork() -> None:
    async with served(model) as (upstream, engine):
        await ask(engine, depth=1)
        flat = [bool(b.get("tools")) for b in upstream.bodies]
        threads = [is_thread(b) for b in upstream.bodies]
        assert flat == [not t for t in threads]
        upstream.bodies.clear()
        await ask(engine, depth=2)
        assert all(b["tools"][0]["function"]["name"] == TOOLS[0].name for b in upstream.bodies)


async def test_the_turn_after_the_last_round_may_call_nothing() -> None:
    def script(body: Mapping[str, Any]) -> Reply | str:
        if body.get("tool_choice") == "none":
            return "42"
        return Reply("", calls=[("join_threads", "{}")])

    async with served(script) as (upstream, engine):
        result = await ask(engine, rounds=2)
        assert (result.answer, result.fallback) == ("42", None)
        assert [b.get("tool_choice") for b in upstream.bodies] == [None, None, "none"]
        assert upstream.bodies[-1]["tools"]


async def test_broken_arguments_go_back_as_an_empty_object_with_an_error() -> None:
    replies = [Reply("", calls=[("spawn_threads", ['{"tasks": [', '"a'])], finish="length"), "42"]
    async with served(replies) as (upstream, engine):
        result = await ask(engine)
        said, told = upstream.bodies[1]["messages"][-2:]
    assert result.answer == "42"
    assert said["tool_calls"][0]["function"]["arguments"] == "{}"
    assert "not valid JSON" in json.loads(told["content"])["error"]


async def test_a_stream_that_breaks_in_a_call_leads_to_the_fallback() -> None:
    def script(body: Mapping[str, Any]) -> Reply | str:
        if body.get("tools") and not is_thread(body):
            return Reply("", calls=[("spawn_threads", letters({"tasks": ["a"]}))], break_after=5)
        return "42"

    async with served(script) as (upstream, engine):
        result = await ask(engine)
        assert result.answer == "42"
        assert result.fallback is not None
        assert "broke" in result.fallback
        assert upstream.calls.open == 0


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
async def test_bytes_may_be_cut_anywhere(size: int) -> None:
    async with Upstream(model) as source:
        events: Sequence[bytes] = list(source._events(
            "/v1/chat/completions", model({"messages": [{"role": "user"}]}),  # type: ignore[arg-type]
            {"messages": [{"role": "user", "content": "Q?"}], "return_token_ids": True}))
    data = b"".join(events)
    cut = [data[i : i + size] for i in range(0, len(data), size)]

    def script(body: Mapping[str, Any]) -> Reply | str:
        first = not is_thread(body) and len(body["messages"]) == 1
        return Reply(raw=cut) if first else model(body)

    async with served(script) as (_, engine):
        assert (await ask(engine)).answer == "did a, did b, did c"


async def test_leaving_a_run_closes_all_its_requests() -> None:
    gate = anyio.Event()

    def script(body: Mapping[str, Any]) -> Reply:
        if is_thread(body):
            return Reply("never", gate=gate)
        done = any(m["role"] == "tool" for m in body["messages"])
        return Reply("", calls=[("join_threads", "{}") if done else
                                ("spawn_threads", letters({"tasks": ["a", "b"]}))])

    async with served(script) as (upstream, engine):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, engine)
            await upstream.until(lambda calls: calls.finished == 2 and calls.open == 2)
            tasks.cancel_scope.cancel()
        await upstream.until(lambda calls: calls.open == 0)
        assert upstream.calls.cancelled == 2


async def test_an_endpoint_that_is_not_there_is_one_clear_error() -> None:
    async with served("x") as (upstream, engine):
        upstream.hidden.add("/v1/chat/completions")
        with pytest.raises(EngineError):
            await ask(engine)
