"""Which latencies are far out of what is usual, by a rolling percentile.

An outlier took more than `FACTOR` times the `PERCENTILE` of the latest `WINDOW` runs of its kind.
Before `KNOWN` runs nothing is usual yet. What is an outlier counts among the latest runs all the
same, so that a load that changes for good stops being one.
"""

from __future__ import annotations

from collections.abc import Hashable

from plait.core.rolling import Rolling

PERCENTILE = 0.95
FACTOR = 2.0
WINDOW = 200
KNOWN = 20
MOST_KINDS = 256
"""The oldest is forgotten beyond that: names come from clients."""


class Outliers:
    """Judges runs of several kinds, each by its own."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, Rolling] = {}

    def add(self, kind: Hashable, seconds: float) -> bool:
        """Remember a run of ``kind`` that took ``seconds``; is it an outlier?"""
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        latest = self._kinds.setdefault(kind, Rolling(WINDOW))
        limit = self.limit(kind)
        latest.add(seconds)
        return limit is not None and seconds > limit

    def limit(self, kind: Hashable) -> float | None:
        """Seconds above which a run of ``kind`` is an outlier; None while nothing is usual."""
        latest = self._kinds.get(kind)
        if latest is None or len(latest) < KNOWN:
            return None
        return FACTOR * latest.percentile(PERCENTILE)
