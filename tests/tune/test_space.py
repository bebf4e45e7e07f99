"""What a search may choose, and what it makes of its choices."""

from __future__ import annotations

import pytest
from optuna.trial import FixedTrial

from plait.core import Request
from plait.errors import UsageError
from plait.evals import Sample, Score
from plait.policy import Expected
from plait.solve import Runtime
from plait.testing import run_virtual
from plait.tune.bench import SEQUENTIAL, Bench
from plait.tune.goal import Goal
from plait.tune.search import describe
from plait.tune.space import Space, Way, levels_of
from tests.tune.mixed import Mixed, samples

SPACE = Space((Way("native", "apr"), Way("explore")), widths=(2, 6), merges=("vote", "adaptive"))
EXPECTED = Expected(0.0, word=0.5)


def test_a_method_that_makes_attempts_gets_as_many_as_its_width_and_a_merge() -> None:
    policy = SPACE.suggest(FixedTrial({"way": "explore", "easy": 0.5, "width": 6, "depth": 1,
                                       "early_stop": True, "merge": "adaptive"}),
                           [10.0, 100.0], EXPECTED)
    assert (policy.method, policy.attempts, policy.width, policy.merge) == (
        "explore", 6, 6, "adaptive")
    assert (policy.threshold, policy.expected) == (11, EXPECTED)
    request, decision = policy.apply(Request("one two three four five six seven eight"))
    assert decision.plan.method == "explore"
    assert (request.directions.attempts, request.directions.merge) == (6, "adaptive")
    assert describe(policy) == ("explore from 11 tokens on, width 6, depth 1, merge adaptive,"
                                " early stop")


def test_a_wire_format_gets_neither_and_without_estimates_there_is_no_threshold() -> None:
    policy = SPACE.suggest(FixedTrial({"way": "native:apr", "width": 2, "depth": 2,
                                       "early_stop": False}), [], None)
    assert (policy.method, policy.protocol, policy.attempts, policy.merge, policy.threshold) == (
        "native", "apr", None, None, 0)
    assert describe(policy) == "always native:apr, width 2, depth 2"
    assert levels_of(samples(4), None) == []


def test_every_way_is_tried_always_at_the_start() -> None:
    starts = SPACE.starts()
    assert [s["way"] for s in starts] == ["native:apr", "explore"]
    assert all((s["easy"], s["width"], s["depth"]) == (0.0, 6, 2) for s in starts)


def test_a_space_without_choices_is_refused() -> None:
    with pytest.raises(UsageError, match="no ways to search over"):
        Space(())
    with pytest.raises(UsageError, match="no widths to search over"):
        Space((Way("explore"),), widths=())


def test_weights_below_zero_are_refused() -> None:
    with pytest.raises(UsageError, match="weight of tokens is -1"):
        Goal(tokens=-1)
    assert "0.5 * tokens" in Goal(tokens=0.5).words()


def test_what_nothing_can_grade_is_no_ground_for_tuning() -> None:
    async def shrug(sample: Sample, answer: str | None) -> Score:
        return Score("ungraded", "who knows")

    async def go() -> None:
        async with Runtime(Mixed()) as runtime:
            await Bench(runtime, shrug).take(SEQUENTIAL, samples(1)[0])

    with pytest.raises(UsageError, match="nothing can grade the answer to `easy-0`"):
        run_virtual(go)
