"""Several attempts at one question, each a thread: how they differ, and what they came to.

The first attempt is made as a sequential run would be. The others differ from it by their seeds
(a thread's seed depends on its place), by their temperature where the request is greedy, and, for
models that chat, by one sentence of advice on how to go about it. The advice stands at the end of
the prompt, so that all attempts share everything before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.core import Outcome, Part
from plait.interfaces import Child, ChildSpec, Thread
from plait.merge import tally
from plait.methods.work import Work, as_outcome
from plait.prompts import make_spec, note_prompt, split

TEMPERATURES = (0.6, 0.8, 1.0)
"""Of the attempts after the first, in turn, where the request is greedy."""


class Attempts:
    """The attempts of one run. `parts` holds what those that ended came to, in their order."""

    def __init__(self, root: Thread, work: Work) -> None:
        self._root = root
        self._work = work
        self._prompts = prompts = work.prompts
        self._strategies = [s.strip() for s in prompts["strategies"].text.splitlines() if s.strip()]
        self._found: dict[int, Part] = {}
        self.children: list[Child] = []
        if not work.own:
            note_prompt(root, prompts["attempt"])

    def start(self) -> Child:
        """Start the next attempt."""
        index = len(self.children)
        label = f"attempt {index + 1}"

        async def body(thread: Thread) -> Outcome:
            part = await self._work.write_part(thread, label)
            self._found[index] = part
            self._propose()
            return as_outcome(part)

        child = self._root.start(self._spec(index, label), body)
        self.children.append(child)
        return child

    @property
    def running(self) -> list[Child]:
        """The attempts that have not ended."""
        return [c for c in self.children if c.peek() is None]

    @property
    def parts(self) -> list[Part]:
        """One part for every attempt that ended by itself; those that were cancelled are none."""
        parts = []
        for index, child in enumerate(self.children):
            outcome = child.peek()
            if outcome is None or outcome.status == "cancelled":
                continue
            part = self._found.get(index)
            if part is None or outcome.status in ("failed", "budget"):
                part = Part("", label=f"attempt {index + 1}", ok=False, thread=child.name,
                            reason=outcome.reason or outcome.status)
            parts.append(part)
        return parts

    def cancel(self, why: str) -> None:
        """Stop those that still run."""
        for child in self.running:
            child.cancel(why)

    def _propose(self) -> None:
        """Keep the answer that leads so far, for the case that time runs out."""
        parts = [self._found[k] for k in sorted(self._found)]
        leading = tally(parts, self._work.request.question, "majority", self._work.request.seed)
        best = leading[0].best if leading else next((p for p in parts if p.usable), None)
        if best is not None:
            self._root.propose(best.text)

    def _spec(self, index: int, label: str) -> ChildSpec:
        greedy = self._work.request.sampling.temperature == 0
        temperature = TEMPERATURES[(index - 1) % len(TEMPERATURES)] if index and greedy else None
        if self._work.own:
            return ChildSpec("fork", label=label, temperature=temperature)
        advice = self._strategies[(index - 1) % len(self._strategies)] if (
            index and self._strategies) else ""
        before, question = split(self._work.request)
        return make_spec(self._prompts["attempt"], {"question": question, "strategy": advice},
                         role="worker", label=label, before=before, temperature=temperature)


def why_none(parts: Sequence[Part]) -> str:
    """Why no part can be used, in a line for people."""
    if not parts:
        return "no attempt came to an end"
    wrong = [p for p in parts if p.ok and not p.usable]
    count = f"all {len(parts)} attempts" if len(parts) > 1 else "the attempt"
    if wrong:
        reason = next((p.verdict.reason for p in wrong if p.verdict and p.verdict.reason), "")
        text = f"verification rejected {len(wrong)} of {len(parts)} answers"
        return f"{text} ({reason})" if reason else text
    return f"{count} failed ({parts[-1].reason})"
