"""Branches are started by load: first streams come first, nothing is lost, nothing swings."""

import itertools

import anyio
import pytest

from plait.core import Budget, Outcome, Plan, Request, Result
from plait.core.events import Asked, Noted
from plait.errors import UsageError
from plait.interfaces import ChildSpec, Load, Opening, Thread
from plait.policy.admit import Step
from plait.scheduler.admission import READINGS, Claim, Limiter
from plait.scheduler.pace import Pace, line_through
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace


def batched(streams: int) -> float:
    """Seconds of a step of an engine in which a second stream costs little."""
    return 0.005 + 0.0005 * streams


def full(streams: int) -> float:
    """Seconds of a step of an engine that two streams make half as fast."""
    return 0.01 * streams


class Fork:
    """Eight children that write 40 words each, side by side."""

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async def body(thread: Thread) -> Outcome:
            async with thread.write() as stream:
                async for _ in stream:
                    pass
            return Outcome("done", thread.text, thread.text)

        children = [root.start(ChildSpec("spawn", "part"), body) for _ in range(8)]
        outcomes = await root.wait(children)
        return Outcome("done", "", str(sum(o is not None and o.ok for o in outcomes)))


class Alone:
    """One thread that writes 400 words."""

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async with root.write(limit=400) as stream:
            async for _ in stream:
                pass
        return Outcome("done", "", "1")


def script(prompt: str, sampling: object) -> Play:
    return Play("word " * (40 if "part" in prompt else 400))


def side_by_side(
    step: object, others: int, branching: str = "load", budget: Budget = Budget(),  # noqa: B008
) -> tuple[Result, Trace, Limiter]:
    """A forking request that comes after ``others`` that have one thread each."""
    engine, trace = ScriptedEngine(script, step=step), Trace()  # type: ignore[arg-type]
    found: list[Result] = []

    async def main() -> Limiter:
        runtime = Runtime(engine, branching=branching)

        async def fork() -> None:
            await anyio.sleep(1)
            request = Request("q", budget=budget)
            found.append(await solve(request, runtime=runtime, method=Fork(), trace=trace))

        async with anyio.create_task_group() as tasks:
            for k in range(others):
                tasks.start_soon(lambda: solve(Request("q"), runtime=runtime, method=Alone()))
                await anyio.sleep(0.1 * (k + 1))  # one by one, so that there is something to learn
            tasks.start_soon(fork)
        return runtime.limiter

    limiter = run_virtual(main)
    assert engine.calls.open == 0
    return found[0], trace, limiter


def notes(trace: Trace) -> list[str]:
    return [e.what for e in trace.events if isinstance(e, Noted)]


def test_alone_all_branches_run_at_once() -> None:
    result, trace, _ = side_by_side(full, 0)
    assert (result.answer, result.max_parallel) == ("8", 8)
    assert notes(trace) == []


def test_on_a_full_engine_they_run_one_after_the_other_in_their_order() -> None:
    result, trace, _ = side_by_side(full, 3)
    assert (result.answer, result.max_parallel) == ("8", 1)
    asked = [e.thread for e in trace.events if isinstance(e, Asked)]
    assert asked == [f"0.{k}" for k in range(8)]


def test_the_trace_says_why_they_were_held_back() -> None:
    _, trace, _ = side_by_side(full, 3)
    first, last = notes(trace)
    assert first.startswith("held back for ")
    assert "would each be slower by" in first
    assert last.startswith("7 streams were held back for others, ")


def test_where_there_is_room_they_run_beside_others() -> None:
    assert side_by_side(batched, 3)[0].max_parallel > 3


@pytest.mark.parametrize(("branching", "width"), [("eager", 8), ("off", 1)])
def test_the_setting_overrules_the_load(branching: str, width: int) -> None:
    assert side_by_side(full, 3, branching)[0].max_parallel == width
    assert side_by_side(batched, 0, branching)[0].max_parallel == width


def test_an_unknown_setting_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="must be one of load, eager, off"):
        Runtime(ScriptedEngine(script), branching="often")


def test_a_deadline_makes_a_request_as_wide_as_it_has_to_be() -> None:
    slow = side_by_side(full, 3)[0].wall_seconds
    result = side_by_side(full, 3, budget=Budget(seconds=slow))[0]  # a part is set aside
    assert (result.answer, result.finish) == ("8", "answered")
    assert 1 < result.max_parallel < 8


def test_the_first_stream_of_a_request_comes_before_branches_that_wait_longer() -> None:
    async def main() -> list[str]:
        limiter = Limiter(start=2, ceiling=2, branching="eager")
        order: list[str] = []

        async def stream(owner: str) -> None:
            slot = await limiter.acquire(owner)
            order.append(owner)
            await anyio.sleep(1)
            limiter.release(slot)

        async with anyio.create_task_group() as tasks:
            for owner in ("big", "big", "big", "big", "small"):
                tasks.start_soon(stream, owner)
                await anyio.sleep(0.01)
        return order

    assert run_virtual(main) == ["big", "big", "small", "big", "big"]


def test_a_branch_waits_for_memory_that_others_hold() -> None:
    async def main() -> list[float]:
        limiter = Limiter()
        limiter.heard(Load(running=0, waiting=0, kv_tokens=1000))
        times: list[float] = []

        async def stream(*place: int) -> None:
            shared = 0 if len(place) == 1 else 300
            slot = await limiter.acquire("a", Claim(place, 300, shared))
            times.append(anyio.current_time())
            await anyio.sleep(1)
            limiter.release(slot)

        async with anyio.create_task_group() as tasks:
            for k in range(3):
                tasks.start_soon(stream, 0, k)
        return times

    assert run_virtual(main) == [0, 0, 1]  # 600 for the first with what is shared, 300 for each


def test_a_queue_at_the_engine_stops_branches_until_it_is_gone() -> None:
    async def main() -> list[bool]:
        limiter = Limiter()
        await limiter.acquire("b")
        await limiter.acquire("a")
        runs: list[bool] = []

        async def branch() -> None:
            await limiter.acquire("a")
            runs.append(True)

        for waiting in (3, 0, 3, 3):  # seen once it may be new streams on their way in
            limiter.heard(Load(running=2, waiting=waiting))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(branch)
            await anyio.sleep(1)
            before = list(runs)
            limiter.heard(Load(running=2, waiting=0))
        return [*before, False, *runs]

    assert run_virtual(main) == [False, True]


def test_a_request_that_has_begun_does_not_queue_at_the_engine_but_a_new_one_does() -> None:
    async def main() -> list[str]:
        limiter, order = Limiter(), []
        slots = [await limiter.acquire(name) for name in ("a", "b")]
        for _ in range(2):
            limiter.heard(Load(running=1, waiting=1))

        async def further(owner: str) -> None:
            await limiter.acquire(owner)
            order.append(owner)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(further, "a")  # held back as a branch
            await anyio.sleep(1)
            limiter.release(slots[0])  # "b" alone is what the engine works on
            await anyio.sleep(1)
            await limiter.acquire("new")
            order.append("new")
            for _ in range(2):  # no queue: its room grows
                limiter.heard(Load(running=2, waiting=0))
            await anyio.sleep(1)
        return order

    assert run_virtual(main) == ["new", "a"]


def test_streams_of_others_count_if_several_readings_show_them() -> None:
    async def main() -> list[int]:
        limiter = Limiter()
        seen = []
        for running in (9, 9, 0, *[9] * READINGS):
            limiter.heard(Load(running=running, waiting=0))
            seen.append(limiter.look().streams)
        return seen

    assert run_virtual(main) == [9, 9, 0, 0, 0, 9]


def test_a_reading_that_several_runs_pass_on_counts_once() -> None:
    async def main() -> list[int]:
        limiter = Limiter()
        seen = []
        for load in (Load(running=0), *[Load(running=9)] * READINGS):
            limiter.heard(load)
            seen.append(limiter.look().streams)
        return seen

    assert run_virtual(main) == [0] * (1 + READINGS)


def test_step_times_are_learned_from_streams_that_come_and_go() -> None:
    async def main() -> Step:
        pace = Pace()
        for streams in [1, 2, 8, 4, 16, 3] * 40:
            for _ in range(5):
                await anyio.sleep(batched(streams))
                for _ in range(streams):
                    pace.wrote(1, streams)
        return pace.step

    step = run_virtual(main)
    assert step.fixed == pytest.approx(0.005, rel=0.1)
    assert step.each == pytest.approx(0.0005, rel=0.1)


def test_what_was_measured_counts_until_streams_show_something_else() -> None:
    measured = {n: batched(n) * (1.3 if n == 4 else 1.0) for n in (1, 2, 4, 8, 16, 32)}

    async def main() -> tuple[Step, Step, Step]:
        pace = Pace()
        pace.expect(measured)
        expected = pace.step
        seen = []
        for others in (1.0, 3.0):
            for _ in range(3000):
                await anyio.sleep(others * batched(4))
                for _ in range(4):
                    pace.wrote(1, 4)
            seen.append(pace.step)
        return expected, *seen

    expected, same, slower = run_virtual(main)
    assert expected.fixed == pytest.approx(0.005, rel=0.2)
    assert expected.each == pytest.approx(0.0005, rel=0.2)
    assert same.each == pytest.approx(expected.each)  # always four streams: nobody can tell
    assert same.seconds(4) == pytest.approx(batched(4), rel=0.02)
    assert slower.seconds(4) == pytest.approx(3 * batched(4), rel=0.02)


@pytest.mark.parametrize(("measured", "step"), [
    ({}, Step()),
    ({4: 0.01}, Step()),
    ({1: 0.02, 2: 0.02, 4: 0.01}, Step(0.0133, 0.0)),
    ({1: 0.001, 2: 0.002, 8: 0.01}, Step(0.0, 0.0011))])
def test_a_line_through_measured_steps_never_falls(measured: dict[int, float], step: Step) -> None:
    found = line_through(measured)
    assert found.fixed == pytest.approx(step.fixed, abs=1e-3)
    assert found.each == pytest.approx(step.each, abs=1e-4)


def test_time_without_streams_is_not_learned_from() -> None:
    async def main() -> Step:
        pace = Pace()
        for _ in range(20):
            for _ in range(50):
                await anyio.sleep(0.01)
                pace.wrote(1, 1)
            pace.idle()
            await anyio.sleep(60)
        return pace.step

    step = run_virtual(main)
    assert step.seconds(1) == pytest.approx(0.01, rel=0.05)
    assert step.fixed == pytest.approx(0.0, abs=0.001)  # one stream all the time: nobody can tell


def test_the_width_settles_and_does_not_swing() -> None:
    """Four requests that always have a branch to start, beside a gauge that lags: after it has
    settled the number of streams moves by no more than the streams that happen to end at once."""
    async def main() -> list[int]:
        limiter, engine = Limiter(), ScriptedEngine(script, step=batched)
        running: list[int] = []

        async def stream(owner: str, words: int) -> None:
            slot = await limiter.acquire(owner)
            for _ in range(words):
                await anyio.sleep(batched(limiter.state.running))
                limiter.wrote(slot, 1)
            limiter.release(slot)

        async def again(owner: str, words: int) -> None:
            while True:
                await stream(owner, words)

        with anyio.move_on_after(40):
            async with anyio.create_task_group() as tasks:
                lengths = itertools.cycle((50, 60, 70, 80, 90))
                for owner in "abcd":
                    for _ in range(32):
                        tasks.start_soon(again, owner, next(lengths))
                while True:
                    await anyio.sleep(0.5)
                    limiter.heard(Load(limiter.state.running, 0))
                    running.append(limiter.state.running)
        assert engine.calls.open == 0
        return running[40:]

    running = run_virtual(main)
    assert min(running) > 8
    assert max(running) < 64
    assert max(running) - min(running) <= 4
