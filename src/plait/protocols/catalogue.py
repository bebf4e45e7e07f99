"""Every wire format by name, with its facts; and those that are refused, with the reason.

A format whose blocks have a fixed number of threads takes another number after a colon:
``parathinker:8``.
"""

from __future__ import annotations

import re
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

    @classmethod
    def of_blocks(cls, form: BlockFormat, facts: Facts) -> Known:
        """A block format: data is all it takes."""
        return cls(facts, form.machine, form)


@dataclass(frozen=True, slots=True)
class Refused:
    """A published system that plait does not run: why not, and what to use instead."""

    names: tuple[str, ...]
    paper: str
    reason: str
    instead: str


CATALOGUE: dict[str, Known] = {
    known.facts.name: known
    for known in (
        Known(apr.FACTS, apr.APR),
        Known(asyncthink.FACTS, asyncthink.AsyncThink),
        Known.of_blocks(multiverse.FORMAT, multiverse.FACTS),
        Known.of_blocks(npr.FORMAT, npr.FACTS),
        Known.of_blocks(parallel_r1.FORMAT, parallel_r1.FACTS),
        Known.of_blocks(parason.FORMAT, parason.FACTS),
        Known.of_blocks(parathinker.FORMAT, parathinker.FACTS),
        Known.of_blocks(threadweaver.FORMAT, threadweaver.FACTS),
    )
}

_SHARED = "its threads share attention token by token, which no stock engine offers"

REFUSED = (
    Refused(("pasta",), "arXiv 2502.11517",
            f"PASTA is not run: {_SHARED}",
            "For promises that are filled in while the text goes on, use `asyncthink`."),
    Refused(("hogwild", "hogwild!"), "arXiv 2504.06261",
            f"Hogwild! is not run: {_SHARED}",
            "For workers on one problem, use `threadweaver` or `asyncthink`."),
    Refused(("groupthink", "group-think"), "arXiv 2505.11107",
            f"GroupThink is not run: {_SHARED}",
            "For several lines of thought on one problem, use `parallel-r1` or `parathinker`."),
    Refused(("ape", "adaptive-parallel-encoding"), "arXiv 2502.05431",
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
    return Known.of_blocks(replace(form, width=int(number)), known.facts)


def recognise(model: str) -> tuple[tuple[Known, str], ...]:
    """The formats that a served model called ``model`` is known to write, each with the published
    name that says so; empty where nothing is known.

    A server may call a model by its folder, its last name alone, or with the name of a
    quantisation behind it (``NPR-4B-AWQ``, ``npr-4b:Q4_K_M``); all of these are understood.
    """
    parts = [part for part in re.split(r"[/\\]|--", model.lower()) if part]
    return tuple(
        (known, published) for known in CATALOGUE.values() for published in known.facts.models
        if " " not in published and any(_is_called(part, published) for part in parts))


def _is_called(part: str, published: str) -> bool:
    """Is ``part`` of a name the last name of a published model, or that and a suffix?"""
    name = published.rpartition("/")[2].lower()
    return part == name or (part.startswith(name) and part[len(name)] in "-._:@")


def refusal(name: str) -> Refused | None:
    """Why ``name`` is refused, if it names one of those that are."""
    wanted = name.lower().replace("_", "-").replace(" ", "-")
    return next((r for r in REFUSED if wanted in r.names), None)
