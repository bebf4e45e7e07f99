"""Which replicas get something new. Pure: the clock is an argument, in seconds.

    in ---- cannot be reached, breaks streams, fails, is far slower than the others ----> out
    ^                                                                                      |
    +--- its rest is over, and a cheap request succeeds (fails: out, for twice the rest) --+

A new replica is out, and due at once: it is in when it has been seen to serve the pool's model.

The breaker of methods (`plait.policy.breaker`) is of the same kind, but asks for a share of bad
runs before it acts, since models fail in many ways. A server that is gone is gone at once, and
trying it again costs one request for its list of models.

Slow is a replica whose quick streams (the quickest quarter) take `SLOW` times as long for a token
as the slow ones (the slowest quarter) of the replica in the middle: a change of load that reaches
one of them first is none. Never more than two thirds of the pool are out: where all seem bad, it is
something else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from plait.core.rolling import Rolling

FIRST_REST, LONGEST_REST = 1.0, 60.0
CALM = 10.0
"""So many times its last rest a replica has to be in to be trusted as if it had never been out."""
ERRORS = 3
"""Failures (5xx) in a row that put a replica out; one may be the request's fault."""
SLOW = 5.0
KNOWN = 10
"""Streams that tell how fast a replica is; nothing is known by fewer."""
LATEST = 40


@dataclass(frozen=True, slots=True)
class Standing:
    """How a replica stands. ``why``: what keeps it out, empty while it is in."""

    name: str
    out: bool
    why: str
    ejections: int


@dataclass(slots=True)
class _Record:
    out: bool = True
    since: float = float("-inf")
    """When it went out or came in. Streams that began before say nothing of what is now."""
    rest: float = 0.0
    why: str = "it has not answered yet"
    errors: int = 0
    ejections: int = 0
    paces: Rolling = field(default_factory=lambda: Rolling(LATEST))


class Health:
    """The health of all replicas of a pool."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def watch(self, names: Collection[str]) -> None:
        """These are the replicas now; what is known of the others is forgotten."""
        self._records = {name: self._records.get(name) or _Record() for name in names}

    def is_out(self, name: str) -> bool:
        record = self._records.get(name)
        return record is None or record.out

    def is_due(self, name: str, now: float) -> bool:
        """Is it out, and time to try it again?"""
        record = self._records.get(name)
        return record is not None and record.out and now >= record.since + record.rest

    def standings(self) -> list[Standing]:
        return [Standing(name, r.out, r.why if r.out else "", r.ejections)
                for name, r in self._records.items()]

    # --- what happened ---------------------------------------------------------------------------

    def broke(self, name: str, why: str, began: float, now: float) -> None:
        """It could not be reached, or broke off, in a call that began at ``began``."""
        if (record := self._now(name, began)) is not None:
            self._eject(record, why, now)

    def failed(self, name: str, why: str, began: float, now: float) -> None:
        """It answered a call with a failure of its own (5xx)."""
        if (record := self._now(name, began)) is not None:
            record.errors += 1
            if record.errors >= ERRORS:
                self._eject(record, why, now)

    def wrote(self, name: str, pace: float, began: float, now: float) -> None:
        """A stream came to its end, at ``pace`` seconds a token."""
        if (record := self._now(name, began)) is None:
            return
        record.errors = 0
        record.paces.add(pace)
        paces = sorted(r.paces.percentile(0.75) for r in self._records.values()
                       if not r.out and len(r.paces) >= KNOWN)
        if len(record.paces) < KNOWN or len(paces) < 2:
            return
        own, usual = record.paces.percentile(0.25), paces[(len(paces) - 1) // 2]
        if own > SLOW * usual:
            self._eject(record, f"it takes {own / usual:.0f} times as long for a token as the"
                                " others", now)

    def admit(self, name: str, now: float) -> None:
        """It has answered: it is in again."""
        record = self._records.get(name)
        if record is not None and record.out:
            record.out, record.since, record.errors = False, now, 0
            record.paces = Rolling(LATEST)

    def reject(self, name: str, why: str, now: float) -> None:
        """It was tried again, and still does not answer as it should."""
        record = self._records.get(name)
        if record is not None and record.out:
            record.since, record.why = now, why
            record.rest = min(LONGEST_REST, max(FIRST_REST, 2 * record.rest))

    # --- out -------------------------------------------------------------------------------------

    def _now(self, name: str, began: float) -> _Record | None:
        """The record of a replica that is in, if a call from then says something of it."""
        record = self._records.get(name)
        return None if record is None or record.out or began < record.since else record

    def _eject(self, record: _Record, why: str, now: float) -> None:
        if sum(r.out for r in self._records.values()) + 1 > 2 * len(self._records) // 3:
            return
        calm = now - record.since >= CALM * record.rest
        record.rest = FIRST_REST if calm else min(LONGEST_REST, 2 * record.rest)
        record.out, record.since, record.why = True, now, why
        record.ejections += 1
