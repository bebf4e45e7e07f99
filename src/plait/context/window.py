"""The effective window: how many tokens of context a thread works with before it starts clean."""

from __future__ import annotations

from dataclasses import dataclass

from plait.core import DEFAULT_WINDOW, LEAST_WINDOW
from plait.errors import UsageError

STATE_SHARE = 8
LEAST_WRITING = 16
"""A thread whose prompt fills its window may still write so much at a time."""


@dataclass(frozen=True, slots=True)
class Window:
    """An effective window of ``tokens``: prompt, what the thread wrote, and room for its state."""

    tokens: int = DEFAULT_WINDOW

    def __post_init__(self) -> None:
        if self.tokens < LEAST_WINDOW:
            raise UsageError(f"the window is {self.tokens} tokens but must be at least"
                             f" {LEAST_WINDOW}")

    @classmethod
    def within(cls, wanted: int | None, hard: int | None) -> Window:
        """The window that is ``wanted`` (None: the default), but never more than the ``hard`` one
        that the engine or the budget sets. Raises `UsageError` for one that is too small."""
        tokens = DEFAULT_WINDOW if wanted is None else wanted
        return cls(tokens if hard is None or tokens <= hard else max(LEAST_WINDOW, hard))

    @property
    def state(self) -> int:
        """Tokens that a state may take."""
        return self.tokens // STATE_SHARE

    @property
    def parts(self) -> int:
        """Tokens of other threads' results that a prompt may hold: half of the window."""
        return self.tokens // 2

    def left(self, held: int, asking: int) -> int:
        """Tokens that a thread which holds ``held`` may write before it has to write its state,
        which is asked for in ``asking`` tokens."""
        return max(LEAST_WRITING, self.tokens - held - asking - self.state)
