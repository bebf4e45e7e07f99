"""The whole story: plan, method, fallback, result, and the ways to call it."""

import pytest

from plait.core import Budget, Plan, Request, Result, Sampling
from plait.core.events import Committed, Decided, Ended, Event, RunEnded, Started, Wrote
from plait.errors import EngineUnreachable, UsageError
from plait.solve import Runtime, solve, solve_stream, solve_sync
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.woven import BLOCK, weaver


def ask(script: object, trace: Trace | None = None, **options: object) -> Result:
    async def main() -> Result:
        engine = ScriptedEngine(script)  # type: ignore[arg-type]
        return await solve("1+2?", engine=engine, trace=trace, **options)  # type: ignore[arg-type]

    return run_virtual(main)


def test_a_forked_answer_is_read_after_the_thoughts() -> None:
    result = ask(weaver, protocol="threadweaver")
    assert (result.answer, result.finish, result.fallback) == ("3", "answered", None)
    assert (result.threads, result.forks, result.depth) == (3, 1, 1)
    assert result.text == (
        f"{BLOCK}\n<Thread>\n1: one</Thread><Thread>\n2: two</Thread>\n</Parallel>\n</think>\n3")


def test_without_a_protocol_an_unknown_model_answers_sequentially() -> None:
    result = ask(lambda p, s: "<think>hm</think> 3")
    assert (result.answer, result.method, result.threads) == ("3", "sequential", 1)


def test_a_parallel_attempt_without_an_answer_falls_back_to_sequential() -> None:
    trace = Trace()
    result = ask(lambda p, s: Play("", finish="eos") if len(trace.events) < 6 else "3", trace,
                 protocol="threadweaver")
    assert (result.answer, result.method) == ("3", "native")
    assert result.fallback == "the text holds no answer"
    assert [e.role for e in trace.events if isinstance(e, Started)] == ["thread", "fallback"]


def test_the_fallback_uses_what_is_left_of_the_budget() -> None:
    def script(prompt: str, sampling: Sampling) -> str:
        fresh = prompt == "1+2?"
        return BLOCK if fresh and not seen.append(prompt) and len(seen) == 1 else "word " * 500

    seen: list[str] = []

    async def main() -> Result:
        request = Request(prompt="1+2?", budget=Budget(total_tokens=200))
        return await solve(request, engine=ScriptedEngine(script), protocol="threadweaver")

    result = run_virtual(main)
    assert result.fallback == "the answer was cut off (budget)"
    assert result.finish == "budget"
    assert result.answer
    assert 150 < result.total_tokens <= 200


def test_an_engine_that_fails_the_main_line_once_is_survived_by_the_fallback() -> None:
    calls: list[str] = []

    def script(prompt: str, sampling: Sampling) -> Play:
        calls.append(prompt)
        error = EngineUnreachable("broke off") if len(calls) == 1 else None
        return Play("3", error=error)

    result = ask(script, protocol="threadweaver")
    assert (result.answer, result.fallback) == ("3", "broke off")


def test_threads_of_an_attempt_that_was_given_up_do_not_work_on_beside_the_fallback() -> None:
    calls: list[str] = []

    def script(prompt: str, sampling: Sampling) -> Play | str:
        calls.append(prompt)
        if "one of several workers" in prompt:
            return Play("word " * 1000)
        if len(calls) == 1:
            return Play("<FORK-1>long</FORK-1> and", error=EngineUnreachable("gone"),
                        error_after=5)
        return "3 " * 50

    trace = Trace()
    result = ask(script, trace, protocol="asyncthink")
    assert (result.fallback, result.finish) == ("gone", "answered")
    ended = {e.thread: e for e in trace.events if isinstance(e, Ended)}
    assert (ended["0.0"].status, ended["0.0"].reason) == ("cancelled", "the attempt was given up")
    begun = next(e.t for e in trace.events if isinstance(e, Started) and e.role == "fallback")
    assert ended["0.0"].t <= begun


def test_an_engine_that_is_gone_is_one_clear_error() -> None:
    trace = Trace()
    with pytest.raises(EngineUnreachable, match="gone"):
        ask(lambda p, s: Play("", error=EngineUnreachable("gone")), trace, protocol="threadweaver")
    assert isinstance(trace.events[-1], RunEnded)
    assert trace.events[-1].finish == "failed"


def test_endless_rounds_are_bounded() -> None:
    trace = Trace()

    def script(prompt: str, sampling: Sampling) -> str:
        return " x</Thread>" if prompt.endswith(("1:", "2:")) else BLOCK

    result = ask(script, trace, protocol="threadweaver")
    assert result.fallback == "the limit on rounds is 32"
    assert result.forks <= 33


def test_a_stream_gives_thoughts_live_and_the_answer_once() -> None:
    async def main() -> tuple[list[Event], Result | None]:
        seen: list[Event] = []
        engine = ScriptedEngine(weaver)
        async with solve_stream("1+2?", engine=engine, protocol="threadweaver") as events:
            async for event in events:
                seen.append(event)
        return seen, events.result

    seen, result = run_virtual(main)
    assert result is not None
    assert [e.text for e in seen if isinstance(e, Committed)] == [result.answer]
    assert sum(e.tokens for e in seen if isinstance(e, Wrote)) == result.total_tokens


def test_leaving_a_stream_early_cancels_the_run() -> None:
    async def main() -> ScriptedEngine:
        engine = ScriptedEngine(lambda p, s: "word " * 1000)
        async with solve_stream("1+2?", engine=engine) as events:
            async for event in events:
                if isinstance(event, Wrote):
                    break
        return engine

    calls = run_virtual(main).calls
    assert (calls.open, calls.left) == (0, 1)


def test_errors_pass_through_a_stream() -> None:
    async def main() -> None:
        engine = ScriptedEngine(lambda p, s: Play("", error=EngineUnreachable("gone")))
        async with solve_stream("1+2?", engine=engine) as events:
            async for _ in events:
                pass

    with pytest.raises(EngineUnreachable, match="gone"):
        run_virtual(main)


def test_the_synchronous_twin_takes_the_same_options() -> None:
    result = solve_sync("1+2?", engine=ScriptedEngine(lambda p, s: "3"), method="sequential")
    assert result.answer == "3"


@pytest.mark.parametrize(("options", "line"), [
    ({"protocol": "threadwaever"}, "there is no protocol `threadwaever`"),
    ({"method": "nativ"}, "there is no method `nativ`"),
    ({"method": "native"}, "needs a protocol"),
    ({"protocol": "ape"}, "there is no protocol `ape`"),
])
def test_names_that_do_not_exist_are_errors_with_a_hint(
    options: dict[str, str], line: str
) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        ask(weaver, **options)
    assert caught.value.hint


def test_an_empty_question_is_an_error() -> None:
    with pytest.raises(UsageError, match="either a prompt or messages"):
        Request(prompt="  ")


def test_requests_of_one_runtime_share_its_limiter() -> None:
    async def main() -> Result:
        async with Runtime(ScriptedEngine(weaver)) as runtime:
            await solve("1+2?", runtime=runtime, protocol="threadweaver")
            assert runtime.limiter.state.running == 0
            return await solve("1+2?", runtime=runtime, plan=Plan("native", "threadweaver"))

    assert run_virtual(main).answer == "3"


def test_a_policy_decides_and_its_decision_is_in_the_trace_with_its_inputs() -> None:
    trace = Trace()
    result = ask(lambda p, s: "3", trace, policy="threshold")
    assert (result.method, result.fallback) == ("sequential", None)
    (decided,) = [e for e in trace.events if isinstance(e, Decided)]
    assert (decided.policy, decided.method) == ("threshold", "sequential")
    assert "not above the threshold" in decided.why
    assert any(line.startswith("estimated_cost=") for line in decided.inputs)


def test_a_named_method_is_how_a_policy_goes_parallel() -> None:
    trace = Trace()
    ask(lambda p, s: "Answer: 3", trace, policy="fixed", method="explore")
    (decided,) = [e for e in trace.events if isinstance(e, Decided)]
    assert (decided.policy, decided.method) == ("fixed", "explore")


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(UsageError, match="no policy `luck`"):
        ask(weaver, policy="luck")


def test_who_knows_what_the_engine_bears_sets_it() -> None:
    runtime = Runtime(ScriptedEngine([]), streams=4000)
    assert runtime.limiter.state.limit == 4000
