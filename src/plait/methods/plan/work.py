"""What a worker does with its thread: write within its window, be read, be checked.

A worker has two ways out of a part that it cannot do: ``LACKS: what`` puts the part into a later
wave, ``TOO LARGE`` has it planned itself. Both, and a rejection by the verifier, end the thread as
``malformed`` with a reason that begins with one of the words below; `crew` decides what follows.
"""

from __future__ import annotations

import re
from dataclasses import replace

from plait.context import write_on
from plait.core import Outcome, Part, after_thinking
from plait.interfaces import Thread
from plait.methods.plan.board import Unit
from plait.methods.plan.job import Job

LACKS, TOO_LARGE, REJECTED = "it lacks ", "it is too large", "it was rejected: "
_LACKS = re.compile(r"\A\W{0,4}LACKS\W{0,4}(?P<what>[^\n]{0,200})", re.IGNORECASE)
_TOO_LARGE = re.compile(r"\A\W{0,4}TOO LARGE\W{0,4}\s*\Z", re.IGNORECASE)


async def work(thread: Thread, job: Job, unit: Unit) -> Outcome:
    """The outcome of ``unit``: ``value`` is the part's text without its thoughts.

    Engine errors pass through; the scheduler tries the whole thread again.
    """
    text = await write_on(thread, job.window, job.notes)
    if thread.finish in ("budget", "window"):
        return Outcome("budget", thread.text, reason=f"it was cut off ({thread.finish})")
    if thread.finish == "length":
        return Outcome("malformed", thread.text, reason=f"{TOO_LARGE}: it came to no end")
    answer = after_thinking(text)
    if answer is None:
        return Outcome("malformed", thread.text, reason=f"{REJECTED}it wrote no answer")
    if found := _LACKS.match(answer):
        what = found["what"].strip() or "something"
        return Outcome("malformed", thread.text, reason=f"{LACKS}{what}")
    if _TOO_LARGE.match(answer):
        return Outcome("malformed", thread.text, reason=TOO_LARGE)
    return await check(thread, job, unit, answer)


async def check(thread: Thread, job: Job, unit: Unit, answer: str) -> Outcome:
    """The verifier's word on a part; without a verifier, and where it cannot tell, it stands."""
    done = Outcome("done", thread.text, answer)
    if job.verifier is None:
        return done
    task = f"{job.question}\n\nOnly this part of it is asked for: {unit.task}"
    part = Part(answer, label=unit.name, task=task, thread=thread.name)
    verdict = await job.verifier.verify(thread, job.request, part)
    if verdict.ok is False:
        thread.note(f"{job.verifier.name} says wrong: {verdict.reason or 'no reason given'}")
        why = verdict.reason or job.verifier.name
        return Outcome("malformed", thread.text, reason=f"{REJECTED}{why}", verified=False)
    return replace(done, verified=verdict.ok)
