"""Runs the cases in order, each from a clean slate, and judges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

import aiohttp

from plait.testing.upstream import Upstream
from tests.conformance.gateway import cases as _cases  # noqa: F401 - registers them
from tests.conformance.gateway.case import ANSWER, CASES, Case, Desk, Fault, Need, Target
from tests.conformance.gateway.client import Client

PATIENCE = 30.0
"""A case that takes longer, in seconds, has failed: nothing in it is slow."""
SETTLE = 3.0
"""Seconds for the gateway to let go of what a case left behind."""

Result = Literal["pass", "fail", "not judged"]


@dataclass(frozen=True)
class Verdict:
    """How a case went. ``why``: the fault, what was measured, or why it was not judged."""

    case: Case
    result: Result
    why: str
    seconds: float


def missing(case: Case, target: Target, upstream: Upstream | None) -> str:
    """What the case needs and is not there; empty if all is."""
    there: dict[Need, bool] = {
        "upstream": upstream is not None,
        "parallel": target.parallel_model is not None,
        "key": target.key is not None,
        "deadline": target.deadline is not None,
    }
    said = {"upstream": "no upstream of ours behind it", "parallel": "makes one call a question",
            "key": "has no keys", "deadline": "has no deadline header"}
    return "; ".join(said[need] for need in sorted(case.needs) if not there[need])


async def judge(
    case: Case, target: Target, upstream: Upstream | None, patience: float = PATIENCE
) -> Verdict:
    """Run one case."""
    lacking = missing(case, target, upstream)
    if lacking:
        return Verdict(case, "not judged", lacking, 0.0)
    if upstream is not None:
        await clean(upstream)
    begin = time.perf_counter()
    result: Result = "fail"
    async with Client() as client:
        desk = Desk(target, client, upstream)
        try:
            async with asyncio.timeout(patience):
                await case.check(desk)
            result, why = "pass", desk.remark
        except Fault as fault:
            why = str(fault)
        except TimeoutError:
            why = f"no end within {patience:g} s"
        except (aiohttp.ClientError, ConnectionError) as error:
            why = f"the connection broke: {error!r}"
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            why = f"an answer in no known shape: {error!r}"  # whatever a server may send
    return Verdict(case, result, why, time.perf_counter() - begin)


async def clean(upstream: Upstream) -> None:
    """The upstream as new: nothing recorded, nothing open, the plain answer."""
    try:
        async with asyncio.timeout(SETTLE):
            await upstream.until(lambda calls: calls.open == 0)
    except TimeoutError:
        upstream.drop_connections()
        await asyncio.sleep(0.1)  # their handlers end
    upstream.script = ANSWER
    for record in (upstream.bodies, upstream.paths, upstream.headers, upstream.usages,
                   upstream.others):
        record.clear()
    upstream.calls.started = upstream.calls.finished = 0
    upstream.calls.refused = upstream.calls.failed = upstream.calls.cancelled = 0


async def run_all(
    target: Target, upstream: Upstream | None, *, only: Sequence[str] = ()
) -> AsyncIterator[Verdict]:
    """Every case (or those whose names begin with one of ``only``), in order."""
    for case in CASES:
        if not only or any(case.name.startswith(name) for name in only):
            yield await judge(case, target, upstream)


def stage() -> Upstream:
    """The server that stands behind the gateway under test."""
    upstream = Upstream(ANSWER, dialect="vllm")
    upstream.strict = True
    upstream.answers["/v1/embeddings"] = {
        "object": "list", "model": "tiny", "data": [
            {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    upstream.answers["/v1/rerank"] = {"results": [{"index": 0, "relevance_score": 0.5}]}
    return upstream
