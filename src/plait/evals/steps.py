"""How long a step of an engine takes with so many threads at once, measured on the bare engine.

The attainable speedup of a run (`plait.trace.simulate`) needs this curve. It is taken from streams
that know nothing of the runtime, so that what the runtime itself loses shows as the distance
between the attainable speedup and the one that was reached. Within an evaluation it is measured
again and again between the tasks (`Metronome`), so that whatever the machine does meanwhile falls
on the curve as it falls on the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from plait.core import Prompt, Request, Sampling
from plait.errors import EngineError
from plait.interfaces import Engine

STEPS = 32
"""Tokens of each stream."""
FEWEST = 4
"""Steps below which a measurement says too little."""
SHARE = 20
"""The tasks take so many times as long as the measurements between them, or longer."""


@dataclass(frozen=True, slots=True)
class Tick:
    """So many tokens arrived at this time."""

    at: float
    tokens: int


def widths_up_to(most: int) -> list[int]:
    """Numbers of threads to measure for runs that had at most ``most``: doubling, until the curve
    reaches as far. The same points come again whatever the run, so that their medians count."""
    widths = [1]
    while widths[-1] < most:
        widths.append(2 * widths[-1])
    return widths


async def step_seconds(engine: Engine, request: Request, width: int) -> float | None:
    """Seconds a step with ``width`` streams at once; None if the engine failed or gave too few
    tokens. Raises `UsageError` if the engine's model cannot be asked this."""
    opening = await engine.open(request, None)
    return steady_step(await listen(engine, opening.prompt, width))


async def listen(engine: Engine, prompt: Prompt, width: int) -> list[list[Tick]]:
    """``width`` streams at once and when their tokens came; nothing of a stream that failed."""
    streams: list[list[Tick]] = [[] for _ in range(width)]
    async with anyio.create_task_group() as tasks:
        for index, ticks in enumerate(streams):
            tasks.start_soon(_listen, engine, prompt, index, ticks)
    return streams


async def _listen(engine: Engine, prompt: Prompt, seed: int, ticks: list[Tick]) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=STEPS, seed=seed, ignore_eos=True)
    try:
        async with engine.stream(prompt, sampling) as chunks:
            async for chunk in chunks:
                if chunk.tokens:
                    ticks.append(Tick(anyio.current_time(), chunk.tokens))
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


@dataclass
class Metronome:
    """Measures ``engine`` between the tasks of an evaluation and hands (threads, seconds a step)
    to ``note``. ``request`` is what its streams are asked.

    An engine that cannot be measured with one thread is not asked again.
    """

    engine: Engine
    request: Request
    note: Callable[[int, float], None]
    _widest: int = field(default=1, init=False)
    """Most threads of any run so far."""
    _due: float | None = field(default=0.0, init=False)
    """When to measure next, None: never."""
    _fresh: bool = field(default=False, init=False)
    """Did a task run since the last measurement?"""

    async def ran(self, width: int) -> None:
        """A task is over that had ``width`` threads at most; measure if it is time to."""
        self._widest = max(self._widest, width)
        self._fresh = True
        if self._due is not None and anyio.current_time() >= self._due:
            await self._measure()

    async def ended(self) -> None:
        """All tasks are over: measure once more, with all widths that occurred."""
        if self._fresh and self._due is not None:
            await self._measure()

    async def _measure(self) -> None:
        began = anyio.current_time()
        self._fresh = False
        for width in widths_up_to(self._widest):
            seconds = await step_seconds(self.engine, self.request, width)
            if seconds is not None:
                self.note(width, seconds)
            elif width == 1:
                self._due = None
                return
        now = anyio.current_time()
        self._due = now + SHARE * (now - began)
