"""Parts of a plan -> one answer, by mergers whose contexts stay within the window.

Parts that fit into half of a window are put together in one go. If they do not, one merger after
another takes in as many as fit, each in a clean context that holds what the one before it made of
the parts so far: a reset of the merge. An answer that outgrows its own window is continued after a
reset (`plait.context.write_on` with ``keep``).
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.context import relevant, write_on
from plait.core import Outcome, Part, Request, after_thinking, estimate_tokens
from plait.interfaces import Thread
from plait.methods.plan.job import Job
from plait.prompts import make_spec, note_prompt, numbered


class Assemble:
    """The plan's own `Merge`."""

    name = "assemble"

    def __init__(self, job: Job, remarks: str = "") -> None:
        self._job = job
        self._remarks = remarks

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        """One answer out of the usable parts. Never raises for what a model or an engine did."""
        usable = [p for p in parts if p.usable]
        if not usable:
            return Outcome("failed", reason="no part can be used")
        note_prompt(thread, self._job.prompts["assemble"])
        groups = self._groups(usable)
        before: Part | None = None
        outcome = Outcome("failed")
        for number, group in enumerate(groups):
            shown = group if before is None else [before, *group]
            left = sum(len(g) for g in groups[number + 1 :])
            outcome = await self._write(thread, shown, left)
            if not outcome.ok or outcome.value is None:
                return Outcome("failed", outcome.text, reason=outcome.reason or outcome.status)
            before = Part(outcome.value, label="the parts so far", thread=outcome.thread)
        if len(groups) > 1:
            thread.note(f"merged {len(usable)} parts in {len(groups)} clean contexts, one after the"
                        " other")
        return outcome

    def _groups(self, parts: Sequence[Part]) -> list[list[Part]]:
        """Neighbours that fit into half of the window together with what came before them."""
        room = self._job.window.parts
        groups: list[list[Part]] = [[]]
        held = 0
        for part in parts:
            size = min(estimate_tokens(part.text), room // 2)
            if groups[-1] and held + size > room:
                groups.append([])
                held = room // 2  # what the merger before it wrote
            groups[-1].append(part)
            held += size
        return groups

    async def _write(self, thread: Thread, parts: Sequence[Part], left: int) -> Outcome:
        job = self._job
        share = job.window.parts // max(2, len(parts))
        titles = [p.label for p in parts]
        remarks = self._remarks
        if left:
            remarks += (f"\n{left} more parts come later. Write down all that those above found,"
                        f" in at most {job.window.parts // 2} tokens; it is not the answer yet.")
        values = {"question": job.about("\n".join(titles)), "remarks": remarks,
                  "parts": numbered([relevant(p.text, p.task, share) for p in parts], "Part",
                                    titles)}
        spec = make_spec(job.prompts["assemble"], values, role="merger", before=job.before,
                         label=f"assemble {len(parts)} parts",
                         after=tuple(p.thread for p in parts if p.thread))
        (outcome,) = await thread.wait([thread.start(spec, self._body)])
        assert outcome is not None
        return outcome

    async def _body(self, thread: Thread) -> Outcome:
        text = await write_on(thread, self._job.window, self._job.notes, keep=True)
        if thread.finish not in ("eos", "stop"):
            return Outcome("budget", thread.text, reason=f"it was cut off ({thread.finish})")
        answer = after_thinking(text)
        if answer is None:
            return Outcome("malformed", thread.text, reason="it wrote no answer")
        return Outcome("done", thread.text, answer)
