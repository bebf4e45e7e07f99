"""The whole story on one page: request -> plan -> method -> result, with the fallback.

    request --policy--> plan --engine.open--> opening --method on the root thread--> outcome
       a parallel plan without a whole answer: sequential reasoning on what is left --> outcome
    trace --metrics--> result
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Literal

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from plait import puzzles
from plait.core import EngineProfile, Outcome, Plan, Price, Request, Result
from plait.core.events import Decided, Event, Noted, Role, RunEnded, RunStarted
from plait.deciding import decide_how, heed
from plait.errors import EngineError, EngineOverloaded, PlaitError, UsageError
from plait.fit import examine
from plait.interfaces import ChildSpec, Engine, Method, Opening, Thread
from plait.methods import offer
from plait.policy import BRANCHING, Breaker, Decision, History, PolicyFile
from plait.policy.breaker import fate_of
from plait.protocols import Facts, has_system, prepare, read_answer
from plait.registry import find_protocol, make_engine, make_method
from plait.scheduler import Limiter, Run
from plait.scheduler.ledger import FALLBACK_SHARE
from plait.trace import Metrics, Trace, measure
from plait.version import VERSION

Profiles = Callable[[str], EngineProfile | None]
"""The name of a model -> what is kept of it on one engine."""


class Runtime:
    """Engines and the limiter that all requests share. Use as ``async with Runtime(...) as rt``.

    ``engine`` is a name (see `plait.registry.make_engine`) or an engine; engines given as objects
    are the caller's to close. ``roles`` lets other engines serve some roles (planner, worker,
    merger, judge): engines, or pairs of an engine's name and its model's. ``breaker`` switches off
    methods that keep failing (`plait.policy.breaker`); None: none is. ``streams``: how many the
    engine bears at once, from the start and at most; None: what it says, else found out.
    ``branching``: who starts a request's threads beside its first one: ``load`` (as there is room
    for them, `plait.policy.admit`), ``eager`` (all at once), ``off`` (one after the other).
    ``profiles`` gives what is kept of a model of this engine (`plait engine check`), for policies
    and, until streams have shown it, for how long a step takes. Raises `UsageError`.
    """

    def __init__(  # noqa: PLR0913 - what requests may share
        self,
        engine: str | Engine = "nano",
        *,
        model: str | None = None,
        roles: Mapping[Role, Engine | tuple[str, str | None]] | None = None,
        prices: Mapping[str, Price] | None = None,
        breaker: Breaker | None = None,
        streams: int | None = None,
        branching: str = "load",
        profiles: Profiles | None = None,
    ) -> None:
        if branching not in BRANCHING:
            raise UsageError(f"`branching` is {branching!r:.60} but must be one of"
                             f" {', '.join(BRANCHING)}")
        self.profiles = profiles
        self.prices = prices or {}
        self.breaker = breaker
        self._owned: list[Engine] = []
        self.engine = self._own(engine, model) if isinstance(engine, str) else engine
        self.engines: dict[Role, Engine] = {
            role: self._own(*given) if isinstance(given, tuple) else given
            for role, given in (roles or {}).items()}
        self.engines["thread"] = self.engine
        self._streams = streams
        self.limiter = (Limiter(branching=branching) if streams is None else
                        Limiter(start=streams, ceiling=streams, branching=branching))

    def beside(self, engine: Engine) -> Runtime:
        """The same for ``engine``, another model of the same server: limiter, roles and prices
        are shared. The engine is the caller's to close."""
        other = Runtime(engine, roles={r: e for r, e in self.engines.items() if r != "thread"},
                        prices=self.prices, breaker=self.breaker, profiles=self.profiles)
        other.limiter = self.limiter
        return other

    @property
    def profile(self) -> EngineProfile | None:
        """What is kept of the engine and its model, unless that has become another one since."""
        found = None if self.profiles is None else self.profiles(self.engine.model)
        now = self.engine.capabilities
        return found if found and (found.kind, found.window) == (now.server, now.window) else None

    async def __aenter__(self) -> Runtime:
        load = await self.engine.load()  # a server tells what it can do only when it is asked
        try:
            profile = self.profile
        except PlaitError:  # what is kept cannot be read
            await self.__aexit__(None, None, None)
            raise
        slots = self.engine.capabilities.slots or (profile.slots if profile else None)
        if slots is not None and self._streams is None:
            self.limiter = Limiter(start=slots, branching=self.limiter.branching)
        if profile is not None:
            self.limiter.pace.expect(profile.step_seconds)
        self.limiter.heard(load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            for engine in self._owned:
                await engine.aclose()

    def _own(self, name: str, model: str | None) -> Engine:
        engine = make_engine(name, model)
        self._owned.append(engine)
        return engine


async def solve(  # noqa: PLR0913 - what a caller may choose
    question: str | Request,
    *,
    engine: str | Engine = "nano",
    runtime: Runtime | None = None,
    method: str | Method | None = None,
    protocol: str | None = None,
    policy: str | PolicyFile | None = None,
    history: History | None = None,
    plan: Plan | None = None,
    trace: Trace | None = None,
    run_id: str | None = None,
) -> Result:
    """Answer ``question`` and say what it took.

    ``method`` and ``protocol`` are names, None to let the policy choose; a `Method` object runs
    as given. The protocol ``auto`` is the one that the served model is known to write; where none
    is known a warning says so, and the answer is sequential. ``policy`` names who decides (see
    `plait.policy.decide`), or is what a policy file holds, which leaves no room for a method or
    protocol; ``history`` is what is known of similar requests; ``plan`` is a decision
    that was made already. ``runtime`` is shared between calls; without one, ``engine`` serves this
    call only. ``run_id`` is what the trace calls the run; drawn if None.
    Raises `UsageError` for what makes no sense and `EngineError` when the engine cannot answer.
    """
    request = Request(prompt=question) if isinstance(question, str) else question
    if runtime is None:
        async with Runtime(engine) as own:
            return await solve(request, runtime=own, method=method, protocol=protocol,
                               policy=policy, history=history, plan=plan, trace=trace,
                               run_id=run_id)
    remark = ""
    chosen, name = (None, method) if method is None or isinstance(method, str) else (method, None)
    if plan is None and chosen is not None:
        plan = Plan(type(chosen).__name__.lower(), protocol, reason="given as an object")
    decision: Decision | None = None
    if plan is None:
        request, decision, remark = await decide_how(runtime.engine, request, name, protocol,
                                                     policy, history, runtime.profile,
                                                     runtime.limiter.pace.step)
        decision = heed(decision, runtime.breaker, runtime.engine.model, anyio.current_time())
        plan = decision.plan
    trace = Trace() if trace is None else trace
    if chosen is not None:
        return await _run(runtime, request, plan, chosen, trace, run_id=run_id)
    facts = find_protocol(plan.protocol).facts if plan.protocol is not None else None
    return await _run(runtime, request, plan, make_method(plan, request.directions),
                      trace, facts, (decision, remark), run_id)


def solve_sync(question: str | Request, **options: object) -> Result:
    """`solve` for programs that are not asynchronous; takes the same options."""

    async def call() -> Result:
        return await solve(question, **options)  # type: ignore[arg-type]

    return anyio.run(call)


class EventStream:
    """What `solve_stream` gives: an iterator over trace events, then the result."""

    def __init__(self, source: MemoryObjectReceiveStream[Event]) -> None:
        self._source = source
        self.result: Result | None = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._source

    async def batch(self) -> list[Event]:
        """All events that have happened by now, at least one; empty when the run is over. What a
        run does without waiting comes in one batch."""
        events: list[Event] = []
        try:
            events.append(await self._source.receive())
            while True:
                events.append(self._source.receive_nowait())
        except (anyio.EndOfStream, anyio.WouldBlock):
            return events


@asynccontextmanager
async def solve_stream(question: str | Request, **options: object) -> AsyncIterator[EventStream]:
    """Answer ``question`` live: ``async with solve_stream(...) as events``, then iterate over it.

    Thoughts come as `Wrote` as they are generated, the answer as `Committed`, once and for good.
    Leaving the block cancels whatever still runs. Takes the options of `solve`.
    """
    trace = options.pop("trace", None)
    if not isinstance(trace, Trace):
        trace = Trace()
    send, receive = anyio.create_memory_object_stream[Event](max_buffer_size=float("inf"))
    unsubscribe = trace.subscribe(send.send_nowait)
    stream = EventStream(receive)
    failure: PlaitError | None = None

    async def work() -> None:
        nonlocal failure
        with send:
            try:
                stream.result = await solve(question, trace=trace, **options)  # type: ignore[arg-type]
            except PlaitError as error:  # carried out of the task group
                failure = error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        try:
            with receive:
                yield stream
        finally:
            unsubscribe()
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _run(  # noqa: PLR0913 - the whole story
    runtime: Runtime, request: Request, plan: Plan, method: Method, trace: Trace,
    facts: Facts | None = None, decided: tuple[Decision | None, str] = (None, ""),
    run_id: str | None = None,
) -> Result:
    """One request from its plan to its result. ``facts``: of the format that is driven;
    ``decided``: where the plan came from, and how the format was found out, or why it was not."""
    decision, remark = decided
    engine = runtime.engine
    _check_prices(runtime, request)
    opening = await _open(engine, request, plan, facts)
    misfits = (await examine(engine, facts, request.sampling)).warnings if facts else ()
    plan = replace(plan, early_stop=plan.early_stop or opening.early_stop)
    run = Run(request, plan, runtime.engines, runtime.limiter, trace.emit,
              run_id or uuid.uuid4().hex[:12], runtime.prices)
    _begin(trace, run, engine, decision)
    fallback = (decision.instead or None) if decision is not None else None

    async def body(root: Thread) -> Outcome:
        nonlocal fallback
        if remark:
            root.note(remark, warning=facts is None)
        for warning in misfits:
            root.note(warning, warning=True)
        outcome = await _attempt(root, request, plan, method, opening)
        whole = outcome.ok and outcome.value is not None
        best = root.proposed is not None and outcome.value == root.proposed
        if plan.method != "sequential" and not (whole or best):
            fallback = _why(outcome, run)
            root.note(f"falling back to sequential reasoning: {fallback}", warning=True)
            second = await _fall_back(root, request, plan, engine)
            if second.ok or outcome.value is None:
                outcome = second
        if outcome.value is not None:
            root.commit(outcome.value.removeprefix(run.committed))
        return outcome

    outcome: Outcome | None = None
    correct: bool | None = None
    try:
        outcome = await run.execute(opening.prompt, body)
        correct = puzzles.check(request.question, outcome.value)
    finally:
        finish = _finish(outcome)
        trace.emit(RunEnded(run.now(), finish, outcome.value if outcome else None, correct,
                            plan.method, fallback))
        _record(runtime, run, outcome, fallback)
    if outcome.status == "failed" and run.errors:
        raise run.errors[-1]
    warnings = [e.what for e in trace.events if isinstance(e, Noted) and e.warning]
    metrics = measure(trace.events)
    if facts and facts.mismatch and metrics.forks:
        warnings.insert(0, facts.mismatch)
    if facts and facts.system and not metrics.forks and has_system(request):
        warnings.append(f"the model never forked: {facts.title} is switched on by a system message,"
                        " and the request has its own")
    result = _result(metrics, outcome, plan, fallback, correct, tuple(dict.fromkeys(warnings)))
    return replace(result, cost=_cost(runtime, run))


def _begin(trace: Trace, run: Run, engine: Engine, decision: Decision | None) -> None:
    """What is asked of whom, and who decided that."""
    request, plan = run.request, run.plan
    trace.emit(RunStarted(0.0, run.id, request.question, engine.name, engine.model, plan.method,
                          plan.protocol, request.seed, request.budget.limits()))
    if decision is not None:
        trace.emit(Decided(0.0, "0", decision.policy, plan.method, decision.why, decision.inputs))


def _record(runtime: Runtime, run: Run, outcome: Outcome | None, fallback: str | None) -> None:
    """Tell the breaker how a run ended, while what ended it is still the current exception."""
    if runtime.breaker is not None:
        cancelled = isinstance(sys.exception(), anyio.get_cancelled_exc_class())
        runtime.breaker.record(run.plan.method, runtime.engine.model,
                               fate_of(outcome, fallback, cancelled=cancelled),
                               run.began, anyio.current_time())


def _why(outcome: Outcome, run: Run) -> str:
    """Why a parallel attempt gave no answer."""
    why = outcome.reason or outcome.status
    if run.errors and isinstance(run.errors[-1], EngineOverloaded):
        return f"the engine is overloaded: {why}"
    return why


def _check_prices(runtime: Runtime, request: Request) -> None:
    """Raise `UsageError` if a model that may be used has no price to keep a budget by."""
    for engine in runtime.engines.values():
        if request.budget.cost is not None and engine.model not in runtime.prices:
            raise UsageError(f"a budget of cost needs a price for the model `{engine.model}`",
                             hint=f'Say prices = "{engine.model}=PROMPT/GENERATED", per million'
                                  " tokens.")


def _cost(runtime: Runtime, run: Run) -> float | None:
    """What the run cost; None if its models have no prices."""
    priced = any(e.model in runtime.prices for e in runtime.engines.values())
    return run.purse.spent if priced else None


async def _open(
    engine: Engine, request: Request, plan: Plan, facts: Facts | None
) -> Opening:
    """The opening, with what switches the method or the format on, and read as that says."""
    if facts is None:
        opening = await engine.open(request, plan.protocol)
        return offer(opening, request) if plan.method == "tools" else opening
    opening = await engine.open(prepare(request, facts), plan.protocol)
    if facts.answer is None:
        return opening
    return replace(opening, read=lambda text: read_answer(text, facts), live=None)


async def _attempt(
    root: Thread, request: Request, plan: Plan, method: Method, opening: Opening
) -> Outcome:
    """Run the method; an engine that fails it, or time that runs out, is an outcome as long as
    there is still something to fall back to."""
    seconds = request.budget.seconds
    if plan.method == "sequential":
        return await method.run(root, request, plan, opening)
    if seconds is not None:
        seconds *= 1 - FALLBACK_SHARE
    try:
        with anyio.move_on_after(seconds):
            return await method.run(root, request, plan, opening)
    except EngineError as error:
        return Outcome("failed", root.text, reason=str(error))
    root.note("the time is up", warning=True)
    if root.proposed is not None:
        return Outcome("budget", root.proposed, root.proposed, "seconds")
    return Outcome("budget", root.text, opening.read(root.text), "seconds")


async def _fall_back(root: Thread, request: Request, plan: Plan, engine: Engine) -> Outcome:
    """Plain sequential reasoning, as a thread of its own, on what is left of the budget."""
    method = make_method(Plan("sequential"))
    opening = await engine.open(request, None)

    async def body(thread: Thread) -> Outcome:
        return await method.run(thread, request, plan, opening)

    spec = ChildSpec("spawn", prompt=opening.prompt, label="fallback", role="fallback")
    (outcome,) = await root.wait([root.start(spec, body)])
    assert outcome is not None
    return outcome


def _finish(outcome: Outcome | None) -> Literal["answered", "budget", "failed"]:
    if outcome is None:
        return "failed"
    if outcome.status == "budget":
        return "budget"
    return "answered" if outcome.value is not None else "failed"


def _result(
    metrics: Metrics, outcome: Outcome, plan: Plan, fallback: str | None, correct: bool | None,
    warnings: tuple[str, ...],
) -> Result:
    return Result(
        version=VERSION,
        answer=outcome.value,
        correct=correct,
        finish=_finish(outcome),
        method=plan.method,
        protocol=plan.protocol,
        fallback=fallback,
        threads=metrics.threads,
        forks=metrics.forks,
        max_parallel=metrics.max_parallel,
        depth=metrics.depth,
        total_tokens=metrics.total_tokens,
        critical_path_tokens=metrics.critical_path_tokens,
        prompt_tokens=metrics.prompt_tokens,
        cached_tokens=metrics.cached_tokens,
        inserted_tokens=metrics.inserted_tokens,
        wasted_tokens=metrics.wasted_tokens,
        estimated=metrics.estimated,
        wall_seconds=metrics.wall_seconds,
        verified=outcome.verified,
        conflicts=outcome.conflicts,
        reason=plan.reason,
        warnings=warnings,
        text=outcome.text,
    )
