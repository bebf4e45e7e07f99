"""Rounds of parallel attempts, each round distilled into the next (PaCoRe, StepFun).

    8 attempts --their answers, quoted--> 4 attempts --> 1 answer

What goes on to the next round is the answer alone, without the thoughts, shuffled anew for every
reader so that no attempt stands first for all of them. Differs from the published client in that
answers are quoted and cut to what fits into the window, and that a round in which some fail goes
on with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from plait.core import DEFAULT_WINDOW, Outcome, Part, Plan, Request
from plait.interfaces import Opening, Thread, Verifier
from plait.merge import Vote
from plait.merge.asking import room, shown
from plait.methods.attempts import Attempts, why_none
from plait.methods.work import Work
from plait.prompts import Prompts, load_prompts, make_spec, note_prompt, split

ROUNDS = (8, 4, 1)
TEMPERATURE = 0.8
"""Of all but the last round, where the request is greedy: equal texts have nothing to compare."""


class Refine:
    """``rounds``: threads in each round, the last one being 1. ``window``: tokens that a thread can
    make use of. For models that chat; others cannot be given references."""

    def __init__(
        self, *, rounds: Sequence[int] = ROUNDS, verifier: Verifier | None = None,
        prompts: Prompts | None = None, window: int | None = None,
    ) -> None:
        self._rounds = tuple(rounds)
        self._verifier = verifier
        self._prompts = prompts or load_prompts()
        self._window = window

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        if not opening.prompt.messages:
            return Outcome("failed", reason="refining needs a model that chats: it is shown"
                                            " earlier attempts")
        work = Work(request, plan, opening, self._prompts, self._verifier, retries=1,
                    window=self._window)
        first = Attempts(root, work)
        await root.wait([first.start() for _ in range(self._rounds[0])])
        parts = first.parts
        for number, count in enumerate(self._rounds[1:], start=2):
            usable = [p for p in parts if p.usable]
            if not usable:
                return Outcome("failed", reason=why_none(parts))
            root.note(f"refine: round {number} reads {len(usable)} answers in"
                      f" {count} thread{'s' if count > 1 else ''}")
            found = await self._read(root, work, usable, number, count)
            if not any(p.usable for p in found):
                root.note(f"refine: round {number} failed ({why_none(found)});"
                          " the round before it votes", warning=True)
                return await Vote().merge(root, request, usable)
            parts = found
        last = next((p for p in parts if p.usable), None)
        if last is None:
            return Outcome("failed", reason=why_none(parts))
        return last.chosen()

    async def _read(
        self, root: Thread, work: Work, usable: Sequence[Part], number: int, count: int
    ) -> list[Part]:
        """One round: ``count`` threads that read all of ``usable``. Parts in their order."""
        note_prompt(root, self._prompts["refine"])
        before, question = split(work.request)
        most = room(self._window or DEFAULT_WINDOW, work.request)
        specs = []
        for index in range(count):
            order = list(usable)
            Random(f"{work.request.seed}/refine/{number}/{index}").shuffle(order)
            label = f"round {number}, thread {index + 1}"
            specs.append((make_spec(
                self._prompts["refine"],
                {"question": question, "parts": shown(order, most, "Attempt")},
                role="worker", label=label, before=before,
                temperature=TEMPERATURE if count > 1 else None), ""))

        def propose(part: Part) -> None:
            if part.usable:
                root.propose(part.text)

        return await work.write_all(root, specs, propose)
