"""The critical path itself: through which stretches of which threads it runs.

Walked backwards from the root's end along what each piece of a clock waited for
(`plait.trace.clock`). The lengths of the stretches add up to `Metrics.critical_path_tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass

from plait.trace.clock import Attempt, Clocks


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens ``begin`` to ``end`` of one attempt, on the path from ``clock`` on."""

    attempt: Attempt
    begin: int
    end: int
    clock: int


def critical_path(clocks: Clocks) -> list[Stretch]:
    """The stretches of the longest path, in order; those without a token are left out."""
    found: list[Stretch] = []
    place = None if clocks.root is None else clocks.root.place()
    while place is not None:
        attempt, piece = place.attempt, place.piece
        begin = attempt.points[piece]
        if place.tokens > begin:
            found.append(Stretch(attempt, begin, place.tokens, attempt.clocks[piece]))
        place = attempt.origins[piece]
    return found[::-1]
