"""Budgets as a tree: siblings cannot overspend together, and the books always balance."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from plait.errors import Bug
from plait.scheduler.ledger import Account, Lease, Ledger


def test_what_one_sibling_reserves_is_gone_for_the_other() -> None:
    parent = Account(100)
    one, two = parent.open(), parent.open()
    lease = one.reserve(70)
    assert two.available == 30
    with pytest.raises(Bug):
        two.reserve(31)
    lease.spend(20)
    lease.close()
    assert two.available == 80


def test_room_for_the_join_and_the_fallback_is_ring_fenced() -> None:
    ledger = Ledger(1000, parallel=True)
    assert (ledger.branches.available, ledger.work.available, ledger.run.available) == (
        650, 750, 1000)


def test_a_sequential_plan_has_no_ring_fence() -> None:
    assert Ledger(1000, parallel=False).branches.available == 1000


def test_without_a_limit_everything_is_granted_and_still_booked() -> None:
    ledger = Ledger(None, parallel=True)
    lease = ledger.branches.open().reserve(None)
    lease.spend(5)
    lease.close()
    assert ledger.run.state.spent == 5
    assert ledger.branches.available is None


def test_closing_a_lease_twice_refunds_once() -> None:
    account = Account(10)
    lease = account.reserve(4)
    lease.close()
    lease.close()
    assert account.available == 10


def test_a_latecomer_gets_an_equal_share_of_what_an_open_lease_has_not_spent() -> None:
    ledger = Ledger(1000, parallel=True)
    whole = ledger.lend(ledger.work, ledger.work.available)
    whole.spend(150)
    child = ledger.branches.open()
    assert child.available == 0
    ledger.make_room(child, 32, contenders=2)
    assert (child.available, whole.left, whole.ends_before(300)) == (300, 300, False)
    ledger.make_room(child, 32, contenders=2)  # there is enough now
    assert (child.available, whole.left) == (300, 300)
    ledger.settle(whole)
    ledger.check()
    assert ledger.reserved == 0


def test_a_lease_that_was_shrunk_ends_before_a_chunk_that_goes_beyond_it() -> None:
    ledger = Ledger(100, parallel=True)
    lease = ledger.lend(ledger.work, ledger.work.available)
    assert not lease.ends_before(1000)  # the engine knows this limit, and keeps it
    ledger.make_room(ledger.branches.open(), 32, contenders=2)
    lease.spend(lease.left - 3)
    assert not lease.ends_before(3)
    assert lease.ends_before(4)
    lease.spend(3)
    assert lease.ends_before(0)


def test_little_is_not_divided_and_what_does_not_help_is_not_taken() -> None:
    ledger = Ledger(100, parallel=True)
    first = ledger.lend(ledger.branches.open(), 40)
    rest = ledger.lend(ledger.branches.open(), ledger.branches.available)
    third = ledger.branches.open()
    ledger.make_room(third, 32, contenders=8)
    assert (third.available, first.left, rest.left) == (8, 32, 25)
    one = Ledger(1000, parallel=True)
    root = one.lend(one.work, 50)
    everything = one.lend(one.branches.open(), one.branches.available)
    one.make_room(one.branches, 32, contenders=50)
    assert (root.left, root.shrunk, everything.shrunk) == (50, False, True)


class Books(RuleBasedStateMachine):
    """Any order of opening, reserving, spending and closing keeps every account sound."""

    accounts = Bundle("accounts")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.run = Account(200)
        self.spent = 0

    @rule(target=accounts)
    def the_run(self) -> Account:
        return self.run

    @rule(target=accounts, above=accounts, limit=st.none() | st.integers(1, 150))
    def open(self, above: Account, limit: int | None) -> Account:
        return above.open(limit)

    @rule(target=leases, account=accounts, share=st.floats(0, 1))
    def reserve(self, account: Account, share: float) -> Lease:
        return account.reserve(int((account.available or 0) * share))

    @rule(lease=leases, tokens=st.integers(0, 60))
    def spend(self, lease: Lease, tokens: int) -> None:
        before = self.run.state.spent
        lease.spend(tokens)
        self.spent += self.run.state.spent - before

    @rule(lease=leases, share=st.floats(0, 1), to=accounts)
    def give_back(self, lease: Lease, share: float, to: Account) -> None:
        lease.give_back(int(lease.left * share), to)

    @rule(lease=leases)
    def close(self, lease: Lease) -> None:
        lease.close()

    @invariant()
    def the_books_balance(self) -> None:
        self.run.check()
        assert self.run.state.spent == self.spent <= 200


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
