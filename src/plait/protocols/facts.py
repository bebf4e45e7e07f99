"""What is known about a wire format beside its grammar, as data: lists, warnings and docs use it.

Prompts are in our own words unless the models were trained on one exact switch; sampling values
are those of the published evaluation. Nothing here is needed to parse the format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from plait.core import Message, Request
from plait.core.reading import read_between

Measure = Literal["1 - L/T", "T/L", "parallel share", "responses with a block", "concurrency",
                  "longest thread"]
"""How a paper itself counts what parallelism bought; see `plait.protocols.check`."""

MISMATCH = ("trained with siblings that start at one position and cannot see each other; the join"
            " here is read again as plain causal text, which differs from that")

HIDDEN_STOP = "the engine stopped at a tag that its text does not show"
"""What every machine says when a stream ended at one of its stops and the text lacks it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One format's page of the catalogue."""

    name: str
    title: str
    paper: str
    family: Literal["fork", "spawn"]
    nesting: str
    joins: str
    """What the parent's context holds after a join."""
    models: tuple[str, ...]
    """Models known to write it."""
    measure: Measure
    caveats: tuple[str, ...] = ()
    mismatch: str = ""
    """How running it on an unchanged engine differs from the training; goes to the result."""
    system: str = ""
    """Switches the parallel mode on, as a system message."""
    suffix: str = ""
    """Switches it on, at the end of the question."""
    temperature: float | None = None
    top_p: float | None = None
    trained_context: int | None = None
    """Tokens that the models were trained on at most."""
    tokens: tuple[str, ...] = ()
    """Tags that its models have as single tokens."""
    answer: tuple[str, str] | None = None
    """Tags around what comes before the answer (None: the engine knows where the answer is)."""
    thoughts: bool = False
    """Those tags hold all of the thinking: without the closing one there is no answer yet."""
    inside: bool = False
    """The answer stands between the tags, not behind them."""


def pairs(*names: str) -> tuple[str, ...]:
    """Opening and closing tags of ``names``."""
    return tuple(f"<{slash}{name}>" for name in names for slash in ("", "/"))


def prepare(request: Request, facts: Facts) -> Request:
    """``request`` with what switches the format on, unless it has a system message of its own."""
    if not facts.system and not facts.suffix:
        return request
    messages = request.messages or (Message("user", request.prompt),)
    last = max((i for i, m in enumerate(messages) if m.role == "user"), default=None)
    if facts.suffix and last is not None:
        asked = messages[last]
        messages = (*messages[:last], replace(asked, content=asked.content + facts.suffix),
                    *messages[last + 1 :])
    if facts.system and not has_system(request):
        messages = (Message("system", facts.system), *messages)
    return replace(request, prompt="", messages=messages)


def has_system(request: Request) -> bool:
    """Does the request say itself how the model is to work?"""
    return any(m.role in ("system", "developer") for m in request.messages)


def read_answer(text: str, facts: Facts) -> str | None:
    """The answer in the root's ``text``; None if there is none (yet)."""
    assert facts.answer is not None
    return read_between(text, facts.answer, thoughts=facts.thoughts, inside=facts.inside,
                        alone=True)  # where nothing follows, the last summary is all there is
