"""What eager start is worth: children that begin while their parent still writes, against children
that begin at the end of its block.

Three ways to spawn, each played by a scripted engine in virtual time, so that every number can be
repeated exactly: an APR block of six sub searches; AsyncThink, where the organiser forks three
workers and thinks on before it joins them; and a call of ``spawn_threads`` with six tasks. A token
is a piece of the scripted engine (about a word); each stream writes `RATE` of them a second, its
first after `FIRST` seconds; children are of random length, `RUNS` times over with fixed seeds.

*At the end* is the same program with every fork held back to the end of the parent's block (a
``<JOIN-i>`` for AsyncThink; for tools, a server that sends a call only once it is complete). That
children do begin before the parent's block ends is read from the trace, and checked.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plait.core import Finish, Outcome, Plan, Request, Sampling, Stops
from plait.core.events import Answered, Event, Started, Wrote
from plait.interfaces import ChildSpec, Fork, Method, Oddity, Splice, WireProtocol
from plait.interfaces import Event as WireEvent
from plait.methods import Native, Tools
from plait.protocols import APR, AsyncThink
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure

RATES = (25, 100)
"""Tokens a second of one stream."""
FIRST = 0.1
"""Seconds before a stream's first token."""
RUNS = 20
WHOLE = 1 << 20
"""Pieces a chunk: all at once."""


class AtTheEnd:
    """A machine whose forks are held back until the stream has to be left anyway."""

    def __init__(self, machine: WireProtocol) -> None:
        self._machine = machine
        self._held: list[WireEvent] = []

    def begin(self) -> Sequence[WireEvent]:
        return self._machine.begin()

    def stops(self) -> Stops:
        return self._machine.stops()

    def feed(self, text: str) -> Sequence[WireEvent]:
        return self._hold(self._machine.feed(text))

    def close(self, finish: Finish) -> Sequence[WireEvent]:
        return self._hold(self._machine.close(finish))

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        return self._machine.child(fork)

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        return self._machine.join(forks, outcomes)

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        return self._machine.enough(outcomes)

    def _hold(self, events: Sequence[WireEvent]) -> Sequence[WireEvent]:
        self._held += events
        if not events or isinstance(events[-1], Fork | Oddity):
            return ()
        held, self._held = self._held, []
        return held


# --- the three scripts -------------------------------------------------------------------------

APR_ROOT = "Moving to Node #0\nCurrent State: 62:[5, 50, 79, 27], Operations: []"
ORGANISE, SPLIT = "Organise it.", "Split it."
_SHARE = re.compile(r"share (\d) of|Moving to Node #0,(\d)")


def words(count: int) -> str:
    return " so" * count


def child(prompt: str, lengths: Sequence[int]) -> str:
    """What the child writes whose prompt this is, without its end."""
    found = _SHARE.search(prompt)
    assert found is not None, prompt
    return words(lengths[int(found[1] or found[2])])


def apr(prompt: str, lengths: Sequence[int]) -> Play:
    """An APR model: six nodes, a call of all of them, and the end after the join."""
    if prompt == APR_ROOT:
        nodes = "".join(f"\nExploring{words(10)}\n"
                        f"Generated Node #0,{i}: 62:[5, {i}] Operation: 1+{i}={i}"
                        for i in range(6))
        calls = "".join(f"<Start Sub Search {i} at level 1> Moving to Node #0,{i}\n"
                        for i in range(6))
        return Play(f"{nodes}\n<Calling Sub Searches>\n{calls}<End Calling Sub Searches>")
    return Play(words(20) if "<End Sub Searches>" in prompt else child(prompt, lengths))


def asyncthink(prompt: str, lengths: Sequence[int]) -> Play:
    """An AsyncThink model: three workers are sent off, thoughts of its own, three joins."""
    if ORGANISE not in prompt:
        return Play(f"{child(prompt, lengths)}<RETURN>found</RETURN>")
    joined = prompt.count("\n</JOIN-")
    if joined == 0:
        sent = "".join(f"{words(15)}<FORK-{i}>share {i} of{words(12)}</FORK-{i}>"
                       for i in range(1, 4))
        return Play(f"{sent}{words(60)}<JOIN-1>")
    last = f"{words(20)}<ANSWER>62</ANSWER>"
    return Play(f"{words(5)}<JOIN-{joined + 1}>" if joined < 3 else last)


def tools(prompt: str, lengths: Sequence[int]) -> Play:
    """A model that calls tools: six tasks in one call, work of its own, a join, the answer."""
    if SPLIT not in prompt:
        return Play(child(prompt, lengths))
    results = prompt.count("\ntool: ")
    if results == 0:
        tasks = [{"task": f"share {i} of{words(25)}"} for i in range(6)]
        return Play(words(20), calls=[("spawn_threads", json.dumps({"tasks": tasks}))])
    if results == 1:
        return Play(words(30), calls=[("join_threads", "{}")])
    return Play(words(20))


@dataclass(frozen=True)
class Case:
    """A way to spawn: the question, the model, and the method with either start.

    ``whole_calls``: the late start is that of a server which sends a call once it is complete.
    """

    name: str
    plan: Plan
    question: str
    script: Callable[[str, Sequence[int]], Play]
    eager: Method
    late: Method
    whole_calls: bool = False


CASES = (
    Case("APR, 6 sub searches", Plan("native", "apr"), APR_ROOT, apr, Native(APR),
         Native(lambda prompt: AtTheEnd(APR(prompt)))),
    Case("AsyncThink, 3 workers", Plan("native", "asyncthink"), ORGANISE, asyncthink,
         Native(AsyncThink), Native(lambda prompt: AtTheEnd(AsyncThink(prompt)))),
    Case("tools, 6 tasks", Plan("tools"), SPLIT, tools, Tools(), Tools(), whole_calls=True),
)


# --- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Took:
    """One run: critical path in tokens, seconds, and how many children began before the parent's
    block was complete, of how many."""

    path: int
    seconds: float
    early: int
    children: int


def run(case: Case, rate: int, seed: int, *, eager: bool) -> Took:
    """One run of ``case`` in virtual time."""
    draw = random.Random(seed)
    lengths = [draw.randint(40, 240) for _ in range(6)]

    def script(prompt: str, sampling: Sampling) -> Play:
        play = case.script(prompt, lengths)
        whole = play.calls and case.whole_calls and not eager
        return replace(play, every=1 / rate, first=FIRST, chunk=WHOLE if whole else 1)

    trace = Trace()

    async def main() -> None:
        method = case.eager if eager else case.late
        result = await solve(Request(case.question), engine=ScriptedEngine(script),
                             plan=case.plan, method=method, trace=trace)
        assert result.fallback is None, result
        assert not result.warnings, result

    run_virtual(main)
    metrics = measure(trace.events)
    return Took(metrics.critical_path_tokens, metrics.wall_seconds, *_early(trace.events))


def _early(events: Sequence[Event]) -> tuple[int, int]:
    """Children that started before the last token of the parent's first stream; all children."""
    closed = next(e.t for e in events if isinstance(e, Answered) and e.thread == "0")
    last = max(e.t for e in events if isinstance(e, Wrote) and e.thread == "0" and e.t <= closed)
    started = [e for e in events if isinstance(e, Started) and e.parent == "0"]
    return sum(e.t < last for e in started), len(started)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    print(f"eager start against start at the block's end, mean of {RUNS} seeded runs\n")
    print(f"{'':<24}{'tok/s':>6}{'critical path':>22}{'seconds':>22}{'began early':>16}")
    print(f"{'':<30}{'eager':>8}{'late':>7}{'gain':>7}{'eager':>8}{'late':>7}{'gain':>7}"
          f"{'eager':>8}{'late':>8}")
    for case in CASES:
        for rate in RATES:
            eager = [run(case, rate, seed, eager=True) for seed in range(RUNS)]
            late = [run(case, rate, seed, eager=False) for seed in range(RUNS)]
            assert all(took.early > 0 for took in eager)
            assert not any(took.early for took in late)
            print(_row(case.name, rate, eager, late))


def _row(name: str, rate: int, eager: Sequence[Took], late: Sequence[Took]) -> str:
    path, slow_path = mean([t.path for t in eager]), mean([t.path for t in late])
    wall, slow_wall = mean([t.seconds for t in eager]), mean([t.seconds for t in late])
    begun = [f"{sum(t.early for t in side)}/{sum(t.children for t in side)}"
             for side in (eager, late)]
    return (f"{name:<24}{rate:>6}{path:>8.0f}{slow_path:>7.0f}{1 - path / slow_path:>7.1%}"
            f"{wall:>8.2f}{slow_wall:>7.2f}{1 - wall / slow_wall:>7.1%}{begun[0]:>8}{begun[1]:>8}")


if __name__ == "__main__":
    main()
