"""Parts that contradict each other: one quantity with different values, or a judge's word.

The first is found without a model: ``the speed is 5 m/s`` here and ``speed = 6 m/s`` there. Only
quantities with a name of some length count, since ``x`` and ``the result`` are something else in
each part; values that differ by no more than their rounding are the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from plait.core import Part
from plait.prompts import one_line

_NUMBER = r"[-−+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[-−+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_CLAIM = re.compile(
    rf"(?P<name>[A-Za-z][\w'-]*(?:[ \t]+[\w'-]+){{0,5}}?)\s*"
    r"(?:=|:|\bis\b|\bare\b|\bequals\b|\bcomes to\b|\bamounts to\b)"
    r"[ \t]*(?:about|approximately|exactly|≈)?[ \t]*[$€£]?"
    rf"(?P<value>{_NUMBER})"
    r"[ \t]*(?P<unit>%|°C|[A-Za-z]{1,12}(?:/[A-Za-z]{1,6})?)?")
_DECOR = re.compile(r"[*_`#>]+")
_LEADING = frozenset((
    "the", "a", "an", "so", "thus", "hence", "therefore", "then", "and", "that", "its", "this",
    "our", "total", "overall", "first", "second", "third", "next", "finally", "here", "now",
    "since", "because", "if", "when", "where"))
_EMPTY = frozenset((
    "answer", "result", "value", "sum", "number", "part", "step", "verdict", "it", "there",
    "which", "what", "this", "total", "x", "y", "z", "n", "i", "final", "subtask", "task"))
_WORDS_AFTER = frozenset((
    "and", "or", "so", "which", "that", "in", "for", "of", "if", "as", "is", "are", "the", "a"))
_PAIR = re.compile(r"^\W*(\d{1,3})\s*(?:and|&|,)\s*(\d{1,3})\W+(.{1,300}?)\s*$",
                   re.MULTILINE | re.IGNORECASE)
SHORTEST = 3
"""Letters that the name of a quantity has at least."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """``parts``: labels of those that contradict each other; ``about``: in words, for prompts."""

    parts: tuple[str, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A quantity with its value. ``rounding``: half of the last decimal that is given."""

    name: str
    value: float
    unit: str
    rounding: float

    def agrees(self, other: Claim) -> bool:
        """Could both be said of one thing? Different units are not compared."""
        if self.unit and other.unit and self.unit != other.unit:
            return True
        return abs(self.value - other.value) <= max(self.rounding, other.rounding) + 1e-12


def read_claims(text: str) -> list[Claim]:
    """The quantities that ``text`` gives values to; the last value counts where it gives several,
    since a text that corrects itself does so later."""
    found: dict[str, Claim] = {}
    for match in _CLAIM.finditer(_DECOR.sub("", text)):
        name = _normal(match["name"])
        if len(name.replace(" ", "")) < SHORTEST or set(name.split()) <= _EMPTY:
            continue
        number = match["value"].replace(",", "").replace("−", "-")
        decimals = len(number.partition(".")[2].partition("e")[0])
        unit = (match["unit"] or "").lower()
        found[name] = Claim(name, float(number), "" if unit in _WORDS_AFTER else unit,
                            0.5 * 10.0**-decimals if decimals else 0.0)
    return list(found.values())


def find_conflicts(parts: Sequence[Part]) -> list[Conflict]:
    """Quantities that usable parts give different values, in the order in which they appear."""
    by_name: dict[str, list[tuple[Part, Claim]]] = {}
    for part in parts:
        if part.usable:
            for claim in read_claims(part.text):
                by_name.setdefault(claim.name, []).append((part, claim))
    found = []
    for name, said in by_name.items():
        if any(not one.agrees(other) for _, one in said for _, other in said):
            values = ", ".join(f"{p.label}: {c.value:g}{' ' + c.unit if c.unit else ''}"
                               for p, c in said)
            found.append(Conflict(tuple(p.label for p, _ in said), f"{name} ({values})"))
    return found


def read_contradictions(reply: str, parts: Sequence[Part]) -> list[Conflict]:
    """What a judge said: lines such as ``1 and 3: the price``. Numbers of no part are left out."""
    found = []
    for first, second, about in _PAIR.findall(reply):
        one, two = int(first) - 1, int(second) - 1
        if one != two and min(one, two) >= 0 and max(one, two) < len(parts):
            found.append(Conflict((parts[one].label, parts[two].label), one_line(about)))
    return found


def _normal(name: str) -> str:
    words = name.lower().split()
    while words and words[0] in _LEADING:
        words.pop(0)
    return " ".join(words)
