"""Exploration streamed to a client: eight attempts at one question, an early stop by vote, the rest
cancelled at once, thoughts streamed live, the answer committed once."""

from collections import Counter
from collections.abc import Callable, Sequence

from plait.core import Outcome, Plan, Request
from plait.core.events import Committed, Event, Wrote
from plait.interfaces import ChildSpec, Opening, Thread
from plait.solve import solve_stream
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace

ATTEMPTS, NEEDED = 8, 3


async def attempt(thread: Thread) -> Outcome:
    """One line of thought; its last word is the vote."""
    async with thread.write() as stream:
        async for _ in stream:
            pass
    return Outcome("done", thread.text, thread.text.split()[-1])


def settled(outcomes: Sequence[Outcome | None]) -> bool:
    """Has any answer enough votes?"""
    votes = Counter(o.value for o in outcomes if o is not None)
    return bool(votes) and votes.most_common(1)[0][1] >= NEEDED


class Explore:
    """The method: attempts that share the question's context, and a vote."""

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        specs = [ChildSpec("fork", "", label=f"attempt {i}") for i in range(ATTEMPTS)]
        outcomes = await root.wait([root.start(spec, attempt) for spec in specs], settled)
        votes = Counter(o.value for o in outcomes if o is not None and o.value is not None)
        return Outcome("done", root.text, votes.most_common(1)[0][0])


def make_script() -> Callable[[str, object], Play]:
    """Every request thinks longer than the one before; every fourth one errs."""
    calls = iter(range(1000))

    def script(prompt: str, sampling: object) -> Play:
        call = next(calls)
        return Play("so " * (3 + 2 * call) + ("41" if call % 4 == 1 else "42"))

    return script


async def main(engine: ScriptedEngine, trace: Trace) -> list[Event]:
    """What a client sees, in order."""
    seen: list[Event] = []
    request = Request(prompt="What is the answer?")
    async with solve_stream(request, engine=engine, plan=Plan("explore"),
                            method=Explore(), trace=trace) as events:
        async for event in events:
            seen.append(event)
    return seen


if __name__ == "__main__":
    for event in run_virtual(main, ScriptedEngine(make_script()), Trace()):
        if isinstance(event, Wrote):
            print(f"{event.t:6.2f}  {event.thread}: {event.text}")
        elif isinstance(event, Committed):
            print(f"answer: {event.text}")
