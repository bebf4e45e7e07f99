"""Is this an answer? An exact checker for countdown, with a reason; it never evaluates text.

Two forms are read: steps, `46+39=85,85-29=56,...`, each using numbers at hand (given, or results
of earlier steps); and one expression, `(46 + 20) * 2 - 40`, alone or followed by `= 92`. Numbers
are whole, arithmetic is exact (fractions, never floats), every given number is used exactly once.
The limits of the search (results of at most 199, no fractions on the way) are about how plait-nano
looks for answers, not about what is true, so an expression may break them and still be right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from plait.puzzles.countdown import Problem

LONGEST = 2000
"""Longer answers are refused unread."""
_STEP = re.compile(r"(\d{1,9})([+\-*/])(\d{1,9})=(\d{1,9})")
_TOKEN = re.compile(r"\s*(?:(\d{1,9})(?!\d)|([-+*/()]))")
_PLAIN = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer holds, and why (not)."""

    correct: bool
    reason: str


class _Unreadable(Exception):
    """The text is no answer; caught in `check`, never seen outside."""


def check(problem: Problem, answer: str) -> Verdict:
    """Check an answer given as steps or as an expression."""
    text = answer.strip().rstrip(".").translate(_PLAIN)
    if len(text) > LONGEST:
        return Verdict(False, f"the answer is longer than {LONGEST} characters")
    if not text:
        return Verdict(False, "the answer is empty")
    try:
        steps = _steps(text)
        return _check_expression(problem, text) if steps is None else _check_steps(problem, steps)
    except _Unreadable as problem_found:
        return Verdict(False, str(problem_found))


def _steps(text: str) -> list[tuple[str, int, str, int, int]] | None:
    """The steps in the text, or None where it does not have the form of steps."""
    parts = [re.sub(r"\s+", "", part) for part in re.split(r"[,\n;]", text) if part.strip()]
    matches = [_STEP.fullmatch(part) for part in parts]
    if not all(matches) or not matches:
        return None
    return [
        (m[0], int(m[1]), m[2], int(m[3]), int(m[4])) for m in matches if m is not None
    ]


def _apply(symbol: str, left: Fraction, right: Fraction) -> Fraction:
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    if symbol == "*":
        return left * right
    if not right:
        raise _Unreadable("it divides by zero")
    return left / right


def _check_steps(problem: Problem, steps: list[tuple[str, int, str, int, int]]) -> Verdict:
    at_hand = Counter(problem.numbers)
    for text, left, symbol, right, result in steps:
        if _apply(symbol, Fraction(left), Fraction(right)) != result:
            return Verdict(False, f"{text} is wrong")
        for number in (left, right):
            if not at_hand[number]:
                return Verdict(False, f"{number} in {text} is not at hand")
            at_hand[number] -= 1
        at_hand[result] += 1
    left_over = sorted(at_hand.elements(), reverse=True)
    if left_over == [problem.target]:
        return Verdict(True, f"every number is used once and the result is {problem.target}")
    if len(left_over) == 1:
        return Verdict(False, f"the result is {left_over[0]}, not {problem.target}")
    return Verdict(False, f"not every number is used: {left_over} are left")


class _Expression:
    """Recursive descent over tokens; collects the numbers it meets."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        self.numbers: list[int] = []
        self.at = 0
        place, text = 0, text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise _Unreadable(f"cannot read {text[place:place + 20]!r}")
            self.tokens.append(match[1] or match[2])
            place = match.end()

    def value(self) -> Fraction:
        found = self._sum(0)
        if self.at < len(self.tokens):
            raise _Unreadable(f"unexpected {self.tokens[self.at]!r}")
        return found

    def _next(self, *wanted: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def _sum(self, depth: int) -> Fraction:
        found = self._product(depth)
        while symbol := self._next("+", "-"):
            found = _apply(symbol, found, self._product(depth))
        return found

    def _product(self, depth: int) -> Fraction:
        found = self._atom(depth)
        while symbol := self._next("*", "/"):
            found = _apply(symbol, found, self._atom(depth))
        return found

    def _atom(self, depth: int) -> Fraction:
        if depth > 50:
            raise _Unreadable("parentheses are nested too deeply")
        if self._next("("):
            found = self._sum(depth + 1)
            if not self._next(")"):
                raise _Unreadable("a parenthesis is not closed")
            return found
        if self.at < len(self.tokens) and self.tokens[self.at].isdigit():
            self.numbers.append(int(self.tokens[self.at]))
            self.at += 1
            return Fraction(self.numbers[-1])
        raise _Unreadable("a number is missing")


def _check_expression(problem: Problem, text: str) -> Verdict:
    left, mark, right = text.partition("=")
    expression = _Expression(left)
    value = expression.value()
    if mark:
        claimed = _Expression(right).value()
        if claimed != value:
            return Verdict(False, f"{left.strip()} is {value}, not {right.strip()}")
    used, given = Counter(expression.numbers), Counter(problem.numbers)
    if used != given:
        if extra := used - given:
            return Verdict(False, f"{min(extra)} is used more often than it is given")
        return Verdict(False, f"{max(given - used)} is not used")
    if value != problem.target:
        return Verdict(False, f"the result is {value}, not {problem.target}")
    return Verdict(True, f"every number is used once and the result is {problem.target}")


def to_expression(steps: str | Sequence[str]) -> str:
    """One expression for people from the steps of a solution: `(46 + 39) * 2`.

    Raises ValueError where the text is not a list of steps.
    """
    text = steps if isinstance(steps, str) else ",".join(steps)
    read = _steps(text)
    if read is None:
        raise ValueError(f"not a list of steps: {text!r}")
    made: dict[int, list[tuple[str, int]]] = {}
    final = ("", 3)
    for _, left, symbol, right, result in read:
        sides = [made[n].pop(0) if made.get(n) else (str(n), 3) for n in (left, right)]
        rank = 1 if symbol in "+-" else 2
        a = sides[0][0] if sides[0][1] >= rank else f"({sides[0][0]})"
        tight = sides[1][1] > rank or (sides[1][1] == rank and symbol in "+*")
        # `a * (b / c)` keeps its parentheses: what is meant must be plain to see
        tight = tight and not (rank == 2 and sides[1][1] == 2)
        b = sides[1][0] if tight else f"({sides[1][0]})"
        final = (f"{a} {symbol} {b}", rank)
        made.setdefault(result, []).append(final)
    return final[0]
