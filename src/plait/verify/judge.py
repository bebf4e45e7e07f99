"""A model as the judge of one part. It sees the question and the answer, nothing else."""

from __future__ import annotations

import re

from plait.core import Part, Request, Verdict
from plait.interfaces import Thread
from plait.prompts import Prompts, ask, excerpt, load_prompts, one_line, quote, split, unquoted

LONGEST = 16_000
"""Characters of an answer that a judge is shown."""
_VERDICT = re.compile(r"verdict\W{0,8}(right|wrong|correct|incorrect)\b(.{0,400})", re.IGNORECASE)


class Judge:
    """Asks the engine of the role ``judge``; a reply without a verdict is no "wrong", it cannot
    tell. The answer is quoted, so that it cannot give the verdict itself."""

    name = "judge"

    def __init__(self, prompts: Prompts | None = None) -> None:
        self._prompts = prompts or load_prompts()

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        before, question = split(request)
        if part.task:
            question = f"{part.task}\n\n(This is one part of: {one_line(question, 1000)})"
        values = {"question": question, "answer": quote(excerpt(part.text, LONGEST))}
        outcome = await ask(thread, self._prompts["judge"], values, role="judge",
                            label=f"judge {part.label}".strip(), before=before)
        if not outcome.ok or outcome.value is None:
            why = outcome.reason or outcome.status
            return Verdict(None, 0.0, f"the judge failed: {why}")
        return read_verdict(outcome.value)


def read_verdict(reply: str) -> Verdict:
    """The last verdict in a judge's reply; what the judge quotes does not count."""
    found = _VERDICT.findall(unquoted(reply))
    if not found:
        return Verdict(None, 0.0, "the judge gave no verdict")
    word, reason = found[-1]
    right = word.lower() in ("right", "correct")
    return Verdict(right, float(right), reason.strip(" -:.*—–\t"))
