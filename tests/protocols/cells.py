"""What the cells of the table of failures are made of; the table is in `failures`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.errors import EngineRefused
from plait.protocols import CATALOGUE
from plait.testing import Play
from tests.protocols.words import Turn

LISTED = ("threadweaver", "parason", "multiverse", "npr")
"""Block formats with a list of items."""
BLOCKS = (*LISTED, "parallel-r1", "parathinker")
EVERY = (*BLOCKS, "apr", "asyncthink")


@dataclass(frozen=True)
class Case:
    """What the model does, and what must become of it."""

    first: tuple[Turn, ...] = ()
    thread: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    """Budget, sampling, messages of the request; how the engine cuts its chunks."""
    root: str = "done"
    threads: tuple[str, ...] = ("done", "done")
    says: tuple[str, ...] = ()
    """What the result warns of, as patterns; nothing else may be there."""
    holds: str = ""
    """A pattern that the root's text must have."""
    fallback: str = ""
    """Why sequential reasoning gave the answer, if it did."""
    reads: str = ""
    """A pattern that the first prompt must have."""


@dataclass(frozen=True)
class Never:
    """The format cannot fail in this way."""

    why: str


Cell = Case | Never
Row = dict[str, Cell]
UNLISTED = Never("it has no list of items: how many threads start is set beforehand")
AT_ONCE = Never("threads are not joined by name: the runtime joins all of a block")
NO_SWITCH = Never("nothing switches it on, and nothing needs to")
SEEDED: Row = dict.fromkeys(("parallel-r1", "parathinker"), UNLISTED)
ANSWER = "</think>five"
NUMBER = r"[\d.]+"
REFUSED = Play("", error=EngineRefused("no"))


def the(name: str, of: str) -> str:
    """A tag or text of the block format ``name``, as a pattern: its number is any."""
    form = CATALOGUE[name].form
    assert form is not None
    return str(getattr(form, of)).replace("{n}", NUMBER)
