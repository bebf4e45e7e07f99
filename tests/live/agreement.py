"""Do engines write what the embedded one writes? Greedy answers, token by token.

Engines add numbers in another order, so where the two likeliest tokens are as good as equal they
may part. What the exact difference is, a plain forward pass in float64 says. After such a place the
other engine is set back on the embedded one's path, so that every token is compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import anyio

from plait.core import Prompt, Sampling
from plait.engines.batching import Vocabulary
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.engines.nano.config import read_shape
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import read_tensors
from plait.interfaces import Engine
from plait.puzzles import generate, render
from tests.engines.nano.tiny import reference_logits

AS_GOOD_AS_EQUAL = 1e-3
"""How near the two likeliest log-probabilities lie where an engine may write another token."""
LONGEST = 300
KINDS = (("sequential", 4, 6), ("apr", 4, 6), ("sequential", 3, 3), ("apr", 3, 2),
         ("threadweaver", 3, 2))
"""Dialect, numbers, and how many problems of each tier."""
TIERS = {3: ("natural", "unsolvable"), 4: ("natural", "hard", "unsolvable")}
AT_ONCE = 8
GREEDY = Sampling(max_tokens=LONGEST)


def prompts() -> list[str]:
    """50 openings of problems that training never saw."""
    return [render(problem, dialect) for dialect, numbers, each in KINDS
            for tier in TIERS[numbers]
            for problem in islice(generate(77, numbers, tier, held_out=True), each)]


@dataclass(frozen=True)
class Agreement:
    """``tokens`` that were compared; ``gaps``: for each place where the two parted, how far the two
    likeliest log-probabilities are apart there."""

    tokens: int
    gaps: tuple[float, ...]


@cache
def _model() -> tuple[dict[str, object], dict[str, object]]:
    config = json.loads((WEIGHTS / "config.json").read_text())
    return config, dict(read_tensors(WEIGHTS / "model.safetensors"))


@cache
def _vocabulary() -> Vocabulary:
    shape = read_shape(WEIGHTS)
    return read_vocabulary(WEIGHTS, shape.vocab, shape.eos)


def gap(ids: Sequence[int]) -> float:
    """How far the log-probabilities of the two likeliest tokens behind ``ids`` are apart."""
    config, tensors = _model()
    last = reference_logits(config, tensors, list(ids))[-1]  # type: ignore[arg-type]
    second, first = sorted(last.tolist())[-2:]
    return first - second


async def write(engine: Engine, ids: Sequence[int], sampling: Sampling) -> list[int]:
    """What ``engine`` writes behind ``ids``. Where it does not say which tokens they are, the text
    is cut into tokens, which for this model is the same."""
    async with engine.stream(Prompt(ids=tuple(ids)), sampling) as chunks:
        found = [chunk async for chunk in chunks]
    if all(chunk.ids is not None or not chunk.tokens for chunk in found):
        return [i for chunk in found for i in chunk.ids or ()]
    return _vocabulary().encode("".join(chunk.text for chunk in found))


async def compare(
    engine: Engine, openings: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> Agreement:
    """How ``engine`` agrees with ``answers`` to ``openings``."""
    tokens, gaps = 0, []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(opening: Sequence[int], answer: Sequence[int]) -> None:
        nonlocal tokens
        done = 0
        while done < len(answer):
            async with limiter:
                found = await write(engine, (*opening, *answer[:done]),
                                    replace(GREEDY, max_tokens=LONGEST - done))
            rest = answer[done:]
            same = next((k for k, (a, b) in enumerate(zip(rest, found, strict=False)) if a != b),
                        min(len(rest), len(found)))
            done += same
            if done < len(answer):
                gaps.append(gap((*opening, *answer[:done])))
                done += 1
            elif len(found) > len(rest):  # it goes on where the other ended
                gaps.append(gap((*opening, *answer)))
        tokens += len(answer)

    async with anyio.create_task_group() as group:
        for opening, answer in zip(openings, answers, strict=True):
            group.start_soon(one, opening, answer)
    return Agreement(tokens, tuple(gaps))


async def ask_nano(texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
    """``texts`` as ids, and what the embedded engine answers."""
    engine = NanoEngine()
    openings = [list(engine.encode(text, opening=True)) for text in texts]
    answers: list[list[int]] = [[] for _ in texts]

    async def one(place: int) -> None:
        answers[place] = await write(engine, openings[place], GREEDY)

    async with anyio.create_task_group() as group:
        for place in range(len(texts)):
            group.start_soon(one, place)
    await engine.aclose()
    return openings, answers
