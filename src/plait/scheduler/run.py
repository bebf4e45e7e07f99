"""One request at work: its tree of threads. The only place that starts tasks.

Life of a child: `start` makes it and returns; its task waits for a place in the parent's width,
runs the body on a context of its own, tries again once if the engine failed it, and ends it with
an `Outcome`. An error of the model or of the engine never leaves a child; any other exception is
a bug, and crashes the run. A child is cancelled with everything below it; its outcome is set at
once and nobody waits for the engine to notice. When the root is done, children that nothing
waited for are cancelled; when `execute` returns, no task, lease or slot of this run is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from plait.core import Outcome, Plan, Price, Prompt, Request, Room, Segment
from plait.core.events import Appended, Ended, Event, Noted, Role, Started
from plait.errors import Bug, EngineError
from plait.interfaces import Body, ChildSpec, Engine
from plait.scheduler.admission import Limiter, Slot
from plait.scheduler.child import ScheduledChild
from plait.scheduler.context import Context, make_segment
from plait.scheduler.ledger import FALLBACK_SHARE, Ledger
from plait.scheduler.live import LiveGate
from plait.scheduler.purse import FREE, Purse
from plait.scheduler.thread import ScheduledThread

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

NO_WIDTH_LIMIT = 1 << 20
LOOK_SECONDS = 0.5
"""How often a run with branches asks the engine how busy it is."""


class Run:
    """The tree of threads of one request."""

    def __init__(
        self,
        request: Request,
        plan: Plan,
        engines: Mapping[Role, Engine],
        limiter: Limiter,
        emit: Callable[[Event], None],
        run_id: str,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        self.request = request
        self.plan = plan
        self.id = run_id
        self.limiter = limiter
        self.emit = emit
        self.ledger = Ledger(request.budget.total_tokens, parallel=plan.method != "sequential")
        self.purse = Purse(request.budget.cost, parallel=plan.method != "sequential")
        self._prices = prices or {}
        self.live = LiveGate(request.budget.live_tokens)
        widths = [w for w in (plan.width, request.budget.width) if w is not None]
        self.width = min(widths, default=NO_WIDTH_LIMIT)
        self.contenders = 0
        self.committed = ""
        self.errors: list[EngineError] = []
        self._engines = engines
        self.time = asyncio.get_running_loop().time  # `anyio.current_time`, for every token
        self.began = self.time()
        self._threads = 1
        self._refusals: set[str] = set()
        self._clocks: dict[str, int] = {}
        self._endings: dict[str, anyio.Event] = {}
        self._tasks: TaskGroup | None = None
        self._held = 0
        self._held_seconds = 0.0
        self.root: ScheduledThread | None = None

    def now(self) -> float:
        """Seconds since this run began."""
        return self.time() - self.began

    # --- the root ------------------------------------------------------------------------------

    async def execute(
        self, prompt: Prompt, body: Callable[[ScheduledThread], Awaitable[Outcome]]
    ) -> Outcome:
        """Run ``body`` on the root thread, whose context holds ``prompt``; end what it started.

        Raises what ``body`` raises. After `Budget.seconds` the root ends with what it has.
        """
        engine = self.engine_for("thread")
        root = ScheduledThread(self, "0", engine, Context(prompt.messages, prompt.tools),
                               self.ledger.work)
        self.root = root
        self.emit(Started(self.now(), "0", None, "root", "thread", 0))
        self._open_context(root, prompt, engine, opening=True)
        outcome: Outcome | None = None
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as self._tasks:
                self.contenders += 1
                looking = anyio.CancelScope()
                if self.plan.method != "sequential" and engine.capabilities.server:
                    self._tasks.start_soon(self._look, engine, looking)
                try:
                    with anyio.move_on_after(self.request.budget.seconds) as scope:
                        outcome = await body(root)
                    if scope.cancelled_caught:
                        outcome = Outcome("budget", root.text, reason="seconds")
                        root.note("stopped by the limit on seconds", warning=True)
                except Exception as error:  # noqa: BLE001 - carried out of the task group, then raised
                    failure = error
                looking.cancel()
                for child in root.children:
                    child.cancel("the thread above has ended")
        finally:
            self._tasks = None
            if outcome is None:
                reason = str(failure) if failure else "cancelled from outside"
                outcome = Outcome("failed" if failure else "cancelled", root.text, reason=reason)
            self._sum_up()
            self.emit(Ended(self.now(), "0", outcome.status, outcome.reason, outcome.value))
        self.check()
        if failure is not None:
            raise failure
        return replace(outcome, thread="0", tokens=root.tokens)

    # --- load ----------------------------------------------------------------------------------

    async def _look(self, engine: Engine, scope: anyio.CancelScope) -> None:
        """Tell the limiter how busy the engine is, as long as the run goes on. An embedded engine
        has no streams but ours, which the limiter knows."""
        with scope:
            while True:
                self.limiter.heard(await engine.load())
                await anyio.sleep(LOOK_SECONDS)

    def held_back(self, thread: ScheduledThread, slot: Slot) -> None:
        """Book that a branch had to wait for other requests; the first time it is noted why."""
        if not slot.held:
            return
        if not self._held:
            thread.note(f"held back for {slot.waited:.2f} s: {slot.held}")
        self._held += 1
        self._held_seconds += slot.waited

    def _sum_up(self) -> None:
        if self._held > 1:
            self.emit(Noted(self.now(), "0", f"{self._held} streams were held back for others,"
                                             f" {self._held_seconds:.2f} s in all"))

    # --- children ------------------------------------------------------------------------------

    def start(self, parent: ScheduledThread, spec: ChildSpec, body: Body) -> ScheduledChild:
        """Make a child of ``parent`` and let it go; see `plait.interfaces.Thread.start`."""
        if self._tasks is None:
            raise Bug("a thread was started in a run that is not running")
        if spec.role == "fallback":  # nobody will join what the attempt before it has started
            for other in parent.children:
                other.cancel("the attempt was given up")
        name = f"{parent.name}.{len(parent.children)}"
        base = parent.context.fork() if spec.family == "fork" else Context()
        child = ScheduledChild(self, name, parent, spec, body, base)
        parent.children.append(child)
        self._endings[name] = anyio.Event()
        at = parent.tokens if spec.at is None else min(spec.at, parent.tokens)
        after = [self._clocks[name] for name in spec.after]
        child.at = at
        child.start_clock = max(parent.clock_at(at), *after, 0)
        self._threads += 1
        self.emit(Started(self.now(), name, parent.name, spec.family, spec.role, at, spec.label,
                          spec.after))
        if refusal := self._refusal(parent):
            first = refusal not in self._refusals  # a model may ask for thousands
            self._refusals.add(refusal)
            parent.note(f"thread {name} was not started: {refusal}", warning=first)
            child.end(Outcome("budget", reason=refusal))
        else:
            self._tasks.start_soon(self._live, child)
        return child

    def _refusal(self, parent: ScheduledThread) -> str:
        budget = self.request.budget
        if budget.depth is not None and parent.level + 1 > budget.depth:
            return f"the limit on depth is {budget.depth}"
        if budget.threads is not None and self._threads > budget.threads:
            return f"the limit on threads is {budget.threads}"
        return ""

    async def _live(self, child: ScheduledChild) -> None:
        """The task of one child, from its place in the width to its end."""
        with child.scope:
            place = None
            try:
                if child.peek() is not None:
                    return
                place = await child.parent.enter_width()
                self.contenders += 1
                try:
                    outcome = await self._attempts(child)
                finally:
                    self.contenders -= 1
                assert child.thread is not None
                child.end(replace(
                    outcome, thread=child.name, tokens=child.thread.tokens,
                    segments=tuple(child.thread.context.own_segments())))
            finally:
                for below in child.thread.children if child.thread else ():
                    below.cancel("the thread above has ended")
                if place is not None:
                    place.release()
                child.cancel("cancelled from outside")

    async def _attempts(self, child: ScheduledChild) -> Outcome:
        """Run the body; once more, alone, if the engine failed it and may do better.

        A call that the engine's link has tried in vain again and again is not tried once more: an
        engine that is going down must not get many times the load.
        """
        for attempt in range(self.plan.retries + 1):
            if attempt:
                clock = child.thread.clock if child.thread else child.start_clock
                child.start_clock = max(child.start_clock, clock)
                self.emit(Started(self.now(), child.name, child.parent.name, child.spec.family,
                                  child.spec.role, child.at, child.spec.label,
                                  child.spec.after, attempt))
            thread = self._make_thread(child)
            try:
                return await child.body(thread)
            except EngineError as error:
                self.errors.append(error)
                for below in thread.children:
                    below.cancel("the thread above has failed")
                again = (error.retryable and not error.exhausted
                         and attempt < self.plan.retries)
                what = "tried again" if again else "given up"
                self.emit(Noted(self.now(), child.name, f"{error}; {what}", warning=True))
                if not again:
                    return Outcome("failed", thread.text, reason=str(error))
        raise Bug("a child had no attempt left and no outcome")

    def _make_thread(self, child: ScheduledChild) -> ScheduledThread:
        spec = child.spec
        engine = self.engine_for(spec.role)
        account = self.ledger.account_for(spec.role)
        prompt = spec.prompt or Prompt(text=spec.text)
        context = child.base.fork()
        if spec.family == "spawn":
            context = Context(prompt.messages, prompt.tools)
        thread = ScheduledThread(self, child.name, engine, context, account,
                                 clock=child.start_clock, limit=spec.limit)
        thread.role = spec.role
        thread.shared = child.base.tokens if spec.family == "fork" else 0
        thread.temperature = spec.temperature
        if spec.temperature is None and spec.role == "thread":
            thread.temperature = child.parent.temperature  # below a sampled attempt all is sampled
        child.thread = thread
        self._open_context(thread, prompt, engine, opening=spec.family == "spawn")
        return thread

    def _open_context(
        self, thread: ScheduledThread, prompt: Prompt, engine: Engine, *, opening: bool
    ) -> None:
        """Put the opening prompt (a spawn's) or the header (a fork's) into the context."""
        author = "prompt" if opening else "runtime"
        if prompt.ids is not None:
            segment = Segment("prompt", prompt.text, prompt.ids, len(prompt.ids))
        elif opening:
            segment = make_segment("prompt", prompt.text,
                                   lambda text: engine.encode(text, opening=True))
        else:
            segment = make_segment("runtime", prompt.text, engine.encode)
        if segment.text or segment.ids:
            thread.context.add(segment)
        thread.context.mark_opening()
        text = "\n".join([m.content for m in prompt.messages] + [segment.text])
        tokens = segment.tokens + Prompt(messages=prompt.messages).tokens
        self.emit(Appended(self.now(), thread.name, author, text, tokens,  # type: ignore[arg-type]
                           segment.ids is None))

    # --- what threads and children need of their run -------------------------------------------

    def engine_for(self, role: Role) -> Engine:
        """The engine that serves ``role``; the one for plain threads unless another is named."""
        return self._engines.get(role) or self._engines["thread"]

    def price_of(self, engine: Engine) -> Price:
        """What the engine's model costs."""
        return self._prices.get(engine.model, FREE)

    def child_ended(self, child: ScheduledChild) -> None:
        """Book the end of ``child`` and wake whoever waits for it."""
        self._clocks[child.name] = child.thread.clock if child.thread else child.start_clock
        self._endings[child.name].set()
        parent = child.parent
        ended, parent.child_ended = parent.child_ended, anyio.Event()
        ended.set()

    async def ended(self, name: str) -> None:
        """Wait until the child ``name`` has ended."""
        await self._endings[name].wait()

    def final_clock(self, name: str) -> int:
        """The clock of an ended thread."""
        return self._clocks[name]

    @property
    def deadline(self) -> float | None:
        """When the attempt is given up, by the clock of the event loop; None: never. What a
        fallback would need is set aside."""
        seconds = self.request.budget.seconds
        if seconds is None:
            return None
        kept = FALLBACK_SHARE if self.plan.method != "sequential" else 0.0
        return self.began + seconds * (1 - kept)

    def room_for(self, thread: ScheduledThread) -> Room:
        """What ``thread`` and those below it may still use; see `plait.interfaces.Room`."""
        budget = self.request.budget
        path, deadline = budget.critical_tokens, self.deadline
        if path is not None:
            path = max(0, path - self.ledger.path_reserve(path, "worker", 1) - thread.clock)
        seconds = None if deadline is None else max(0.0, deadline - anyio.current_time())
        return Room(
            tokens=self.ledger.branches.unspent, path=path, seconds=seconds,
            levels=None if budget.depth is None else max(0, budget.depth - thread.level),
            threads=None if budget.threads is None else max(0, budget.threads - self._threads),
            window=thread.window)

    def check(self) -> None:
        """Raise `Bug` if an ended run holds anything."""
        self.ledger.check()
        self.purse.check()
        if self.ledger.reserved or self.live.held:
            raise Bug("an ended run holds reservations")
        unended = [name for name, event in self._endings.items() if not event.is_set()]
        if unended:
            raise Bug(f"threads without an outcome: {', '.join(unended)}")
