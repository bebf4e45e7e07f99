"""What a run may cost: held before a stream starts, spent while it runs, settled when it ends.

Money is a second ledger beside that of tokens, with the same rule: what is held for one stream is
gone for the others until it is given back. A stream holds the price of the prompt that it sends
and of the tokens that it was granted. Prompts are counted as the context counts them until the
engine says how many tokens they were, and how many of those it had in its cache. A share of the
limit is kept for the sequential fallback, as it is of tokens.

Prices are those of `plait.core.Price`; a model without a price costs nothing here.
"""

from __future__ import annotations

from math import floor

from plait.core import Price, Usage
from plait.core.events import Role
from plait.errors import Bug
from plait.scheduler.ledger import FALLBACK_SHARE

FREE = Price(0.0, 0.0)
_CENT = 1e-9
"""Rounding of sums; far below the price of a token."""


class Purse:
    """The money of one run. ``limit`` None: it is counted, and never short."""

    def __init__(self, limit: float | None, *, parallel: bool) -> None:
        self.limit = limit
        self.spent = 0.0
        self.held = 0.0
        self._fallback = limit * FALLBACK_SHARE if limit is not None and parallel else 0.0

    def affordable(self, price: Price, prompt: int, role: Role) -> int | None:
        """Tokens that can be paid behind a prompt of ``prompt`` tokens; None: as many as wanted."""
        if self.limit is None:
            return None
        kept = 0.0 if role == "fallback" else self._fallback
        left = self.limit - kept - self.spent - self.held - price.of(prompt=prompt)
        if left < -_CENT:
            return 0
        if price.generated == 0:
            return None
        return floor((left + _CENT) * Price.PER / price.generated)

    def hold(self, price: Price, prompt: int, tokens: int | None) -> Hold:
        """Set aside the price of a prompt and of ``tokens`` behind it."""
        return Hold(self, price, prompt, tokens or 0)

    def check(self) -> None:
        """Raise `Bug` if an ended run holds money, or has spent what it had not."""
        if abs(self.held) > _CENT:
            raise Bug(f"an ended run holds {self.held:g} of its money")


class Hold:
    """Money for one stream. Close it in a ``finally``."""

    __slots__ = ("_amount", "_open", "_price", "_prompt", "_purse", "_written")

    def __init__(self, purse: Purse, price: Price, prompt: int, tokens: int) -> None:
        self._purse = purse
        self._price = price
        self._prompt = prompt
        self._written = 0
        self._amount = price.of(prompt=prompt, generated=tokens)
        self._open = True
        purse.held += self._amount

    def spend(self, tokens: int) -> None:
        """Count generated tokens."""
        self._written += tokens

    def close(self, usage: Usage | None = None) -> None:
        """Pay: what the engine counted, else what was counted here. Harmless the second time."""
        if not self._open:
            return
        self._open = False
        self._purse.held -= self._amount
        if usage is None:
            self._purse.spent += self._price.of(prompt=self._prompt, generated=self._written)
        else:
            self._purse.spent += self._price.of(
                prompt=usage.prompt - usage.cached, cached=usage.cached,
                generated=usage.generated)
