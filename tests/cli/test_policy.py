"""``plait solve --policy FILE``: the file decides, unless it is contradicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.policy import Expected, PolicyFile
from tests.cli.conftest import Shell

WOVEN = PolicyFile("native", "threadweaver", threshold=50, expected=Expected(0.0, word=1.0))


@pytest.fixture
def policy(tmp_path: Path, shell: Shell) -> str:
    (tmp_path / "tuned.toml").write_text(WOVEN.text(), encoding="utf-8")
    return "tuned.toml"


def test_a_question_above_the_threshold_goes_parallel(shell: Shell, policy: str) -> None:
    long = "think in parallel about this"
    status, out, err = shell("solve", long, "--policy", policy, "--json")
    assert (status, err) == (0, "")
    assert (json.loads(out)["method"], json.loads(out)["forks"]) == ("native", 1)


def test_a_question_below_the_threshold_stays_sequential(shell: Shell, policy: str) -> None:
    _, out, _ = shell("solve", "a b c", "--policy", policy, "--json")
    assert json.loads(out)["method"] == "sequential"


def test_a_comparison_runs_the_policy_against_sequential(shell: Shell, policy: str) -> None:
    _, out, _ = shell("solve", "think in parallel about this", "--policy", policy, "--compare",
                      "--json")
    both = json.loads(out)
    assert (both["parallel"]["method"], both["sequential"]["method"]) == ("native", "sequential")


@pytest.mark.parametrize(("arguments", "says"), [
    (("--method", "sequential"), "a policy file decides on `method`"),
    (("--protocol", "apr"), "a policy file decides on `protocol`"),
    (("--threshold", "3"), "a policy file decides on `threshold`"),
])
def test_a_contradiction_is_an_error(
    shell: Shell, policy: str, arguments: tuple[str, str], says: str
) -> None:
    status, _, err = shell("solve", "think", "--policy", policy, *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert says in err


def test_a_missing_policy_is_an_error(shell: Shell) -> None:
    status, _, err = shell("solve", "think", "--policy", "none.toml")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot read the policy none.toml" in err


def test_the_decision_is_explained(shell: Shell, policy: str) -> None:
    _, out, _ = shell("solve", "a b c", "--policy", policy, "--explain")
    assert "are below the threshold of 50" in out
