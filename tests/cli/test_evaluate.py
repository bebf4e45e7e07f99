"""`plait eval` and `plait eval report` as a person meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plait.errors import EngineUnreachable
from plait.evals.store import RECORDS, read_plan, read_records, read_steps
from tests.cli.conftest import Shell

SUITE = """
path = "rows.jsonl"
grader = "number"
[fields]
question = "{text}"
answer = "right"
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """Ten questions that the scripted engine answers with 42; half of them are right."""
    rows = [{"text": f"Question {i}?", "right": 42 if i % 2 else 41} for i in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "mine.toml").write_text(SUITE)
    return "mine.toml"


METHODS = ("--methods", "sequential,native:threadweaver")


def test_methods_run_on_the_same_problems_and_are_reported(shell: Shell, suite: str) -> None:
    status, out, _ = shell("eval", suite, *METHODS, "--out", "here", "--seed", "3")
    assert status == 0
    assert "20 of 20" in out
    assert "plait eval report here" in out
    records = list(read_records(Path("here")))
    assert len(records) == 20
    assert {r.arm for r in records} == {"sequential", "native:threadweaver"}
    assert {r.mark for r in records} == {"right", "wrong"}
    assert read_plan(Path("here"))["seed"] == 3
    status, out, _ = shell("eval", "report", "here")
    assert status == 0
    assert out.startswith("native:threadweaver against sequential, 10 problems: accuracy tied")
    assert Path("here/report.html").exists()
    status, out, _ = shell("eval", "report", "here", "--json")
    assert json.loads(out)["sequential.accuracy"] == 0.5


def test_step_times_are_measured_between_tasks_that_run_one_at_a_time(
    shell: Shell, suite: str
) -> None:
    assert shell("eval", suite, *METHODS, "--out", "one")[0] == 0
    assert 1 in read_steps(Path("one"))
    assert "attainable" in shell("eval", "report", "one")[1]
    assert shell("eval", suite, *METHODS, "--out", "four", "--at-once", "4")[0] == 0
    assert read_steps(Path("four")) == {}


def test_conditions_decide_the_exit_status(shell: Shell, suite: str) -> None:
    shell("eval", suite, *METHODS, "--out", "here")
    good, bad = "sequential.accuracy >= 0.5", "sequential.accuracy > 0.6"
    assert shell("eval", "report", "here", "--require", good)[0] == 0
    status, _, err = shell("eval", "report", "here", "--require", good, "--require", bad)
    assert status == 1
    assert f"not met: {bad} (it is 0.5)" in err
    gates = json.loads(Path("here/report.json").read_text())["gates"]
    assert [g["met"] for g in gates] == [True, False]
    assert shell("eval", "report", "here", "--require", "nonsense")[0] == 2


def test_a_folder_is_gone_on_with_only_when_asked(shell: Shell, suite: str) -> None:
    assert shell("eval", suite, "--methods", "sequential", "--limit", "4", "--out", "here")[0] == 0
    status, _, err = shell("eval", suite, "--methods", "sequential", "--out", "here")
    assert status == 2
    assert "--resume" in err
    status, out, _ = shell("eval", suite, *METHODS, "--out", "here", "--resume")
    assert status == 0
    assert "20 of 20" in out
    assert len(list(read_records(Path("here")))) == 20


def test_a_dry_run_sends_and_writes_nothing(shell: Shell, suite: str) -> None:
    status, out, _ = shell("eval", suite, *METHODS, "--dry-run", "--max-tokens", "50", "--price",
                           "1,2", "--out", "here")
    assert status == 0
    assert shell.engine is None
    assert not Path("here").exists()
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["sequential", "10"]
    assert "≤ 500" in lines[1]
    assert "unknown" in lines[2]
    shell("eval", suite, *METHODS, "--limit", "5", "--out", "here")
    status, out, _ = shell("eval", suite, *METHODS, "--dry-run", "--resume", "--out", "here",
                           "--price", "1,2")
    assert "unknown" not in out
    assert out.splitlines()[1].split()[:2] == ["sequential", "5"]


def test_answers_come_from_the_cache_the_second_time(shell: Shell, suite: str) -> None:
    shell("eval", suite, "--out", "one", "--cache", "answers", "--methods", "sequential")
    shell("eval", suite, "--out", "two", "--cache", "answers", "--methods", "sequential")
    assert shell.engine is not None
    assert shell.engine.calls.started == 1, "only the request that warms up"
    assert all(r.cached for r in read_records(Path("two")))
    assert "came from the cache" in shell("eval", "report", "two")[1]


def test_suites_are_listed(shell: Shell) -> None:
    status, out, _ = shell("eval", "suites")
    assert status == 0
    for name in ("countdown", "gsm8k", "math500", "livecodebench"):
        assert any(line.startswith(name) for line in out.splitlines())


@pytest.mark.parametrize(("arguments", "words"), [
    (("countdwn",), "Did you mean `countdown`?"),
    (("mine.toml", "--methods", "sequental"), "Did you mean `sequential`?"),
    (("mine.toml", "--methods", "native:aprr"), "no protocol `aprr`"),
    (("mine.toml", "--price", "cheap"), "--price is 'cheap'"),
    (("mine.toml", "--tier", "hard"), "no tier `hard`"),
    (("mine.toml", "--limit", "0"), "--limit"),
    (("countdown", "--tier", "absurd"), "It has easy, natural, hard, unsolvable, mixed"),
    (("report", "nowhere"), "holds no evaluation"),
    (("missing.toml",), "cannot read missing.toml"),
])
def test_mistakes_end_in_one_line(
    arguments: tuple[str, ...], words: str, shell: Shell, suite: str
) -> None:
    status, out, err = shell("eval", *arguments)
    assert status == 2
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_a_judge_must_be_named(shell: Shell, suite: str) -> None:
    Path("mine.toml").write_text(SUITE.replace("number", "judge"))
    status, _, err = shell("eval", suite, "--out", "here")
    assert status == 2
    assert "--judge" in err


def test_an_engine_that_is_gone_ends_with_three(shell: Shell, suite: str) -> None:
    shell.fails = EngineUnreachable("connection refused")
    status, _, err = shell("eval", suite, "--methods", "sequential", "--out", "here")
    assert status == 3
    assert "connection refused" in err
    assert "5 failed" in err
    shell.fails = None
    assert shell("eval", suite, "--methods", "sequential", "--out", "here", "--resume")[0] == 0
    assert len([r for r in read_records(Path("here")) if r.status == "done"]) == 10


INTERRUPTED = """
import sys
from importlib import import_module
from plait.cli.main import run
from plait.testing import Play, ScriptedEngine
import_module("plait.solve").make_engine = lambda spec, model=None: ScriptedEngine(
    lambda prompt, sampling: Play("one two</think>42", every=0.01))
sys.exit(run(["eval", "mine.toml", "--methods", "sequential", "--out", "here", *sys.argv[1:]]))
"""


def test_ctrl_c_keeps_everything(shell: Shell, tmp_path: Path) -> None:
    rows = [{"text": f"{i}?", "right": 42} for i in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "mine.toml").write_text(SUITE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stderr=subprocess.PIPE,
                               text=True, env=environment)
    file = tmp_path / "here" / RECORDS
    while process.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") > 10):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "--resume --out here goes on" in err
    kept = list(read_records(tmp_path / "here"))
    assert 10 < len(kept) < 300
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, "--resume", "--limit", "60"],
                          capture_output=True, text=True, check=True, env=environment)
    assert "60 of 60" in done.stdout
    assert len({r.key for r in read_records(tmp_path / "here")}) == max(60, len(kept))


def test_settings_that_would_decide_what_is_compared_are_refused(
    shell: Shell, suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("METHOD", "POLICY", "TRACE"):
        with monkeypatch.context() as setting:
            setting.setenv(f"PLAIT_{name}", "auto")
            status, _, err = shell("eval", suite, "--out", "here")
        assert status == 2
        assert f"`{name.lower()}` is set, which `plait eval` must be free to choose" in err


def test_the_window_of_the_engines_model_holds_for_every_method(
    shell: Shell, suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("eval", suite, "--methods", "sequential", "--cache", "answers", "--no-traces")
    shell(*arguments, "--out", "one")
    monkeypatch.setenv("PLAIT_WINDOWS", "other=9")
    shell(*arguments, "--out", "two")
    assert all(r.cached for r in read_records(Path("two"))), "it is another model's window"
    monkeypatch.setenv("PLAIT_WINDOWS", "script=4096")
    shell(*arguments, "--out", "three")
    assert not any(r.cached for r in read_records(Path("three")))
    assert "was made with windows" in shell(*arguments, "--out", "two", "--resume")[2]


def test_changed_prompts_are_not_answered_from_the_cache(
    shell: Shell, suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prompts").mkdir()
    Path("prompts/solve.txt").write_text("Think.\n\n{task}")
    monkeypatch.setenv("PLAIT_PROMPTS", "prompts")
    arguments = ("eval", suite, "--methods", "sequential", "--cache", "answers", "--no-traces")
    shell(*arguments, "--out", "one")
    shell(*arguments, "--out", "two")
    assert all(r.cached for r in read_records(Path("two")))
    Path("prompts/solve.txt").write_text("Think hard.\n\n{task}")
    shell(*arguments, "--out", "three")
    assert not any(r.cached for r in read_records(Path("three")))
