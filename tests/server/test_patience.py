"""A deadline that is set only where something has to wait."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from plait.server.patience import within

pytestmark = pytest.mark.anyio


async def test_what_ends_in_time_ends_as_it_does() -> None:
    done = []

    async def work(steps: int) -> None:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        done.append(steps)

    for steps in (0, 1, 5):
        await within(5, work(steps))
    assert done == [0, 1, 5]


@pytest.mark.parametrize("waits", [False, True])
async def test_its_errors_are_its_own(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await anyio.lowlevel.checkpoint()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await within(5, work())


async def test_what_waits_too_long_is_cancelled_and_tidies_up() -> None:
    tidied = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            tidied.append(True)

    with pytest.raises(TimeoutError):
        await within(0.02, work())
    assert tidied


async def test_a_cancellation_from_outside_is_no_timeout() -> None:
    with anyio.move_on_after(0.02) as scope:
        await within(5, anyio.sleep_forever())
    assert scope.cancelled_caught
