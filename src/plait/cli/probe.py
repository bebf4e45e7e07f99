"""How long a step of an engine takes with so many threads at once, measured on the bare engine.

The attainable speedup of a run (`plait.trace.simulate`) needs this curve. It is taken from streams
that know nothing of the runtime, so that what the runtime itself loses shows as the distance
between the attainable speedup and the one that was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import anyio

from plait.core import Prompt, Request, Sampling
from plait.errors import EngineError
from plait.interfaces import Engine

STEPS = 64
"""Tokens of each stream."""
FEWEST = 4
"""Steps below which a measurement says too little."""


@dataclass(frozen=True, slots=True)
class Tick:
    """So many tokens arrived at this time."""

    at: float
    tokens: int


def widths_up_to(most: int) -> list[int]:
    """Numbers of threads to measure for a run that had at most ``most``: doubling, and the last."""
    widths = [1]
    while widths[-1] * 2 < most:
        widths.append(widths[-1] * 2)
    return widths if most <= 1 else [*widths, most]


async def step_seconds(engine: Engine, request: Request, width: int) -> float | None:
    """Seconds a step with ``width`` streams at once; None if the engine failed or gave too few
    tokens. Raises `UsageError` if the engine's model cannot be asked this."""
    opening = await engine.open(request, None)
    streams: list[list[Tick]] = [[] for _ in range(width)]
    async with anyio.create_task_group() as tasks:
        for index, ticks in enumerate(streams):
            tasks.start_soon(_listen, engine, opening.prompt, index, ticks)
    return steady_step(streams)


async def _listen(engine: Engine, prompt: Prompt, seed: int, ticks: list[Tick]) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=STEPS, seed=seed, ignore_eos=True)
    try:
        async with engine.stream(prompt, sampling) as chunks:
            async for chunk in chunks:
                if chunk.tokens:
                    ticks.append(Tick(perf_counter(), chunk.tokens))
    except EngineError:
        ticks.clear()  # a probe that fails says nothing; the runs themselves report errors


def steady_step(streams: Sequence[Sequence[Tick]]) -> float | None:
    """Seconds a step while all streams were writing: after the last first token, before the first
    last one. None if that is fewer than `FEWEST` steps."""
    if not all(streams):
        return None
    begin = max(ticks[0].at for ticks in streams)
    end = min(ticks[-1].at for ticks in streams)
    tokens = sum(t.tokens for ticks in streams for t in ticks if begin < t.at <= end)
    steps = tokens / len(streams)
    return (end - begin) / steps if steps >= FEWEST else None
