"""Feedback as a suite: questions of users with the answers that they said are right.

An answer is right if somebody corrected the run's answer to it, or rated the run above 0 and its
answer is short enough to be compared. A question that was asked many times is one problem with
the latest right answer; its ``weight`` is how many said so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from plait.core.answers import LONGEST, canonical
from plait.server.feedback import Feedback
from plait.server.store import RunRecord

GRADERS = ("exact", "number", "math", "judge")
"""Graders of answers alone; see `plait.evals.graders`."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The rows of the suite, and how much feedback is not in them, by reason."""

    rows: tuple[dict[str, object], ...]
    left_out: Counter[str]


def export(said: Iterable[tuple[RunRecord, Feedback]]) -> Exported:
    """The suite in ``said``, which is in the order of time."""
    found: dict[str, list[tuple[RunRecord, Feedback, str]]] = {}
    left_out: Counter[str] = Counter()
    for record, feedback in said:
        answer, why = _right_answer(record, feedback)
        if answer is None or record.question is None:
            left_out[why] += 1
        else:
            found.setdefault(record.question, []).append((record, feedback, answer))
    rows = []
    for question, votes in found.items():
        record, feedback, answer = votes[-1]
        agreed = sum(canonical(a) == canonical(answer) for _, _, a in votes)
        if agreed < len(votes):
            left_out["another answer was said to be right later"] += len(votes) - agreed
        rows.append({
            "run": record.run, "question": question, "answer": answer, "weight": agreed,
            "label": feedback.label, "rating": feedback.rating, "comment": feedback.comment,
            "coherent": feedback.coherent, "model": record.model, "method": record.method,
            "given": record.answer})
    return Exported(tuple(rows), left_out)


def _right_answer(record: RunRecord, said: Feedback) -> tuple[str | None, str]:
    """The right answer to the question of ``record``, or None and why there is none."""
    if record.turns > 1:
        return None, "the question needs the conversation before it"
    if record.question is None:
        return None, "the run's texts were not kept"
    if said.answer is not None and said.answer.strip():
        return said.answer.strip(), ""
    if said.rating is None or said.rating <= 0:
        return None, "nobody said what is right"
    if not record.answer or len(record.answer) > LONGEST:
        return None, "the answer that was liked is too long to be compared"
    return record.answer, ""


def suite_toml(grader: str) -> str:
    """The file beside the rows that makes them a suite for `plait eval` and `plait tune`."""
    return (f'# feedback of users, exported by plait\nname = "feedback"\npath = "feedback.jsonl"\n'
            f'grader = "{grader}"\n\n[fields]\nquestion = "question"\nanswer = "answer"\n'
            'id = "run"\ngroup = "label"\nweight = "weight"\n')
