"""A scripted engine that adds numbers, and a suite of sums for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from plait.core import Sampling
from plait.errors import EngineError
from plait.evals.graders import Grader
from plait.evals.runner import Evaluation, Job, plan_of
from plait.evals.store import Store
from plait.evals.values import Arm, Record, Sample, Suite
from plait.solve import Runtime
from plait.testing import Play, ScriptedEngine

Fails = Callable[[str], EngineError | None]
SPLIT = ("I split.<Parallel>\n<Outlines>\n<Outline>1: left</Outline>\n"
         "<Outline>2: right</Outline>\n</Outlines>")


def adder(prompt: str, sampling: Sampling) -> Play:
    """Answers sums in four words more than it needs; every fifth sum is wrong. Asked for threads,
    it writes ThreadWeaver and is never wrong."""
    one, two = (int(n) for n in re.findall(r"\d+ plus \d+", prompt)[0].split(" plus "))
    if "in parallel" in prompt:
        if prompt.rstrip().endswith(("1:", "2:")):
            return Play(" a thread</Thread>", every=0.0)
        done = prompt.endswith("</Thread>\n")
        return Play(f"</Parallel>\n</think>{one + two}" if done else SPLIT, every=0.0)
    wrong = (one + two) % 5 == 0
    return Play(f"one after the other</think>{one + two + wrong}", every=0.0)


def sums(count: int, name: str = "sums") -> Suite:
    """``1 plus 1?``, ``2 plus 1?``... in two groups."""
    return Suite(name, tuple(
        Sample(f"sum/{i}", f"What is {i} plus 1?", str(i + 1), "odd" if i % 2 else "even")
        for i in range(1, count + 1)), "number", "made here")


ARMS = (Arm("sequential", "sequential"), Arm("auto", "auto"))


class Bench:
    """Runs jobs into a folder; ``fails`` says which prompts the engine refuses."""

    def __init__(self, folder: Path, fails: Fails = lambda prompt: None) -> None:
        self.folder = folder
        self.fails = fails
        self.engine = ScriptedEngine(self.play)
        self.seen: list[Record] = []

    def play(self, prompt: str, sampling: Sampling) -> Play:
        error = self.fails(prompt)
        return adder(prompt, sampling) if error is None else Play("", error=error)

    async def run(self, job: Job, *, resume: bool = False, cache: object = None) -> list[Record]:
        """The records that this run made."""
        self.seen = []
        with Store(self.folder, plan_of(job, "scripted", None, {}), resume=resume) as store:
            async with Runtime(self.engine) as runtime:
                evaluation = Evaluation(job, runtime, Grader(job.suite.grader), store,
                                        cache, self.seen.append)  # type: ignore[arg-type]
                await evaluation.run()
        return self.seen
