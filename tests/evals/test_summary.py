"""What is made of records: accuracies, pairs, flips, classes; recounted by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from plait.evals.summary import summarise
from plait.evals.values import Record


def record(arm: str, sample: int, *, right: bool = True, trial: int = 0, **more: object) -> Record:
    base = Record(f"p{sample}", arm, trial, "done", mark="right" if right else "wrong",
                  read="1" if right else "2", total_tokens=100, useful_tokens=100,
                  critical_path_tokens=100, wall_seconds=1.0, one_seconds=1.0, threads=1,
                  max_parallel=1, prompt_tokens=10, longest_context=110, finish="answered")
    return replace(base, **more)  # type: ignore[arg-type]


def forked(sample: int, **more: object) -> Record:
    return record("native", sample, **{
        "critical_path_tokens": 40, "wall_seconds": 0.5, "forks": 1, "threads": 4,
        "max_parallel": 3, "one_seconds": 0.1, "many_seconds": 0.4, "wasted_tokens": 20,
        "useful_tokens": 80, **more})  # type: ignore[arg-type]


def test_arms_are_counted_and_compared_by_problem() -> None:
    records = [record("sequential", i, right=i < 4) for i in range(10)]
    records += [forked(i, mark="right" if i != 0 else "wrong") for i in range(10)]
    summary = summarise(records)
    base, arm = summary.arms
    assert (summary.base, base.name, arm.name) == ("sequential", "sequential", "native")
    assert (base.right, base.wrong, arm.right, arm.wrong) == (4, 6, 9, 1)
    assert base.accuracy.estimate == 0.4
    assert (arm.activation, arm.width, arm.path, arm.tokens) == (1.0, 3.0, 40.0, 100.0)
    assert arm.spent_tokens == {"useful": 800, "wasted": 200, "verification": 0, "inserted": 0,
                                "prefilled": 100, "cached": 0}
    assert arm.spent_seconds["many threads"] == pytest.approx(4.0)
    (versus,) = summary.versus
    assert versus.wall is not None
    assert versus.wall.effect.estimate == pytest.approx(2.0)
    assert versus.tokens is not None
    assert versus.tokens.effect.estimate == pytest.approx(2.5)
    assert versus.tokens.verdict == "better"
    assert versus.accuracy is not None
    assert versus.accuracy.effect.estimate == pytest.approx(0.5)
    assert [(f.sample, f.gained) for f in versus.flips] == [
        ("p0", False), *((f"p{i}", True) for i in range(4, 10))]
    assert versus.wall_both_right is not None
    assert versus.wall_both_right.effect.n == 3


def test_only_common_problems_are_compared() -> None:
    records = [record("sequential", i) for i in range(8)] + [forked(i) for i in range(5, 12)]
    (versus,) = summarise(records).versus
    assert versus.problems == 3


def test_cached_times_failures_and_ungraded_answers_count_where_they_may() -> None:
    records = [record("sequential", i) for i in range(6)]
    records += [forked(i, cached=i == 0, wall_seconds=99.0 if i == 0 else 0.5) for i in range(5)]
    records += [forked(5, mark="ungraded")]
    records += [Record("p6", "native", 0, "error")]
    summary = summarise(records)
    arm = summary.arms[1]
    assert (arm.errors, arm.cached, arm.ungraded, arm.tasks) == (1, 1, 1, 6)
    assert arm.accuracy.n == 5
    (versus,) = summary.versus
    assert versus.wall is not None
    assert versus.wall.effect.estimate == pytest.approx(2.0)
    assert versus.wall.effect.n == 5


def test_no_answer_is_kept_apart_and_is_not_right() -> None:
    (arm,) = summarise([record("a", 1), record("a", 2, mark="no answer"),
                        record("a", 3, right=False)]).arms
    assert (arm.right, arm.wrong, arm.no_answer) == (1, 1, 1)
    assert arm.accuracy.estimate == pytest.approx(1 / 3)


def test_trials_of_a_problem_are_averaged_first() -> None:
    records = [record("a", i, trial=t, right=t <= i % 3) for i in range(9) for t in range(3)]
    records += [record("sequential", i, trial=t, right=t == 0) for i in range(9) for t in range(3)]
    summary = summarise(records)
    base, arm = summary.arms
    assert (arm.problems, arm.tasks) == (9, 27)
    assert arm.accuracy.estimate == pytest.approx((1 + 2 + 3) / 9)
    assert arm.accuracy.n == 9
    assert arm.at_k["pass@2"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert arm.at_k["avg@2"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert set(arm.at_k) == {"pass@2", "avg@2", "maj@2"}
    assert base.at_k["maj@2"] == pytest.approx(1 / 3)  # two pairs of three tie, one is wrong


def test_groups_come_from_the_suite_or_from_the_bases_length() -> None:
    records = [record("sequential", i, group=f"level {1 + i % 2 * 9}") for i in range(4)]
    records += [forked(i, group=f"level {1 + i % 2 * 9}") for i in range(4)]
    summary = summarise(records)
    assert [c.label for c in summary.by_group if c.arm == "native"] == ["level 1", "level 10"]
    plain = summarise([record("sequential", i, total_tokens=10 * i) for i in range(8)]
                      + [forked(i, right=i < 6) for i in range(8)])
    cells = [c for c in plain.by_group if c.arm == "native"]
    assert [c.label for c in cells] == ["shortest quarter", "second quarter", "third quarter",
                                        "longest quarter"]
    assert [c.accuracy.estimate for c in cells] == [1.0, 1.0, 1.0, 0.0]
    assert "sequential" in plain.groups_are


def test_classes_of_context_length() -> None:
    records = [record("a", i, longest_context=c, right=r) for i, (c, r) in enumerate(
        [(100, True), (128, True), (129, False), (10**7, False)])]
    cells = summarise(records).by_context
    assert [(c.label, c.tasks, c.accuracy.estimate) for c in cells] == [
        ("≤ 128", 2, 1.0), ("≤ 256", 1, 0.0), ("> 131,072", 1, 0.0)]


def test_the_front_holds_what_nothing_beats() -> None:
    records = [r for i in range(10) for r in (
        record("sequential", i, right=i < 5, wall_seconds=4.0),
        record("slow", i, right=i < 4, wall_seconds=5.0),
        record("best", i, right=i < 9, wall_seconds=9.0),
        record("fast", i, right=i < 3, wall_seconds=1.0),
        record("cheap", i, right=i < 3, wall_seconds=1.0))]
    front = summarise(records).front(lambda arm: arm.seconds)
    assert front == ["cheap", "fast", "sequential", "best"]


def test_another_base_can_be_chosen() -> None:
    records = [record("sequential", i) for i in range(6)] + [forked(i) for i in range(6)]
    summary = summarise(records, base="native")
    assert [a.name for a in summary.arms] == ["native", "sequential"]
    assert summary.versus[0].wall is not None
    assert summary.versus[0].wall.effect.estimate == pytest.approx(0.5)
    with pytest.raises(ValueError, match="`explore` has no finished tasks"):
        summarise(records, base="explore")
    with pytest.raises(ValueError, match="no task was finished"):
        summarise([Record("p", "a", 0, "error")])


def test_an_arm_that_writes_nothing_divides_nothing() -> None:
    records = [record("sequential", i) for i in range(6)]
    records += [forked(i, mark="no answer", critical_path_tokens=0, total_tokens=0)
                for i in range(6)]
    (versus,) = summarise(records).versus
    assert versus.tokens is None
    assert versus.tokens_median is None
    assert all(math.isnan(tokens) for _, tokens in versus.ratios)


def test_what_the_step_times_allow_stands_beside_what_was_reached() -> None:
    """A forked run: 10 steps alone, 30 with three threads that take 20 % longer a step."""
    graph = ((1, 10), (3, 30))
    records = [record("sequential", i, steps=((1, 100),)) for i in range(10)]
    records += [forked(i, steps=graph) for i in range(10)]
    summary = summarise(records, step_seconds={1: 0.01, 3: 0.012})
    (versus,) = summary.versus
    ideal = 10 * 0.01 + 30 * 0.012
    assert versus.attainable is not None
    assert versus.attainable.estimate == pytest.approx(1.0 / ideal)
    assert versus.attained == pytest.approx(ideal / 0.5)
    assert versus.wall is not None
    assert versus.wall.effect.estimate == pytest.approx(
        versus.attainable.estimate * (versus.attained or 0))
    assert summary.step_seconds == {1: 0.01, 3: 0.012}


@pytest.mark.parametrize("steps", [None, {}, {2: 0.01}])
def test_without_the_step_time_of_one_thread_nothing_is_attainable(
    steps: dict[int, float] | None
) -> None:
    records = [record("sequential", i) for i in range(6)]
    records += [forked(i, steps=((3, 30),)) for i in range(6)]
    (versus,) = summarise(records, step_seconds=steps).versus
    assert (versus.attainable, versus.attained) == (None, None)


def test_runs_whose_threads_or_times_are_unknown_are_left_out_of_the_attainable() -> None:
    records = [record("sequential", i) for i in range(9)]
    records += [forked(i, steps=((3, 30),)) for i in range(6)] + [forked(6)]
    records += [forked(7, steps=((3, 999),), cached=True)]
    (versus,) = summarise(records, step_seconds={1: 0.01}).versus
    assert versus.attainable is not None
    assert versus.attainable.n == 6
    assert versus.attained == pytest.approx(0.3 / 0.5)


def test_arms_stand_in_the_order_that_was_asked_for() -> None:
    records = [r for i in range(6) for r in (
        record("zebra", i), record("ape", i), record("sequential", i), record("late", i))]
    names = [a.name for a in summarise(records, order=("zebra", "sequential", "ape")).arms]
    assert names == ["sequential", "zebra", "ape", "late"]
