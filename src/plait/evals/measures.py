"""One finished run -> one `Record`: counts by `plait.trace`, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plait.core import Result
from plait.core.events import Answered, Asked, Ended, Event, Started, Wrote
from plait.evals.values import Record, Score, Task
from plait.trace import Metrics, steps_by_width

ANSWER_LIMIT = 4000
"""Characters of an answer that a record keeps; the trace has all of it."""
READ_LIMIT = 500
"""Characters that it keeps of what the grader took for the answer, and of reasons."""
CUT = ("length", "window", "budget", "error")
"""How streams end whose text is not all that the model had to say."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in any currency; ``cached`` None: as much as ``prompt``."""

    prompt: float
    generated: float
    cached: float | None = None

    def of(self, prompt: int, cached: int, generated: int) -> float:
        """The price of so many tokens; ``cached`` ones are among ``prompt``."""
        rate = self.prompt if self.cached is None else self.cached
        return ((prompt - cached) * self.prompt + cached * rate + generated * self.generated) / 1e6


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a run by what happened in them, and what its requests were like.

    ``first``: requests were open, none had written yet; ``one``, ``many``: one thread was writing,
    or more; ``idle``: nothing was open. ``whole``: no stream was cut off. ``steps``: as in
    `Record`.
    """

    first: float
    one: float
    many: float
    idle: float
    longest_context: int
    whole: bool
    steps: tuple[tuple[int, int], ...] = ()

    @property
    def writing(self) -> float:
        """Seconds in which any thread was writing."""
        return self.one + self.many


def clean(text: str) -> str:
    """``text`` without lone surrogates, which no file can hold; they become question marks."""
    return text.encode("utf-8", "replace").decode()


def spent(events: Sequence[Event]) -> Spent:
    """What the events of a run say of its time."""
    open_, writing = set[str](), set[str]()
    first = one = many = idle = last = 0.0
    contexts: dict[str, int] = {}
    longest, whole = 0, True
    for event in events:
        passed, last = event.t - last, event.t
        if len(writing) > 1:
            many += passed
        elif writing:
            one += passed
        elif open_:
            first += passed
        else:
            idle += passed
        if isinstance(event, Wrote):
            writing.add(event.thread)
            contexts[event.thread] = contexts.get(event.thread, 0) + event.tokens
            longest = max(longest, contexts[event.thread])
        elif isinstance(event, Asked):
            open_.add(event.thread)
            contexts[event.thread] = event.context
            longest = max(longest, event.context)
        elif isinstance(event, Answered | Ended | Started):
            open_.discard(event.thread)
            writing.discard(event.thread)
            if isinstance(event, Answered):
                whole &= event.finish not in CUT
    return Spent(first, one, many, idle, longest, whole, tuple(steps_by_width(events).items()))


def make_record(
    task: Task, result: Result, metrics: Metrics, time: Spent, score: Score, prices: Prices | None
) -> Record:
    """The record of a task that was answered, or for which the model had no answer."""
    cost = None if prices is None else prices.of(
        metrics.prompt_tokens, metrics.cached_tokens, metrics.total_tokens)
    return Record(
        sample=task.sample.id, arm=task.arm.name, trial=task.trial, status="done",
        digest=task.sample.digest, mark=score.mark, group=task.sample.group,
        answer=None if result.answer is None else clean(result.answer[:ANSWER_LIMIT]),
        read=None if score.read is None else clean(score.read[:READ_LIMIT]),
        reason=clean(score.reason[:READ_LIMIT]), finish=result.finish, method=result.method,
        protocol=result.protocol,
        fallback=result.fallback, threads=metrics.threads, forks=metrics.forks,
        max_parallel=metrics.max_parallel, depth=metrics.depth,
        total_tokens=metrics.total_tokens, useful_tokens=metrics.useful_tokens,
        wasted_tokens=metrics.wasted_tokens, verification_tokens=metrics.verification_tokens,
        inserted_tokens=metrics.inserted_tokens, prompt_tokens=metrics.prompt_tokens,
        cached_tokens=metrics.cached_tokens, critical_path_tokens=metrics.critical_path_tokens,
        longest_context=time.longest_context, steps=time.steps, estimated=metrics.estimated,
        wall_seconds=metrics.wall_seconds, first_seconds=time.first, one_seconds=time.one,
        many_seconds=time.many, idle_seconds=time.idle, cost=cost,
        warnings=tuple(clean(w) for w in result.warnings))
