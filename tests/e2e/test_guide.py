"""Every command of the guide runs as it stands."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
COMMANDS = [line.strip().removeprefix("$ ") for line in GUIDE.splitlines()
            if line.startswith("    $ ")]
STEPS = GUIDE.split("\n## ")[1:]
MADE = {"plait trace": ("run.jsonl", "--trace run.jsonl"),
        "plait view": ("run.jsonl", "--trace run.jsonl"),
        "plait eval report": ("evals/first", "--out evals/first"),
        "plait feedback": ("runs.sqlite", "programs/served.py"),
        "plait eval suite": ("suite", "--out suite")}
"""Commands that read what another one makes: what they read, and how that one is known."""


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    heads = {"plait": ["-m", "plait.cli"], "python": []}
    line = [sys.executable, *heads[words[0]], *words[1:]]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PLAIT_")}
    environment["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True,
                          check=False, timeout=100)


def prepare(command: str, folder: Path) -> None:
    """Run what makes what ``command`` reads, where that was not done yet."""
    for head, (made, option) in MADE.items():
        if command.startswith(head) and not (folder / made).exists():
            before = next(c for c in COMMANDS if option in c)
            prepare(before, folder)
            run(before, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository, so that what commands write is thrown away."""
    made = tmp_path_factory.mktemp("guide")
    (made / "docs").symlink_to(ROOT / "docs")
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_runs_as_it_stands(command: str, folder: Path) -> None:
    prepare(command, folder)
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).strip()
    assert "Traceback" not in done.stderr


def test_the_guide_has_seven_steps_and_each_has_a_command() -> None:
    assert len(STEPS) == 7
    for number, step in enumerate(STEPS, 1):
        assert step.startswith(f"{number}. ")
        assert "\n    $ " in step


def test_every_option_that_the_guide_names_exists(folder: Path) -> None:
    known = "".join(run(f"plait {name} --help", folder).stdout
                    for name in ("solve", "trace", "analyze", "eval run", "serve", "view",
                                      "feedback export"))
    named = {word.strip("`.,;:)") for word in GUIDE.replace("(", " ").replace("`", " ").split()
             if word.startswith("--")}
    assert {name for name in named if name not in known} == set()
