"""Policy files: read back as written, and wrong ones named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from plait.core import Budget, Directions, Request
from plait.errors import UsageError
from plait.interfaces import Load
from plait.policy import Expected, PolicyFile, read_policy

TUNED = PolicyFile("native", "apr", threshold=200, width=8, depth=2, early_stop=True,
                   attempts=5, merge="vote", expected=Expected(2.0, 0.01, 0.7))


@pytest.mark.parametrize("policy", [
    TUNED, PolicyFile(), PolicyFile("native", "apr"), PolicyFile("plan", width=3)])
def test_a_policy_is_read_back_as_it_was_written(policy: PolicyFile, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy.text("two lines\nof comment"), encoding="utf-8")
    assert read_policy(path) == policy


def test_the_threshold_parts_questions_by_expected_tokens() -> None:
    short, long = "Make 9 of 4 and 5", "Make 92 of 46, 39, 29 and 20"
    assert TUNED.expected is not None
    assert TUNED.expected.tokens(short) < 200 < TUNED.expected.tokens(long)
    assert TUNED.decide(short).plan.method == "sequential"
    plan = TUNED.decide(long).plan
    assert (plan.method, plan.protocol, plan.width, plan.early_stop) == ("native", "apr", 8, True)
    assert "are below the threshold of 200" in TUNED.decide(short).why
    assert "threshold=200" in TUNED.decide(short).inputs


def test_nothing_goes_parallel_while_requests_queue() -> None:
    busy = Load(waiting=3)
    assert PolicyFile("plan", width=8).decide("?", busy).plan.method == "sequential"
    assert PolicyFile("plan", width=8).decide("?", Load(waiting=0)).plan.method == "plan"


def test_limits_and_directions_go_into_the_request() -> None:
    request = Request("Make 92 of 46, 39, 29 and 20", budget=Budget(depth=3))
    planned, decision = TUNED.apply(request)
    assert (planned.budget.depth, planned.directions.attempts, planned.directions.merge) == (
        2, 5, "vote")
    assert decision == TUNED.decide(request.question)
    narrow = replace(request, budget=Budget(depth=1), directions=Directions(attempts=2))
    assert TUNED.apply(narrow)[0].budget.depth == 1
    assert TUNED.apply(narrow)[0].directions.attempts == 2
    short = Request("Make 9 of 4 and 5")
    assert TUNED.apply(short)[0] == short


@pytest.mark.parametrize(("text", "says"), [
    ("method = 'native'", "version None"),
    ("policy = 2", "version 2"),
    ("policy = 1\nmehtod = 'plan'", "`mehtod` .* is not a setting. The nearest known one is `met"),
    ("policy = 1\nwidth = '3'", "`width` .* cannot be '3'"),
    ("policy = 1\nwidth = true", "`width` .* cannot be True"),
    ("policy = 1\nwidth = 0", "`width` is 0"),
    ("policy = 1\nthreshold = 5", "a threshold needs the table"),
    ("policy = 1\nthreshold = -5", "`threshold` is -5"),
    ("policy = 1\nmethod = 'native'", "needs a protocol"),
    ("policy = 1\n[expected_tokens]\nword = 1", "must be a table"),
    ("policy = 1\n[expected_tokens]\nconstant = 'x'", "must be a table"),
    ("policy = ", "not valid TOML"),
])
def test_a_wrong_policy_is_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_policy(path)
    assert re.search(says, error.value.line)


def test_a_missing_policy_is_the_users(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the policy"):
        read_policy(tmp_path / "none.toml")
