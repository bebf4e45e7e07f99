"""The three tasks that all contenders are given, what the model says in each, and the ideal.

The model says the same to everybody: a call is told by words of its prompt, whoever wrote that.
Only the form of a plan is each contender's own, since that is how it is read.

The ideal is what a case would take if nothing were wasted, in seconds of the upstream's own pace
and prices (`Pace`): nothing is sent twice, everything starts the moment what it needs is there, and
nothing is waited for that is not needed. It takes the prompts from the run that is judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Pace:
    """``token``: seconds a token that is written; ``read``: a token of a prompt that is not in the
    cache."""

    token: float = 0.01
    read: float = 0.0002


def words(count: int) -> str:
    """A text of ``count`` tokens."""
    return "so" + " so" * (count - 1)


def said(body: Body) -> str:
    """All that a call says."""
    return "\n".join(str(m.get("content") or "") for m in body["messages"])


# --- skeleton: an outline, and its points ------------------------------------------------------

SKELETON = "What are good habits for a healthy life?"
POINTS = {"Sleep enough": 60, "Eat plants": 45, "Move daily": 90, "Drink water": 40,
          "Meet friends": 70, "Rest often": 55}


def skeleton(body: Body, number: int) -> str:
    """The outline, or the point that is asked for."""
    text = said(body)
    if found := re.search(r"(?:Write|writing of) point (\d)", text):
        return words(list(POINTS.values())[int(found[1]) - 1])
    lines = "\n".join(f"{n}. {title}" for n, title in enumerate(POINTS, 1))
    begun = str(body["messages"][-1].get("content") or "").strip() == "1."
    return lines.removeprefix("1.") if begun else lines


# --- plan: parts that partly need each other ---------------------------------------------------

PLAN = "What does it take to build a house on a slope?"


@dataclass(frozen=True)
class Subtask:
    """A part of the plan: how long it is, and which parts it needs."""

    tokens: int
    needs: tuple[str, ...] = ()

    @staticmethod
    def asked(name: str) -> str:
        """How the planner puts it."""
        return f"Say what the {name} of such a house takes, in work and in material, and why."


PARTS = {"ground": Subtask(80), "walls": Subtask(120), "garden": Subtask(60),
         "roof": Subtask(100, ("walls",)), "heating": Subtask(90, ("roof", "garden"))}
ANSWER = 60


def plan(body: Body, number: int) -> str:
    """The plan in the asker's own form, a part, or the answer."""
    text = said(body)
    if "Plan how several people" in text:
        return json.dumps({"split": True, "why": "five trades", "subtasks": [
            {"id": name, "task": part.asked(name), "needs": list(part.needs),
             "difficulty": "medium", "tokens": part.tokens, "must_contain": "work"}
            for name, part in PARTS.items()]})
    if "utmost parallelizability" in text:
        numbers = {name: n for n, name in enumerate(PARTS, 1)}
        lines = [f'{numbers[name]}. work("{part.asked(name)}", '
                 f'{[f"${numbers[needed]}" for needed in part.needs]})'
                 for name, part in PARTS.items()]
        return "\n".join([*lines, f"{len(PARTS) + 1}. join()<END_OF_PLAN>"])
    if found := re.search(r"Do this part[^\n]*\s+Say what the (\w+)", text):
        return words(PARTS[found[1]].tokens)
    if "Thought-Action" in text:
        return f"Thought: it is all there\nAction: Finish({words(ANSWER - 8)})"
    return words(ANSWER)


# --- vote: samples of one question -------------------------------------------------------------

VOTE = "A box holds 3 bags of 14 marbles each. How many marbles are there in all?"
SAMPLES = ((80, 42), (120, 42), (100, 41), (60, 42), (200, 42), (90, 42), (110, 42), (140, 44))
"""Tokens and answer of each sample, in the order in which they are asked for."""


def vote(body: Body, number: int) -> str:
    """The sample of that number."""
    tokens, answer = SAMPLES[number % len(SAMPLES)]
    return f"{words(tokens - 2)}\nAnswer: {answer}"


@dataclass(frozen=True)
class Case:
    """A task: the question, and what the model says to the call of that number."""

    name: str
    question: str
    script: Any


CASES = {"skeleton": Case("skeleton", SKELETON, skeleton), "plan": Case("plan", PLAN, plan),
         "vote": Case("vote", VOTE, vote)}


# --- the ideal ---------------------------------------------------------------------------------


def ideal(case: str, pace: Pace, planned: int) -> float:
    """Seconds of writing that the answer has to wait for; ``planned``: tokens of the outline or of
    the plan, as this contender has it written.

    - skeleton: outline + longest point (each point's prompt holds the whole outline);
    - plan: every part starts when its line of the plan is written (lines are taken to be equally
      long) and what it needs is done; then the answer;
    - vote: all samples at once, until those that are done agree so far that the rest cannot turn
      the vote.

    Reading comes on top of it: each step's prompt, as far as it is new, once.
    """
    if case == "skeleton":
        return pace.token * (planned + max(POINTS.values()))
    if case == "plan":
        ends: dict[str, float] = {}
        for n, (name, part) in enumerate(PARTS.items(), 1):
            line = planned * n / len(PARTS)
            ends[name] = part.tokens + max([line, *(ends[needed] for needed in part.needs)])
        return pace.token * (max(ends.values()) + ANSWER)
    agree: dict[int, int] = {}
    for n, (tokens, answer) in enumerate(sorted(SAMPLES), 1):
        agree[answer] = agree.get(answer, 0) + 1
        first, second = [*sorted(agree.values(), reverse=True), 0][:2]
        if first > second + len(SAMPLES) - n:
            return pace.token * tokens
    raise AssertionError("a vote is settled when all have voted")

