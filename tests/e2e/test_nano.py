"""plait-nano for real: the shipped model, the embedded engine, the runtime, the command line."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from plait.core import Directions, Plan, Request, Result, Sampling
from plait.core.events import Appended, Ended, Event, Joined, Noted, Started, Wrote
from plait.engines.nano import NanoEngine
from plait.puzzles import sheet
from plait.solve import Runtime, solve
from plait.trace import Trace, measure, read_trace

ROOT = Path(__file__).parents[2]
HARD = "Make 92 from 46, 39, 29 and 20"
CONTRACT = {
    "answer", "correct", "finish", "method", "protocol", "fallback", "threads", "forks",
    "max_parallel", "depth", "total_tokens", "critical_path_tokens", "prompt_tokens",
    "cached_tokens", "inserted_tokens", "wall_seconds", "trace", "version", "verified", "conflicts",
    "warnings", "wasted_tokens", "estimated",
}


def plait(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "plait.cli", *words], capture_output=True,
                          text=True, cwd=cwd, timeout=60, check=False)


async def run(question: str | Request, trace: Trace, **options: object) -> Result:
    async with Runtime("nano") as runtime:
        return await solve(question, runtime=runtime, trace=trace, **options)  # type: ignore[arg-type]


def test_a_hard_problem_is_answered_by_forked_threads() -> None:
    trace = Trace()
    result = anyio.run(run, HARD, trace)
    assert result.correct
    assert (result.protocol, result.fallback, result.finish) == ("apr", None, "answered")
    assert result.threads > 8
    assert result.max_parallel > 4
    assert result.critical_path_tokens < result.total_tokens / 2
    assert not result.estimated


def test_children_start_while_the_parent_still_writes_its_calls() -> None:
    trace = Trace()
    anyio.run(run, HARD, trace)
    events = list(trace.events)
    first = next(i for i, e in enumerate(events) if isinstance(e, Started) and e.parent == "0")
    assert any(isinstance(e, Wrote) and e.thread == "0" for e in events[first:first + 60])
    assert any(isinstance(e, Wrote) and e.thread == "0.0" for e in events[first:first + 60])


@pytest.mark.parametrize("question", [
    "Make 72 from 33, 32 and 12",
    "Make 90 from 40, 30, 18 and 2",  # 40+30=70, found while it looks
])
def test_an_easy_problem_stays_sequential(question: str) -> None:
    result = anyio.run(run, question, Trace())
    assert result.correct
    assert (result.threads, result.forks, result.protocol) == (1, 0, "apr")


def test_a_sheet_opens_a_thread_for_each_chain_and_a_chain_none() -> None:
    chain = anyio.run(run, "a = 17 + 25, b = a * 3, c = b - 46, d = c / 8, d?", Trace())
    assert (chain.answer, chain.correct) == ("10", True)
    assert (chain.protocol, chain.threads, chain.fallback) == ("threadweaver", 1, None)
    wide = next(sheet.generate(3, 8, held_out=True))
    result = anyio.run(run, wide.words, Trace())
    assert (result.correct, result.fallback) == (True, None)
    assert (result.threads, result.forks, result.max_parallel) == (9, 1, 8)
    assert result.critical_path_tokens < result.total_tokens / 2


def test_threads_of_a_shared_prefix_read_only_their_header_anew() -> None:
    trace = Trace()

    async def weave() -> Result:
        return await run(next(sheet.generate(3, 8, held_out=True)).words, trace)

    result = anyio.run(weave)
    assert result.correct
    assert result.forks == 1
    starts = {e.thread: e for e in trace.events if isinstance(e, Started) and e.family == "fork"}
    assert len(starts) >= 5
    joined = [e for e in trace.events if isinstance(e, Joined)]
    assert joined[0].children == tuple(starts)
    assert result.cached_tokens > 0.8 * result.prompt_tokens


def test_the_same_seed_gives_the_same_threads() -> None:
    def threads(trace: Trace) -> dict[str, str]:
        texts: dict[str, str] = {}
        for e in trace.events:
            if isinstance(e, Wrote):
                texts[e.thread] = texts.get(e.thread, "") + e.text
        return texts

    request = Request(prompt="Make 72 from 33, 32 and 12", seed=5,
                      sampling=Sampling(temperature=0.7))
    one, two = Trace(), Trace()

    async def sample(trace: Trace) -> None:
        async with Runtime("nano") as runtime:
            await solve(request, runtime=runtime, trace=trace)

    anyio.run(sample, one)
    anyio.run(sample, two)
    assert threads(one) == threads(two)


@pytest.mark.parametrize("protocol", ["apr", "threadweaver"])
def test_cancelling_at_any_time_leaves_no_block_and_no_request(protocol: str) -> None:
    question = HARD if protocol == "apr" else next(sheet.generate(3, 8, held_out=True)).words

    async def cancelled(engine: NanoEngine, step: int) -> bool:
        trace = Trace()
        with anyio.CancelScope() as scope:
            def sink(event: Event) -> None:
                if len(trace) > step:
                    scope.cancel()
            trace.subscribe(sink)
            runtime = Runtime(engine)
            await solve(question, runtime=runtime, plan=Plan("native", protocol), trace=trace)
        open_threads = {e.thread for e in trace.events if isinstance(e, Started)} - {
            e.thread for e in trace.events if isinstance(e, Ended)}
        assert not open_threads
        return scope.cancelled_caught

    async def main() -> None:
        engine = NanoEngine(checked=True)
        try:
            for step in [*range(1, 40, 3), *range(40, 700, 60)]:
                await cancelled(engine, step)
                with anyio.fail_after(5):
                    while (now := engine.statistics()).running or now.blocks.used:  # noqa: ASYNC110
                        await anyio.sleep(0.002)  # the engine is a thread, not a task
        finally:
            await engine.aclose()

    anyio.run(main)


def test_the_command_line_keeps_its_contract(tmp_path: Path) -> None:
    done = plait("solve", "--json", "--trace", "run.jsonl", HARD, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) >= CONTRACT
    assert result["correct"] is True
    assert result["trace"] == "run.jsonl"
    metrics = measure(read_trace(tmp_path / "run.jsonl").events)
    assert metrics.total_tokens == result["total_tokens"]
    assert metrics.critical_path_tokens == result["critical_path_tokens"]
    shown = plait("trace", "run.jsonl", cwd=tmp_path)
    assert shown.returncode == 0
    assert "#0,0" in shown.stdout


def test_a_comparison_holds_both_ways_and_the_speedups(tmp_path: Path) -> None:
    done = plait("solve", "--json", "--compare", "Make 72 from 33, 32 and 12", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    both = json.loads(done.stdout)
    assert both["sequential"]["method"] == "sequential"
    assert set(both["parallel"]) >= CONTRACT
    for name in ("token_speedup", "wall_speedup", "attainable_speedup"):
        assert both[name] > 0


def test_a_question_that_is_no_puzzle_is_one_clear_line(tmp_path: Path) -> None:
    done = plait("solve", "Why is the sky blue?", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "countdown" in done.stderr
    assert "--engine" in done.stderr


def test_the_example_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "is right" in done.stdout


def test_joins_insert_what_the_trace_says() -> None:
    trace = Trace()
    result = anyio.run(run, HARD, trace)
    inserted = sum(e.tokens for e in trace.events
                   if isinstance(e, Appended) and e.author == "runtime")
    assert result.inserted_tokens == inserted > 0


def test_attempts_at_a_puzzle_are_checked_by_its_rules_and_the_rest_is_cancelled() -> None:
    trace = Trace()
    result = anyio.run(partial(run, "Make 72 from 33, 32 and 12", trace, method="explore"))
    assert (result.method, result.fallback) == ("explore", None)
    assert (result.correct, result.verified) == (True, True)
    attempts = [e for e in trace.events if isinstance(e, Started) and e.parent == "0"]
    assert [e.label for e in attempts] == [f"attempt {k + 1}" for k in range(len(attempts))]
    assert len({e.family for e in attempts}) == 1
    ended = [e for e in trace.events if isinstance(e, Ended) and e.thread != "0"]
    assert len(ended) == len(attempts)
    passed = next(e.t for e in ended if e.status == "done")
    assert all(e.t - passed <= 0.05 for e in ended)
    assert not result.estimated


def test_attempts_may_fork_by_themselves() -> None:
    trace = Trace()
    result = anyio.run(partial(run, HARD, trace, method="explore", protocol="apr"))
    assert (result.correct, result.verified, result.depth) == (True, True, 2)
    assert result.threads > 16


def test_votes_are_weighed_by_the_models_own_probabilities() -> None:
    trace = Trace()
    request = Request(prompt="Make 72 from 33, 32 and 12",
                      directions=Directions(attempts=4, merge="vote:confidence", verify="none"))
    result = anyio.run(partial(run, request, trace, method="explore"))
    assert result.correct
    votes = [e.what for e in trace.events if isinstance(e, Noted) and e.what.startswith("vote")]
    assert len(votes) == 1
    assert votes[0].startswith("vote (confidence): ")
    assert "no log-probabilities" not in votes[0]
