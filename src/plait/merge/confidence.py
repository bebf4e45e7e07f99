"""How sure was the model of what it wrote? Group confidence as in DeepConf (arXiv 2508.15260).

DeepConf takes, for every token, the mean log-probability of the k likeliest ones, averages it over
a sliding window, and rates a trace by its least confident window: one place where the model was
lost spoils what follows, however sure it is later. Servers in general report the log-probability
of the token that was drawn, so that is what is averaged here; the window and the minimum are the
paper's. Its online filter, which stops traces while they are being written, is not here: attempts
are stopped by the vote (`plait.methods.explore`). The result is given as a probability, ``exp`` of
the mean, so that it is between 0 and 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import exp

WINDOW = 2048
"""Tokens that are averaged over (the paper's value). A shorter text is one window."""


class Confidence:
    """Takes log-probabilities as they come. O(1) a token."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window: deque[float] = deque(maxlen=window)
        self._sum = 0.0
        self._lowest: float | None = None

    def feed(self, logprobs: Iterable[float]) -> None:
        """Take the log-probabilities (natural, at most 0) of the next tokens."""
        for value in logprobs:
            value = max(min(value, 0.0), -100.0)  # an engine may say -inf for what it masked
            if len(self._window) == self._window.maxlen:
                self._sum -= self._window[0]
            self._window.append(value)
            self._sum += value
            if len(self._window) == self._window.maxlen:
                mean = self._sum / len(self._window)
                self._lowest = mean if self._lowest is None else min(self._lowest, mean)

    @property
    def value(self) -> float | None:
        """The lowest window's confidence, from 0 to 1; None if no token had one."""
        if not self._window:
            return None
        mean = self._sum / len(self._window) if self._lowest is None else self._lowest
        return min(1.0, exp(mean))
