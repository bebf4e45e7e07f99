"""The frozen values of an evaluation.

    Suite = Samples + the name of a grader
    Sample x Arm x trial = Task          one question put once in one way
    Task --runner--> Record              what it came to: a Score, and what it took

An *arm* is a way to answer that is compared with others: a method, maybe with a wire format, a
plan and limits of its own. All arms get the same samples with the same seeds, so that everything
downstream can be paired by problem. A `Record` is one line of ``records.jsonl``; columns named in
`TIMED` differ from run to run, all others are the same whenever the engine repeats itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from plait.core import Budget, Directions, Plan, Request, Sampling
from plait.errors import UsageError

Mark = Literal["right", "wrong", "no answer", "ungraded"]
"""``no answer``: there was nothing to grade (no "wrong": a vote or a fallback may treat it
differently). ``ungraded``: the grader itself failed, or nothing can check this; ``reason`` says
why, and the record counts in no accuracy."""

Status = Literal["done", "error"]
"""``error``: the engine failed; such a task is run again by ``--resume`` and counts nowhere."""

TIMED = ("wall_seconds", "first_seconds", "one_seconds", "many_seconds", "idle_seconds",
         "grade_seconds", "began", "cached")
"""Columns of a `Record` that two runs of the same task need not share."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One problem. ``id`` comes from its source or from its content, never from its position.

    ``target`` is the right answer in the form that the suite's grader reads (None where the grader
    needs none); ``group`` is its level, tier or subject, empty where there is none. ``choices``
    belong to multiple choice; ``setup`` and ``tests`` (Python, run before and after the answer) to
    code. ``weight``: how much it counts in a search of `plait tune`; it changes no answer and no
    grade, so it is no part of the digest.
    """

    id: str
    question: str
    target: str | None = None
    group: str = ""
    choices: tuple[str, ...] = ()
    setup: str = ""
    tests: str = ""
    weight: float = 1.0

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that depend on everything that the sample is."""
        return _hash(repr((self.id, self.question, self.target, self.group, self.choices,
                           self.setup, self.tests)))


@dataclass(frozen=True, slots=True)
class Suite:
    """Samples in their order, and how answers to them are graded.

    ``grader`` is one of `plait.evals.graders.NAMES`; ``source`` says where they came from.
    """

    name: str
    samples: tuple[Sample, ...]
    grader: str
    source: str = ""
    tier: str = ""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on the grader and every sample, not on the order."""
        return _hash("\n".join([self.grader, *sorted(s.digest for s in self.samples)]))


def make_suite(name: str, found: Iterable[Sample], grader: str, source: str) -> Suite:
    """A suite of samples, each once. Raises `UsageError` if there are none, or two different ones
    with one id."""
    unique: dict[str, Sample] = {}
    twice = 0
    for sample in found:
        other = unique.setdefault(sample.id, sample)
        if other is not sample:
            if other.digest != sample.digest:
                raise UsageError(f"{source}: two different problems have the id `{sample.id}`",
                                 hint="Name a field that tells them apart as their id.")
            twice += 1
    if not unique:
        raise UsageError(f"{source} holds no problems")
    note = f" ({twice} repeated left out)" if twice else ""
    return Suite(name, tuple(unique.values()), grader, source + note)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to answer. ``method`` None leaves the choice to the policy; ``plan`` overrides both."""

    name: str
    method: str | None = None
    protocol: str | None = None
    plan: Plan | None = None
    sampling: Sampling = field(default_factory=Sampling)
    budget: Budget = field(default_factory=Budget)
    directions: Directions = field(default_factory=Directions)


@dataclass(frozen=True, slots=True)
class Task:
    """One sample put once (``trial`` counts from 0) in one way."""

    sample: Sample
    arm: Arm
    trial: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies its record within one evaluation."""
        return self.sample.id, self.arm.name, self.trial

    def seed(self, base: int) -> int:
        """The request's seed: the same for every arm, whatever the order and the limit."""
        return int(_hash(f"{base}/{self.sample.id}/{self.trial}")[:8], 16)

    def request(self, base: int) -> Request:
        """What is asked."""
        arm = self.arm
        return Request(prompt=self.sample.question, sampling=arm.sampling, budget=arm.budget,
                       seed=self.seed(base), directions=arm.directions)


@dataclass(frozen=True, slots=True)
class Score:
    """What a grader says of an answer. ``read`` is what it took for the answer (what votes
    count), ``reason`` explains every mark but ``right``."""

    mark: Mark
    reason: str = ""
    read: str | None = None

    @property
    def right(self) -> bool | None:
        """Right or not; None where it was not graded. No answer is not right."""
        return None if self.mark == "ungraded" else self.mark == "right"


@dataclass(frozen=True, slots=True)
class Record:
    """One task that is over. Tokens are generated ones unless the name says otherwise, times are
    seconds; see `plait.trace.Metrics` for the counts."""

    sample: str
    arm: str
    trial: int
    status: Status
    digest: str = ""
    """Of the sample: tells whether the suite is still the same."""
    mark: Mark = "ungraded"
    group: str = ""
    answer: str | None = None
    """The answer as given, cut to `plait.evals.runner.ANSWER_LIMIT` characters."""
    read: str | None = None
    reason: str = ""
    error: str = ""
    finish: str = ""
    method: str = ""
    protocol: str | None = None
    fallback: str | None = None
    threads: int = 0
    forks: int = 0
    max_parallel: int = 0
    depth: int = 0
    total_tokens: int = 0
    useful_tokens: int = 0
    wasted_tokens: int = 0
    verification_tokens: int = 0
    inserted_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    critical_path_tokens: int = 0
    longest_context: int = 0
    """Tokens, prompt included, of the longest context that any thread came to hold."""
    steps: tuple[tuple[int, int], ...] = ()
    """Threads that write at once, and the steps in which so many do, on an ideal runtime
    (`plait.trace.steps_by_width`)."""
    estimated: bool = False
    wall_seconds: float = 0.0
    first_seconds: float = 0.0
    """Of the wall time: requests were open but none had written yet (queue, prefill)."""
    one_seconds: float = 0.0
    """Of the wall time: exactly one thread was writing."""
    many_seconds: float = 0.0
    """Of the wall time: two or more threads were writing."""
    idle_seconds: float = 0.0
    """Of the wall time: no request was open; the runtime itself was at work."""
    grade_seconds: float = 0.0
    """What grading took; not part of the wall time."""
    began: float = 0.0
    """Seconds since the epoch."""
    cost: float | None = None
    """In the currency of the prices that were given; None without prices."""
    cached: bool = False
    """Answer and numbers come from the response cache: its times are those of an earlier run."""
    trace: str | None = None
    """The trace file, relative to the evaluation's folder."""
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of its `Task`."""
        return self.sample, self.arm, self.trial

    @property
    def right(self) -> bool | None:
        """Right or not; None where it failed or was not graded. No answer is not right."""
        return None if self.status == "error" or self.mark == "ungraded" else self.mark == "right"
