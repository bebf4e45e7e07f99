"""Resets on the tokens of a real model: plait-nano in a window that its search outgrows."""

import anyio
import pytest

from plait.context import Notes, Window, report_contexts, write_on
from plait.core import Outcome, Plan, Request, Result
from plait.core.events import Rewrote
from plait.interfaces import Opening, Thread
from plait.solve import solve
from plait.trace import Trace

QUESTION = "Make 53 from 49, 18, 12 and 11"


class Windowed:
    """The method: write within a window of so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.window = Window(tokens)

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        notes = Notes("\nMoving to Node #1\n", "\n")
        text = await write_on(root, self.window, notes)
        return Outcome("done", root.text, text)


@pytest.mark.parametrize("tokens", [96, 160])
def test_a_real_context_stays_within_its_window_to_the_token(tokens: int) -> None:
    trace = Trace()

    async def main() -> Result:
        return await solve(Request(prompt=QUESTION), method=Windowed(tokens),
                           plan=Plan("windowed"), trace=trace)

    result = anyio.run(main)
    report = report_contexts(trace.events)
    assert report.resets == len([e for e in trace.events if isinstance(e, Rewrote)]) >= 1
    assert report.peak <= tokens < result.total_tokens
    assert not result.estimated
    assert result.wasted_tokens == 0
