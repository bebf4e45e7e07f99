"""How things ended: the outcome of a thread, the result of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from plait.core.text import Segment

Status = Literal["done", "malformed", "budget", "failed", "cancelled"]
"""``done``: ended as its format says. ``malformed``: ended in a way the format does not know;
``reason`` tells how, the text is kept. ``budget``: cut by a limit. ``failed``: the engine failed
it, retries included. ``cancelled``: somebody no longer needed it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a thread came to. Never an exception for the model's or the engine's fault.

    ``text`` is what the thread wrote, ``tokens`` how many tokens that were; ``value`` is what the
    protocol or method read out of it (a child's result, the root's answer), None if nothing.
    """

    status: Status
    text: str = ""
    value: str | None = None
    reason: str = ""
    tokens: int = 0
    thread: str = ""
    verified: bool | None = None
    """What a verifier said of ``value``; None where none ran or it could not tell."""
    conflicts: int = 0
    """Contradictions between parts that were found and could not be resolved."""
    segments: tuple[Segment, ...] = field(default=(), repr=False, compare=False)
    """``text`` as it was written, token for token, for a join that quotes it."""

    @property
    def ok(self) -> bool:
        return self.status == "done"


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request and what it took. All numbers are computed from the trace."""

    version: str
    answer: str | None
    correct: bool | None
    finish: Literal["answered", "budget", "failed"]
    method: str
    protocol: str | None
    fallback: str | None
    threads: int
    forks: int
    max_parallel: int
    depth: int
    total_tokens: int
    critical_path_tokens: int
    prompt_tokens: int
    cached_tokens: int
    inserted_tokens: int
    wasted_tokens: int
    estimated: bool
    wall_seconds: float
    verified: bool | None = None
    """What a verifier that ran inside the request said of the answer; None where none ran."""
    conflicts: int = 0
    cost: float | None = None
    """By the prices that were given; None where the model has none."""
    reason: str = ""
    """Why this method and protocol were chosen."""
    warnings: tuple[str, ...] = ()
    trace: str | None = None
    text: str = ""
    """The root thread's whole text, the answer included."""

    @property
    def parallelism(self) -> float:
        """Total tokens over critical-path tokens; 1.0 for a purely sequential run."""
        return self.total_tokens / self.critical_path_tokens if self.critical_path_tokens else 1.0

    @property
    def acceleration_ratio(self) -> float:
        """1 - critical path / total (ThreadWeaver's definition)."""
        if not self.total_tokens:
            return 0.0
        return 1.0 - self.critical_path_tokens / self.total_tokens
