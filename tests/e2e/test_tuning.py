"""Analysis, tuning and an experiment on real tokens: plait-nano plays countdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.cli.main import run
from plait.policy import PolicyFile, read_policy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nanos_own_sequential_runs_are_analysed(capsys: pytest.CaptureFixture[str]) -> None:
    """It tries one operation after the other, and none of them needs the others."""
    status = run(["analyze", "--suite", "countdown", "--tier", "easy", "--limit", "6", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == 0
    assert found["calls"] == 6
    assert found["estimated"] is False
    assert found["share"] > 0.3
    assert found["bound"] > 1.2
    assert found["rot"]["accuracy"]["estimate"] > 0.5
    assert (found["recommendation"]["method"], found["recommendation"]["protocol"]) == (
        "native", "apr")


def test_tuning_on_nano_ends_in_a_policy_and_two_policies_are_compared(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    status = run(["tune", "countdown", "--tier", "easy", "--limit", "8", "--trials", "2",
                  "--widths", "4", "--depths", "1", "--out", "tuned", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status in (0, 1)  # times of a busy machine decide who wins
    assert found["held_out"]["problems"] == 4
    assert all(side["tokens"] > 0 for side in found["held_out"]["sides"])
    assert read_policy(found["policy"]).method in ("sequential", "native")
    (folder / "a.toml").write_text(PolicyFile().text(), encoding="utf-8")
    (folder / "b.toml").write_text(PolicyFile("native", "apr", width=4).text(), encoding="utf-8")
    run(["ab", "a.toml", "b.toml", "--suite", "countdown", "--tier", "easy", "--limit", "6",
         "--metric", "tokens", "--json"])
    compared = json.loads(capsys.readouterr().out)
    assert 1 <= compared["problems"] <= compared["of"] == 6
