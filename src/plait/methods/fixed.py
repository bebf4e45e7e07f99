"""Two or three threads, always: the simple start. All of them work on the question side by side,
each part is checked and if need be written once more, alone, and the parts are merged."""

from __future__ import annotations

from plait.core import DEFAULT_WINDOW, Outcome, Plan, Request
from plait.errors import UsageError
from plait.interfaces import Merge, Opening, Thread, Verifier
from plait.merge import Adaptive
from plait.methods.attempts import Attempts, why_none
from plait.methods.work import Work, check_merged
from plait.prompts import Prompts, load_prompts

THREADS = 3


class Fixed:
    """``threads``: 2 or 3. ``merge``: `plait.merge.Adaptive` unless given. ``window``: the
    effective window of a thread in tokens (see `Work`).

    Raises `UsageError` for other numbers of threads.
    """

    def __init__(
        self, *, threads: int = THREADS, merge: Merge | None = None,
        verifier: Verifier | None = None, prompts: Prompts | None = None,
        window: int | None = None,
    ) -> None:
        if threads not in (2, 3):
            raise UsageError(f"the method `fixed` makes 2 or 3 attempts, not {threads}",
                             hint="Use the method `explore` for another number.")
        self._threads = threads
        self._prompts = prompts or load_prompts()
        self._merge = merge or Adaptive(self._prompts, window or DEFAULT_WINDOW)
        self._verifier = verifier
        self._window = window

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        work = Work(request, plan, opening, self._prompts, self._verifier, retries=1,
                    own=not opening.prompt.messages, window=self._window)
        attempts = Attempts(root, work)
        await root.wait([attempts.start() for _ in range(self._threads)])
        parts = attempts.parts
        if not any(p.usable for p in parts):
            return Outcome("failed", reason=why_none(parts))
        for part in parts:
            if not part.usable:
                root.note(f"{part.label} is left out: {part.fault or 'rejected'}", warning=True)
        outcome = await self._merge.merge(root, request, parts)
        return await check_merged(self._verifier, root, request, outcome, parts)
