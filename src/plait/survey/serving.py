"""Checks of how an engine serves several streams: cancelling, slots, priority."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import anyio

from plait.core import Chunk, Finding, Sampling
from plait.engines.openai.load import FRESH_SECONDS
from plait.errors import EngineError
from plait.survey.asking import Asker
from plait.survey.checks import Look
from plait.survey.speed import Steps

LONG_STREAM = 2000
"""Tokens that a stream asks for that is left early."""
FREED_SECONDS = 2.0
"""A slot that is free within this long of its client's leaving is freed by it."""
TICK = 0.05
MOST_FILLED = 32
"""Slots that are filled to see who is served next."""


async def cancellation(look: Look) -> Finding:
    """Is a stream's slot free soon after its client left?"""
    found = await _freed(look)
    look.frees = found.holds
    return found


async def _freed(look: Look) -> Finding:
    engine = look.asker.engine
    before = (await engine.load()).running
    if before is None:
        return await _freed_for_next(look)
    if before:
        return Finding(None, f"{before} streams of others are running")
    async with engine.stream(look.asker.question, _long_stream(look)) as stream:
        ended = await _write_for(stream, FRESH_SECONDS + TICK, look.asker)
        running = (await engine.load()).running
    if ended or not running:
        return Finding(None, "the stream was over before it could be left")
    left = anyio.current_time()
    while anyio.current_time() - left < FREED_SECONDS:
        if not (await engine.load()).running:
            return Finding(True, f"free within {anyio.current_time() - left:.1f} s")
        await anyio.sleep(TICK)
    return Finding(False, f"still busy {FREED_SECONDS:g} s after its client left")


async def _freed_for_next(look: Look) -> Finding:
    """The same by the wait of the next stream, where nobody says how many run."""
    slots = look.slots
    if slots is None or slots > MOST_FILLED:
        return Finding(None, "it does not say how many streams are running")
    asker = look.asker
    async with AsyncExitStack() as opened:
        await _fill(asker, opened, slots, look)
    began = anyio.current_time()
    with anyio.move_on_after(FREED_SECONDS):
        await asker.ask(asker.question, Sampling(max_tokens=1))
        return Finding(True, f"the next one was served after {anyio.current_time() - began:.1f} s")
    return Finding(False, f"the next one waited longer than {FREED_SECONDS:g} s")


def parallel(look: Look, steps: Steps) -> Finding:
    """Are several streams served at once?"""
    said = look.asker.engine.capabilities.slots
    widest = max(steps.seconds, default=1)
    if steps.slots is not None:
        also = f"; it says {said}" if said not in (None, steps.slots) else ""
        return Finding(steps.slots > 1, f"{steps.slots} at once, more wait{also}")
    if widest > 1:
        return Finding(True, f"{widest} were served at once")
    return Finding(None, f"it says {said}" if said else "no streams ran at once")


async def priority(look: Look) -> Finding:
    """Of two streams that wait, is the one of higher priority served first?"""
    asker, slots = look.asker, look.slots
    if look.frees is False:
        return Finding(None, "streams that are left keep their slots, so it cannot be seen")
    sign = -1 if asker.engine.capabilities.server == "sglang" else 1  # vLLM: lower goes first
    low, high = (Sampling(max_tokens=1, extra={"priority": sign * n}) for n in (20, 10))
    await asker.ask(asker.question, high)  # a server that knows it and has it off refuses
    if slots is None or slots > MOST_FILLED:
        return Finding(None, "taken; without knowing its slots it cannot be told whether it counts")
    # Twice, since on a busy machine the later one may overtake by chance.
    races = [await _race(look, slots, low, high) for _ in range(2)]
    if None in races:
        return Finding(None, f"{slots} streams did not fill it")
    if races == ["high", "high"]:
        return Finding(True, "the later one of higher priority was served first")
    return Finding(False, "taken, but served in the order of arrival")


async def _race(look: Look, slots: int, low: Sampling, high: Sampling) -> str | None:
    """Which of two streams that wait, the one with ``low`` before the other, is served first; None
    if the server's ``slots`` could not be filled."""
    asker, order, served = look.asker, list[str](), anyio.Event()

    async def wait(name: str, sampling: Sampling) -> None:
        with suppress(EngineError):  # it then is not served, which is seen
            await asker.ask(asker.question, sampling)
            order.append(name)
            served.set()

    async with (anyio.create_task_group() as tasks, AsyncExitStack() as others,
                AsyncExitStack() as one):
        await _fill(asker, others, slots - 1, look)
        await _fill(asker, one, 1, look)
        for name, sampling in (("low", low), ("high", high)):
            tasks.start_soon(wait, name, sampling)
            await anyio.sleep(4 * TICK)
        filled = not order
        await one.aclose()  # one slot alone, so that one of the two is served before the other
        with anyio.move_on_after(FREED_SECONDS):
            await served.wait()
    return order[0] if filled and order else None


async def _fill(asker: Asker, opened: AsyncExitStack, slots: int, look: Look) -> None:
    """Open ``slots`` streams and wait until each has begun to write."""
    for _ in range(slots):
        stream = await opened.enter_async_context(
            asker.engine.stream(asker.question, _long_stream(look)))
        await _write_for(stream, 0.0, asker)


async def _write_for(stream: AsyncIterator[Chunk], seconds: float, asker: Asker) -> bool:
    """Read the first chunk of a stream and what comes within ``seconds``; did it end?"""
    chunk = await anext(stream)
    asker.generated += chunk.tokens
    if not seconds:
        return chunk.finish is not None
    with anyio.move_on_after(seconds):
        while chunk.finish is None:
            chunk = await anext(stream)
            asker.generated += chunk.tokens
    return chunk.finish is not None


def _long_stream(look: Look) -> Sampling:
    window = look.asker.engine.capabilities.window or 2 * LONG_STREAM
    return Sampling(temperature=1.0, seed=1, max_tokens=min(LONG_STREAM, window // 2),
                    ignore_eos=True)
