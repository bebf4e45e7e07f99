"""The limiter: fair between requests, quick to back off, never leaking a slot."""

import anyio
import pytest

from plait.errors import Bug
from plait.scheduler.admission import COOLDOWN, Limiter
from plait.scheduler.live import LiveGate
from plait.testing import run_virtual


def order_of(limiter: Limiter, owners: list[str]) -> list[str]:
    """Whose streams run, one after the other, if they all come at once."""
    async def main() -> list[str]:
        order: list[str] = []

        async def stream(owner: str) -> None:
            slot = await limiter.acquire(owner)
            order.append(owner)
            await anyio.sleep(1)
            limiter.release(slot)

        async with anyio.create_task_group() as tasks:
            for owner in owners:
                tasks.start_soon(stream, owner)
                await anyio.lowlevel.checkpoint()
        return order

    return run_virtual(main)


def test_slots_go_round_between_requests() -> None:
    order = order_of(Limiter(start=1, ceiling=1, branching="eager"), ["big"] * 4 + ["small"] * 2)
    assert order == ["big", "big", "small", "big", "small", "big"]


def test_by_load_who_is_new_comes_first_and_then_who_has_least_left() -> None:
    order = order_of(Limiter(start=1, ceiling=1), ["big"] * 4 + ["small"] * 3 + ["new"])
    assert order == ["big", "new", "small", "small", "small", "big", "big", "big"]


def test_a_cancelled_waiter_leaves_no_trace() -> None:
    async def main() -> Limiter:
        limiter = Limiter(start=1)
        slot = await limiter.acquire("a")
        with anyio.move_on_after(1):
            await limiter.acquire("b")
        limiter.release(slot)
        await limiter.acquire("c")
        return limiter

    state = run_virtual(main).state
    assert (state.running, state.waiting) == (1, 0)


def test_a_slot_that_arrives_with_the_cancellation_is_given_back() -> None:
    async def main() -> Limiter:
        limiter = Limiter(start=1)
        first = await limiter.acquire("a")

        async def stream() -> None:
            slot = await limiter.acquire("b")
            try:
                await anyio.sleep(1)
            finally:
                limiter.release(slot)

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream)
                await anyio.lowlevel.checkpoint()
                limiter.release(first)
                scope.cancel()
        return limiter

    assert run_virtual(main).state.running == 0


def test_refusals_cut_the_limit_once_a_cooldown() -> None:
    async def main() -> list[float]:
        limiter = Limiter(start=100)
        await anyio.sleep(COOLDOWN)
        for _ in range(5):
            limiter.overloaded(None)
        first = limiter.state.limit
        await anyio.sleep(COOLDOWN)
        limiter.overloaded(None)
        return [first, limiter.state.limit]

    assert run_virtual(main) == [80, 64]


def test_the_limit_grows_by_one_for_each_full_round() -> None:
    async def main() -> float:
        limiter = Limiter(start=4)
        for _ in range(4):
            await limiter.acquire("a")
        await anyio.sleep(2 * COOLDOWN)
        for _ in range(4):
            limiter.succeeded(0.1)
        return limiter.state.limit

    assert run_virtual(main) == pytest.approx(5, abs=0.15)


def test_the_limit_never_falls_below_one() -> None:
    async def main() -> float:
        limiter = Limiter(start=2)
        for _ in range(20):
            await anyio.sleep(COOLDOWN)
            limiter.overloaded(None)
        return limiter.state.limit

    assert run_virtual(main) == 1


def test_a_long_wait_for_first_tokens_stops_the_growth() -> None:
    async def main() -> float:
        limiter = Limiter(start=1)
        await limiter.acquire("a")
        limiter.succeeded(0.1)
        before = limiter.state.limit
        limiter.succeeded(5.0)
        return limiter.state.limit - before

    assert run_virtual(main) == 0


def test_giving_a_slot_back_twice_is_a_bug() -> None:
    async def main() -> None:
        limiter = Limiter()
        slot = await limiter.acquire("a")
        limiter.release(slot)
        with pytest.raises(Bug):
            limiter.release(slot)

    run_virtual(main)


def test_live_tokens_are_held_by_streams_and_first_come_is_first_served() -> None:
    async def main() -> list[int]:
        gate = LiveGate(100)
        order: list[int] = []

        async def stream(tokens: int) -> None:
            await gate.acquire(tokens)
            order.append(tokens)
            await anyio.sleep(1)
            gate.release(tokens)

        async with anyio.create_task_group() as tasks:
            for tokens in (60, 50, 40, 500):
                tasks.start_soon(stream, tokens)
        assert gate.held == 0
        return order

    assert run_virtual(main) == [60, 50, 40, 500]
