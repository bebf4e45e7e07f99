"""A command line whose engine plays a script, in an empty folder and a clean environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from plait.cli.main import run
from plait.core import Sampling
from plait.errors import EngineError
from plait.testing import Play, ScriptedEngine

PARALLEL = ("I split.<Parallel>\n<Outlines>\n<Outline>1: left</Outline>\n"
            "<Outline>2: right</Outline>\n</Outlines>")


def script(prompt: str, sampling: Sampling) -> Play:
    """Forks into two threads if it is asked to think, else answers in a long line."""
    if sampling.ignore_eos:
        text = "tick " * 32
    elif "Several people" in prompt:
        text = "merged"
    elif prompt.rstrip().endswith(("1:", "2:")):
        text = " so many words of one thread that it takes a while</Thread>"
    elif prompt.endswith("</Thread>\n"):
        text = "</Parallel>\n</think>42"
    elif "in parallel" in prompt:
        text = PARALLEL
    elif "nothing" in prompt:
        text = "</think>"
    else:
        text = "one after the other, a word at a time, for long</think>42"
    return Play(text, every=0.0)


@dataclass
class Shell:
    """Runs command lines; what they print is in ``capsys``."""

    capsys: pytest.CaptureFixture[str]
    engine: ScriptedEngine | None = None
    fails: EngineError | None = None

    def play(self, prompt: str, sampling: Sampling) -> Play:
        return script(prompt, sampling) if self.fails is None else Play("", error=self.fails)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        out, err = self.capsys.readouterr()
        return status, out, err


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Shell:
    made = Shell(capsys)

    def make_engine(spec: str, model: str | None = None) -> ScriptedEngine:
        made.engine = ScriptedEngine(made.play)
        return made.engine

    monkeypatch.setattr(import_module("plait.solve"), "make_engine", make_engine)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in os.environ:
        if name.startswith("PLAIT_"):
            monkeypatch.delenv(name)
    return made
