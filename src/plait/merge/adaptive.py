"""The merge that chooses a merge, by number, size and agreement of the parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from plait.core import DEFAULT_WINDOW, Outcome, Part, Request
from plait.interfaces import Merge, Thread
from plait.merge.asking import Synthesize, nothing, room
from plait.merge.hierarchical import FAN, Hierarchical
from plait.merge.votes import Vote, decide, is_tie, tally
from plait.prompts import Prompts, load_prompts

Choice = Literal["single", "vote", "synthesize", "hierarchical"]
AGREE = 0.5
"""The share of the parts that has to give one answer for it to be taken without reading them."""


def choose_merge(
    parts: Sequence[Part], question: str, window: int = DEFAULT_WINDOW, fan: int = FAN
) -> tuple[Choice, str]:
    """Which merge suits the usable ``parts``, and why. At least one has to be usable.

    One part is taken as it is. If more than half of them give one short answer, reading them all
    once more would cost more than it could tell: they vote. Otherwise somebody has to read them,
    in one prompt if they fit into half a window and are no more than ``fan``.
    """
    usable = [p for p in parts if p.usable]
    if len(usable) == 1:
        return "single", "there is one part"
    candidates = tally(usable, question, "majority")
    if candidates and candidates[0].votes > AGREE * len(usable) and not is_tie(candidates):
        return "vote", f"{candidates[0].votes} of {len(usable)} parts agree"
    size = sum(len(p.text) for p in usable)
    apart = (f"{len(candidates)} different answers" if candidates
             else "no short answers to count")
    if len(usable) > fan:
        return "hierarchical", f"{apart}, and {len(usable)} parts are too many for one prompt"
    if size > room(window):
        return "hierarchical", f"{apart}, and {size} characters are too long for one prompt"
    return "synthesize", f"{apart} in {len(usable)} parts"


class Adaptive:
    """Chooses by `choose_merge` and notes why. If a model that was asked to merge fails, a vote
    takes its place where there are answers to count."""

    name = "adaptive"

    def __init__(
        self, prompts: Prompts | None = None, window: int = DEFAULT_WINDOW, fan: int = FAN
    ) -> None:
        prompts = prompts or load_prompts()
        self._window, self._fan = window, fan
        self._merges: dict[Choice, Merge] = {
            "vote": Vote(), "synthesize": Synthesize(prompts, window),
            "hierarchical": Hierarchical(prompts, window, fan)}

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        usable = [p for p in parts if p.usable]
        if not usable:
            return nothing()
        window = min(self._window, request.budget.window or self._window)
        choice, why = choose_merge(usable, request.question, window, self._fan)
        thread.note(f"merge: {choice}, since {why}")
        if choice == "single":
            return usable[0].chosen()
        outcome = await self._merges[choice].merge(thread, request, usable)
        if outcome.value is not None or choice == "vote":
            return outcome
        counted, how = decide(usable, request, "majority")
        if counted.value is None:
            return outcome
        thread.note(f"merge: {choice} failed ({outcome.reason or outcome.status}); {how}",
                    warning=True)
        return counted
