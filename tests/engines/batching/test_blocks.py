"""The ledger: who holds which block, and what is found again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.engines.batching.blocks import Ledger, Table
from plait.errors import Bug


def fill(ledger: Ledger, ids: list[int]) -> Table:
    """A table that holds ``ids``, with whatever could be found reused."""
    table, _ = ledger.open(ids, ledger.match(ids))
    assert ledger.reserve(table, len(ids))
    ledger.advance(table, len(ids) - table.written)
    ledger.check([table])
    return table


def test_a_running_parent_is_found_by_its_child() -> None:
    ledger = Ledger(16, 4)
    parent = fill(ledger, list(range(10)))
    match = ledger.match([*range(10), 77, 78])
    assert match.blocks == tuple(parent.blocks[:2])
    assert (match.source, match.copied, match.tokens) == (parent.blocks[2], 2, 10)


def test_a_fork_shares_whole_blocks_and_copies_only_the_last() -> None:
    ledger = Ledger(16, 4)
    parent = fill(ledger, list(range(10)))
    ids = [*range(10), 77]
    child, copy = ledger.open(ids, ledger.match(ids))
    ledger.check([parent, child])
    assert child.blocks[:2] == parent.blocks[:2]
    assert copy == (parent.blocks[2], child.blocks[2])
    assert child.written == 10
    assert ledger.statistics().used == 4


def test_a_fork_in_the_middle_of_a_full_block_copies_what_is_common() -> None:
    ledger = Ledger(16, 4)
    fill(ledger, list(range(12)))
    match = ledger.match([0, 1, 2, 3, 4, 5, 99, 98, 97])
    assert (len(match.blocks), match.copied, match.tokens) == (1, 2, 6)


def test_the_last_token_of_a_prompt_is_never_taken_from_memory() -> None:
    ledger = Ledger(16, 4)
    fill(ledger, list(range(8)))
    assert ledger.match(list(range(8))).tokens == 7
    assert ledger.match([0]).tokens == 0


def test_what_a_finished_sequence_held_is_found_until_its_memory_is_needed() -> None:
    ledger = Ledger(3, 4)
    first = fill(ledger, list(range(10)))
    ledger.release(first)
    assert ledger.match([*range(10), 5]).tokens == 10
    other = fill(ledger, list(range(100, 107)))  # takes two blocks, the deepest ones first
    assert ledger.match([*range(10), 5]).tokens == 4
    ledger.release(other)
    ledger.drop_index()
    ledger.check([])
    assert ledger.statistics().free == 3


def test_twins_that_did_not_know_of_each_other_leave_no_block_behind() -> None:
    ledger = Ledger(8, 4)
    tables = []
    for _ in range(2):  # both begin before either has written
        table = Table(list(range(9)))
        assert ledger.reserve(table, 9)
        tables.append(table)
    for table in tables:
        ledger.advance(table, 9)
    ledger.check(tables)
    for k, table in enumerate(tables):
        ledger.release(table)
        ledger.check(tables[k + 1 :])
    ledger.drop_index()
    assert ledger.statistics().free == 8


def test_a_full_ledger_says_no_and_changes_nothing() -> None:
    ledger = Ledger(2, 4)
    table = fill(ledger, list(range(5)))
    assert not ledger.reserve(table, 9)
    ledger.check([table])
    assert not ledger.fits(ledger.match([50, 51]), 2)


def test_without_room_for_a_copy_the_prompt_is_computed_instead() -> None:
    ledger = Ledger(2, 4)
    parent = fill(ledger, list(range(7)))
    child, copy = ledger.open(list(range(6)), ledger.match(list(range(6))))
    assert copy is None
    assert child.written == 4
    ledger.check([parent, child])


def test_a_broken_ledger_is_noticed() -> None:
    ledger = Ledger(4, 4)
    table = fill(ledger, list(range(6)))
    table.blocks[0].refs += 1
    with pytest.raises(Bug, match="reference count"):
        ledger.check([table])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_the_books_agree(data: st.DataObject) -> None:
    """Sequences of few different tokens come, grow and go in a memory that is too small."""
    ledger = Ledger(data.draw(st.integers(2, 10)), data.draw(st.sampled_from([1, 2, 4])))
    tables: list[Table] = []
    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.sampled_from(["open", "grow", "release", "drop"]))
        if act == "open":
            ids = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=12))
            match = ledger.match(ids)
            if ledger.fits(match, len(ids)):
                table, _ = ledger.open(ids, match)
                assert ledger.reserve(table, len(ids))
                tables.append(table)
        elif act == "drop":
            ledger.drop_index()
        elif tables:
            table = data.draw(st.sampled_from(tables))
            if act == "release":
                tables.remove(table)
                ledger.release(table)
            elif table.written < len(table.ids):
                ledger.advance(table, data.draw(st.integers(1, len(table.ids) - table.written)))
            elif ledger.reserve(table, table.written + 1):
                table.ids.append(data.draw(st.integers(0, 1)))
                ledger.advance(table, 1)
        ledger.check(tables)
    for table in tables:
        ledger.release(table)
    ledger.drop_index()
    ledger.check([])
    assert ledger.statistics().free == len(ledger.blocks)
