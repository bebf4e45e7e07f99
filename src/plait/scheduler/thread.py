"""A thread as its method sees it: write, append, rewrite, start, wait (`plait.interfaces.Thread`).

The thread keeps its causal clock as it goes: generated tokens since the root's first one along
the longest path that leads here. A child starts with the parent's clock at the point where its
instructions were complete; a join raises the parent's clock to that of its slowest child. The
same numbers can be recounted from the trace (`plait.trace.metrics`); the clock is kept here
because the limit on the critical path has to be known while threads run.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import anyio

from plait.core import Finish, Message, Outcome, Room, Sampling, Stops
from plait.core.events import Appended, Committed, Joined, Noted, Rewrote, Role
from plait.core.text import RETURNS
from plait.interfaces import Body, Child, ChildSpec, Engine, Thread
from plait.scheduler.admission import Claim
from plait.scheduler.child import ScheduledChild
from plait.scheduler.context import Context, make_segment
from plait.scheduler.ledger import Account
from plait.scheduler.writing import Grant, Writing

if TYPE_CHECKING:
    from plait.scheduler.run import Run

NO_STOPS = Stops()
LEAST_SHARE = 32
"""Tokens below which a budget is not divided any further: each share costs a request."""


class ScheduledThread:
    """The scheduler's `Thread`. Made by `Run` only."""

    def __init__(
        self, run: Run, name: str, engine: Engine, context: Context, account: Account,
        *, clock: int = 0, limit: int | None = None,
    ) -> None:
        self.run = run
        self.name = name
        self.engine = engine
        self.context = context
        self.account = account
        self.tokens = 0
        self.finish: Finish | None = None
        self.proposed: str | None = None
        self.children: list[ScheduledChild] = []
        self.child_ended = anyio.Event()
        self.temperature: float | None = None
        """`ChildSpec.temperature` of the child that this thread is."""
        self._limit = limit
        self.shared = 0
        """Tokens of the context that a fork took over from its parent."""
        self.role: Role = "thread"
        """`ChildSpec.role` of the child that this thread is."""
        self._clocks: list[tuple[int, int]] = [(0, clock)]
        self._writes = 0
        self._width: anyio.Semaphore | None = None

    # --- reading and writing -------------------------------------------------------------------

    @property
    def level(self) -> int:
        """Levels below the root."""
        return self.name.count(".")

    @property
    def window(self) -> int | None:
        """The most that the context may hold, in tokens: the budget's word and the engine's."""
        known = (self.run.request.budget.window, self.engine.capabilities.window)
        return min((w for w in known if w is not None), default=None)

    @property
    def held(self) -> int:
        return self.context.tokens

    def count(self, text: str) -> int:
        return make_segment("runtime", text, self.engine.encode).tokens

    @property
    def room(self) -> Room:
        return self.run.room_for(self)

    @property
    def text(self) -> str:
        return self.context.own_text

    def write(
        self, until: Stops = NO_STOPS, limit: int | None = None, sampling: Sampling | None = None
    ) -> Writing:
        chosen = sampling or self.run.request.sampling
        if self.temperature is not None and chosen.temperature == 0:
            chosen = replace(chosen, temperature=self.temperature)
        return Writing(self, until, limit, chosen)

    def append(self, *parts: str | Outcome) -> None:
        for part in parts:
            if isinstance(part, str):
                segments = [make_segment("runtime", part, self.engine.encode)] if part else []
            elif part.segments or not part.text:
                segments = [replace(s, author="runtime") for s in part.segments]
            else:  # a thread that was cancelled, or an outcome that a method made
                segments = [make_segment("runtime", part.text, self.engine.encode)]
            for segment in segments:
                self.context.add(segment)
            if segments:
                text = "".join(s.text for s in segments)
                guessed = any(s.ids is None for s in segments)
                self.run.emit(Appended(self.run.now(), self.name, "runtime", text,
                                       sum(s.tokens for s in segments), guessed))

    def rewrite(self, since: int, *parts: str | Outcome, reset: bool = False) -> None:
        removed = self.context.cut(since, self.engine.encode)
        lost = sum(s.tokens for s in removed if s.author == "model")
        gone = "".join(s.text for s in removed)
        if removed:  # at the very end it is an append
            self.run.emit(Rewrote(self.run.now(), self.name, 0 if reset else lost, gone, reset))
        self.append(*parts)

    def turn(self, said: Message, *replies: Message) -> None:
        self.append(*(f"\n{RETURNS}{reply.content}\n" for reply in replies))
        self.context.turn((said, *replies))

    def note(self, what: str, *, warning: bool = False) -> None:
        self.run.emit(Noted(self.run.now(), self.name, what, warning))

    def propose(self, answer: str) -> None:
        self.proposed = answer

    def commit(self, text: str) -> None:
        if not text:
            return
        self.run.committed += text
        self.run.emit(Committed(self.run.now(), self.name, text))

    # --- children ------------------------------------------------------------------------------

    def start(self, spec: ChildSpec, body: Body) -> ScheduledChild:
        return self.run.start(self, spec, body)

    async def wait(
        self,
        children: Sequence[Child],
        enough: Callable[[Sequence[Outcome | None]], bool] | None = None,
        rest: Literal["cancel", "keep"] = "cancel",
    ) -> list[Outcome | None]:
        if enough is None:
            for child in children:
                await self.run.ended(child.name)
        outcomes = [child.peek() for child in children]
        while enough is not None and not all(outcomes):
            if enough(outcomes):
                for child, outcome in zip(children, outcomes, strict=True):
                    if outcome is None and rest == "cancel":
                        child.cancel("the others were enough")
                break
            await self.child_ended.wait()
            outcomes = [child.peek() for child in children]
        joined = tuple(c.name for c, o in zip(children, outcomes, strict=True) if o is not None)
        if joined:
            clock = max(self.clock, *(self.run.final_clock(name) for name in joined))
            self._clocks.append((self.tokens, clock))
            self.run.emit(Joined(self.run.now(), self.name, joined))
        return outcomes

    async def any_ended(self, children: Sequence[Child]) -> None:
        while not any(child.peek() for child in children):
            await self.child_ended.wait()

    async def ask(self, spec: ChildSpec, sampling: Sampling | None = None) -> Outcome:
        async def answer(thread: Thread) -> Outcome:
            async with thread.write(sampling=sampling) as stream:
                async for _ in stream:
                    pass
            cut = thread.finish in ("budget", "window", "length")
            return Outcome("budget" if cut else "done", thread.text, thread.text)

        child = self.start(spec, answer)
        (outcome,) = await self.wait([child])
        assert outcome is not None
        return outcome

    async def enter_width(self) -> anyio.Semaphore:
        """Wait until one more child may run; release what is returned when it has ended."""
        if self._width is None:
            self._width = anyio.Semaphore(self.run.width)
        await self._width.acquire()
        return self._width

    # --- budgets -------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        """Tokens on the longest path that leads to this thread's last token."""
        return self.clock_at(self.tokens)

    def clock_at(self, tokens: int) -> int:
        """The clock when this thread had generated ``tokens`` (at the latest moment of that)."""
        index = bisect_right(self._clocks, tokens, key=lambda entry: entry[0]) - 1
        since, clock = self._clocks[index]
        return clock + tokens - since

    def claim(self) -> Claim:
        """What its next stream asks of the limiter."""
        place = tuple(map(int, self.name.split(".")))
        shared = min(self.shared, self.context.tokens)
        return Claim(place, self.context.tokens - shared, shared, self.run.deadline)

    def grant(self, limit: int | None) -> Grant:
        """The most that the next stream may generate, and which limit says so."""
        run, budget = self.run, self.run.request.budget
        grants: list[Grant] = []
        if limit is not None:
            grants.append(Grant(limit))
        if self._limit is not None:
            grants.append(Grant(self._limit - self.tokens))
        if (most := run.request.sampling.max_tokens) is not None:
            grants.append(Grant(most - self.tokens))
        if (window := self.window) is not None:
            grants.append(Grant(window - self.context.tokens, "window", "the context window"))
        if budget.critical_tokens is not None:
            reserve = run.ledger.path_reserve(budget.critical_tokens, self.role, self.level)
            left = budget.critical_tokens - reserve - self.clock
            grants.append(Grant(left, "budget", "critical-path tokens"))
        run.ledger.make_room(self.account, LEAST_SHARE, run.contenders)
        available = self.account.available
        if available is not None:
            share = max(-(-available // max(1, run.contenders)), min(available, LEAST_SHARE))
            grants.append(Grant(share, "budget", "total tokens", renewable=share < available))
        best = min(grants, key=lambda g: g.tokens if g.tokens is not None else 0,
                   default=Grant(None))
        best = self._affordable(self._live(best))
        if best.tokens is not None and best.tokens <= 0:
            return Grant(0, best.ends, best.what)
        return best

    def _live(self, best: Grant) -> Grant:
        """``best`` within what the engine may hold for the whole run. Where nothing else limits a
        stream it gets a share, so that one does not hold everything."""
        live = self.run.request.budget.live_tokens
        if live is None:
            return best
        room = live - self.context.tokens
        if best.tokens is not None:
            return best if best.tokens <= room else Grant(room, "budget", "live context tokens")
        share = max(live // max(1, self.run.contenders) - self.context.tokens,
                    min(room, LEAST_SHARE))
        return Grant(share, "budget", "live context tokens", renewable=share < room)

    def _affordable(self, best: Grant) -> Grant:
        """``best`` within what the run may cost; a share of it where many want the same money."""
        run = self.run
        tokens = run.purse.affordable(run.price_of(self.engine), self.context.tokens, self.role)
        if tokens is None:
            return best
        share = max(-(-tokens // max(1, run.contenders)), min(tokens, LEAST_SHARE))
        if best.tokens is not None and best.tokens <= share:
            return best
        return Grant(share, "budget", "cost", renewable=share < tokens)

    def next_seed(self, sampling: Sampling) -> int | None:
        """A seed that depends on the request and on the place in the tree, never on timing."""
        self._writes += 1
        if sampling.temperature == 0:
            return sampling.seed
        base = sampling.seed if sampling.seed is not None else self.run.request.seed
        place = f"{base}/{self.name}/{self._writes}".encode()
        return int.from_bytes(hashlib.blake2b(place, digest_size=4).digest(), "big") >> 1
