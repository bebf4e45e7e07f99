"""How an evaluation is going: rate, time left, accuracy and speedup so far.

Counts only sums, so that the hundred-thousandth record costs what the first one did. The speedups
shown on the way are ratios of means over what each arm has done; the paired ones, with intervals,
are the report's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from plait.evals.arms import baseline
from plait.evals.values import Record

WINDOW = 200
"""Records over whose times the rate is taken."""


@dataclass
class Tally:
    """Sums over the records of one arm."""

    done: int = 0
    errors: int = 0
    right: int = 0
    graded: int = 0
    timed: int = 0
    wall: float = 0.0
    path: int = 0
    tokens: int = 0
    cost: float = 0.0

    def add(self, record: Record) -> None:
        if record.status == "error":
            self.errors += 1
            return
        self.done += 1
        self.path += record.critical_path_tokens
        self.tokens += record.total_tokens
        self.cost += record.cost or 0.0
        if not record.cached:
            self.timed += 1
            self.wall += record.wall_seconds
        if record.right is not None:
            self.graded += 1
            self.right += record.right


@dataclass
class Progress:
    """``total`` tasks in all, of which ``ready`` were done before. ``now``: a clock."""

    total: int
    arms: Sequence[str]
    ready: int = 0
    tallies: dict[str, Tally] = field(init=False)
    seen: int = field(default=0, init=False)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW), init=False)

    def __post_init__(self) -> None:
        self.tallies = {name: Tally() for name in self.arms}

    def add_earlier(self, record: Record) -> None:
        """Count a record that was there before."""
        if record.status == "done" and record.arm in self.tallies:
            self.tallies[record.arm].add(record)

    def add(self, record: Record, now: float) -> None:
        """Count a record that was finished at ``now`` (seconds of any steady clock)."""
        self.tallies.setdefault(record.arm, Tally()).add(record)
        self.seen += 1
        self._times.append(now)

    @property
    def rate(self) -> float | None:
        """Tasks a second of late, None before there are two."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return None
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    @property
    def left(self) -> float | None:
        """Seconds until all is done, at that rate."""
        rate = self.rate
        return None if rate is None else max(0, self.total - self.ready - self.seen) / rate

    def line(self) -> str:
        """``37 of 400 · 2.1/s · 3 min left · sequential 62 % · native 81 % 2.1× time``."""
        parts = [f"{self.ready + self.seen:,} of {self.total:,}"]
        rate, left = self.rate, self.left
        if rate is not None and left is not None:
            shown = f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"
            parts += [shown, f"{_duration(left)} left"] if left else [shown]
        base = self.tallies[baseline(list(self.tallies))]
        for name, tally in self.tallies.items():
            parts.append(self._arm(name, tally, base))
        errors = sum(t.errors for t in self.tallies.values())
        return " · ".join(parts + ([f"{errors} failed"] if errors else []))

    @staticmethod
    def _arm(name: str, tally: Tally, base: Tally) -> str:
        text = name
        if tally.graded:
            text += f" {tally.right / tally.graded:.0%}"
        if tally is not base and tally.timed and base.timed and tally.wall:
            text += f" {base.wall / base.timed / (tally.wall / tally.timed):.2f}× time"
        if tally is not base and tally.path and base.done:
            text += f" {base.tokens / base.done / (tally.path / tally.done):.2f}× tokens"
        return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
