"""Several strategies on one problem, stopped as soon as the answer is beyond doubt.

    start 4 --one ends--> settled? --no--> enough at work to settle it? --no--> start more
                             |                       `--yes--> wait for the next
                             `--yes--> cancel the rest, merge

How many attempts are made is decided while they run. A vote is settled when no vote to come can
turn it, or when the posterior probability that its leader is the likelier answer is high enough
(Adaptive-Consistency, arXiv 2305.11860); always as many are at work as would settle it if they
all agreed with the leader, up to the limit. Where a verifier can tell right from wrong, the first
right answer settles it, and every wrong one lets two more attempts start. Merges other than votes
read everything, so all attempts are made for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plait.core import Outcome, Part, Plan, Request
from plait.errors import UsageError
from plait.interfaces import Merge, Method, Opening, Thread, Verifier
from plait.merge import Vote, cannot_turn, is_sure, least_votes, tally
from plait.merge.votes import SURE
from plait.methods.attempts import Attempts, why_none
from plait.methods.work import Work, check_merged
from plait.prompts import Prompts, load_prompts

ATTEMPTS = 8
FIRST_CHECKED = 4
"""Attempts that start at once where each answer can be checked."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How it stands: ``settled`` says why nothing more is needed (empty: it is not settled),
    ``wanted`` how many attempts should have been started by now."""

    settled: str = ""
    wanted: int = 0


class Explore:
    """See the module's docstring.

    ``attempts``: the most that are made. ``merge``: a vote unless given. ``verifier``: checks each
    answer as soon as it is there. ``inner``: how each attempt works; None: it just writes.
    ``sure``: the posterior probability at which a vote counts as settled, above 0.5. ``window``:
    the effective window of an attempt in tokens (see `Work`).
    Raises `UsageError` for values out of range.
    """

    def __init__(
        self, *, attempts: int = ATTEMPTS, merge: Merge | None = None,
        verifier: Verifier | None = None, prompts: Prompts | None = None,
        inner: Method | None = None, sure: float = SURE, window: int | None = None,
    ) -> None:
        if attempts <= 0 or not 0.5 < sure <= 1.0:
            raise UsageError(f"`explore` got {attempts} attempts and `sure` {sure:g}",
                             hint="It needs 1 attempt or more, and `sure` above 0.5, at most 1.")
        self._limit = attempts
        self._merge = merge or Vote()
        self._verifier = verifier
        self._prompts = prompts or load_prompts()
        self._inner = inner
        self._sure = sure
        self._window = window

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        weighed = isinstance(self._merge, Vote) and self._merge.weigh == "confidence"
        work = Work(request, plan, opening, self._prompts, self._verifier, confidence=weighed,
                    own=not opening.prompt.messages, inner=self._inner, window=self._window)
        attempts = Attempts(root, work)

        def stand() -> Stand:
            return self.stand(attempts.parts, request)

        def decided(_: Sequence[Outcome | None]) -> bool:
            now = stand()
            return bool(now.settled) or now.wanted > len(attempts.children)

        while not (now := stand()).settled:
            while len(attempts.children) < now.wanted:
                attempts.start()
            if not attempts.running:
                break
            await root.wait(attempts.running, decided, rest="keep")
        if now.settled:
            root.note(f"explore: {now.settled}, after {len(attempts.parts)} of at most"
                      f" {self._limit} attempts")
            attempts.cancel(now.settled)
        return await self._conclude(root, request, work, attempts.parts)

    def stand(self, ended: Sequence[Part], request: Request) -> Stand:
        """How it stands when the attempts ``ended`` have ended. Pure."""
        checked = [p for p in ended if p.verdict is not None and p.verdict.ok is not None]
        if any(p.verdict and p.verdict.ok for p in checked):
            return Stand("an answer passed verification")
        if not isinstance(self._merge, Vote):
            return Stand(wanted=self._limit)
        if checked or (not ended and self._verifier is not None):
            return Stand(wanted=min(self._limit, FIRST_CHECKED + 2 * len(ended)))
        candidates = tally(ended, request.question, self._merge.weigh, request.seed)
        if len(ended) < self._limit and cannot_turn(candidates, self._limit - len(ended)):
            return Stand("the vote cannot turn any more")
        if is_sure(candidates, self._sure):
            return Stand(f"the vote is decided with probability {self._sure:g}")
        first, second = ([c.votes for c in candidates] + [0, 0])[:2]
        needed = least_votes(self._sure, second) - first
        return Stand(wanted=min(self._limit, len(ended) + needed))

    async def _conclude(
        self, root: Thread, request: Request, work: Work, parts: Sequence[Part]
    ) -> Outcome:
        right = [p for p in parts if p.verdict is not None and p.verdict.ok]
        if right:
            return max(right, key=lambda p: p.verdict.score if p.verdict else 0.0).chosen()
        if any(p.usable for p in parts):
            outcome = await self._merge.merge(root, request, parts)
            return await check_merged(self._verifier, root, request, outcome, parts)
        why = why_none(parts)
        first = parts[0] if parts else None
        if work.own and self._inner is None and first is not None and first.ok and (
                first.label == "attempt 1"):
            # the first attempt is the sequential run: falling back would only repeat it
            root.note(f"{why}; this is the answer of the sequential attempt", warning=True)
            return Outcome("done", first.text, first.text, verified=False)
        return Outcome("failed", reason=why)
