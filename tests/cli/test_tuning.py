"""``plait analyze --suite``, ``plait tune`` and ``plait ab`` as a user meets them."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import orjson
import pytest

from plait.cli.main import run
from plait.policy import PolicyFile, read_policy
from tests.cli.conftest import Shell
from tests.tune.mixed import Mixed, samples

WOVEN = PolicyFile("native", "threadweaver", width=4)
TUNE = ("tune", "mixed.toml", "--out", "tuned", "--trials", "5", "--protocol", "threadweaver",
        "--latency", "0", "--tokens", "0.3")
"""Scored by tokens: seconds of a script that plays at once mean nothing."""


@pytest.fixture
def suite(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """A mixed suite in the folder, and an engine that knows its answers."""
    monkeypatch.setattr(import_module("plait.solve"), "make_engine",
                        lambda spec, model=None: Mixed(every=0.0))
    (tmp_path / "mixed.jsonl").write_bytes(b"\n".join(orjson.dumps(
        {"id": s.id, "q": s.question, "a": s.target, "g": s.group}) for s in samples(16)))
    (tmp_path / "mixed.toml").write_text(
        'name = "mixed"\npath = "mixed.jsonl"\ngrader = "exact"\n[fields]\nquestion = "q"\n'
        'answer = "a"\nid = "id"\ngroup = "g"\n', encoding="utf-8")
    return shell


def test_analyze_makes_its_own_traffic_by_running_a_suite(suite: Shell, tmp_path: Path) -> None:
    status, out, err = suite("analyze", "--suite", "mixed.toml", "--json", "--keep", "kept")
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert (found["calls"], found["problems"]) == (16, 16)
    assert {t["task"] for t in found["tasks"]} == {"easy", "hard"}
    assert found["rot"]["accuracy"]["n"] == 16
    assert len(list((tmp_path / "kept").iterdir())) == 16
    status, out, _ = suite("analyze", "kept", "--json")
    assert (status, json.loads(out)["growth"]["tokens"]) == (0, found["growth"]["tokens"])


def test_tune_searches_confirms_and_writes_a_policy_that_solve_takes(
    suite: Shell, tmp_path: Path
) -> None:
    status, out, err = suite(*TUNE, "--json")
    found = json.loads(out)
    assert status == (0 if found["held_out"]["holds"] else 1)
    assert found["tried"] == 5
    assert found["held_out"]["problems"] == 8
    assert {s["name"] for s in found["held_out"]["sides"]} == {
        "tuned", "always sequential", "always parallel"}
    assert "always sequential: score" in err
    path = tmp_path / "tuned" / "policy.toml"
    question = samples(1)[0].question
    plan = read_policy(path).decide(question).plan
    status, out, _ = suite("solve", question, "--policy", str(path), "--json")
    assert (status, json.loads(out)["method"]) == (0, plan.method)


def test_a_search_goes_on_in_its_folder_but_not_as_another_one(suite: Shell) -> None:
    suite(*TUNE)
    _, again, _ = suite(*TUNE, "--json")
    assert json.loads(again)["tried"] == 5
    status, _, err = suite(*TUNE[:-1], "0.9")
    assert (status, err.count("\n")) == (2, 1)
    assert "was begun with another score" in err


def test_ab_says_which_is_better_and_exits_by_it(suite: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PolicyFile().text(), encoding="utf-8")
    (tmp_path / "b.toml").write_text(WOVEN.text(), encoding="utf-8")
    arguments = ("ab", "a.toml", "b.toml", "--suite", "mixed.toml", "--metric", "tokens")
    status, out, _ = suite(*arguments, "--json")
    found = json.loads(out)
    assert found["problems"] <= found["of"] == 16
    assert status == (0 if found["better"] else 1)
    status, out, _ = suite("ab", "a.toml", "a.toml", "--suite", "mixed.toml")
    assert status == 1
    assert out.startswith("no difference was shown after 16 of 16 problems")


@pytest.mark.parametrize(("arguments", "says"), [
    (("tune", "mixed.toml", "--out", "x", "--limit", "2"), "too few"),
    (("tune", "mixed.toml", "--out", "x", "--limit", "0"), "`limit` is 0"),
    (("tune", "nonsense", "--out", "x"), "there is no suite `nonsense`"),
    (("tune", "mixed.toml", "--out", "mixed.jsonl"), "cannot write to mixed.jsonl"),
    (("tune", "mixed.toml", "--out", "x", "--widths", "2,many"), "`widths` is '2,many'"),
    (("tune", "mixed.toml", "--out", "x", "--methods", "sequential"), "no parallel method"),
    (("tune", "mixed.toml", "--out", "x", "--methods", "native"), "needs a protocol"),
    (("tune", "mixed.toml", "--out", "x", "--merges", "glue"), "there is no merge `glue`"),
    (("tune", "mixed.toml", "--out", "x", "--latency", "-1"), "the weight of latency is -1"),
    (("ab", "a.toml", "a.toml", "--suite", "mixed.toml"), "cannot read the policy a.toml"),
    (("ab", "a.toml", "a.toml", "--suite", "mixed.toml", "--metric", "speed"), "no metric `speed`"),
    (("analyze", "mixed.jsonl", "--suite", "mixed.toml"), "cannot be analysed together"),
])
def test_mistakes_end_in_one_line(suite: Shell, arguments: tuple[str, ...], says: str) -> None:
    status, _, err = suite(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert says in err


def test_settings_that_would_decide_what_is_searched_are_refused(
    suite: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_METHOD", "sequential")
    status, _, err = suite(*TUNE)
    assert status == 2
    assert "`method` is set, which `plait tune` must be free to choose" in err


def test_without_optuna_tune_says_what_to_install_and_help_still_works(
    suite: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith(("optuna", "plait.cli.tuning", "plait.tune.search")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = suite(*TUNE)
    assert (status, err) == (
        2, "plait: `plait tune` needs optuna. Install it: pip install 'plait[tune]'.\n")
    assert run(["--help"]) == 0
    assert "tune" in capsys.readouterr().out
