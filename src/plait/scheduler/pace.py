"""How long a step of the engine takes with so many streams, learned from the streams themselves.

A step with n streams takes ``fixed + each * n`` seconds and gives each one token. So in any stretch
of time, however n changes in it, ``seconds = fixed * steps + each * tokens``, where a token that
arrives while n streams are in flight is 1/n of a step: a straight line through the origin, fitted
by least squares over stretches of `STRETCH` seconds, of which older ones count less and less. It
costs no request and a few additions a chunk. Streams that wait or read a prompt are in flight and
bring no token: an engine that is full shows as one whose steps grow with n.

While n hardly changes nobody can tell the two numbers apart; then what was known of ``each`` holds,
and before anything was, what `plait engine check` has measured (`Pace.expect`), else all of a step
is taken to grow with n. That holds branches back, so that n changes and tells more; the other guess
would fill the engine and leave it so.
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from plait.policy.admit import UNKNOWN, Step

STRETCH = 0.1
HALF_LIFE = 5.0
"""Seconds of streaming after which a stretch counts half."""
CAUTION = 0.01
"""How much n has to vary (the square of its relative spread) to count as much as what was known."""


class Pace:
    """Learns a `Step`. One for all streams of an engine."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._steps = self._tokens = 0.0
        self._ss = self._st = self._tt = self._sd = self._td = 0.0
        self._step = UNKNOWN

    @property
    def step(self) -> Step:
        """What is known now."""
        return self._step

    def expect(self, seconds: Mapping[int, float]) -> None:
        """So long took steps with so many streams when they were measured. It counts until the
        streams have shown something else."""
        if self._step == UNKNOWN:
            self._step = line_through(seconds)

    def wrote(self, tokens: int, streams: int) -> None:
        """So many tokens arrived, while so many streams were in flight."""
        now = anyio.current_time()
        if self._since is None:
            self._since = now
            return
        self._steps += tokens / max(1, streams)
        self._tokens += tokens
        if now - self._since >= STRETCH:
            self._learn(now - self._since)
            self._since, self._steps, self._tokens = now, 0.0, 0.0

    def idle(self) -> None:
        """No stream is left: the time until the next token says nothing."""
        self._since = None
        self._steps = self._tokens = 0.0

    def _learn(self, seconds: float) -> None:
        steps, tokens = self._steps, self._tokens
        keep = 0.5 ** (seconds / HALF_LIFE)
        self._ss = keep * self._ss + steps * steps
        self._st = keep * self._st + steps * tokens
        self._tt = keep * self._tt + tokens * tokens
        self._sd = keep * self._sd + steps * seconds
        self._td = keep * self._td + tokens * seconds
        self._step = self._fit()

    def _fit(self) -> Step:
        """The least squares with what was known as one more observation; neither is below 0."""
        known = self._step.each if self._step.seconds(1) else self._td / self._tt
        weight = CAUTION * self._tt * self._ss
        each = max(0.0, (self._td * self._ss - self._sd * self._st + weight * known)
                   / (self._tt * self._ss - self._st * self._st + weight))
        fixed = (self._sd - each * self._st) / self._ss
        return Step(fixed, each) if fixed > 0 else Step(0.0, self._td / self._tt)


def line_through(seconds: Mapping[int, float]) -> Step:
    """The step that fits measured ones best, by least squares of the relative errors; neither
    number is below 0. So points that others' work has raised, which need not even rise with the
    number of streams, become a line that does. Not known if fewer than two widths were measured."""
    points = [(n, value) for n, value in seconds.items() if value > 0]
    if len(points) < 2:
        return UNKNOWN
    w = sum(1 / t**2 for _, t in points)
    n, nn = (sum(k**power / t**2 for k, t in points) for power in (1, 2))
    t, nt = (sum(k**power / t for k, t in points) for power in (0, 1))
    each = max(0.0, (w * nt - n * t) / (w * nn - n * n))
    fixed = (t - each * n) / w
    return Step(fixed, each) if fixed > 0 else Step(0.0, nt / nn)
