"""Goodput under load, in virtual time: the three policies on an engine that batches.

A step of it takes 9.6 ms and 0.2 ms more for each stream, and it works on 16 streams at once
(what vLLM with a small model was measured at). The requests are those of `benchmarks.goodput`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import median

import anyio

from benchmarks.goodput import (
    KINDS,
    MEAN_TOKENS,
    PART,
    PARTS,
    PATIENCE,
    PLAIN,
    Served,
    arrivals,
    asker,
    open_loop,
)
from plait.solve import Runtime
from plait.testing import Play, ScriptedEngine, run_virtual

SLOTS = 16
SECONDS = 12.0
LOOK_SECONDS = 0.5


def step(streams: int) -> float:
    """Seconds of a step."""
    return 0.0096 + 0.0002 * streams


CAPACITY = SLOTS / step(SLOTS) / MEAN_TOKENS
"""Requests a second."""
OVERLOAD = 1.2
"""Arrivals at saturation, as a share of that."""
ALONE = dict(zip(KINDS, (PARTS * sum(PART) / 2 * step(1), sum(PLAIN) / 2 * step(1)), strict=True))
"""Without branching."""


@dataclass(frozen=True)
class Day:
    """What came of one policy at one load. ``streams``: in flight, at times a moment apart."""

    served: list[Served]
    streams: list[int]

    @property
    def goodput(self) -> float:
        return sum(self.slowdown(s) <= PATIENCE for s in self.served) / SECONDS

    def slowdown(self, served: Served) -> float:
        """How many times longer it took than it would have alone without branching."""
        seconds = float("inf") if served.seconds is None else served.seconds
        return seconds / ALONE[served.arrival.kind]

    def median(self, kind: str) -> float:
        return median(self.slowdown(s) for s in self.served if s.arrival.kind == kind)


@cache
def day(branching: str, load: float) -> Day:
    """``load``: arrivals, as a share of what the engine can do."""
    engine = ScriptedEngine(lambda prompt, sampling: Play("w " * 300, chunk=8), step=step,
                            slots=SLOTS, pieces=str.split)
    streams: list[int] = []

    async def main() -> list[Served]:
        runtime = Runtime(engine, branching=branching)

        async def look() -> None:
            while True:  # as a run does where the engine is a server
                runtime.limiter.heard(await engine.load())
                streams.append(engine.calls.open)
                await anyio.sleep(LOOK_SECONDS)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            coming = arrivals(load * CAPACITY, SECONDS, "a day")
            served = await open_loop(coming, asker(runtime), PATIENCE * ALONE["fork"])
            tasks.cancel_scope.cancel()
        return served

    return Day(run_virtual(main), streams)


def test_with_room_branching_by_load_is_as_quick_as_eager_branching() -> None:
    off, eager, load = (day(policy, 0.4) for policy in ("off", "eager", "load"))
    assert load.goodput == eager.goodput == off.goodput
    assert load.median("fork") < 1.1 * eager.median("fork") < 0.5 * off.median("fork")


def test_at_saturation_it_has_the_highest_goodput() -> None:
    off, eager, load = (day(policy, OVERLOAD) for policy in ("off", "eager", "load"))
    assert load.goodput >= off.goodput
    assert load.goodput >= 1.3 * eager.goodput


def test_at_saturation_it_is_the_quickest_for_other_users() -> None:
    off, eager, load = (day(name, OVERLOAD).median("plain") for name in ("off", "eager", "load"))
    assert load <= 0.7 * min(off, eager)


def test_streams_at_the_engine_neither_swing_nor_pile_up_at_saturation() -> None:
    eager, load = (day(name, OVERLOAD).streams[8 : int(SECONDS / LOOK_SECONDS)]
                   for name in ("eager", "load"))
    assert max(abs(b - a) for a, b in pairwise(load)) <= SLOTS / 3
    assert min(load) >= 0.8 * SLOTS
    assert max(load) <= 0.6 * max(eager)
