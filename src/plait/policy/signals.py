"""What can be known of a question before anything is spent on it. Pure, and cheap: words only.

None of this understands the question. It is there to keep short and step-by-step questions away
from a planner, and to give an estimate that later ones (the planner's own, the history of similar
requests) replace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

from plait.core import estimate_tokens

Kind = Literal["math", "code", "list", "talk"]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)]|\(?[a-h]\))\s+\S", re.MULTILINE)
_CODE = re.compile(r"```|\b(?:python|javascript|typescript|rust|sql|function|program|script|regex"
                   r"|code|algorithm|unit tests?|class)\b", re.IGNORECASE)
_MATH = re.compile(r"[=∑∫√^]|\\frac|\b(?:calculate|compute|solve|prove|equation|integral"
                   r"|probability|how (?:many|much|long|far|old)|sum|percent|remainder|triangle"
                   r"|prime)\b", re.IGNORECASE)
_LIST = re.compile(r"\b(?:compare|list|each|every|advantages|pros|overview|report|survey|aspects"
                   r"|both|several|sections?|chapters?|steps? (?:for|to)|differences?)\b",
                   re.IGNORECASE)
_SERIES = re.compile(r"(?:[\w'-]+(?:[ \t][\w'-]+){0,4},[ \t]+){1,}[\w'-]+(?:[ \t]+[\w'-]+){0,5}")
_LAST, _OXFORD = re.compile(r"\s(?:and|or)\s"), re.compile(r",\s*(?:and|or)\s")
_TOKENS: dict[Kind, int] = {"math": 500, "code": 600, "list": 500, "talk": 250}
"""An answer in one thread, about; more for every number, item and question in it."""


@dataclass(frozen=True, slots=True)
class Signals:
    """``tokens``: length of the question. ``numbers``, ``questions``, ``items`` (of a list, or of
    a series with commas): how many there are in it. ``cost``: tokens of an answer in one thread,
    estimated; ``parts``: how many independent parts it seems to have."""

    tokens: int
    kind: Kind
    numbers: int
    questions: int
    items: int
    cost: int
    parts: int

    def lines(self) -> tuple[str, ...]:
        """``name=value`` for the trace."""
        return tuple(f"{f.name}={getattr(self, f.name)}" for f in fields(self))


def read_signals(question: str) -> Signals:
    """The signals of ``question``."""
    numbers = len(_NUMBER.findall(question))
    questions = question.count("?")
    series = max((_members(m[0]) for m in _SERIES.finditer(question)), default=0)
    items = max(len(_ITEM.findall(question)), series if series > 2 else 0)
    kind = _kind(question, numbers, items)
    tokens = estimate_tokens(question)
    cost = _TOKENS[kind] + tokens // 2
    cost += 30 * numbers if kind == "math" else 0
    cost += 120 * max(0, max(items, questions) - 1)
    parts = max(items, questions, 1)
    if kind == "math" and questions <= 1 and not _ITEM.search(question):
        parts = 1  # its steps follow from each other, and its commas stand between its numbers
    elif kind == "list" and parts < 3:
        parts = 3
    return Signals(tokens, kind, numbers, questions, items, cost, parts)


def _members(series: str) -> int:
    """How many things a series such as ``a, b and c`` names."""
    last = _LAST.search(series) is not None and _OXFORD.search(series) is None
    return series.count(",") + 1 + last


def _kind(question: str, numbers: int, items: int) -> Kind:
    if _CODE.search(question):
        return "code"
    if (_MATH.search(question) and numbers) or numbers >= 4:
        return "math"
    if items > 2 or _LIST.search(question):
        return "list"
    return "talk"
