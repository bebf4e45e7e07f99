"""Verifiers that need no model: the expected answer, a puzzle's rules, a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from fractions import Fraction

from plait import puzzles
from plait.core import Part, Request, Verdict
from plait.core.answers import canonical, read_number, read_value
from plait.interfaces import Thread

Says = bool | float | Verdict | None
Check = Callable[[str, str], Says | Awaitable[Says]]
"""``check(question, answer)``: right or wrong, a score from 0 to 1, a `Verdict`, or None for
"cannot tell". For a part of a question, ``question`` is its task. May be a coroutine function."""


WHOLE = Verdict(None)
"""Of a part of the question, by a verifier that knows the answer to all of it: it cannot tell."""


def answer_of(part: Part) -> str:
    """What is to be checked: the short answer of a part if it has one, else its text."""
    return part.value or read_value(part.text) or part.text


class Exact:
    """Is the short answer the expected one? Numbers count as numbers (``0.5`` is ``1/2``);
    ``tolerance`` is the relative error that is forgiven between them. Of a part of the question it
    cannot tell."""

    name = "exact"

    def __init__(self, expected: str, tolerance: float = 0.0) -> None:
        self._expected = expected
        self._tolerance = Fraction(tolerance)

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        if part.task:
            return WHOLE
        answer = answer_of(part)
        if canonical(answer) == canonical(self._expected):
            return Verdict(True, 1.0)
        wanted, found = read_number(self._expected), read_number(answer)
        near = wanted is not None and found is not None and (
            abs(found - wanted) <= self._tolerance * abs(wanted))
        if near:
            return Verdict(True, 1.0, "within the tolerance")
        return Verdict(False, 0.0, f"{answer!r:.60} is not {self._expected!r:.60}")


class Puzzle:
    """Checks answers to puzzles that plait knows (countdown), exactly; of anything else it says
    that it cannot tell."""

    name = "puzzle"

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        answer = answer_of(part)
        right = puzzles.check(request.question, answer) if not part.task else None
        problem = puzzles.parse(request.question)
        if right is None or problem is None:
            return Verdict(None)  # no reason: most questions are no puzzles, and nobody need know
        said = puzzles.check_countdown(problem, answer)
        reason = said.reason if any(map(str.isdigit, answer)) else "there is a solution"
        return Verdict(right, float(right), "" if right else reason)


class Function:
    """The user's own check; see `Check`. One that raises cannot tell, and the reason says so."""

    name = "function"

    def __init__(self, check: Check) -> None:
        self._check = check

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        try:
            found = self._check(part.task or request.question, part.text)
            if inspect.isawaitable(found):
                found = await found
        except Exception as error:  # noqa: BLE001 - boundary: the user's code; recorded in the verdict
            return Verdict(None, 0.0, f"the check raised {type(error).__name__}: {error}")
        if isinstance(found, Verdict):
            return found
        if found is None:
            return Verdict(None, 0.0, "the check could not tell")
        score = min(1.0, max(0.0, float(found)))
        return Verdict(score >= 0.5, score)
