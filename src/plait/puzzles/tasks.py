"""Both games behind one door: what people's words ask, how it is put to plait-nano, what is right.

A `Task` is one game's side of that: which dialects plait-nano plays a question in (`sequential`
always, and the wire formats, the best one first), the prompt in each, how an answer is read out of
the model's text, and whether an answer is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from plait.puzzles import countdown_text, sheet_text
from plait.puzzles.countdown import SIZES, Problem, search
from plait.puzzles.countdown_check import check as check_countdown
from plait.puzzles.sheet import NotASheet, Sheet, canonical

CAN_DO = (
    "plait-nano is a small model that knows two things. "
    f"{countdown_text.CAN_DO} And sheets: {sheet_text.CAN_DO}. "
    "For anything else choose another engine."
)
"""What the embedded model can do, for people who ask it something else."""
_NO = ("no", "no solution", "no solution found")


class Task(Protocol):
    """A question that plait-nano can be asked."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The wire formats that plait-nano answers it in, the best one first."""
        ...

    def render(self, dialect: str) -> str:
        """The prompt; ``dialect`` is a wire format, or `sequential`."""
        ...

    def read(self, text: str) -> str | None:
        """The answer in the model's text, None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class CountdownTask:
    """Reach a target: APR, whose threads search on from one state each and need no more."""

    problem: Problem

    @property
    def formats(self) -> tuple[str, ...]:
        return ("apr",)

    def render(self, dialect: str) -> str:
        return countdown_text.render(self.problem, countdown_text.dialect_named(dialect))

    def read(self, text: str) -> str | None:
        return countdown_text.read_answer(text)


@dataclass(frozen=True, slots=True)
class SheetTask:
    """Work out a value: ThreadWeaver's threads see the whole sheet, which is what they need."""

    sheet: Sheet

    @property
    def formats(self) -> tuple[str, ...]:
        return ("threadweaver",)

    def render(self, dialect: str) -> str:
        return sheet_text.render(
            self.sheet, "threadweaver" if dialect == "threadweaver" else "sequential")

    def read(self, text: str) -> str | None:
        return sheet_text.read_answer(text)


def pose(question: str) -> Task:
    """The task in a person's words. Raises ValueError, saying what plait-nano can do."""
    if sheet_text.parse_lines(question) is not None:
        return SheetTask(sheet_text.understand_sheet(question))
    if countdown_text.parse(question) is not None:
        return CountdownTask(countdown_text.understand(question))
    raise ValueError(f"This is no puzzle that plait-nano knows: {CAN_DO}")


def check(question: str, answer: str | None) -> bool | None:
    """Is ``answer`` right, if ``question`` is a puzzle of ours? None when it is not.

    "no" is right where an exhaustive search of countdown finds nothing; with more numbers than the
    game has, nobody searches, and the verdict is None.
    """
    lines = sheet_text.parse_lines(question)
    if lines is not None:
        try:
            return answer is not None and answer.strip() == str(canonical(lines).answer)
        except NotASheet:
            return None
    problem = countdown_text.parse(question)
    if problem is None:
        return None
    if answer is None:
        return False
    if answer.strip().lower().rstrip(".") in _NO:
        return search(problem).path is None if len(problem.numbers) in SIZES else None
    return check_countdown(problem, answer).correct
