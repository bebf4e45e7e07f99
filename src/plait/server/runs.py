"""One run on behalf of a client: admitted, watched, narrated, cancelled the moment nobody wants it.

All endpoints that answer with plait come through here; they differ in how they read a request and
how they write what comes of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from plait.core import Result, estimate_tokens
from plait.core.events import Answered, Asked, Wrote
from plait.errors import PlaitError
from plait.server.errors import cancelled, from_plait
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.jobs import Job, describe, how
from plait.server.narrate import Narrator, Piece
from plait.server.trials import shadow
from plait.server.watch import watching
from plait.solve import solve_stream
from plait.trace import Trace

Take = Callable[[list[Piece]], Awaitable[None]]
Finish = Literal["stop", "length", "content_filter"]


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
    shadow(gateway, info, job)
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
