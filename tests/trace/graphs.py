"""Random runs for property tests: events of a tree of threads that forks, joins, fails, retries.

`runs` plays random small acts on a model of the world that keeps to what a scheduler may emit: only
threads that run act, a join waits for children that ended, a cancelled thread takes everything
below it along. The acts come from a drawn seed, not from drawn lists: those are too tame to reach a
join after a retry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Ended,
    Event,
    Joined,
    Rewrote,
    Started,
    Wrote,
)

ACTS = ("write", "write", "write", "start", "start", "join", "join", "end", "end", "retry",
        "rewrite", "ask")


@dataclass
class Actor:
    """A thread of the model."""

    name: str
    parent: Actor | None
    role: str = "thread"
    tokens: int = 0
    removed: int = 0
    attempt: int = 0
    status: str | None = None
    asking: bool = False
    children: list[Actor] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)


@dataclass
class World:
    """Plays acts; ``pick`` is a number that chooses whatever there is to choose."""

    events: list[Event] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.actors.append(Actor("0", None))
        self.events.append(Started(0.0, "0", None, "root", "thread", 0))

    def play(self, act: str, who: int, pick: int) -> None:
        able = [a for a in self.actors if a.status is None and self.can(act, a)]
        if able:
            getattr(self, act)(able[who % len(able)], pick)

    def can(self, act: str, actor: Actor) -> bool:
        if act == "join":
            return bool(self.joinable(actor))
        return actor.parent is not None or act not in ("end", "retry")

    def joinable(self, actor: Actor) -> list[Actor]:
        return [c for c in actor.children
                if c.status not in (None, "cancelled") and c.name not in actor.joined]

    def write(self, actor: Actor, pick: int) -> None:
        actor.tokens += pick % 5
        self.emit(Wrote(self.now, actor.name, "x" * (pick % 5), pick % 5, pick == 77))

    def start(self, actor: Actor, pick: int) -> None:
        done = [c.name for c in actor.children if c.status == "done"]
        after = tuple(done[-(pick % 3):])
        role = ("thread", "judge", "worker", "merger")[pick % 4]
        if pick > 95 and actor.parent is None:
            role = "fallback"
        child = Actor(f"{actor.name}.{len(actor.children)}", actor, role)
        at = max(0, actor.tokens - pick % 4)
        actor.children.append(child)
        self.actors.append(child)
        self.emit(Started(self.now, child.name, actor.name, "fork", role, at, after=after))

    def join(self, actor: Actor, pick: int) -> None:
        chosen = self.joinable(actor)[: 1 + pick % 4]
        if pick % 2:  # an early join: those still at work are stopped
            for child in actor.children:
                self.cancel(child)
        actor.joined |= {c.name for c in chosen}
        self.emit(Joined(self.now, actor.name, tuple(c.name for c in chosen)))

    def end(self, actor: Actor, pick: int) -> None:
        others = ("failed", "cancelled", "budget", "malformed")
        status = others[pick % 4] if pick % 8 < 4 else "done"
        for child in actor.children:
            self.cancel(child)
        actor.status = status
        self.emit(Ended(self.now, actor.name, status))

    def retry(self, actor: Actor, pick: int) -> None:
        assert actor.parent is not None
        for child in actor.children:
            self.cancel(child)
        if pick % 2:
            self.emit(Ended(self.now, actor.name, "failed"))
        actor.children = []
        actor.joined = set()
        actor.tokens = actor.removed = 0
        actor.attempt += 1
        at = max(0, actor.parent.tokens - pick % 3)
        self.emit(Started(self.now, actor.name, actor.parent.name, "fork", actor.role, at,
                          attempt=actor.attempt))

    def rewrite(self, actor: Actor, pick: int) -> None:
        removed = min(pick % 4, actor.tokens - actor.removed)
        actor.removed += removed
        self.emit(Rewrote(self.now, actor.name, removed, "x" * removed))
        self.emit(Appended(self.now, actor.name, "runtime", "y", 1))

    def ask(self, actor: Actor, pick: int) -> None:
        if actor.asking:
            self.emit(Answered(self.now, actor.name, "stop", 7, pick % 7, actor.tokens))
        else:
            self.emit(Asked(self.now, actor.name, 7, None))
        actor.asking = not actor.asking

    def cancel(self, actor: Actor) -> None:
        if actor.status is None:
            for child in actor.children:
                self.cancel(child)
            actor.status = "cancelled"
            self.emit(Ended(self.now, actor.name, "cancelled", "not needed"))

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def now(self) -> float:
        return len(self.events) / 8


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    """The events of a random run."""
    world = World()
    dice = Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 60))):
        world.play(dice.choice(ACTS), dice.randrange(100), dice.randrange(100))
    world.emit(Ended(world.now, "0", "done", value="x"))
    return world.events
