"""AsyncThink (arXiv 2510.26658) in one page: the organiser goes on after ``<FORK-i>``, waits at
``<JOIN-i>``, and the pool never holds more workers than it has room for."""

import re
from collections.abc import Sequence

from plait.core import Finish, Outcome, Plan, Request, Result, Stops
from plait.interfaces import ChildSpec, End, Event, Fork, Splice, Wait, WireProtocol
from plait.methods import Native
from plait.solve import solve
from plait.testing import ScriptedEngine, run_virtual
from plait.trace import Trace

POOL = 2
_EVENT = re.compile(r"<FORK-(\d+)>(.*?)</FORK-\1>|<JOIN-(\d+)>", re.DOTALL)


class AsyncThink:
    """The organiser's machine; a worker's is the same with ``worker`` set."""

    def __init__(self, worker: bool = False) -> None:
        self.worker, self.text, self.seen = worker, "", 0

    def begin(self) -> Sequence[Event]:
        return ()

    def stops(self) -> Stops:
        return Stops(("</RETURN>",) if self.worker else tuple(f"<JOIN-{i}>" for i in range(9)))

    def feed(self, text: str) -> Sequence[Event]:
        self.text += text
        events: list[Event] = []
        while not self.worker and (found := _EVENT.search(self.text, self.seen)):
            self.seen = found.end()
            if found[3]:
                return [*events, Wait((found[3],))]
            events.append(Fork(found[1], found[2], found.end()))
        return events

    def close(self, finish: Finish) -> Sequence[Event]:
        inside = re.search(r"<(RETURN|ANSWER)>(.*?)</\1>", self.text, re.DOTALL)
        return [End("done" if inside else "malformed", inside[2] if inside else None)]

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        return ChildSpec("spawn", fork.text, label=f"worker {fork.item}"), AsyncThink(worker=True)

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        text = "".join(f"\n{o.value if o else ''}\n</JOIN-{f.item}>" for f, o in
                       zip(forks, outcomes, strict=True))
        self.text, self.seen = self.text + text, len(self.text) + len(text)
        return Splice((text,))

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return False


def script(prompt: str, sampling: object) -> str:
    """One organiser, three workers."""
    if prompt.startswith("Count"):
        turns = ["<FORK-1>ones</FORK-1> meanwhile <FORK-2>twos</FORK-2> <FORK-3>threes</FORK-3>"
                 " I think on for quite a while <JOIN-1>", " and <JOIN-3>", " then <JOIN-2>",
                 " so <ANSWER>6</ANSWER>"]
        return turns[prompt.count("</JOIN-")]
    return f"thinking about {prompt} for a while <RETURN>{len(prompt)}</RETURN>"


async def main(engine: ScriptedEngine, trace: Trace) -> Result:
    """Drive the machine with the same loop as every other format."""
    method = Native(lambda prompt: AsyncThink())
    plan = Plan("native", "asyncthink", width=POOL)
    return await solve(Request(prompt="Count"), engine=engine, plan=plan, method=method,
                       trace=trace)


if __name__ == "__main__":
    print(run_virtual(main, ScriptedEngine(script), Trace()).text)
