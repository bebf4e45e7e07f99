"""How many streams may run at once: one limiter for the whole runtime.

A slot is held by a running stream, never by a thread that waits for its children, so a full
limiter cannot deadlock a tree of threads. A request's first stream comes before anybody's
*branches*, the streams beside it. Of requests that have no stream, those come first that never had
one, and among equals those of which the fewest streams wait: the shortest remaining time first,
which gets most requests done in time where not all can be; who has most left waits longest.
Branches go round between requests, and where they are not started by load, all streams do: with two
requests waiting, each gets every second slot, however many threads it has. Within a request they go
by the thread's place in the tree, as one thread would have written them, so that what cannot run
side by side runs one after the other in that order.

A request that has begun does not queue at the engine either: while that queues, and our own
streams are as many as it works on, its next stream waits here. So who is new waits for streams that
end, not for requests that do. (Requests that never pause, one stream each, cannot be put back.)

A branch needs more than a slot: `plait.policy.admit` has to find that it is worth what it costs
the others. It is asked for every stream anew, and again whenever a stream ends or the engine has
said how busy it is; a branch that is held back waits, and becomes its request's next stream when
that has no other. What `admit` looks at is smoothed, since it comes late and shows moments: step
times by `Pace`; streams of others as the least of the last `READINGS`; the engine's room by
additive increase while it has no queue. It is cut only where two readings running show a queue:
one that is gone at the next look is how a server takes new streams in.

The limit adapts (additive increase, multiplicative decrease, as TCP does): it starts at ``start``,
grows by one for each full round of streams that succeeded while slots were short, falls by a
fifth when the engine says that it has too much to do (429, 503), and stands still for a while
after other server errors or when first tokens take far longer than they used to. One cut a
`COOLDOWN`, since a burst of refusals is one piece of news.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from math import exp

import anyio

from plait.errors import Bug
from plait.interfaces import Load
from plait.policy.admit import Ask, State, Verdict, admit
from plait.scheduler.pace import Pace

COOLDOWN = 1.0
CUT = 0.8
SLOW = 5.0
"""A first token that takes this many times the best one seen (and over a second) means a queue."""
READINGS = 3
"""Looks at the engine's load of which the least counts."""
GROWTH = 8
"""While the engine has no queue, its room grows by one, or by this part of it."""
CROWD_SECONDS = 10.0
"""How far back it counts how many requests there were at once."""
NEWEST = 0.1
"""How much the newest stream counts in the mean length of streams."""
FULL = Verdict(False, "")
FIRST = Verdict(True, "")
FURTHER = Verdict(False, "the engine queues, and other requests have not begun or have less left")


@dataclass(frozen=True, slots=True)
class LimiterState:
    """A look at the limiter. ``limit`` may be fractional while it grows; ``held``: of those that
    wait, how many the limit would let run."""

    limit: float
    running: int
    waiting: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a stream is. ``place`` of its thread in the tree; ``tokens`` of its context that are its
    own, ``shared`` those that other streams of its request begin with too, which an engine holds
    once; ``deadline`` of its request, by the runtime's clock."""

    place: tuple[int, ...] = ()
    tokens: int = 0
    shared: int = 0
    deadline: float | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """The right of one stream to run; given back with `Limiter.release`. ``held``: why it was
    held back although there were slots; empty if it was not. ``memory``: context tokens that it is
    taken to need in the engine."""

    owner: str
    claim: Claim
    number: int
    memory: int = 0
    held: str = ""
    waited: float = 0.0
    written: int = 0
    event: anyio.Event = field(default_factory=anyio.Event)

    def __lt__(self, other: Slot) -> bool:
        return (self.claim.place, self.number) < (other.claim.place, other.number)


@dataclass(slots=True)
class _Owner:
    """A request that has streams. ``queue``: those that wait, in their order; ``began``: one has
    run already."""

    running: int = 0
    began: bool = False
    queue: list[Slot] = field(default_factory=list)


class Limiter:
    """Slots for running streams, fair between owners, with an adaptive limit. ``branching``: who
    starts branches (see `plait.policy.admit.BRANCHING`)."""

    def __init__(
        self, start: int = 64, ceiling: int = 1024, branching: str = "load"
    ) -> None:
        self.pace = Pace()
        self.branching = branching
        self._limit = float(min(start, ceiling))
        self._ceiling = ceiling
        self._running = self._waiting = self._numbers = self._memory = 0
        self._owners: dict[str, _Owner] = {}
        self._queues: OrderedDict[str, _Owner] = OrderedDict()
        """Owners of which streams wait, the one whose turn it is in front."""
        self._length = 0.0
        self._crowd = self._crowd_at = 0.0
        self._others: deque[int] = deque(maxlen=READINGS)
        self._room: float | None = None
        self._queued = False
        self._heard: Load | None = None
        self._cache: float | None = None
        self._capacity: int | None = None
        self._best_first_token = float("inf")
        self._still_until = 0.0
        self._cut_at = -COOLDOWN

    @property
    def state(self) -> LimiterState:
        held = self._waiting if self._running < int(self._limit) else 0
        return LimiterState(self._limit, self._running, self._waiting, held)

    def look(self) -> State:
        """What `admit` is told of the engine."""
        others = min(self._others, default=0)
        self._count()
        requests = max(len(self._owners) + others, 1 + self._crowd)
        memory = None
        if self._capacity is not None:
            memory = self._capacity - max(self._memory, int((self._cache or 0) * self._capacity))
        return State(self._running + others, requests, self.pace.step, self._room, memory,
                     self._length)

    async def acquire(self, owner: str, claim: Claim = Claim()) -> Slot:
        """Wait for a slot for a stream of the request ``owner``."""
        self._numbers += 1
        slot = Slot(owner, claim, self._numbers)
        if owner not in self._owners:
            self._count()
            self._owners[owner] = _Owner()
        mine = self._owners[owner]
        verdict = self._judge(mine, slot)
        if verdict.runs:
            self._take(mine, slot)
            return slot
        insort(mine.queue, slot)
        self._queues.setdefault(owner, mine)
        self._waiting += 1
        slot.held = verdict.why
        since = anyio.current_time()
        try:
            await slot.event.wait()
        except BaseException:
            if slot.event.is_set():
                self.release(slot)
            else:
                self._dequeue(mine, slot)
                self._forget(owner, mine)
            raise
        slot.waited = anyio.current_time() - since
        return slot

    def release(self, slot: Slot) -> None:
        """Give a slot back."""
        mine = self._owners.get(slot.owner)
        if mine is None or mine.running <= 0 or self._running <= 0:
            raise Bug("a slot was given back twice")
        mine.running -= 1
        self._running -= 1
        self._memory -= slot.memory
        if slot.written:
            newest = NEWEST if self._length else 1.0
            self._length += newest * (slot.written - self._length)
        self._forget(slot.owner, mine)
        if not self._running:
            self.pace.idle()
        self._serve()

    def wrote(self, slot: Slot, tokens: int) -> None:
        """The stream of ``slot`` brought so many tokens."""
        slot.written += tokens
        if tokens:
            self.pace.wrote(tokens, self._running + min(self._others, default=0))

    def heard(self, load: Load) -> None:
        """The engine says how busy it is. Every run with branches passes on what it hears; one
        reading that several of them were given counts once."""
        if load is self._heard:
            return
        self._heard = load
        waiting = load.waiting or 0
        if load.running is not None:
            self._others.append(max(0, load.running + waiting - self._running))
            if waiting and self._queued:
                self._room = float(max(1, load.running))
            elif self._room is not None and not waiting:
                self._room += max(1.0, self._room / GROWTH)
        self._queued = waiting > 0
        self._cache, self._capacity = load.cache, load.kv_tokens
        self._serve()

    def succeeded(self, first_token_seconds: float) -> None:
        """A stream went well; its first token took this long."""
        now = anyio.current_time()
        self._best_first_token = min(self._best_first_token, first_token_seconds)
        if first_token_seconds > max(1.0, SLOW * self._best_first_token):
            self._still_until = max(self._still_until, now + COOLDOWN)
        short = self._running >= int(self._limit)
        if short and now >= self._still_until and self._limit < self._ceiling:
            self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)
            self._serve()

    def overloaded(self, retry_after: float | None) -> None:
        """The engine refused a stream because it has too much to do."""
        now = anyio.current_time()
        if now - self._cut_at >= COOLDOWN:
            self._cut_at = now
            self._limit = max(1.0, self._limit * CUT)
        self._still_until = max(self._still_until, now + (retry_after or COOLDOWN))

    def failed(self) -> None:
        """The engine failed in another way: no growth for a while."""
        self._still_until = max(self._still_until, anyio.current_time() + COOLDOWN)

    def _judge(self, owner: _Owner, slot: Slot, state: State | None = None) -> Verdict:
        """May a stream of ``owner`` run now? The one place that asks `admit`. ``state``: what
        `look` says, where it was looked already."""
        if self._running >= int(self._limit):
            return FULL
        if self.branching == "eager":
            return FIRST
        if owner.running == 0:
            full = self._room is not None and self._running >= self._room
            return FURTHER if full and owner.began and self.branching == "load" else FIRST
        if self.branching == "off":
            return Verdict(False, "branches are switched off")
        claim = slot.claim
        left = None if claim.deadline is None else claim.deadline - anyio.current_time()
        return admit(state or self.look(), Ask(
            owner.running, owner.running + max(1, len(owner.queue)), left,
            claim.tokens + int(self._length)))

    def _serve(self) -> None:
        """Let run what may: first streams of requests, then branches."""
        while self._waiting and self._running < int(self._limit):
            queues, state = self._queues.values(), self.look()
            idle = [o for o in queues if o.running == 0 and self._judge(o, o.queue[0]).runs]
            owner = min(idle, key=self._rank, default=None) or next(
                (o for o in queues if self._judge(o, o.queue[0], state).runs), None)
            if owner is None:
                return
            slot = owner.queue[0]
            self._dequeue(owner, slot)
            if owner.queue:
                self._queues.move_to_end(slot.owner)  # behind the others: that is the fairness
            self._take(owner, slot)
            slot.event.set()

    def _rank(self, owner: _Owner) -> tuple[bool, int]:
        """Of requests that have no stream: who has not begun, and of them who has least left."""
        return (owner.began, len(owner.queue)) if self.branching == "load" else (False, 0)

    def _take(self, owner: _Owner, slot: Slot) -> None:
        shared = 0 if owner.running else slot.claim.shared
        slot.memory = slot.claim.tokens + shared + int(self._length)
        self._memory += slot.memory
        owner.running += 1
        owner.began = True
        self._running += 1

    def _dequeue(self, owner: _Owner, slot: Slot) -> None:
        owner.queue.remove(slot)
        self._waiting -= 1
        if not owner.queue:
            del self._queues[slot.owner]

    def _forget(self, name: str, owner: _Owner) -> None:
        if not (owner.running or owner.queue):
            self._count()
            del self._owners[name]

    def _count(self) -> None:
        """Bring the mean number of requests beside one up to date, before it changes."""
        now = anyio.current_time()
        beside = max(0, len(self._owners) + min(self._others, default=0) - 1)
        share = 1 - exp((self._crowd_at - now) / CROWD_SECONDS)
        self._crowd += share * (beside - self._crowd)
        self._crowd_at = now
