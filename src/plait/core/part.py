"""What a join is made of: parts, and what a check said of them."""

from __future__ import annotations

from dataclasses import dataclass

from plait.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one part.

    ``ok`` is None where it could not tell (``reason`` says why): that is no "wrong".
    ``score`` is from 0 to 1; verifiers that only know right and wrong give 1 and 0.
    """

    ok: bool | None
    score: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What one thread brought to a join.

    ``text`` is its answer without its thoughts; ``value`` the short answer in it, if there is
    one, which is what votes count. ``label`` is for people ("attempt 2", a heading); ``task`` is
    what the thread was asked to do, empty where that is the request itself. ``confidence`` is
    the probability that the model gave its own tokens, from 0 to 1 (see `plait.merge.confidence`),
    None where the engine did not say. A part that is not ``ok`` has a ``reason`` and is never
    merged; nor is one that a verifier found wrong (`usable`).
    """

    text: str
    value: str | None = None
    label: str = ""
    task: str = ""
    ok: bool = True
    reason: str = ""
    confidence: float | None = None
    verdict: Verdict | None = None
    thread: str = ""
    """The name of the thread that wrote it."""

    @property
    def usable(self) -> bool:
        """May it be merged? It is whole, and no verifier has found it wrong."""
        return self.ok and (self.verdict is None or self.verdict.ok is not False)

    @property
    def fault(self) -> str:
        """Of a part that may not be merged: why, as far as anybody said."""
        return self.reason or (self.verdict.reason if self.verdict else "")

    def chosen(self) -> Outcome:
        """The outcome of a join that takes this part, as it is, for the answer."""
        return Outcome("done", self.text, self.text, thread=self.thread,
                       verified=self.verdict.ok if self.verdict else None)
