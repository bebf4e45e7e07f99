"""Answer -> score. What can hang or do harm runs in the sandbox of `plait.verify`, never here.

An answer in which nothing can be found to grade is ``no answer``. An answer that makes its checker
take too long, run out of memory or break is ``wrong``, with that reason: the checker was seen to
work before the evaluation began (`check_grader`). Only where the grader itself is at fault (a judge
that gives no verdict, a question that nothing can check) a record stays ``ungraded``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import anyio

from plait.core import Outcome, Part, Plan, Request, Verdict
from plait.core.answers import canonical, read_number, read_value
from plait.errors import EngineError, UsageError
from plait.evals.cases import run_cases
from plait.evals.values import Sample, Score
from plait.interfaces import Opening, Thread, Verifier
from plait.solve import Runtime, solve
from plait.verify import Code, Exact, Judge, Limits, Math, Puzzle
from plait.verify.code import read_program
from plait.verify.maths import formulas
from plait.verify.pool import Pool
from plait.verify.sandbox import run_caged

NAMES = ("exact", "number", "choice", "math", "code", "cases", "puzzle", "judge")
IN_SANDBOX = ("math", "code", "cases")
LONGEST = 100_000
"""Characters at the end of an answer that text graders look at."""
LONGEST_PROGRAM = 1_000_000
SECONDS = 60.0
"""What any one grading may take at most, whatever its own limits are."""
LIMITS = Limits(seconds=20.0, megabytes=1024, processes=16)
MATH_LIMITS = Limits(seconds=15.0, megabytes=2048, processes=16)
_NOBODY = cast(Thread, None)  # verifiers that ask no model need no thread
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d{1,300})(?:\.\d{1,300})?")
_LETTER = re.compile(r"\(([A-Z])\)|\b([A-Z])\b(?=[).:]|\s*$)")


@dataclass(frozen=True, slots=True)
class Grader:
    """A grader by its name. ``judge`` is the runtime of the model that judges, for ``judge``;
    ``formulas`` keeps math-verify loaded, for ``math`` (see `open_grader`).

    Raises `UsageError` for an unknown name, and for ``judge`` without a model.
    """

    name: str
    judge: Runtime | None = None
    limits: Limits = LIMITS
    formulas: Pool | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"there is no grader `{self.name}`",
                             hint=f"Known: {', '.join(NAMES)}.")
        if self.name == "judge" and self.judge is None:
            raise UsageError("the grader `judge` needs a model that judges",
                             hint='Name it: --judge "ENGINE MODEL".')


@asynccontextmanager
async def open_grader(name: str, judge: Runtime | None = None) -> AsyncIterator[Grader]:
    """A grader that was seen to work, for many answers. Raises `UsageError` as `check_grader`."""
    async with formulas(MATH_LIMITS) as pool:
        grader = Grader(name, judge, formulas=pool)
        await check_grader(grader)
        yield grader


async def grade(grader: Grader, sample: Sample, answer: str | None) -> Score:
    """The score of ``answer``. Never raises for what is in it, and ends in `SECONDS`."""
    if answer is None or not answer.strip():
        return Score("no answer", "there is no answer")
    try:
        with anyio.fail_after(SECONDS):
            return await _GRADERS[grader.name](grader, sample, answer)
    except TimeoutError:
        return Score("wrong", f"grading took longer than {SECONDS:g} seconds")


async def check_grader(grader: Grader) -> None:
    """See that the grader works here. Raises `UsageError` with what to do where it does not."""
    if grader.name == "math":
        Math("1")  # says so where math-verify is missing
    if grader.name in IN_SANDBOX:
        caged = await run_caged({"main.py": "print('ready')"}, "main.py", Limits())
        if not caged.built or "ready" not in caged.output:
            why = caged.output.strip() or "it does not start"
            raise UsageError(f"the grader `{grader.name}` needs the sandbox: {why}",
                             hint="It needs Linux, as root or with user namespaces allowed.")


def _score(verdict: Verdict, read: str | None) -> Score:
    """Where a checker that works could not tell, the answer kept it from telling."""
    if verdict.ok:
        return Score("right", read=read)
    return Score("wrong", verdict.reason or "it does not check out", read)


def _target(sample: Sample) -> str:
    if sample.target is None:
        raise UsageError(f"the problem `{sample.id}` has no right answer to compare with")
    return sample.target


def _tail(answer: str) -> str:
    return answer[-LONGEST:]


async def _exact(grader: Grader, sample: Sample, answer: str) -> Score:
    read = read_value(_tail(answer)) or _tail(answer).strip()
    verdict = await Exact(_target(sample)).verify(
        _NOBODY, Request(sample.question), Part(read, value=read))
    return _score(verdict, canonical(read))


async def _number(grader: Grader, sample: Sample, answer: str) -> Score:
    """The short answer if it is a number, else the last number in it or in the text."""
    wanted = read_number(_target(sample))
    if wanted is None:
        raise UsageError(f"the right answer of `{sample.id}` is no number: {sample.target!r:.40}")
    value = read_value(_tail(answer))
    found = read_number(canonical(value).removeprefix("number ")) if value else None
    if found is None:
        numbers = _NUMBER.findall(value or "") or _NUMBER.findall(_tail(answer))
        found = read_number(numbers[-1]) if numbers else None
    if found is None:
        return Score("no answer", "there is no number in the answer")
    if found == wanted:
        return Score("right", read=f"number {found}")
    return Score("wrong", f"{_short(found)} is not {_short(wanted)}", f"number {found}"[:200])


async def _choice(grader: Grader, sample: Sample, answer: str) -> Score:
    """A letter, or the text of a choice; where several stand in the answer, the last one."""
    wanted = _target(sample).strip().upper()[:1]
    value = read_value(_tail(answer))
    key = canonical(value) if value else ""
    found = key.removeprefix("choice ").upper() if key.startswith("choice ") else ""
    if not found and value:
        texts = [letter for letter, text in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", sample.choices,
                                                strict=False) if canonical(text) == key]
        found = texts[0] if texts else ""
    if not found:
        letters = _LETTER.findall(value or "") or _LETTER.findall(_tail(answer))
        found = (letters[-1][0] or letters[-1][1]) if letters else ""
    if not found:
        return Score("no answer", "there is no choice in the answer")
    if found == wanted:
        return Score("right", read=found)
    return Score("wrong", f"({found}) is not ({wanted})", found)


async def _math(grader: Grader, sample: Sample, answer: str) -> Score:
    read = read_value(_tail(answer))
    if read is None:
        return Score("no answer", "there is no short answer: no \\boxed{} and no `Answer:`")
    verdict = await Math(_target(sample), MATH_LIMITS, grader.formulas).verify(
        _NOBODY, Request(sample.question), Part(read, value=read))
    return _score(verdict, canonical(read))


async def _code(grader: Grader, sample: Sample, answer: str) -> Score:
    program = _program(answer)
    if isinstance(program, Score):
        return program
    verdict = await Code(sample.tests, grader.limits).verify(
        _NOBODY, Request(sample.question), Part(f"{sample.setup}\n{program}"))
    return _score(verdict, None)


async def _cases(grader: Grader, sample: Sample, answer: str) -> Score:
    program = _program(answer)
    if isinstance(program, Score):
        return program
    return _score(await run_cases(program, sample.tests, grader.limits), None)


def _program(answer: str) -> str | Score:
    """The program in the answer, or why there is none to run."""
    program = read_program(answer)
    if len(program) > LONGEST_PROGRAM:
        return Score("wrong", f"the program has {len(program):,} characters, over"
                     f" {LONGEST_PROGRAM:,}")
    return program if program.strip() else Score("no answer", "there is no program in the answer")


async def _puzzle(grader: Grader, sample: Sample, answer: str) -> Score:
    read = read_value(_tail(answer)) or _tail(answer).strip()
    verdict = await Puzzle().verify(_NOBODY, Request(sample.question), Part(read, value=read))
    if verdict.ok is None:
        return Score("ungraded", verdict.reason, read[:200])
    return _score(verdict, canonical(read, sample.question))


async def _judge(grader: Grader, sample: Sample, answer: str) -> Score:
    """The judge sees the question, the right answer where there is one, and the answer."""
    assert grader.judge is not None
    task = sample.question
    if sample.target is not None:
        task += f"\n\nThe right answer is known to be: {sample.target}"
    asking = _Asking(Judge(), Part(answer, task=task))
    try:
        await solve(Request(task), runtime=grader.judge, method=asking)
    except EngineError as error:
        return Score("ungraded", f"the judge failed: {error}")
    verdict = asking.verdict
    if verdict is None or verdict.ok is None:
        return Score("ungraded", verdict.reason if verdict else "the judge failed")
    return _score(verdict, None)


class _Asking:
    """A method that has a part verified, so that a judge has a thread to be asked through."""

    def __init__(self, verifier: Verifier, part: Part) -> None:
        self._verifier = verifier
        self._part = part
        self.verdict: Verdict | None = None

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        self.verdict = await self._verifier.verify(root, request, self._part)
        return Outcome("done", value=self.verdict.reason or "asked")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


_GRADERS: dict[str, Callable[[Grader, Sample, str], Awaitable[Score]]] = {
    "exact": _exact, "number": _number, "choice": _choice, "math": _math, "code": _code,
    "cases": _cases, "puzzle": _puzzle, "judge": _judge}
