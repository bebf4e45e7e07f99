"""Countdown in words: people's phrasings to a Problem, a Problem to a prompt, an answer back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from plait.puzzles.countdown import NUMBERS, SIZES, TARGETS, Problem

Dialect = Literal["sequential", "apr"]
DIALECTS: tuple[Dialect, ...] = ("sequential", "apr")

CAN_DO = (
    "The game of countdown: reach a target "
    f"from {TARGETS[0]} to {TARGETS[-1]} with {SIZES[0]} or {SIZES[-1]} numbers from "
    f"{NUMBERS[0]} to {NUMBERS[-1]}, each used exactly once, with + - * /. "
    'Ask, say: "Make 92 from 46, 39, 29 and 20".'
)
"""The countdown that plait-nano plays, for people who ask for another."""

LONGEST = 2000
"""Longer texts pose no problem: they are not read."""
_BETWEEN = r"(?: ?(?:, ?and\b|[,;&]|and\b) ?| )"
# the group is atomic: a list is taken whole or not at all, and nothing is tried twice
_LIST = rf"[\[({{]? ?((?>(?:\d{{1,9}}{_BETWEEN})+\d{{1,9}}))(?![\d.]*\d) ?[\])}}]?"
_GOAL = r"(?<![\d.])(\d{1,9})(?![\d.]*\d)"
_REACH = (
    r"(?:makes?|making|reach(?:es)?|get(?: to)?|gives?|gets|obtain|produces?|builds?|forms?|hits?"
    r"|creates?|yields?|equals?|target(?: is)?)"
)
_FROM = (
    r"(?:from|with|using|out of|by using|use|combine|combining|combination of|given|numbers?"
    r"|how (?:can|do))"
)
_THE = r"(?: (?:only|just|all|the|these|those|following|given|numbers?|of))*(?: ?:)? ?"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_REACH}{_THE}{_GOAL} ?,? ?{_FROM}{_THE}{_LIST}",
        rf"\b{_FROM}{_THE}{_LIST}[^\d]{{0,120}}?\b{_REACH}{_THE}{_GOAL}",
        rf"\b(?:countdown|target)\b(?: is)? ?[:=]? ?{_GOAL} ?(?:[:;,.]|\bfrom\b|\bwith\b) ?"
        rf"(?:(?:the )?numbers?(?: are)? ?[:=]? ?)?{_LIST}",
        rf"\bnumbers?\b(?: are)? ?[:=]? ?{_LIST} ?[.,;]? ?(?:and )?(?:the )?"
        rf"\btarget\b ?(?:is|:|=)? ?{_GOAL}",
        rf"^{_GOAL} ?: ?{_LIST}",
        rf"Current State: ?{_GOAL}:{_LIST}, Operations: \[\]",
    )
)
_GOAL_LAST = {1, 3}


def parse(text: str) -> Problem | None:
    """The countdown problem that a person's words pose, or None where they pose none.

    The problem need not be one that plait-nano can play; ask `limits`.
    """
    if len(text) > LONGEST:
        return None
    text = " ".join(text.split())
    for k, pattern in enumerate(_PATTERNS):
        if match := pattern.search(text):
            goal, numbers = (match[2], match[1]) if k in _GOAL_LAST else (match[1], match[2])
            return Problem(int(goal), tuple(map(int, re.findall(r"\d+", numbers))))
    return None


def limits(problem: Problem) -> str | None:
    """Why plait-nano cannot play the problem, or None where it can."""
    if len(problem.numbers) not in SIZES:
        return f"{len(problem.numbers)} numbers are given; {CAN_DO}"
    strange = [n for n in problem.numbers if n not in NUMBERS]
    if strange:
        return f"{strange[0]} is not a number from {NUMBERS[0]} to {NUMBERS[-1]}; {CAN_DO}"
    if problem.target not in TARGETS:
        return f"the target {problem.target} is not from {TARGETS[0]} to {TARGETS[-1]}; {CAN_DO}"
    return None


def understand(text: str) -> Problem:
    """The problem in a person's words. Raises ValueError, saying what plait-nano can do."""
    problem = parse(text)
    if problem is None:
        raise ValueError(f"This is no countdown problem. {CAN_DO}")
    if why := limits(problem):
        raise ValueError(f"plait-nano cannot play this: {why}")
    return problem


def current_state(problem: Problem, before: Sequence[str] = ()) -> str:
    """The state line that APR published: target, numbers and operations so far."""
    return f"Current State: {problem}, Operations: {list(before)!r}"


def child_prompt(problem: Problem, before: Sequence[str], node: int) -> str:
    """The prompt of an APR child: fresh, with only its own state."""
    return f"Moving to Node #0,{node}\n{current_state(problem, before)}"


CONDITION = re.compile(r"(?:Sub Call|Token) Budget: \d+ ")
"""What an APR prompt may open with: a budget that the model was trained to heed."""


def dialect_named(name: str) -> Dialect:
    """The dialect of this name. Raises ValueError for a name that is none."""
    for dialect in DIALECTS:
        if dialect == name:
            return dialect
    raise ValueError(f"countdown is not written in {name}")


def render(problem: Problem, dialect: Dialect) -> str:
    """The prompt that puts the problem to plait-nano in one of its dialects."""
    state = current_state(problem)
    return state if dialect == "sequential" else f"Moving to Node #0\n{state}"


_NONE_FOUND = "No solution found."
_GOAL_LINE = re.compile(r"(\d+),\1 equal: Goal Reached")
_PATH = re.compile(r"\d+[+\-*/]\d+=\d+(?:,\d+[+\-*/]\d+=\d+)*")


def read_answer(text: str) -> str | None:
    """The answer in the model's text: its steps, `"no"` for none found, None for no answer.

    A path counts only with the goal line after it, so that a search which was cut off at a line
    that looks like steps gives no answer.
    """
    before, _, words = text.rstrip().rpartition("\n")
    if words == _NONE_FOUND:
        return "no"
    path = before.rpartition("\n")[2]
    return path if _GOAL_LINE.fullmatch(words) and _PATH.fullmatch(path) else None
