"""One thread from question to answer: the baseline, and what every other method falls back to.

Where the answer can be read while it is written, the root commits it piece by piece, so that a
client sees it grow. A fallback does not: it may be tried again, and what is committed stays.
"""

from __future__ import annotations

from plait.core import Outcome, Plan, Request
from plait.interfaces import Opening, Thread


class Sequential:
    """Let the model write until it ends, and read the answer out of it. The stop of the request
    that ended it is no part of the answer."""

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        stops = request.sampling.stop
        live = opening.live(stops) if opening.live is not None and root.name == "0" else None
        committed, ended_by = "", ""
        async with root.write() as stream:
            async for chunk in stream:
                if isinstance(chunk.stop, str) and chunk.stop in stops:
                    ended_by = chunk.stop
                if live is not None and (sure := live.feed(chunk.text)):
                    root.commit(sure)
                    committed += sure
        value = opening.read(root.text.removesuffix(ended_by))
        if committed and not (value or "").startswith(committed):
            value = committed  # what a client has is the answer
        if root.finish in ("eos", "stop"):
            if value is None:
                return Outcome("malformed", root.text, reason="the text holds no answer")
            return Outcome("done", root.text, value)
        return Outcome("budget", root.text, value, f"the answer was cut off ({root.finish})")
