"""Virtual time: an event loop whose clock jumps to the next timer when nothing else can happen.

Sleeps, deadlines and timeouts of code under test take no real time and are exactly repeatable:
events at different times happen in order of time, events at one time in order of scheduling.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Every task waits for another one and no timer is set: nothing will ever happen."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting ``timeout`` seconds, moves the clock on by as much."""

    now = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("all tasks wait and no timer is set")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop of `run_virtual`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run an async function to its end in virtual time and give its result.

    Raises `Deadlock` when every task waits for something that cannot come.
    """
    return anyio.run(function, *args, backend_options={"loop_factory": VirtualLoop})
