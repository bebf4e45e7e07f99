"""A deadline for what is nearly always over at once."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any

import anyio


@coroutine
def within(seconds: float, work: Awaitable[None]) -> Generator[Any, Any, None]:
    """Await ``work`` for at most ``seconds``. Raises `TimeoutError`.

    A timer costs more than handing some bytes to a socket, so it is set only where ``work`` has
    to wait.
    """
    steps: Generator[Any, Any, None] = work.__await__()
    try:
        step = next(steps)
    except StopIteration:
        return
    with anyio.fail_after(seconds):
        while True:
            thrown: BaseException | None = None
            try:
                sent = yield step
            except BaseException as error:  # noqa: BLE001 - ``work`` decides what becomes of it
                thrown = error
            try:
                step = steps.send(sent) if thrown is None else steps.throw(thrown)
            except StopIteration:
                return
