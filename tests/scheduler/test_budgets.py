"""What each budget does to a run of real threads, in virtual time."""

from typing import Any

import pytest

from plait.core import Budget, Outcome, Plan, Request, Result, Sampling
from plait.core.events import Asked, Ended, Noted, Started, Wrote
from plait.errors import EngineOverloaded, EngineRefused, EngineUnreachable
from plait.interfaces import ChildSpec, Opening, Thread
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure

LONG = "word " * 200
GREEDY = Sampling()


async def write_all(thread: Thread) -> Outcome:
    async with thread.write() as stream:
        async for _ in stream:
            pass
    return Outcome("budget" if thread.finish == "budget" else "done", thread.text, thread.text)


class FanOut:
    """A method: ``width`` children that write, and the number that ended well as the answer."""

    def __init__(self, width: int = 8, deep: int = 0) -> None:
        self.width, self.deep = width, deep

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async def nested(thread: Thread, left: int) -> Outcome:
            if left == 0:
                return await write_all(thread)

            async def below(child: Thread) -> Outcome:
                return await nested(child, left - 1)

            outcomes = await thread.wait([thread.start(ChildSpec("spawn", "x"), below)])
            return outcomes[0] or Outcome("failed")

        async def body(thread: Thread) -> Outcome:
            return await nested(thread, self.deep)

        children = [root.start(ChildSpec("spawn", f"child {i}"), body) for i in range(self.width)]
        outcomes = await root.wait(children)
        good = sum(o is not None and o.ok for o in outcomes)
        return Outcome("done", root.text, str(good))


def run(
    budget: Budget, method: Any, script: Any = lambda p, s: LONG, *, window: int | None = None,
    sampling: Sampling = GREEDY, retries: int = 1,
) -> tuple[Result, Trace, ScriptedEngine]:
    engine, trace = ScriptedEngine(script, window=window), Trace()
    request = Request(prompt="go", budget=budget, sampling=sampling)

    async def main() -> Result:
        async with Runtime(engine) as runtime:
            result = await solve(request, runtime=runtime, method=method, trace=trace,
                                 plan=Plan("fan", retries=retries))
            assert runtime.limiter.state.running == 0
            return result

    return run_virtual(main), trace, engine


def statuses(trace: Trace) -> list[str]:
    return [e.status for e in trace.events if isinstance(e, Ended) and e.thread != "0"]


@pytest.mark.parametrize("total", [40, 100, 333, 1000])
def test_siblings_cannot_overspend_the_total_together(total: int) -> None:
    result, trace, _ = run(Budget(total_tokens=total), FanOut())
    assert result.total_tokens <= total
    assert "budget" in statuses(trace)
    assert any("total tokens" in w for w in result.warnings)


def test_tokens_that_one_sibling_does_not_need_go_to_another() -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        left = 300 - prompt.count(" w")  # a request that goes on where a lease ended
        return " w" * left if prompt.startswith("child 0") else " few words"

    result, trace, _ = run(Budget(total_tokens=600), FanOut(4), script)
    assert statuses(trace) == ["done"] * 4
    assert result.total_tokens > 300


class Eager:
    """A method: a child starts at the root's third chunk, while the root writes on."""

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        children = []
        async with root.write() as stream:
            async for _ in stream:
                if root.tokens == 3:
                    children.append(root.start(ChildSpec("spawn", "child"), write_all))
        outcomes = await root.wait(children)
        ended = "budget" if root.finish == "budget" else "done"
        return Outcome(ended, root.text, f"{[o.tokens for o in outcomes if o is not None]}")


def test_a_child_that_starts_while_its_parent_writes_finds_tokens_to_spend() -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        return " c" * 40 if prompt.startswith("child") else " w" * (50 - prompt.count(" w"))

    result, trace, _ = run(Budget(total_tokens=1000), Eager(), script)
    assert (result.answer, result.finish, result.warnings) == ("[40]", "answered", ())
    asked = [e.limit for e in trace.events if isinstance(e, Asked)]
    assert asked == [750, 187]  # half of what was left is freed, and shared by the two of them


@pytest.mark.parametrize("total", [60, 100, 150, 200])
def test_a_parent_that_shared_its_lease_asks_again_and_loses_no_word(total: int) -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        if prompt.startswith("child"):
            return " c" * (20 - prompt.count(" c"))
        return "".join(f" w{i}" for i in range(prompt.count(" w"), 60))

    result, trace, engine = run(Budget(total_tokens=total), Eager(), script)
    assert result.total_tokens <= total
    root = "".join(e.text for e in trace.events if isinstance(e, Wrote) and e.thread == "0")
    assert root == "".join(f" w{i}" for i in range(60))[: len(root)]
    assert engine.calls.open == 0
    if total >= 150:
        assert root.endswith(" w59")
        assert (result.answer, result.finish) == ("[20]", "answered")


def test_width_bounds_the_threads_that_are_open_at_once() -> None:
    result, _, engine = run(Budget(width=3), FanOut(10))
    assert result.answer == "10"
    assert engine.calls.most == 3 == result.max_parallel


def test_threads_beyond_the_limit_end_at_once_with_a_reason() -> None:
    result, trace, _ = run(Budget(threads=5), FanOut(10))
    assert result.answer == "4"
    refused = [e.reason for e in trace.events if isinstance(e, Ended) and e.status == "budget"]
    assert refused == ["the limit on threads is 5"] * 6


def test_depth_is_bounded() -> None:
    result, _, _ = run(Budget(depth=2), FanOut(1, deep=3))
    assert result.depth == 3  # the refused thread is recorded, though it never ran
    assert result.answer == "0"


def test_nested_threads_finish_when_only_one_stream_may_run() -> None:
    engine = ScriptedEngine(lambda p, s: "a b c")

    async def main() -> Result:
        runtime = Runtime(engine)
        runtime.limiter._limit = 1.0
        return await solve("go", runtime=runtime, method=FanOut(4, deep=2), plan=Plan("fan"))

    assert run_virtual(main).answer == "4"
    assert engine.calls.most <= 2


def test_the_critical_path_is_bounded_and_leaves_room_for_the_join() -> None:
    result, _, _ = run(Budget(critical_tokens=100), FanOut(4))
    assert result.critical_path_tokens <= 100
    assert any("critical-path" in w for w in result.warnings)


def test_time_runs_out_with_the_best_answer_so_far() -> None:
    class Slow:
        async def run(self, root: Thread, *rest: Any) -> Outcome:
            return await write_all(root)

    result, trace, engine = run(Budget(seconds=1.0), Slow())
    assert result.finish == "budget"
    assert result.wall_seconds == pytest.approx(1.0)
    assert engine.calls.open == 0
    assert any(isinstance(e, Noted) and "seconds" in e.what for e in trace.events)


def test_the_engines_window_ends_a_thread() -> None:
    result, _, _ = run(Budget(), FanOut(2), window=50)
    assert any("context window" in w for w in result.warnings)
    assert result.total_tokens < 2 * 50


def test_live_tokens_bound_what_the_engine_holds() -> None:
    _, _, engine = run(Budget(live_tokens=250), FanOut(6), sampling=Sampling(max_tokens=100))
    assert engine.calls.most == 2


def test_max_tokens_is_no_budget() -> None:
    result, _, _ = run(Budget(), FanOut(2), sampling=Sampling(max_tokens=7))
    assert result.total_tokens == 14
    assert not result.warnings


def test_a_child_that_the_engine_fails_is_tried_again_alone() -> None:
    failed: set[str] = set()

    def script(prompt: str, sampling: Sampling) -> Play:
        first = prompt not in failed
        failed.add(prompt)
        broken = EngineUnreachable("gone") if first and prompt == "child 1" else None
        return Play("a b c", error=broken, error_after=2)

    result, trace, engine = run(Budget(), FanOut(3), script)
    assert result.answer == "3"
    assert engine.calls.started == 4
    tries = [e.attempt for e in trace.events if isinstance(e, Started) and e.thread == "0.1"]
    assert tries == [0, 1]
    assert measure(trace.events).wasted_tokens == 2


def test_a_child_that_fails_for_good_does_not_take_the_others_with_it() -> None:
    def script(prompt: str, sampling: Sampling) -> Play:
        broken = EngineOverloaded("too much") if prompt == "child 1" else None
        return Play("a b c", error=broken)

    result, trace, _ = run(Budget(), FanOut(3), script)
    assert result.answer == "2"
    assert sorted(statuses(trace)) == ["done", "done", "failed"]


def test_a_refused_request_is_not_tried_again() -> None:
    def script(prompt: str, sampling: Sampling) -> Play:
        return Play("", error=EngineRefused("no such model"))

    _, _, engine = run(Budget(), FanOut(1), script)
    assert engine.calls.started == 1


def test_randomness_depends_on_the_place_in_the_tree_not_on_timing() -> None:
    def seeds(every: float) -> dict[str, int | None]:
        found: dict[str, int | None] = {}

        def script(prompt: str, sampling: Sampling) -> Play:
            found[prompt] = sampling.seed
            return Play("a b", every=every * (1 + len(found)))

        run(Budget(width=2), FanOut(5), script, sampling=Sampling(temperature=1.0))
        return found

    assert seeds(0.01) == seeds(0.5)
    assert len(set(seeds(0.01).values())) == 5


def test_the_clock_kept_while_running_is_the_one_recounted_from_the_trace() -> None:
    result, trace, _ = run(Budget(width=2), FanOut(5, deep=1))
    written = sum(e.tokens for e in trace.events if isinstance(e, Wrote))
    assert result.total_tokens == written
    assert result.critical_path_tokens == written // 5
