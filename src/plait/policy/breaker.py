"""The breaker: a method that keeps failing with a model is switched off, and tried again later.

    on ---- too many of the latest runs were bad ----> off ---- its rest is over ----> probing
    ^                                                   ^                                |
    +--------- `probes` good runs, one at a time -------|--------------------------------+
                                                        +------- one bad run: twice the rest

Bad is a run that failed or fell back, that ran out of time, or that took far longer than is usual
(`plait.policy.outliers`). Sequential reasoning is never switched off: it is what takes its place.
Pure: the clock is an argument, in seconds on any scale that only goes forward.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Literal

from plait.core.outcome import Outcome
from plait.errors import UsageError
from plait.policy.outliers import Outliers
from plait.policy.reasons import reason_word

Fate = Literal["good", "failed", "timeout", "cancelled"]
"""``cancelled``: nobody waited for the end, which says nothing of the method."""
Position = Literal["on", "off", "probing"]
MOST_LINES = 256
"""Methods and models that are watched; the oldest is forgotten beyond that."""
HARMLESS = ("declined",)
"""Reasons to fall back (`plait.policy.reasons`) that are decisions, not failures."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """``share``: of the latest ``window`` runs, of which there must be ``least``, so many bad ones
    switch off. ``rest``: seconds off, doubled by each probe that fails up to ``longest``.
    ``probes``: good runs that switch on again. Raises `UsageError` for values out of range."""

    window: int = 20
    least: int = 8
    share: float = 0.5
    rest: float = 30.0
    longest: float = 600.0
    probes: int = 2

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) <= 0:
                raise UsageError(f"breaker: `{item.name}` is {getattr(self, item.name)} but must be"
                                 " above 0")
        if self.share > 1:
            raise UsageError(f"breaker: `share` is {self.share} but must be at most 1")
        if self.least > self.window:
            raise UsageError(f"breaker: `least` is {self.least} but `window` only {self.window}")
        if self.longest < self.rest:
            raise UsageError(f"breaker: `longest` is {self.longest} but `rest` {self.rest}")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a method stands with a model. ``left``: seconds of rest; ``why``: what switched it off,
    empty while it is on."""

    method: str
    model: str
    position: Position
    left: float = 0.0
    why: str = ""


@dataclass(slots=True)
class _Line:
    latest: deque[str]
    position: Position = "on"
    since: float = float("-inf")
    """When the position changed. Runs that began before say nothing of what is now."""
    rest: float = 0.0
    why: str = ""
    probe: float | None = None
    """When the probe began that is under way."""
    passed: int = 0


@dataclass(slots=True)
class Breaker:
    """One for all requests of a runtime. `refusal` asks, `record` tells."""

    settings: BreakerSettings = field(default_factory=BreakerSettings)
    _lines: dict[tuple[str, str], _Line] = field(default_factory=dict)
    _outliers: Outliers = field(default_factory=Outliers)

    def refusal(self, method: str, model: str, now: float) -> str | None:
        """Why ``method`` may not run with ``model`` now; None if it may. While probing, who gets a
        None is the probe, and should be recorded."""
        line = self._lines.get((method, model))
        if line is None or method == "sequential":
            return None
        self._wake(line, now)
        if line.position == "off":
            left = line.since + line.rest - now
            return f"the method `{method}` is switched off for {left:.0f} s more: {line.why}"
        if line.position == "probing":
            if line.probe is not None and now < line.probe + self.settings.rest:
                return f"the method `{method}` is switched off until a trial succeeds: {line.why}"
            line.probe = now
        return None

    def record(self, method: str, model: str, fate: Fate, began: float, now: float) -> None:
        """A run of ``method`` with ``model`` that began at ``began`` is over."""
        if method == "sequential":
            return
        line = self._line(method, model)
        self._wake(line, now)
        if began < line.since or line.position == "off":
            return
        if line.position == "probing":
            line.probe = None
        if fate == "cancelled":
            return
        slow = fate == "good" and self._outliers.add((method, model), now - began)
        word = "outlier" if slow else fate
        if line.position == "probing":
            self._probed(line, word, now)
            return
        line.latest.append(word)
        bad = sum(w != "good" for w in line.latest)
        if len(line.latest) >= self.settings.least and (
                bad >= self.settings.share * len(line.latest)):
            line.why = _why(line.latest)
            self._move(line, "off", now)

    def _line(self, method: str, model: str) -> _Line:
        found = self._lines.get((method, model))
        if found is None:
            if len(self._lines) >= MOST_LINES:
                del self._lines[next(iter(self._lines))]
            found = self._lines[method, model] = _Line(
                deque(maxlen=self.settings.window), rest=self.settings.rest)
        return found

    def standings(self, now: float) -> list[Standing]:
        """Every method and model that is watched."""
        found = []
        for (method, model), line in self._lines.items():
            self._wake(line, now)
            left = line.since + line.rest - now if line.position == "off" else 0.0
            why = "" if line.position == "on" else line.why
            found.append(Standing(method, model, line.position, left, why))
        return found

    def _wake(self, line: _Line, now: float) -> None:
        if line.position == "off" and now >= line.since + line.rest:
            self._move(line, "probing", now)

    def _probed(self, line: _Line, word: str, now: float) -> None:
        if word != "good":
            line.rest = min(self.settings.longest, line.rest * 2)
            self._move(line, "off", now)
            return
        line.passed += 1
        if line.passed >= self.settings.probes:
            line.rest = self.settings.rest
            self._move(line, "on", now)

    def _move(self, line: _Line, position: Position, now: float) -> None:
        line.position, line.since = position, now
        line.probe, line.passed = None, 0
        line.latest.clear()


def fate_of(outcome: Outcome | None, fallback: str | None, *, cancelled: bool) -> Fate:
    """The fate of a parallel run. ``outcome`` None: an error ended it."""
    if cancelled:
        return "cancelled"
    time = ("seconds", "the time is up")
    if fallback in time or (outcome is not None and outcome.status == "budget"
                            and outcome.reason in time):
        return "timeout"
    if outcome is None or outcome.status == "failed":
        return "failed"
    return "good" if fallback is None or reason_word(fallback) in HARMLESS else "failed"


def _why(latest: deque[str]) -> str:
    """What was wrong, in words: ``of the last 10 runs 4 failed, 2 were outliers``."""
    words = {"failed": "failed", "timeout": "ran out of time", "outlier": "were outliers"}
    counts = [f"{latest.count(word)} {said}" for word, said in words.items() if word in latest]
    return f"of the last {len(latest)} runs {', '.join(counts)}"
