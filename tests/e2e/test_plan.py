"""The method `plan` by the real command against a fake server that takes real time."""

import runpy
from pathlib import Path
from typing import Any

import anyio
import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "programs" / "planned.py"


def run(*methods: str) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = anyio.run(runpy.run_path(str(PROGRAM))["main"], methods)
    return results


def test_a_planned_answer_takes_the_time_of_its_longest_path() -> None:
    result = run("plan")["plan"]
    assert result["answer"] == "It takes six trades, and patience."
    assert (result["method"], result["fallback"], result["warnings"]) == ("plan", None, [])
    assert (result["threads"], result["max_parallel"]) == (9, 7)
    assert result["wall_seconds"] < 3.3


@pytest.mark.live
def test_the_same_question_takes_four_times_as_long_in_one_thread() -> None:
    results = run("plan", "sequential")
    assert results["sequential"]["wall_seconds"] > 12
    assert results["sequential"]["wall_seconds"] > 3.6 * results["plan"]["wall_seconds"]
