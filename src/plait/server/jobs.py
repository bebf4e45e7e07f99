"""A request that is answered with plait: what is asked, of which model, how, and within what."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from plait.core import Request
from plait.interfaces import Engine
from plait.policy import PolicyFile
from plait.registry import AUTO
from plait.server.choosing import Choice, Thoughts
from plait.server.errors import invalid
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.watch import Endpoint, RunInfo
from plait.solve import Runtime

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


def make_job(
    gateway: Gateway, exchange: Exchange, body: Mapping[str, Any], choice: Choice,
    runtime: Runtime, request: Request, endpoint: Endpoint,
) -> Job:
    """``request`` as a job, within the client's deadline and what is left to its key."""
    request = _limited(gateway, exchange, fit_engine(request, runtime.engine))
    user, session = who(exchange, body)
    return Job(
        exchange.run, request, choice, runtime, endpoint,
        str(body.get("model") or runtime.engine.model), bool(body.get("stream")),
        choice.thoughts or gateway.settings.thoughts, int(time.time()), user, session,
        texts=body.get("store") is not False)


def who(exchange: Exchange, body: Mapping[str, Any]) -> tuple[str, str]:
    """The user and the conversation that a request names; empty where it names none."""
    user = body.get("user") or body.get("safety_identifier")
    session = exchange.headers.get("x-session-id") or body.get("prompt_cache_key")
    return (user if isinstance(user, str) else "", session if isinstance(session, str) else "")


def fit_engine(request: Request, engine: Engine) -> Request:
    """``request`` as the engine's model is best asked: the embedded one is greedy unless told
    otherwise."""
    served = engine.capabilities.server or engine.capabilities.chat
    if request.sampling.unsaid and not served:
        return replace(request, sampling=replace(request.sampling, temperature=0.0, unsaid=False))
    return request


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
    method, protocol, policy = choice.method, choice.protocol, choice.policy
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
    return RunInfo(
        job.run, job.runtime.engine.model, job.request.question, time.time(), job.endpoint,
        job.stream, exchange.key.name, job.user, job.session, job.runtime.engine.name,
        chosen["method"], chosen["protocol"], policy_name(chosen["policy"]), queued,
        turns=max(1, sum(m.role == "user" for m in job.request.messages)), texts=job.texts,
        experiment=job.choice.experiment, arm=job.choice.arm,
        temperature=None if sampling.unsaid else sampling.temperature,
        max_tokens=sampling.max_tokens, seed=job.request.seed,
        traceparent=exchange.headers.get("traceparent", ""))


def policy_name(policy: str | PolicyFile | None) -> str | None:
    """What a policy is called; None: that was left open."""
    return "file" if isinstance(policy, PolicyFile) else policy
