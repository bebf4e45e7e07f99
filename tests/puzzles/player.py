"""A perfect player of countdown as a model: it continues any prompt of a run as training taught.

What it writes depends on nothing but the text it is given, the runtime's insertions included, so
a run that goes right shows that training and runtime speak the same language.
"""

from __future__ import annotations

import re

from plait.core import Prompt, Request, Sampling
from plait.interfaces import Opening
from plait.puzzles import parse, read_answer, render, understand
from plait.puzzles.countdown import Problem
from plait.puzzles.countdown_text import Dialect
from plait.puzzles.countdown_trace import (
    apr_calls,
    apr_final,
    outlines,
    search3,
    sequential4,
    threads,
    woven_final,
)
from plait.testing import Play, ScriptedEngine

_STATE = re.compile(r"Current State: (\d+):\[([\d, ]+)\], Operations: \[(.*?)\]")
_GOAL = re.compile(r"<Goal Reached in Sub Search \d+ at level 1 at Node #0,\d+>\n(.*)\n")
_HEADER = re.compile(r"\n<Thread>\n(\d+):$")
_HIT = re.compile(r"<Thread>\n(\d+): .*!</Thread>")


def continuation(text: str) -> str:
    """What the perfect player writes after ``text``.

    Raises ValueError for what was never taught.
    """
    if text.startswith("Make "):
        return _woven(text)
    state = _STATE.search(text)
    if state is None:
        raise ValueError(f"a prompt that training never showed: {text!r}")
    problem = Problem(int(state[1]), tuple(map(int, state[2].split(", "))))
    opening, rest = text[: state.end()], text[state.end() :]
    before = re.findall(r"'(.*?)'", state[3])
    if rest.endswith("<End Sub Searches>\n") and rest.startswith("\n<Sub Searches>\n"):
        goals = _GOAL.findall(rest)
        return apr_final(problem, tuple(goals[0].split(",")) if goals else None)
    if rest:
        raise ValueError(f"a context that training never showed: {text!r}")
    if len(problem.numbers) == 3:
        return search3(problem, before).text
    if opening == render(problem, "apr"):
        return apr_calls(problem)
    if opening == render(problem, "sequential"):
        return sequential4(problem).text
    raise ValueError(f"a prompt that training never showed: {text!r}")


def _woven(text: str) -> str:
    problem = parse(text)
    assert problem is not None
    opening = render(problem, "threadweaver")
    if text == opening:
        return outlines(problem)
    if not text.startswith(opening + outlines(problem)):
        raise ValueError(f"a context that training never showed: {text!r}")
    written = threads(problem)
    if header := _HEADER.search(text):
        return written[int(header[1]) - 1].text
    hit = _HIT.search(text)
    return woven_final(written[int(hit[1]) - 1].path if hit else None)


class Player(ScriptedEngine):
    """The perfect player as an engine that is asked in people's words."""

    def __init__(self, *, ids: bool = False, pieces: int = 4, early_stop: bool = False) -> None:
        def script(text: str, sampling: Sampling) -> Play:
            return Play(continuation(text), chunk=pieces)

        super().__init__(script, ids=ids)
        self.early_stop = early_stop

    async def open(self, request: Request, protocol: str | None) -> Opening:
        dialect: Dialect = protocol or "sequential"  # type: ignore[assignment]
        prompt = Prompt(render(understand(request.question), dialect))
        return Opening(prompt, lambda text: read_answer(text, dialect), self.early_stop)
