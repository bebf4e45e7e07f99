"""Percentiles of the latest values."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil


class Rolling:
    """The latest ``size`` values, and percentiles of them. O(size) a value."""

    def __init__(self, size: int) -> None:
        self._latest: deque[float] = deque(maxlen=size)
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, value: float) -> None:
        if len(self._latest) == self._latest.maxlen:
            del self._sorted[bisect_left(self._sorted, self._latest[0])]
        self._latest.append(value)
        insort(self._sorted, value)

    def percentile(self, share: float) -> float:
        """The smallest value that at least ``share`` of them do not exceed. Raises `IndexError`
        where there are none."""
        return self._sorted[max(0, ceil(share * len(self._sorted)) - 1)]
