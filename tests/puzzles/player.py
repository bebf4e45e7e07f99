"""A perfect player of both games as a model: it continues any prompt of a run as training taught.

What it writes depends on nothing but the text it is given, the runtime's insertions included, so
a run that goes right shows that training and runtime speak the same language.
"""

from __future__ import annotations

import re

from plait.core import Prompt, Request, Sampling
from plait.interfaces import Opening
from plait.puzzles import parse_sheet, pose, render, sheet_trace
from plait.puzzles.countdown import Problem
from plait.puzzles.countdown_trace import (
    CALLING,
    LOOK,
    apr_calls,
    apr_final,
    quick_look,
    search3,
    sequential4,
)
from plait.testing import Play, ScriptedEngine

_STATE = re.compile(r"Current State: (\d+):\[([\d, ]+)\], Operations: \[(.*?)\]")
_GOAL = re.compile(r"<Goal Reached in Sub Search \d+ at level 1 at Node #0,\d+>\n(.*)\n")
_HEADER = re.compile(r"\n<Thread>\n(\d+):$")
_ASKED = re.compile(r"\ASheet\n.*?\?", re.DOTALL)


def continuation(text: str) -> str:
    """What the perfect player writes after ``text``.

    Raises ValueError for what was never taught.
    """
    if asked := _ASKED.search(text):
        return _sheet(text[: asked.end()], text[asked.end() :])
    state = _STATE.search(text)
    if state is None:
        raise ValueError(f"a prompt that training never showed: {text!r}")
    problem = Problem(int(state[1]), tuple(map(int, state[2].split(", "))))
    opening, rest = text[: state.end()], text[state.end() :]
    before = re.findall(r"'(.*?)'", state[3])
    if len(problem.numbers) == 3 and not rest:
        return search3(problem, before).text
    if opening == render(problem, "apr"):
        return _apr_parent(problem, rest)
    if opening == render(problem, "sequential") and not rest:
        return sequential4(problem).text
    raise ValueError(f"a context that training never showed: {text!r}")


def _apr_parent(problem: Problem, rest: str) -> str:
    look = quick_look(problem)
    if not rest:
        return look.text + ("" if look.path else apr_calls(problem))
    if rest == f"\n{CALLING}":
        return apr_calls(problem, look=0).removeprefix(CALLING)
    looked = next((n for n, t in ((LOOK, look.text), (0, "\n"))
                   if rest.startswith(f"{t}<Sub Searches>\n")), None)
    if looked is None or not rest.endswith("<End Sub Searches>\n"):
        raise ValueError(f"a context that training never showed: {rest!r}")
    goals = _GOAL.findall(rest)
    return apr_final(problem, tuple(goals[0].split(",")) if goals else None)


def _sheet(opening: str, rest: str) -> str:
    sheet = parse_sheet(opening)
    if sheet is None or str(sheet) != opening:
        raise ValueError(f"a prompt that training never showed: {opening!r}")
    if not rest:
        return sheet_trace.sequential(sheet)
    begin = "\n<think>\n"
    if rest == begin:
        return sheet_trace.alone(sheet) if sheet.width == 1 else sheet_trace.outlines(sheet)
    plan = sheet_trace.outlines(sheet)
    if rest == begin + "<Parallel>\n<Outlines>\n":
        return plan.removeprefix("<Parallel>\n<Outlines>\n")
    if not rest.startswith(begin + plan):
        raise ValueError(f"a context that training never showed: {rest!r}")
    if header := _HEADER.search(rest):
        return sheet_trace.threads(sheet)[int(header[1]) - 1]
    return sheet_trace.final(sheet)


class Player(ScriptedEngine):
    """The perfect player as an engine that is asked in people's words."""

    def __init__(self, *, ids: bool = False, pieces: int = 4, early_stop: bool = False) -> None:
        def script(text: str, sampling: Sampling) -> Play:
            return Play(continuation(text), chunk=pieces)

        super().__init__(script, ids=ids)
        self.early_stop = early_stop

    def protocols(self, request: Request) -> tuple[str, ...]:
        return pose(request.question).formats

    async def open(self, request: Request, protocol: str | None) -> Opening:
        task, dialect = pose(request.question), protocol or "sequential"
        return Opening(
            Prompt(task.render(dialect)), task.read, self.early_stop)
