"""Rounds of parallel merges, for parts that are too many or too long for one prompt.

    12 parts --3 mergers at once--> 3 texts --1 merger--> the answer

Parts are packed into groups in their order, as many as fit into half a window and at most
``fan`` of them; every group is a merger of its own, all of a round at once. A group that fails is
tried once more, alone; fails it again, its parts go on to the next round as they are, so that
nothing is lost silently. A round that brings nothing together ends the merge.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.core import DEFAULT_WINDOW, Outcome, Part, Request
from plait.interfaces import ChildSpec, Thread
from plait.merge.asking import Synthesize, nothing, room, shown
from plait.prompts import Prompts, load_prompts, make_spec, note_prompt, split, write_answer

FAN = 6
"""Parts that one merger gets at most: more of them are read worse than fewer twice."""
ROUNDS = 8


class Hierarchical:
    """See the module's docstring. ``window`` in tokens; ``fan``: parts a merger, at least 2."""

    name = "hierarchical"

    def __init__(
        self, prompts: Prompts | None = None, window: int = DEFAULT_WINDOW, fan: int = FAN
    ) -> None:
        self._prompts = prompts or load_prompts()
        self._window = window
        self._fan = max(2, fan)

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        left = [p for p in parts if p.usable]
        if not left:
            return nothing()
        for level in range(ROUNDS):
            groups = pack(left, room(self._window, request), self._fan)
            if len(groups) == 1:
                return await Synthesize(self._prompts, self._window).merge(thread, request, left)
            thread.note(f"hierarchical: round {level + 1} merges {len(left)} parts"
                        f" in {len(groups)} groups")
            note_prompt(thread, self._prompts["synthesize"])
            merged = await self._round(thread, request, groups)
            if len(merged) >= len(left):
                return Outcome("failed", reason="a round of merging brought nothing together")
            left = merged
        return Outcome("failed", reason=f"the merge needed more than {ROUNDS} rounds")

    async def _round(
        self, thread: Thread, request: Request, groups: Sequence[Sequence[Part]]
    ) -> list[Part]:
        """The parts of the next round."""
        outcomes = await self._write(thread, request, groups)
        again = [k for k, o in enumerate(outcomes) if o is not None and not o.ok]
        for k, outcome in zip(
                again, await self._write(thread, request, [groups[k] for k in again]), strict=True):
            outcomes[k] = outcome
        merged: list[Part] = []
        for group, found in zip(groups, outcomes, strict=True):
            if found is None:
                merged += group
            elif found.ok:
                merged.append(Part(found.value or "", label=f"{len(group)} parts merged",
                                   thread=found.thread))
            else:
                thread.note(f"a group of {len(group)} parts could not be merged: {found.reason}",
                            warning=True)
                merged += group
        return merged

    async def _write(
        self, thread: Thread, request: Request, groups: Sequence[Sequence[Part]]
    ) -> list[Outcome | None]:
        """One merger a group, all at once. A group of one needs none (None)."""
        before, question = split(request)
        children = {}
        for k, group in enumerate(groups):
            if len(group) > 1:
                values = {"question": question, "parts": shown(group, room(self._window, request))}
                spec: ChildSpec = make_spec(
                    self._prompts["synthesize"], values, role="merger", before=before,
                    label=f"merge {len(group)} parts")
                children[k] = thread.start(spec, write_answer)
        outcomes = await thread.wait(list(children.values())) if children else []
        found = dict(zip(children, outcomes, strict=True))
        return [found.get(k) for k in range(len(groups))]


def pack(parts: Sequence[Part], characters: int, fan: int) -> list[list[Part]]:
    """Groups of neighbours: at most ``fan`` parts and about ``characters`` each, at least 2 parts
    unless one is left over, and as even as the fan allows."""
    count = -(-len(parts) // fan)
    even = -(-len(parts) // count)
    groups: list[list[Part]] = []
    size = 0
    for part in parts:
        full = groups and len(groups[-1]) >= 2 and size + len(part.text) > characters
        if not groups or full or len(groups[-1]) >= even:
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += len(part.text)
    return groups
