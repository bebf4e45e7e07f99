"""One past answer of a model that reasoned in one thread, whatever log it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Call:
    """A question and what the model wrote. None: the log does not say.

    ``tokens`` are generated ones, reasoning included; ``estimated`` when they were not logged
    but counted as words and signs. ``seconds`` is the time of the whole answer. ``task`` groups
    calls of one kind; ``id`` names the problem, so that repeats of it share it.
    """

    id: str
    task: str
    question: str
    text: str
    tokens: int
    estimated: bool = False
    prompt_tokens: int | None = None
    seconds: float | None = None
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was read: the calls, and how many entries were left out, by reason."""

    calls: tuple[Call, ...]
    skipped: tuple[tuple[str, int], ...] = ()


def count_words(text: str) -> int:
    """Words and signs of ``text``: a stand-in for tokens where a log does not count them."""
    return sum(1 for _ in _WORD.finditer(text))
