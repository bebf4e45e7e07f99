"""One planner's thread from its plan to the merged answer.

    plan streams --subtask--> crew     parts start while the plan is still written
    plan ends    --is it worth it, is there room for it?--> no: what to do instead, with the reason
    parts done   --conflicts?--> the parts concerned once more, or another plan (`method`)
    parts agree  --merge, verify--> answer

Whatever ends this without an answer has a reason that a person understands; the request then falls
back to sequential reasoning with what was ring-fenced for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio

from plait.context import write_on
from plait.core import CHARS, Chunk, Outcome
from plait.interfaces import Merge, Thread
from plait.methods.plan.assemble import Assemble
from plait.methods.plan.board import Board
from plait.methods.plan.conflicts import Conflict, find_conflicts, read_contradictions
from plait.methods.plan.crew import DECLINED, Crew
from plait.methods.plan.job import GAP, Job
from plait.methods.plan.reading import PlanReader
from plait.methods.plan.subtask import SCHEMA
from plait.methods.work import check_merged
from plait.prompts import behind_thoughts, excerpt, numbered, quote

CONFLICT = "the parts contradict each other: "
LEAST_PACE = 8
"""Tokens that a planner must have written before its pace says something."""
MERGE_SHARE = 0.25
"""The length of a merged answer, as a share of that of its parts, where nobody knows better."""


@dataclass(slots=True)
class _Course:
    """How one planner's thread goes; ``pace``: seconds a token, as far as it is known."""

    thread: Thread
    job: Job
    crew: Crew
    pace: float = 0.0

    @property
    def merge_tokens(self) -> int:
        return int(MERGE_SHARE * sum(u.tokens for u in self.crew.board.units))

    @property
    def seconds(self) -> float | None:
        """What is left for the parts, the merge's time set aside."""
        left = self.thread.room.seconds
        return None if left is None else max(0.0, left - self.merge_tokens * self.pace)


async def conduct(
    thread: Thread, job: Job, *, merge: Merge | None = None, rounds: int = 1,
    backtrack: bool = False,
) -> Outcome:
    """Plan ``job`` on ``thread``, have it done, and merge it.

    ``rounds``: how often parts that contradict each other are done again. ``backtrack``: if they
    still do then, the outcome's reason begins with `CONFLICT`, so that another plan may be made.
    Engine errors of the planner itself pass through.
    """
    board = Board(job.options.least, job.options.most)
    crew = Crew(thread, job, board, partial(conduct, rounds=min(rounds, 1)))
    course = _Course(thread, job, crew)
    refused = await _plan(course) or _worth(course) or _room(course)
    if refused is not None:
        crew.stop("the plan was given up")
        return refused
    if job.options.check:
        crew.check()
    await crew.finish(course.seconds)
    if (ended := _too_little(course)) is not None:
        return ended
    conflicts = await _settle(course, rounds)
    if crew.late:
        return _late(course)
    if conflicts and backtrack:
        return Outcome("malformed", thread.text, reason=CONFLICT + _about(conflicts),
                       conflicts=len(conflicts))
    for conflict in conflicts:
        thread.note(f"unresolved: {', '.join(conflict.parts)} contradict each other on"
                    f" {conflict.about}", warning=True)
    return await _merge(course, merge, conflicts)


async def _plan(course: _Course) -> Outcome | None:
    """Have the plan written, parts started on the way. An outcome if there is no plan to follow."""
    thread, job, crew = course.thread, course.job, course.crew
    board, readers = crew.board, [PlanReader()]
    job.note_prompts(thread, "plan", "work")

    def take(chunk: Chunk) -> None:
        for subtask in readers[-1].feed(chunk.text):
            crew.add(subtask)
        crew.poll()

    def state() -> str:
        """The plan so far is all that a planner knows; without one it has to say it itself."""
        if not board.units:
            return ""
        readers.append(PlanReader())
        return GAP + job.prompts["plan_resume"].fill({"plan": job.show_plan(board.units)}) + GAP

    began = anyio.current_time()
    sampling = replace(job.request.sampling, schema=SCHEMA)
    await write_on(thread, job.window, job.notes, sampling=sampling, on_chunk=take, state=state)
    if thread.tokens >= LEAST_PACE:
        course.pace = (anyio.current_time() - began) / thread.tokens
    if thread.finish in ("budget", "window", "length"):
        return Outcome("budget", thread.text, reason=f"the plan was cut off ({thread.finish})")
    return _plan_ended(course, readers)


def _plan_ended(course: _Course, readers: Sequence[PlanReader]) -> Outcome | None:
    """Take what the stream did not give. An outcome if that makes no plan."""
    thread, board = course.thread, course.crew.board
    end = readers[-1].close()
    for subtask in end.subtasks:
        course.crew.add(subtask)
    problems = [problem for reader in readers for problem in reader.problems]
    for problem in problems:
        thread.note(f"left out of the plan: {problem}", warning=True)
    cycle = board.close()
    if cycle:
        return _invalid(thread, f"{' and '.join(cycle)} need each other")
    if end.declined is not None and not board.units:
        return Outcome("malformed", thread.text, reason=f"{DECLINED}{end.declined}")
    if not board.units:
        return _invalid(thread, problems[0] if problems else "the reply holds no subtasks")
    return None


def _invalid(thread: Thread, why: str) -> Outcome:
    return Outcome("malformed", thread.text, reason=f"no valid plan: {why}")


def _worth(course: _Course) -> Outcome | None:
    """An outcome if one thread does as well."""
    board, thread = course.crew.board, course.thread
    if len(board.units) == 1:
        return Outcome("malformed", thread.text, reason=f"{DECLINED}the plan has one part")
    whole = sum(u.tokens for u in board.units)
    aside = thread.tokens + board.path() + course.merge_tokens
    if course.job.plan.gain and aside >= whole:
        return Outcome("malformed", thread.text, reason=(
            f"{DECLINED}by its own estimate {aside} tokens one after the other, plan and merge"
            f" included, would take the place of {whole}"))
    return None


def _room(course: _Course) -> Outcome | None:
    """An outcome if the budget has no room for the rest of the plan, by the planner's estimate."""
    board, room = course.crew.board, course.thread.room
    left = sum(u.tokens for u in board.units if u.state != "done")
    path = board.path() + course.merge_tokens
    why = ""
    if room.tokens is not None and room.tokens < left:
        why = f"the plan needs about {left} tokens, {room.tokens} are left"
    elif room.path is not None and room.path < path:
        why = f"its longest path needs about {path} tokens, {room.path} are left"
    if why:
        why = f"the budget is too small to finish in parallel: {why}"
    elif room.seconds is not None and room.seconds < path * course.pace:
        why = (f"the deadline is near: the plan needs about {path * course.pace:.1f} s, "
               f"{room.seconds:.1f} s are left")
    return Outcome("budget", course.thread.text, reason=why) if why else None


def _too_little(course: _Course) -> Outcome | None:
    """An outcome if too few parts were done."""
    crew, units = course.crew, course.crew.board.units
    if crew.late:
        return _late(course)
    failed = crew.board.of("failed")
    if len(failed) > course.job.options.failed * len(units) or len(failed) == len(units):
        return Outcome("failed", course.thread.text, reason=(
            f"{len(failed)} of {len(units)} parts failed: {failed[0].name}: {failed[0].text}"))
    return None


def _late(course: _Course) -> Outcome:
    """Out of time: what is done is the best answer so far, should sequential reasoning fail."""
    done = course.crew.board.of("done")
    return Outcome("budget", course.thread.text, GAP.join(u.text for u in done) or None,
                   "the deadline is near: "
                   f"{len(done)} of {len(course.crew.board.units)} parts are done")


# --- conflicts ---------------------------------------------------------------------------------


async def _settle(course: _Course, rounds: int) -> list[Conflict]:
    """Do parts that contradict each other again, with the conflict before them. What is left."""
    crew, board = course.crew, course.crew.board
    conflicts = await _find(course)
    for _ in range(rounds):
        if not conflicts or crew.late:
            break
        concerned = {name for conflict in conflicts for name in conflict.parts}
        units = [u for u in board.units if u.name in concerned and u.state == "done"]
        course.thread.note(f"{CONFLICT}{_about(conflicts)}; {', '.join(u.name for u in units)}"
                           " are done again", warning=True)
        before = {u: u.text for u in units}
        seen = [crew.children[u].name for u in units]
        share = course.job.window.parts * CHARS // len(units)
        shown = numbered([excerpt(u.text, share) for u in units], "Part", [u.name for u in units])
        for unit in units:
            crew.redo(unit, "Parts of this contradict each other. Check yours again, and say what"
                      " is right. What it is about, and what they say, is quoted here, every line"
                      f" marked with \">\":{GAP}{quote(_about(conflicts))}{GAP}{shown}", seen)
        await crew.finish(course.seconds)
        for unit in units:
            if unit.state != "done":
                crew.restore(unit, before[unit])
        conflicts = await _find(course)
    return conflicts


async def _find(course: _Course) -> list[Conflict]:
    parts = [p for p in course.crew.parts() if p.usable]
    found = find_conflicts(parts)
    if not course.job.options.judge or len(parts) < 2 or course.crew.late:
        return found
    await _join(course)
    job, thread = course.job, course.thread
    share = job.window.parts * CHARS // len(parts)
    shown = numbered([excerpt(p.text, share) for p in parts], "Part", [p.label for p in parts])
    job.note_prompts(thread, "contradictions")
    outcome = behind_thoughts(await thread.ask(job.ask_prompt("contradictions", {"parts": shown})))
    if outcome.value is None:
        why = outcome.reason or outcome.status
        thread.note(f"the judge of contradictions failed: {why}", warning=True)
        return found
    return found + read_contradictions(outcome.value, parts)


def _about(conflicts: Sequence[Conflict]) -> str:
    return "; ".join(c.about for c in conflicts)


# --- merging -----------------------------------------------------------------------------------


async def _join(course: _Course) -> None:
    """What comes now depends on the parts."""
    await course.thread.wait(list(course.crew.children.values()))


async def _merge(
    course: _Course, merge: Merge | None, conflicts: Sequence[Conflict]
) -> Outcome:
    job, thread = course.job, course.thread
    await _join(course)
    parts = course.crew.parts()
    remarks = [f"The part `{p.label}` is missing: it failed." for p in parts if not p.usable]
    remarks += [f"Not resolved: {', '.join(c.parts)} contradict each other on what is quoted here."
                f" Say so.\n{quote(c.about)}" for c in conflicts]
    merge = merge or Assemble(job, "\n".join(remarks))
    merged = await merge.merge(thread, job.request, parts)
    if not merged.ok or merged.value is None:
        why = merged.reason or merged.status
        return Outcome("failed", thread.text, reason=f"the merge failed: {why}")
    outcome = Outcome("done", thread.text, merged.value, conflicts=len(conflicts),
                      verified=merged.verified)
    if job.level:
        return outcome
    return await check_merged(job.verifier, thread, job.request, outcome, ())
