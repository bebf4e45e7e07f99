"""Every wire format by name, with its facts; and those that are refused, with the reason.

A format whose blocks have a fixed number of threads takes another number after a colon:
``parathinker:8``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from plait.interfaces import WireProtocol
from plait.protocols import (
    apr,
    asyncthink,
    multiverse,
    npr,
    parallel_r1,
    parason,
    parathinker,
    threadweaver,
)
from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import Facts


@dataclass(frozen=True, slots=True)
class Known:
    """One format: its facts, what makes its machine, and its data if it is a block format."""

    facts: Facts
    machine: Callable[[str], WireProtocol]
    form: BlockFormat | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A published system that plait does not run: why not, and what to use instead."""

    names: tuple[str, ...]
    reason: str
    instead: str


def _of_blocks(form: BlockFormat, facts: Facts) -> Known:
    return Known(facts, form.machine, form)


CATALOGUE: dict[str, Known] = {
    known.facts.name: known
    for known in (
        Known(apr.FACTS, apr.APR),
        Known(asyncthink.FACTS, asyncthink.AsyncThink),
        _of_blocks(multiverse.FORMAT, multiverse.FACTS),
        _of_blocks(npr.FORMAT, npr.FACTS),
        _of_blocks(parallel_r1.FORMAT, parallel_r1.FACTS),
        _of_blocks(parason.FORMAT, parason.FACTS),
        _of_blocks(parathinker.FORMAT, parathinker.FACTS),
        _of_blocks(threadweaver.FORMAT, threadweaver.FACTS),
    )
}

_SHARED = "its threads share attention token by token, which no stock engine offers"

REFUSED = (
    Refused(("pasta",), f"PASTA is not run: {_SHARED}",
            "For promises that are filled in while the text goes on, use `asyncthink`."),
    Refused(("hogwild", "hogwild!"), f"Hogwild! is not run: {_SHARED}",
            "For workers on one problem, use `threadweaver` or `asyncthink`."),
    Refused(("groupthink", "group-think"), f"GroupThink is not run: {_SHARED}",
            "For several lines of thought on one problem, use `parallel-r1` or `parathinker`."),
    Refused(("ape", "adaptive-parallel-encoding"),
            "APE stands for two things: Adaptive Parallel Encoding is a way to reuse caches, not a"
            " wire format",
            "For Adaptive Parallel Reasoning, which may be what you mean, use `apr`."),
)


def look_up(name: str) -> Known | None:
    """The format called ``name``, with another number of threads if it asks for one."""
    base, colon, number = name.lower().partition(":")
    known = CATALOGUE.get(base)
    if known is None or not colon:
        return known
    form = known.form
    if form is None or not form.width or number not in map(str, range(1, form.most + 1)):
        return None
    return _of_blocks(replace(form, width=int(number)), known.facts)


def refusal(name: str) -> Refused | None:
    """Why ``name`` is refused, if it names one of those that are."""
    wanted = name.lower().replace("_", "-").replace(" ", "-")
    return next((r for r in REFUSED if wanted in r.names), None)
