"""How much of a line of reasoning was there before: the tokens that go round in circles.

A passage is a near-duplicate if at least `SAME` of its word shingles (runs of `SHINGLE` words)
stand in *one* earlier passage of the same text: containment as in Broder, "On the resemblance and
containment of documents" (1997). Numbers count as words, so that two lines which only share
their wording are no duplicates. Shorter passages are compared whole. An equation is re-derived,
a state re-visited, if the same one stands earlier in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plait.analysis.call import count_words
from plait.analysis.passages import equations, passages, states

SHINGLE = 4
SAME = 0.8
FEWEST_WORDS = 4
"""Shorter passages ("So:", "Wait.") repeat without being repeated work."""
MOST_PLACES = 64
"""Passages that are remembered for a shingle: one that stands in more of them tells none apart."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Counts over texts. ``words`` are words and signs; shares are 0 where there is nothing."""

    words: int = 0
    repeated_words: int = 0
    """In near-duplicate passages."""
    passages: int = 0
    repeated_passages: int = 0
    equations: int = 0
    repeated_equations: int = 0
    states: int = 0
    repeated_states: int = 0

    @property
    def share(self) -> float:
        """The share of the text that near-duplicates take."""
        return self.repeated_words / self.words if self.words else 0.0

    @property
    def equation_share(self) -> float:
        return self.repeated_equations / self.equations if self.equations else 0.0

    @property
    def state_share(self) -> float:
        return self.repeated_states / self.states if self.states else 0.0


def find_repeats(text: str) -> Repeats:
    """What ``text`` repeats of itself. O(words)."""
    seen: dict[tuple[str, ...], list[int]] = {}
    words = repeated_words = repeated = counted = 0
    for index, passage in enumerate(passages(text)):
        size = count_words(passage.text)
        words += size
        shingles = _shingles(passage.text)
        if not shingles:
            continue
        counted += 1
        if _held_before(shingles, seen):  # what it repeats is known already
            repeated += 1
            repeated_words += size
            continue
        for shingle in shingles:
            places = seen.setdefault(shingle, [])
            if len(places) < MOST_PLACES:
                places.append(index)
    sums, visited = equations(text), states(text)
    return Repeats(words, repeated_words, counted, repeated,
                   len(sums), len(sums) - len(set(sums)), len(visited),
                   len(visited) - len(set(visited)))


def total(parts: Iterable[Repeats]) -> Repeats:
    """The sums over several texts."""
    known = list(parts)
    return Repeats(*(sum(getattr(p, name) for p in known) for name in Repeats.__slots__))


def most_repeated(texts: Sequence[str], most: int = 5) -> list[tuple[str, int]]:
    """The equations that are derived again most often, with how often they were *re*-derived."""
    again: Counter[str] = Counter()
    for text in texts:
        for equation, count in Counter(equations(text)).items():
            if count > 1:
                again[f"{equation.left}={equation.value}"] += count - 1
    return again.most_common(most)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = [w.lower() for w in _WORD.findall(text)]
    if len(words) < FEWEST_WORDS:
        return set()
    return {tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def _held_before(shingles: set[tuple[str, ...]], seen: dict[tuple[str, ...], list[int]]) -> bool:
    """Does one earlier passage hold enough of ``shingles``?"""
    shared: Counter[int] = Counter()
    need = SAME * len(shingles)
    for shingle in shingles:
        shared.update(seen.get(shingle, ()))
    return bool(shared) and max(shared.values()) >= need
