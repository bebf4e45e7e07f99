"""Budgets as a tree of accounts: reserve before starting, spend while streaming, refund at the end.

    whole run (total_tokens)
    └── work        all but the fallback's ring-fence
        └── branches    all but the join's ring-fence: every thread below the root

Each thread draws on an account of its own under ``branches`` (the root on ``work``, the fallback
on the whole run), so a thread's own limit, its siblings' common limit and the run's are all held
by one rule: *a lease is granted only if every account from the thread up to the run can carry
it*. Siblings cannot overspend together, because what one has reserved is gone for the others
until it is refunded. Nothing here waits; who cannot be served is told how much there is.

A stream that runs alone is lent all that is left, and a thread that comes later, started while its
parent still writes, would find nothing. So what an open lease has not spent yet can be taken back
(`Ledger.make_room`), down to an equal share. The stream that loses it is none the worse: if it
comes to the end of its smaller lease it asks again like everybody.

The ring-fences are shares of the total that are set aside at the start: `JOIN_SHARE` so that there
is room to merge what the threads found (the root and mergers may use it), `FALLBACK_SHARE` so that
a failed parallel attempt can still be answered sequentially (only the fallback may). The same
shares of the longest path are kept free (`path_reserve`), and that of the seconds for the fallback.
A plan without threads has neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from plait.core.events import Role
from plait.errors import Bug

JOIN_SHARE = 0.10
FALLBACK_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class AccountState:
    """A look at one account, in tokens."""

    limit: int | None
    spent: int
    reserved: int


class Account:
    """Tokens that may be generated below one place of the tree."""

    __slots__ = ("_children", "_limit", "_parent", "_reserved", "_spent")

    def __init__(self, limit: int | None, parent: Account | None = None) -> None:
        self._limit = limit
        self._parent = parent
        self._spent = 0
        self._reserved = 0
        self._children: list[Account] = []

    def open(self, limit: int | None = None) -> Account:
        """An account below this one, with a limit of its own if given."""
        account = Account(limit, self)
        self._children.append(account)
        return account

    @property
    def available(self) -> int | None:
        """What may still be reserved, all accounts above considered; None: no limit anywhere."""
        best: int | None = None
        account: Account | None = self
        while account is not None:
            if account._limit is not None:
                left = max(0, account._limit - account._spent - account._reserved)
                best = left if best is None else min(best, left)
            account = account._parent
        return best

    @property
    def unspent(self) -> int | None:
        """What has not been spent, reserved or not, all accounts above considered."""
        account: Account | None = self
        lefts = []
        while account is not None:
            if account._limit is not None:
                lefts.append(max(0, account._limit - account._spent))
            account = account._parent
        return min(lefts, default=None)

    @property
    def state(self) -> AccountState:
        return AccountState(self._limit, self._spent, self._reserved)

    def reserve(self, tokens: int | None) -> Lease:
        """Set ``tokens`` aside (None: book as it comes, where no account has a limit).

        Raises `Bug` when they are not available: ask first.
        """
        left = self.available
        wanted = tokens or 0
        if wanted < 0 or (left is not None and (tokens is None or wanted > left)):
            raise Bug(f"{tokens} tokens reserved where {left} are available")
        self._move(reserved=wanted)
        return Lease(self, tokens)

    def _move(self, *, reserved: int = 0, spent: int = 0) -> None:
        account: Account | None = self
        while account is not None:
            account._reserved += reserved
            account._spent += spent
            account = account._parent

    def check(self) -> None:
        """Raise `Bug` unless every account below here adds up and keeps its limit."""
        if self._reserved < 0 or self._spent < 0:
            raise Bug(f"an account is negative: {self.state}")
        if self._limit is not None and self._reserved + self._spent > self._limit:
            raise Bug(f"an account is overdrawn: {self.state}")
        if sum(c._spent for c in self._children) > self._spent:
            raise Bug("accounts below spent more than is booked above")
        if sum(c._reserved for c in self._children) > self._reserved:
            raise Bug("accounts below reserved more than is booked above")
        for child in self._children:
            child.check()


class Lease:
    """Tokens that one stream may generate. Close it in a ``finally``."""

    __slots__ = ("_account", "granted", "left", "shrunk")

    def __init__(self, account: Account, tokens: int | None) -> None:
        self._account = account
        self.left = tokens or 0
        self.granted = tokens
        self.shrunk = False
        """Some of it was taken back: the engine does not know where it ends now."""

    def spend(self, tokens: int) -> None:
        """Book generated tokens. An engine that overruns its limit is booked up to the lease:
        the ledger counts what was granted, the trace what was written."""
        if self.granted is None:
            self._account._move(spent=tokens)
            return
        tokens = min(tokens, self.left)
        self.left -= tokens
        self._account._move(reserved=-tokens, spent=tokens)

    def close(self) -> None:
        """Refund what was not spent. Harmless the second time."""
        self._account._move(reserved=-self.left)
        self.left = 0

    def ends_before(self, tokens: int) -> bool:
        """Is it at an end of which the engine does not know, or would be with ``tokens`` more?"""
        return self.shrunk and (not self.left or tokens > self.left)

    def give_back(self, tokens: int, to: Account) -> None:
        """Free ``tokens`` that are not spent yet, if that leaves more for ``to``."""
        before = to.available
        self._account._move(reserved=-tokens)
        if to.available == before:
            self._account._move(reserved=tokens)
            return
        self.left -= tokens
        self.shrunk = True


class Ledger:
    """The accounts of one run; see the module's docstring."""

    def __init__(self, total: int | None, *, parallel: bool) -> None:
        self.parallel = parallel
        fallback = int(total * FALLBACK_SHARE) if total and parallel else 0
        join = int(total * JOIN_SHARE) if total and parallel else 0
        self.run = Account(total)
        self.work = self.run.open(None if total is None else total - fallback)
        self.branches = self.work.open(None if total is None else total - fallback - join)
        self._leases: dict[Lease, None] = {}  # a set that keeps its order

    def lend(self, account: Account, tokens: int | None) -> Lease:
        """A lease on ``account`` that `make_room` may shrink. End it with `settle`."""
        lease = account.reserve(tokens)
        self._leases[lease] = None
        return lease

    def settle(self, lease: Lease) -> None:
        """Close a lease that was lent."""
        del self._leases[lease]
        lease.close()

    def make_room(self, account: Account, least: int, contenders: int) -> None:
        """If less than ``least`` tokens are left for ``account``, take back from open leases what
        is more than one of ``contenders`` equal shares (but not below ``least``)."""
        available = account.available
        if available is None or available >= least:
            return
        pool = available + sum(lease.left for lease in self._leases)
        share = max(pool // max(1, contenders), least)
        for lease in sorted(self._leases, key=lambda lease: -lease.left):
            spare = min(lease.left - share, share - (account.available or 0))
            if spare > 0:
                lease.give_back(spare, account)

    def account_for(self, role: Role) -> Account:
        """Where a thread that serves ``role`` draws its tokens, the root excepted."""
        above = {"fallback": self.run, "merger": self.work}.get(role, self.branches)
        return above.open()

    def path_reserve(self, critical: int, role: Role, level: int) -> int:
        """Tokens of the longest path that a thread of this ``role`` and level has to leave."""
        if not self.parallel or role == "fallback":
            return 0
        joins = level > 0 and role != "merger"
        return int(critical * (FALLBACK_SHARE + (JOIN_SHARE if joins else 0)))

    def check(self) -> None:
        """Raise `Bug` unless the books balance."""
        self.run.check()

    @property
    def reserved(self) -> int:
        """Tokens set aside by streams that are open now: 0 when nothing runs."""
        return self.run.state.reserved
