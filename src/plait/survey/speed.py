"""How fast an engine is: seconds a step by streams at once, and tokens read a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import anyio

from plait.core import Prompt, Sampling
from plait.evals.steps import STEPS, Tick, listen, steady_step
from plait.survey.asking import Asker, Reply

WIDTHS = (1, 2, 4, 8, 16, 32)
ROUNDS = 3
"""Measurements of each point; the median counts."""
STEPS_SECONDS = 60.0
"""No further stream is started after this long."""
SHORT, LONG = 512, 2048
"""Tokens of a long prompt: as many as take about a second, within these bounds."""
READING_SECONDS = 30.0
"""No further long prompt is put after this long."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """What was seen of long prompts, each put twice. ``tokens``: of the last one, ``cached``: how
    many of those its second time. ``cold`` and ``warm``: median seconds to the first token, the
    first time and the second. ``rate``: tokens read a second, the first time."""

    prompt: Prompt
    tokens: int
    cached: int
    cold: float
    warm: float
    rate: float


@dataclass(frozen=True, slots=True)
class Steps:
    """``seconds``: streams at once -> median seconds a step. ``slots``: streams that were served
    at once where more were asked for, None if all were."""

    seconds: dict[int, float]
    slots: int | None


async def read_long_prompts(asker: Asker, nonce: str) -> Prefill:
    """Put new long prompts, each twice, until `ROUNDS` or `READING_SECONDS` are over.

    Raises `EngineError` if even the first is not answered.
    """
    began = anyio.current_time()
    first = await _read(asker, _long(asker, nonce, SHORT // 4))
    rate = first.usage.prompt / max(first.first, 1e-6)
    size = int(min(max(SHORT, rate), LONG))
    if asker.engine.capabilities.window is not None:
        size = min(size, asker.engine.capabilities.window // 2)
    colds: list[Reply] = []
    warms: list[Reply] = []
    for number in range(ROUNDS):
        prompt = _long(asker, f"{nonce}{number}", size)
        colds.append(await _read(asker, prompt))
        warms.append(await _read(asker, prompt))
        if anyio.current_time() - began > READING_SECONDS:
            break
    return Prefill(
        prompt, warms[-1].usage.prompt, warms[-1].usage.cached,
        median(r.first for r in colds), median(r.first for r in warms),
        median((r.usage.prompt - r.usage.cached) / max(r.first, 1e-6) for r in colds))


def _long(asker: Asker, nonce: str, tokens: int) -> Prompt:
    """A prompt of about so many tokens that differs from all others from its beginning on."""
    words = " ".join(f"{nonce} {n}" for n in range(tokens))
    return asker.put(words[: int(tokens * asker.chars)])


async def _read(asker: Asker, prompt: Prompt) -> Reply:
    return await asker.ask(prompt, Sampling(max_tokens=1))


async def measure_steps(asker: Asker, tell: Callable[[int], None]) -> Steps:
    """Seconds a step at each of `WIDTHS`, as far as `STEPS_SECONDS` allow; ``tell`` is told each
    width before it is measured. A width at which streams wait for each other ends the row."""
    found: dict[int, list[float]] = {width: [] for width in WIDTHS}
    slots: int | None = None
    began = anyio.current_time()
    await _streams(asker, 2)  # an engine's first steps are slow ones
    for width in ROUNDS * WIDTHS:
        if slots is not None and width > slots:
            continue
        if anyio.current_time() - began > STEPS_SECONDS:
            break
        tell(width)
        streams = await _streams(asker, width)
        if at_once(streams) < width:  # once may be chance
            streams = await _streams(asker, width)
        served = at_once(streams)
        if served and served < width and all(len(ticks) > 1 for ticks in streams):
            slots = served
        elif (step := steady_step(streams)) is not None:
            found[width].append(step)
    return Steps({n: median(values) for n, values in found.items() if values}, slots)


async def _streams(asker: Asker, width: int) -> list[list[Tick]]:
    streams = await listen(asker.engine, asker.question, width)
    asker.generated += sum(tick.tokens for ticks in streams for tick in ticks)
    asker.prompt_tokens += width * max(1, asker.question.tokens)
    return streams


def at_once(streams: list[list[Tick]]) -> int:
    """Streams that had begun before the first of them ended."""
    written = [ticks for ticks in streams if ticks]
    end = min((ticks[-1].at for ticks in written), default=0.0)
    return sum(ticks[0].at < end for ticks in written)


def step_cost() -> tuple[int, int]:
    """Streams that `measure_steps` starts at most, but for what it does twice, and their tokens."""
    streams = 2 + ROUNDS * sum(WIDTHS)
    return streams, STEPS * streams
