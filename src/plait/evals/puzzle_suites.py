"""Suites of the puzzles that plait-nano plays: endless problems that it never trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from plait import puzzles
from plait.evals.values import Sample

Stream = Callable[[int, str], Iterator[Sample]]
"""Seed and the tier's name -> problems without end, always the same ones."""


def _countdown(size: int, kind: puzzles.countdown.Tier, seed: int, tier: str) -> Iterator[Sample]:
    for problem in puzzles.generate(seed, size, kind, held_out=True):
        numbers = ", ".join(map(str, problem.numbers))
        yield Sample(f"countdown/{problem}".replace(" ", ""),
                     f"Make {problem.target} from {numbers}", group=tier)


def _sheet(width: int, seed: int, tier: str) -> Iterator[Sample]:
    for made in puzzles.sheet.generate(seed, width, held_out=True):
        yield Sample(f"sheet/{made.words}".replace(" ", ""), made.words, group=tier)


PUZZLES: dict[str, dict[str, Stream]] = {
    "countdown": {
        "easy": partial(_countdown, 3, "natural"), "natural": partial(_countdown, 4, "natural"),
        "hard": partial(_countdown, 4, "hard"), "unsolvable": partial(_countdown, 4, "unsolvable"),
    },
    "sheet": {
        "chain": partial(_sheet, 1), "two": partial(_sheet, 2), "four": partial(_sheet, 4),
        "eight": partial(_sheet, 8), "sixteen": partial(_sheet, 16),
    },
}
"""Suite -> tier -> its problems. A sheet's tier is how many chains it has."""
ABOUT = {
    "countdown": "reach a number with all the given ones",
    "sheet": "straight-line arithmetic whose lines depend on each other",
}
