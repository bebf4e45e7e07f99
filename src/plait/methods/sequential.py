"""One thread from question to answer: the baseline, and what every other method falls back to."""

from __future__ import annotations

from plait.core import Outcome, Plan, Request
from plait.interfaces import Opening, Thread


class Sequential:
    """Let the model write until it ends, and read the answer out of it."""

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        async with root.write() as stream:
            async for _ in stream:
                pass
        value = opening.read(root.text)
        if root.finish in ("eos", "stop"):
            if value is None:
                return Outcome("malformed", root.text, reason="the text holds no answer")
            return Outcome("done", root.text, value)
        return Outcome("budget", root.text, value, f"the answer was cut off ({root.finish})")
