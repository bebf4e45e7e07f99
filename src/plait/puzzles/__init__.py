"""The tasks plait-nano knows: generators, checkers, text forms. Imports nothing of ours."""

from plait.puzzles.countdown import SIZES, Problem, generate, is_hard, search, search_steps, tier_of
from plait.puzzles.countdown_check import Verdict, to_expression
from plait.puzzles.countdown_check import check as check_countdown
from plait.puzzles.countdown_text import parse, read_answer, render, understand

__all__ = [
    "Problem",
    "Verdict",
    "check",
    "check_countdown",
    "generate",
    "is_hard",
    "parse",
    "read_answer",
    "render",
    "search",
    "search_steps",
    "tier_of",
    "to_expression",
    "understand",
]


def check(question: str, answer: str | None) -> bool | None:
    """Is ``answer`` right, if ``question`` is a puzzle of ours? None when it is not.

    "no" is right where an exhaustive search of the game finds nothing; with more numbers than the
    game has, nobody searches, and the verdict is None.
    """
    problem = parse(question)
    if problem is None:
        return None
    if answer is None:
        return False
    if answer.strip().lower().rstrip(".") in ("no", "no solution", "no solution found"):
        return search(problem).path is None if len(problem.numbers) in SIZES else None
    return check_countdown(problem, answer).correct
