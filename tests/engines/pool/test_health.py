"""Who is out, for how long, and never too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.engines.pool.health import (
    CALM,
    ERRORS,
    FIRST_REST,
    KNOWN,
    LONGEST_REST,
    SLOW,
    Health,
)


def health_of(names: str = "abc") -> Health:
    health = Health()
    health.watch(names)
    for name in names:
        assert health.is_due(name, 0.0)  # new ones are asked at once
        health.admit(name, 0.0)
    return health


def test_what_breaks_is_out_until_its_rest_is_over_and_it_answers() -> None:
    health = health_of()
    health.broke("a", "gone", began=1.0, now=2.0)
    assert health.is_out("a")
    assert not health.is_due("a", 2.0 + FIRST_REST / 2)
    assert health.is_due("a", 2.0 + FIRST_REST)
    health.admit("a", 4.0)
    assert not health.is_out("a")
    assert [s.ejections for s in health.standings()] == [1, 0, 0]


def test_many_streams_that_break_at_once_are_one_ejection() -> None:
    health = health_of()
    for _ in range(12):
        health.broke("a", "gone", began=1.0, now=2.0)
    health.admit("a", 3.0)
    health.broke("a", "gone", began=1.0, now=3.5)  # noticed late; says nothing of what is now
    assert not health.is_out("a")
    assert health.standings()[0].ejections == 1


def test_rests_grow_and_are_forgotten_after_a_calm_time() -> None:
    health, now, rests = health_of(), 100.0, []
    for _ in range(8):
        health.broke("a", "gone", began=now, now=now)
        rest = next(r for n in range(9) if health.is_due("a", now + (r := FIRST_REST * 2**n))
                    ) if not health.is_due("a", now) else 0.0
        rests.append(rest)
        now += LONGEST_REST
        health.admit("a", now)
        now += 0.5
    assert rests[:4] == [1, 2, 4, 8]
    assert not any(health.is_out(n) for n in "abc")
    now += CALM * LONGEST_REST
    health.broke("a", "gone", began=now, now=now)
    assert health.is_due("a", now + FIRST_REST)


def test_a_replica_that_still_does_not_answer_rests_longer_each_time() -> None:
    health = health_of()
    health.broke("a", "gone", began=1.0, now=1.0)
    health.reject("a", "still gone", 2.0)
    assert not health.is_due("a", 3.9)
    assert health.is_due("a", 4.0)
    assert health.standings()[0].why == "still gone"


def test_a_failure_of_its_own_counts_only_in_a_row() -> None:
    health = health_of()
    for _ in range(ERRORS - 1):
        health.failed("a", "500", began=1.0, now=1.0)
    health.wrote("a", 0.01, began=1.0, now=1.0)
    health.failed("a", "500", began=1.0, now=1.0)
    assert not health.is_out("a")
    for _ in range(ERRORS - 1):
        health.failed("a", "500", began=1.0, now=1.0)
    assert health.is_out("a")


@pytest.mark.parametrize(("times", "out"), [(SLOW * 0.9, False), (SLOW * 1.2, True)])
def test_one_far_slower_than_the_others_is_out(times: float, out: bool) -> None:
    health = health_of()
    for _ in range(KNOWN):
        health.wrote("a", 0.01, began=1.0, now=1.0)
        health.wrote("b", 0.02, began=1.0, now=1.0)
        health.wrote("c", 0.02 * times, began=1.0, now=1.0)
    assert [health.is_out(n) for n in "abc"] == [False, False, out]
    if out:
        assert "times as long" in health.standings()[2].why


def test_all_slow_together_is_nobodys_fault() -> None:
    health = health_of()
    for pace in (0.01, 1.0):
        for _ in range(5 * KNOWN):
            for name in "abc":
                health.wrote(name, pace, began=1.0, now=1.0)
    assert not any(health.is_out(n) for n in "abc")


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 8), st.sampled_from("bfaw")),
                                   max_size=60))
def test_never_more_than_two_thirds_are_out(count: int, happened: list[tuple[int, str]]) -> None:
    names = "abcdefghi"[:count]
    health = health_of(names)
    for now, (place, what) in enumerate(happened, 1):
        name = names[place % count]
        if what == "b":
            health.broke(name, "gone", now, now)
        elif what == "f":
            health.failed(name, "500", now, now)
        elif what == "w":
            health.wrote(name, 1.0 + place, now, now)
        else:
            health.admit(name, now)
        assert sum(health.is_out(n) for n in names) <= 2 * count // 3
