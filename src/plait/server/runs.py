"""One run on behalf of a client: admitted, watched, narrated, cancelled the moment nobody wants it.

All endpoints that answer with plait come through here; they differ in how they read a request and
how they write what comes of it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from plait.core import Request, Result, estimate_tokens
from plait.core.events import Answered, Asked, Wrote
from plait.errors import PlaitError
from plait.interfaces import Engine
from plait.policy import PolicyFile
from plait.registry import AUTO
from plait.server.choosing import Choice, Thoughts
from plait.server.errors import cancelled, from_plait, invalid
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.narrate import Narrator, Piece
from plait.server.watch import Endpoint, RunInfo, watching
from plait.solve import Runtime, solve_stream
from plait.trace import Trace

Take = Callable[[list[Piece]], Awaitable[None]]
Finish = Literal["stop", "length", "content_filter"]
DEADLINE = "x-plait-deadline"
"""Seconds that a request may take."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request that is answered with plait. ``model`` is the name by which the client asked."""

    run: str
    request: Request
    choice: Choice
    runtime: Runtime
    endpoint: Endpoint
    model: str
    stream: bool
    thoughts: Thoughts
    created: int
    user: str = ""
    session: str = ""
    texts: bool = True


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a run used, over all its calls. ``reasoning`` is the part of ``generated`` that is not
    in the answer."""

    prompt: int
    cached: int
    generated: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a job."""

    text: str
    finish: Finish
    tokens: Tokens
    result: Result


def new_run() -> str:
    """A name for a run."""
    return uuid.uuid4().hex[:24]


def deadline(exchange: Exchange) -> float | None:
    """The seconds that the client gives its request; None if it does not say. Raises `ApiError`."""
    given = exchange.headers.get(DEADLINE)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise invalid(f"the header {DEADLINE} is {given!r:.40} but must be seconds above 0")
    return seconds


def make_job(
    gateway: Gateway, exchange: Exchange, body: Mapping[str, Any], choice: Choice,
    runtime: Runtime, request: Request, endpoint: Endpoint,
) -> Job:
    """``request`` as a job, within the client's deadline and what is left to its key."""
    request = _limited(gateway, exchange, fit_engine(request, runtime.engine))
    user = body.get("user") or body.get("safety_identifier")
    session = exchange.headers.get("x-session-id") or body.get("prompt_cache_key")
    thoughts = choice.thoughts or gateway.settings.thoughts
    return Job(
        new_run(), request, choice, runtime, endpoint, str(body.get("model") or
                                                           runtime.engine.model),
        bool(body.get("stream")), thoughts, int(time.time()),
        user if isinstance(user, str) else "", session if isinstance(session, str) else "",
        texts=body.get("store") is not False)


def fit_engine(request: Request, engine: Engine) -> Request:
    """``request`` as the engine's model is best asked: the embedded one is greedy unless told
    otherwise."""
    if request.sampling.unsaid and not isinstance_served(engine):
        return replace(request, sampling=replace(request.sampling, temperature=0.0, unsaid=False))
    return request


def isinstance_served(engine: Engine) -> bool:
    """Is there a server behind ``engine``, with defaults of its own?"""
    return bool(engine.capabilities.server) or engine.capabilities.chat


def _limited(gateway: Gateway, exchange: Exchange, request: Request) -> Request:
    seconds, use = deadline(exchange), gateway.keys.use(exchange.key)
    budget = request.budget
    if seconds is not None:
        budget = replace(budget, seconds=min(seconds, budget.seconds or seconds))
    left = use.tokens_left if use is not None else None
    if left is not None:
        budget = replace(budget, total_tokens=min(left, budget.total_tokens or left))
    return replace(request, budget=budget)


def how(gateway: Gateway, choice: Choice) -> dict[str, Any]:
    """What `solve` is told of the way to answer: the client's word, else the server's."""
    settings = gateway.settings
    method, protocol = choice.method, choice.protocol
    policy: str | PolicyFile | None = choice.policy
    if method is None and policy is None:
        policy = settings.policy
        if not isinstance(policy, PolicyFile):
            method, protocol = settings.method, protocol or settings.protocol
    if protocol is None and method in (None, AUTO, "native") and policy in (None, AUTO):
        protocol = AUTO
    return {"method": method, "protocol": protocol, "policy": policy}


def describe(gateway: Gateway, exchange: Exchange, job: Job, queued: float) -> RunInfo:
    """What watchers are told of ``job`` when it begins."""
    sampling = job.request.sampling
    chosen = how(gateway, job.choice)
    policy = chosen["policy"]
    return RunInfo(
        job.run, job.runtime.engine.model, job.request.question, time.time(), job.endpoint,
        job.stream, exchange.key.name, job.user, job.session, job.runtime.engine.name,
        chosen["method"], chosen["protocol"],
        policy if policy is None or isinstance(policy, str) else "file", queued, job.texts,
        temperature=None if sampling.unsaid else sampling.temperature,
        max_tokens=sampling.max_tokens, seed=job.request.seed,
        traceparent=exchange.headers.get("traceparent", ""))


async def perform(gateway: Gateway, exchange: Exchange, job: Job, take: Take) -> Answer:
    """Answer ``job``; ``take`` is given what the client may be told, as it happens, and called once
    when the model begins to write, though there may be nothing to tell yet.

    Raises `ApiError`: refused, failed, or cancelled by somebody. A client that leaves cancels
    this from outside; then every call to the engine is closed before it returns.
    """
    use = gateway.keys.use(exchange.key)
    narrator, trace, begun = Narrator(job.thoughts), Trace(), False
    result: Result | None = None
    async with gateway.admission.place(exchange.key) as queued:
        info = describe(gateway, exchange, job, queued)
        try:
            with gateway.at_work(job.run, exchange) as active, active.scope, watching(
                    gateway.watchers, info) as watched:
                trace.subscribe(watched.event)
                async with solve_stream(
                        job.request, runtime=job.runtime, trace=trace, run_id=job.run,
                        **how(gateway, job.choice)) as events:
                    while batch := await events.batch():
                        pieces, first = narrator.take(batch), not begun and narrator.begun
                        begun |= first
                        if pieces or first:
                            await take(pieces)
                result = watched.result = events.result
        except PlaitError as error:
            asked = sum(isinstance(e, Asked) for e in trace.events)
            spent = asked > 1 or any(isinstance(e, Wrote) for e in trace.events)
            raise from_plait(error, spent=spent) from error
        finally:
            if use is not None:
                use.charge(sum(e.prompt + e.generated for e in trace.events
                               if isinstance(e, Answered)))
    if result is None:
        raise cancelled()
    return _answer(job, narrator, result, trace)


def _answer(job: Job, narrator: Narrator, result: Result, trace: Trace) -> Answer:
    text = "".join(narrator.answer)
    spoken = narrator.answer_tokens
    if text and not spoken:
        ids = job.runtime.engine.encode(text)
        spoken = len(ids) if ids is not None else estimate_tokens(text)
    tokens = Tokens(result.prompt_tokens, result.cached_tokens, result.total_tokens,
                    max(0, result.total_tokens - spoken))
    return Answer(text, _finish(result, trace), tokens, result)


def _finish(result: Result, trace: Trace) -> Finish:
    """Why the answer ends where it does."""
    if result.finish != "budget":
        return "stop"
    last = next((e for e in reversed(trace.events) if isinstance(e, Answered)), None)
    return "content_filter" if last is not None and last.finish == "filter" else "length"


def facts(answer: Answer, run: str) -> dict[str, object]:
    """The ``plait`` object of a reply: what the run did, for those who want to know."""
    result = answer.result
    return {
        "run": run, "finish": result.finish, "method": result.method, "protocol": result.protocol,
        "fallback": result.fallback, "threads": result.threads, "forks": result.forks,
        "max_parallel": result.max_parallel, "critical_path_tokens": result.critical_path_tokens,
        "total_tokens": result.total_tokens, "wasted_tokens": result.wasted_tokens,
        "estimated": result.estimated, "wall_seconds": round(result.wall_seconds, 6),
        "verified": result.verified, "correct": result.correct, "cost": result.cost,
        "reason": result.reason, "warnings": list(result.warnings)}
