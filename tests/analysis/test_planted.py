"""What is planted in a log is found again, within the errors that docs/analyze.md states."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from plait.analysis import Options, Traffic, analyse
from plait.analysis.knee import find_rot
from plait.analysis.repeats import find_repeats
from plait.analysis.shape import amdahl, find_shape
from tests.analysis.planted import Planted, arithmetic, log, text

PLAN = Planted()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("branches", [3, 6])
def test_the_parallel_share_and_its_bounds(share: float, branches: int) -> None:
    planted = replace(PLAN, share=share, branches=branches, lines=120)
    shapes = [find_shape(text(planted, Random(seed))) for seed in range(10)]
    mean = sum(s.share for s in shapes) / len(shapes)
    assert mean == pytest.approx(share, abs=0.03)
    bound = sum(s.bound for s in shapes) / len(shapes)
    assert bound == pytest.approx(amdahl(share, branches), rel=0.05)
    assert all(s.branches == s.width == (branches if share else 0) for s in shapes)


@pytest.mark.parametrize("duplicates", [0.0, 0.1, 0.25, 0.5])
def test_near_duplicate_passages(duplicates: float) -> None:
    planted = replace(PLAN, duplicates=duplicates, lines=200, branches=4)
    found = [find_repeats(text(planted, Random(seed))).share for seed in range(5)]
    assert sum(found) / len(found) == pytest.approx(duplicates, abs=0.02)


@pytest.mark.parametrize("again", [0.0, 0.2, 0.5])
def test_equations_and_states_that_come_again(again: float) -> None:
    repeats = find_repeats(arithmetic(50, again, Random(1)))
    expected = again / (1 + again)
    assert repeats.equation_share == pytest.approx(expected, abs=0.01)
    assert repeats.state_share == pytest.approx(expected, abs=0.01)
    assert repeats.equations == repeats.states == 50 + round(50 * again)


@pytest.mark.parametrize("knee", [500, 1500, 4000])
def test_the_knee_is_found_within_a_factor(knee: int) -> None:
    rot = find_rot(log(replace(PLAN, knee=knee, calls=1500, lines=8), seed=knee))
    assert rot is not None
    assert rot.knee is not None
    assert knee / 1.4 <= rot.knee.tokens <= knee * 1.4
    assert rot.knee.before.estimate > rot.knee.beyond.estimate + 0.2


def test_the_interval_of_the_knee_holds_it() -> None:
    """In 95 % of logs in truth; fewer than 16 of 20 is a chance of less than 1 %."""
    knees = [find_rot(log(replace(PLAN, calls=400, lines=8), seed)) for seed in range(20)]
    held = [r is not None and r.knee is not None and r.knee.low <= PLAN.knee <= r.knee.high
            for r in knees]
    assert sum(held) >= 16


def test_no_knee_is_found_where_there_is_none() -> None:
    """At most 5 % in truth; of 20 logs more than 4 is a chance of less than 1 %."""
    flat = replace(PLAN, fall=0.0, calls=150, lines=8)
    found = [find_rot(log(flat, seed)) for seed in range(20)]
    assert sum(r is not None and r.knee is not None for r in found) <= 4


def test_tasks_of_different_length_and_difficulty_make_no_knee() -> None:
    """Short and easy beside long and hard: within each task length does not matter."""
    easy = [replace(c, tokens=100 + c.tokens % 400) for c in
            log(replace(PLAN, fall=0.0, before=0.95, calls=150, task="easy", lines=8), 1)]
    hard = [replace(c, tokens=3000 + c.tokens % 4000) for c in
            log(replace(PLAN, fall=0.0, before=0.3, calls=150, task="hard", lines=8), 2)]
    together = find_rot([*easy, *hard])
    assert together is not None
    assert together.knee is None
    alike = find_rot([replace(c, task="one") for c in (*easy, *hard)])
    assert alike is not None
    assert alike.knee is not None  # the same calls without their tasks: then it looks like one


def test_a_whole_log_is_recovered_and_its_tasks_ranked() -> None:
    wide = replace(PLAN, task="wide", share=0.9, branches=6, calls=150, lines=60)
    narrow = replace(PLAN, task="narrow", share=0.2, branches=2, calls=150, lines=60)
    found = analyse(Traffic((*log(narrow, 3), *log(wide, 4))), Options(threads=6))
    assert found.growth.each == pytest.approx(PLAN.each, rel=0.05)
    assert found.growth.fixed == pytest.approx(PLAN.fixed, abs=0.5)
    assert [t.task for t in found.tasks] == ["wide", "narrow"]
    first, second = found.tasks
    assert first.speedup == pytest.approx(amdahl(0.9, 6), rel=0.1)
    assert second.speedup == pytest.approx(amdahl(0.2, 2), rel=0.1)
    assert first.saved == pytest.approx(first.spent * (1 - 1 / first.speedup))
    assert found.repeats.share == pytest.approx(0.2, abs=0.03)
    assert found.rot is not None
    assert found.rot.knee is not None


def test_a_slow_engine_gains_less() -> None:
    calls = tuple(log(replace(PLAN, calls=20)))
    fast = analyse(Traffic(calls), Options(threads=4)).tasks[0]
    slow = analyse(Traffic(calls), Options(threads=4, slowdown=2.0)).tasks[0]
    hopeless = analyse(Traffic(calls), Options(threads=4, slowdown=8.0)).tasks[0]
    assert 1.0 == hopeless.speedup < slow.speedup < fast.speedup
