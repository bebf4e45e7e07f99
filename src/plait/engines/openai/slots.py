"""Which stream goes on which slot of a llama.cpp server, and where its prefix comes from. Pure.

llama.cpp keeps one text a slot, and finds the beginning of a new prompt only in the slot that it
runs on. So the book keeps what each slot holds, as far as our own streams tell, and gives every
stream a slot of its own (`Claim`): the one that holds most of its prompt, else the one that was
not used for longest. Claims that begin alike and find that beginning in too few slots become a
`Placing`: their trunk is read once, saved to a file by the server, and restored into the slots of
the others. `plait.engines.openai.forks` carries that out.

What the book believes may be wrong, since a server may have other clients and may be started
anew: llama.cpp compares every prompt with what its slot really holds, so a wrong belief costs
time and never the text.

Slots are given out in turns: of two runs that wait, each gets every second slot.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from plait.errors import EngineError

LEAST = 256
"""Characters of a common beginning for which a copy is considered at all."""
NEAR = 64
"""Characters that a slot may hold less than the whole beginning: they are read anew in no time."""
ALIKE = 4
"""Claims whose common beginnings differ by less than one part in so many are one family."""
TRUNK_SECONDS = 10.0
"""For this long a saved trunk is restored again."""

Then = Literal["here", "anywhere", "wait"]
"""How a placing ends for its claims; see `SlotBook.done`."""


@dataclass(eq=False, slots=True)
class Slot:
    """``text``: what it holds, as far as is known. ``tokens``: of how many tokens, at least and at
    most; None if unknown. ``taken``: somebody else's stream is on it. ``used``: when it was, in
    turns."""

    number: int
    text: str = ""
    tokens: tuple[int, int] | None = None
    used: int = 0
    holder: Claim | None = None
    taken: bool = False


@dataclass(eq=False, slots=True)
class Claim:
    """One stream that wants a slot, or has one. ``placed``: it may begin; without a slot, wherever
    the server likes. ``expected``: characters of its text that its slot should hold by then;
    ``copied``: they were put there for it. ``read``: tokens that the server read on its account
    before it began."""

    text: str
    session: str = ""
    slot: Slot | None = None
    placed: bool = False
    placing: Placing | None = None
    gone: bool = False
    expected: int = 0
    copied: bool = False
    read: int = 0


@dataclass(eq=False, slots=True)
class Trunk:
    """A beginning of prompts in a file of the server's. ``users``: placings that wait for it or
    copy from it; ``tokens``: what the server says that the file holds."""

    text: str
    file: str
    until: float
    users: int = 0
    ready: bool = False
    lost: bool = False
    tokens: int = 0


@dataclass(eq=False, slots=True)
class Placing:
    """Claims that are given their slots together. The first one carries it out.

    ``trunk`` is restored into the slots of ``copies``. If ``source`` is given, it is saved from
    there first; and if it is ``cold``, read there before that.
    """

    claims: list[Claim]
    trunk: Trunk | None = None
    source: Slot | None = None
    cold: bool = False
    copies: list[Claim] = field(default_factory=list)

    @property
    def driver(self) -> Claim:
        return self.claims[0]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server says of a slot: is it at work, its last task, how many tokens it holds."""

    number: int
    busy: bool
    task: int = -1
    tokens: int | None = None


def read_slots(reply: Any) -> list[Seen]:
    """What ``GET /slots`` says. Raises `EngineError` if that is no list of slots."""
    if not isinstance(reply, list) or not all(isinstance(s, Mapping) and "id" in s for s in reply):
        raise EngineError("the server's list of slots is none")
    return [Seen(s["id"], bool(s.get("is_processing")), s.get("id_task", -1),
                 s.get("n_prompt_tokens")) for s in reply]


def common(a: str, b: str) -> int:
    """Length of the common beginning of two texts."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _worth(text: str, held: str) -> int:
    """Characters of ``text`` that a slot holds; 0 if it would lose more than it gives."""
    n = common(text, held)
    return n if 2 * n >= min(len(text), len(held)) else 0


class SlotBook:
    """See the module's docstring. ``files``: names that trunks may be saved under. ``pays``: is it
    worth while to copy a beginning of so many characters into so many slots?"""

    def __init__(
        self, slots: int, files: Sequence[str], pays: Callable[[int, int], bool] | None = None
    ) -> None:
        self.slots = [Slot(n) for n in range(slots)]
        self._free_files = list(files)
        self._trunks: list[Trunk] = []
        self._pays = pays or (lambda characters, copies: True)
        self._queues: OrderedDict[str, deque[Claim]] = OrderedDict()
        self._turn = 0
        self._last_task = -1

    # --- claims --------------------------------------------------------------------------------

    def ask(self, text: str, session: str = "") -> Claim:
        """Queue up a stream with the prompt ``text``. `release` it in the end, at any time."""
        claim = Claim(text, session)
        self._queues.setdefault(session, deque()).append(claim)
        return claim

    def release(
        self, claim: Claim, text: str = "", tokens: tuple[int, int] | None = None
    ) -> None:
        """The stream is over, or will not be. Its slot holds ``text`` (empty: unknown), which has
        at least and at most so many ``tokens``."""
        if claim.placing is not None:
            claim.gone = True  # its slot is being filled; `done` frees it
            return
        self._drop(claim)
        if claim.slot is not None:
            self._free(claim.slot, text, tokens)
            claim.slot = None

    def _drop(self, claim: Claim) -> None:
        queue = self._queues.get(claim.session)
        if queue is not None and claim in queue:
            queue.remove(claim)
            if not queue:
                del self._queues[claim.session]

    def _free(
        self, slot: Slot, text: str = "", tokens: tuple[int, int] | None = None
    ) -> None:
        self._turn += 1
        slot.holder, slot.text, slot.tokens, slot.used = None, text, tokens, self._turn

    @property
    def waiting(self) -> list[Claim]:
        """Claims that have no slot yet."""
        return [claim for queue in self._queues.values() for claim in queue]

    @property
    def crowded(self) -> bool:
        """Somebody else is on a slot, and nobody will tell us when it is free again."""
        return any(s.taken for s in self.slots)

    @property
    def full(self) -> bool:
        """Every slot has a stream of ours."""
        return all(s.holder is not None for s in self.slots)

    # --- what the server says ------------------------------------------------------------------

    def see(self, seen: Sequence[Seen]) -> None:
        """Take in what the server says of its slots: who else is on them, what we got wrong."""
        last = max((s.task for s in seen), default=-1)
        if last < self._last_task:
            self.forget()  # tasks are numbered upwards: it was started anew
        self._last_task = last
        known = {slot.number: slot for slot in self.slots}
        if sorted(known) != sorted(s.number for s in seen):
            self.slots = [known.get(s.number) or Slot(s.number) for s in seen]
            known = {slot.number: slot for slot in self.slots}
        for state in seen:
            slot = known[state.number]
            if slot.holder is not None:
                continue
            slot.taken = state.busy
            other = slot.tokens is not None and state.tokens is not None and not (
                slot.tokens[0] <= state.tokens <= slot.tokens[1])
            if state.busy or other or state.task < 0:  # below 0: nothing ever ran on it
                slot.text, slot.tokens = "", None

    def forget(self) -> None:
        """Nothing that was known of the server's memory holds any longer."""
        for slot in self.slots:
            if slot.holder is None:
                slot.text, slot.tokens = "", None
        for trunk in self._trunks:
            trunk.lost = True

    # --- placing -------------------------------------------------------------------------------

    def plan(self, now: float) -> list[Placing]:
        """Give the free slots to those that wait. Each placing has to be ended with `done`."""
        self._expire(now)
        free = [s for s in self.slots if s.holder is None and not s.taken]
        if not free and not any(s.holder for s in self.slots):
            for claim in self._next(len(self.waiting)):
                claim.placed = True  # all slots are other people's: the server's queue is the place
            return []
        chosen = self._next(len(free))
        placings = []
        families = list(self._families(chosen))
        for claims, trunk in families:  # first, what is where it is wanted
            self._give_holders(claims, trunk, free)
        for claims, trunk in families:
            placings.append(self._fill(claims, trunk, free, now))
        for placing in placings:
            for claim in placing.claims:
                claim.placing = placing
        return placings

    def _next(self, most: int) -> list[Claim]:
        """Those whose turn it is, taken out of the queues."""
        chosen: list[Claim] = []
        while self._queues and len(chosen) < most:
            session, queue = self._queues.popitem(last=False)
            chosen.append(queue.popleft())
            if queue:
                self._queues[session] = queue
        return chosen

    def _families(self, chosen: Sequence[Claim]) -> Iterator[tuple[list[Claim], str]]:
        """The chosen claims by their common beginnings, with that: the longest that a claim shares
        with any stream that is running or waits. It is empty for a claim that stands alone."""
        wanted = set(chosen)
        everyone = [*chosen, *self.waiting, *(s.holder for s in self.slots if s.holder)]
        everyone.sort(key=lambda claim: claim.text)
        family: list[Claim] = []
        shared = 0

        def close() -> Iterator[tuple[list[Claim], str]]:
            if members := [claim for claim in family if claim in wanted]:
                yield members, family[0].text[:shared]

        for claim in everyone:
            n = common(family[-1].text, claim.text) if family else 0
            near = shared // ALIKE
            if n >= LEAST and (not shared or abs(n - shared) <= near):
                shared = min(shared, n) if shared else n
                family.append(claim)
                continue
            closer = [family.pop()] if n >= LEAST and n > shared else []
            yield from close()
            family, shared = [*closer, claim], n if closer else 0
        yield from close()

    def _give_holders(self, claims: Sequence[Claim], trunk: str, free: list[Slot]) -> None:
        """Slots that hold the beginning of a claim as well as any other source does."""
        pairs = []
        for claim in claims:
            copy = self._find(claim.text)
            enough = max(len(trunk), common(copy.text, claim.text) if copy else 0) - NEAR
            for slot in free:
                n = _worth(claim.text, slot.text)
                if n >= max(1, enough):
                    pairs.append((n, claim, slot))
        for n, claim, slot in sorted(pairs, key=lambda pair: -pair[0]):
            if claim.slot is None and slot in free:
                self._hold(claim, slot, free)
                claim.expected = n

    def _fill(
        self, claims: list[Claim], trunk: str, free: list[Slot], now: float
    ) -> Placing:
        """Slots for the claims of a family that have none yet, and how the trunk gets there."""
        placing = Placing(claims)
        holders = [c for c in claims if c.slot is not None]
        rest = [c for c in claims if c.slot is None]
        for claim in rest:  # the first one of a cold family goes where most of it is
            wanted = trunk if trunk and claim is claims[0] else ""
            self._hold(claim, max(free, key=lambda s: (_worth(wanted, s.text), -s.used)), free)
        if not rest:
            return placing
        placing.copies = rest
        if trunk and holders:
            source = max(holders, key=lambda claim: claim.expected).slot
            assert source is not None
            self._save(placing, source, source.text, now)
        elif found := self._find(trunk or claims[0].text, whole=bool(trunk)):
            placing.trunk = found
        elif trunk:
            source = rest[0].slot
            assert source is not None
            placing.cold, placing.copies = True, rest[1:]
            self._save(placing, source, trunk, now)
        if placing.trunk is None:
            placing.copies = []
        else:
            placing.trunk.users += 1
        return placing

    def _save(self, placing: Placing, source: Slot, text: str, now: float) -> None:
        """Let ``source`` be saved, if that pays and there is a file for it."""
        shared = min(len(text), common(text, placing.claims[0].text))
        if self._pays(shared, max(1, len(placing.copies))) and (file := self._file()):
            placing.source = source
            placing.trunk = Trunk(text, file, now + TRUNK_SECONDS)
            self._trunks.append(placing.trunk)
        else:
            placing.cold = False

    def _hold(self, claim: Claim, slot: Slot, free: list[Slot]) -> None:
        free.remove(slot)
        slot.holder, claim.slot = claim, slot

    def ready(self, trunk: Trunk, tokens: int) -> None:
        """The file of ``trunk`` is there."""
        trunk.ready, trunk.tokens = True, tokens

    def filled(self, claim: Claim, trunk: Trunk) -> None:
        """The slot of ``claim`` holds ``trunk``."""
        claim.expected = common(trunk.text, claim.text)
        claim.copied = True

    def done(self, placing: Placing, then: Then) -> None:
        """The placing is over, and its claims may begin in their slots (``here``), begin wherever
        the server likes (``anywhere``), or wait again. A claim that is gone leaves its slot."""
        if placing.trunk is not None:
            placing.trunk.users -= 1
            placing.trunk.lost |= not placing.trunk.ready and placing.source is not None
        for claim in reversed(placing.claims):
            claim.placing = None
            if claim.slot is not None and (claim.gone or then != "here"):
                self._free(claim.slot)
                claim.slot, claim.expected, claim.copied = None, 0, False
            if claim.gone:
                continue
            claim.placed = then != "wait"
            if not claim.placed:
                self._queues.setdefault(claim.session, deque()).appendleft(claim)

    # --- trunks --------------------------------------------------------------------------------

    def _find(self, text: str, *, whole: bool = False) -> Trunk | None:
        """The saved trunk that holds most of ``text``, if it is worth a copy; ``whole``: nearly
        all of it."""
        best = max((t for t in self._trunks if not t.lost),
                   key=lambda t: common(t.text, text), default=None)
        least = max(LEAST, len(text) - len(text) // ALIKE) if whole else LEAST
        return best if best is not None and common(best.text, text) >= least else None

    def _file(self) -> str | None:
        """A name to save under; the oldest trunk that nobody uses gives up its own."""
        if not self._free_files:
            idle = [t for t in self._trunks if not t.users]
            if not idle:
                return None
            self._trunks.remove(oldest := min(idle, key=lambda t: t.until))
            self._free_files.append(oldest.file)
        return self._free_files.pop()

    def _expire(self, now: float) -> None:
        for trunk in [t for t in self._trunks if not t.users and (t.lost or t.until < now)]:
            self._trunks.remove(trunk)
            self._free_files.append(trunk.file)
