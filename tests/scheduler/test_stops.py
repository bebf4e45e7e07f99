"""A stream that is made of several requests stops where one request would have stopped."""

from __future__ import annotations

import pytest

from plait.core import Budget, Outcome, Plan, Request, Result, Sampling, Stops
from plait.core.events import Asked, Wrote
from plait.core.seam import Seam
from plait.interfaces import ChildSpec, Opening, Thread
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace

STOP = "</Thread>"


class TwoThreads:
    """Two threads that write until the stop; their texts are the answer."""

    def __init__(self, stops: Stops) -> None:
        self.stops = stops

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async def body(thread: Thread) -> Outcome:
            async with thread.write(self.stops) as stream:
                last = [chunk async for chunk in stream][-1]
            assert (thread.finish, last.finish, last.stop) == ("stop", "stop", STOP)
            return Outcome("done", thread.text, thread.text)

        children = [root.start(ChildSpec("spawn", "go:"), body) for _ in range(2)]
        outcomes = await root.wait(children)
        return Outcome("done", "", "|".join(o.text for o in outcomes if o))


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("length", range(45, 75))
def test_a_stop_may_lie_across_the_end_of_a_lease(length: int, ids: bool) -> None:
    """The tokens are characters, a lease has about sixty; an engine sees a stop only if all of it
    is new, and sends on what follows it in the same chunk."""
    wanted = "x" * length + STOP
    trace = Trace()

    def play(prompt: str, sampling: Sampling) -> Play:
        assert sampling.stop == (STOP,)
        return Play((wanted + " and more and more")[len(prompt.partition(":")[2]) :], chunk=7)

    async def ask() -> Result:
        engine = ScriptedEngine(play, pieces=list, ids=ids)
        return await solve(Request("go", budget=Budget(total_tokens=280)), engine=engine,
                           method=TwoThreads(Stops((STOP,))), plan=Plan("two"), trace=trace)

    assert run_virtual(ask).answer == f"{wanted}|{wanted}"
    wrote = "".join(e.text for e in trace.events if isinstance(e, Wrote) and e.thread == "0.0")
    assert wrote == wanted
    if length == 60:
        assert sum(isinstance(e, Asked) for e in trace.events) > 2, "no lease ended on the way"


def stream(text: str, stops: tuple[str, ...], cuts: tuple[int, int], size: int) -> str:
    """What is left of ``text`` if every request to the next cut stops at what it writes itself,
    and its seams are watched, in chunks of ``size``."""
    seam, kept = Seam(stops), ""
    for begin, end in ((0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], len(text))):
        ends = [place + len(s) for s in stops if (place := text[begin:end].find(s)) >= 0]
        part = text[begin:end][: min(ends, default=end)]
        for at in range(0, len(part), size):
            chunk = part[at : at + size]
            if across := seam.take(chunk):
                return kept + chunk[: across[0]]
            kept += chunk
        if ends:
            return kept
        seam.cross()
    return kept


@pytest.mark.parametrize("size", [1, 2, 5, 99])
@pytest.mark.parametrize("stops", [("</T>",), ("</T>", "lo"), ("x",), ("nowhere",), ()])
def test_wherever_requests_end_a_stream_ends_at_the_first_stop(
    stops: tuple[str, ...], size: int
) -> None:
    text = "so <T> hello </T></T> and"
    whole = text[: min((text.find(s) + len(s) for s in stops if s in text), default=len(text))]
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert stream(text, stops, (first, second), size) == whole
