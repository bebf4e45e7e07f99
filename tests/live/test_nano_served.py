"""plait-nano on real servers: the same weights, the same wire formats, the same answers.

Servers add numbers in another order than the embedded engine, so where the two likeliest tokens are
as good as equal they may part. Everywhere else they must agree, thread by thread.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import anyio
import pytest

from plait.core import Plan, Request, Result
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.engines.openai import OpenAIEngine
from plait.interfaces import Engine, Opening
from plait.puzzles import Problem, generate, parse, render
from plait.puzzles.countdown_trace import NO_SOLUTION
from plait.solve import solve
from plait.trace import Trace
from tests.live.agreement import AS_GOOD_AS_EQUAL, gap
from tests.live.conftest import Server, start_llamacpp
from tests.live.parting import Ran, read_run, where_they_part
from training.gguf import write_gguf

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

HARD = "Make 92 from 46, 39, 29 and 20"


def words(problem: Problem) -> str:
    return f"Make {problem.target} from {', '.join(map(str, problem.numbers))}"


QUESTIONS = {
    "apr": [words(p) for tier in ("natural", "hard", "unsolvable")
            for p in islice(generate(51, 4, tier, held_out=True), 3)],
    "threadweaver": [words(p) for tier in ("natural", "unsolvable")
                     for p in islice(generate(51, 3, tier, held_out=True), 4)],
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "nano.gguf"
    write_gguf(WEIGHTS, path)
    server = start_llamacpp(path)
    yield server
    server.stop()


def command(server: Server, *words: str) -> list[str]:
    return [sys.executable, "-m", "plait.cli", "solve", "--engine", f"{server.url}/v1",
            "--protocol", "apr", *words, HARD]


def test_the_same_command_line_forks_on_llama_cpp(served: Server) -> None:
    done = subprocess.run(command(served, "--json"), capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["correct"], result["fallback"]) == (True, None)
    assert result["threads"] > 8
    assert result["max_parallel"] > 1


def test_a_server_killed_in_the_middle_of_a_forked_run_ends_it_cleanly(served: Server) -> None:
    with subprocess.Popen(command(served), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if " 0.2  starts" in line:
                break
        os.kill(served.process.pid, signal.SIGKILL)
        killed = time.monotonic()
        _, errors = run.communicate(timeout=60)
        took = time.monotonic() - killed
    assert run.returncode == 3, errors
    assert took < 15
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("plait:")]
    assert len(lines) == 1


# --- the same answers --------------------------------------------------------------------------


class Patient(NanoEngine):
    """The embedded engine, without the early stop that its model was trained for: which thread is
    first to succeed depends on the clock."""

    async def open(self, request: Request, protocol: str | None) -> Opening:
        return replace(await super().open(request, protocol), early_stop=False)


def run(engine: Engine, question: str, protocol: str) -> Ran:
    trace = Trace()

    async def main() -> Result:
        try:
            return await solve(question, engine=engine, plan=Plan("native", protocol), trace=trace)
        finally:
            await engine.aclose()

    result = anyio.run(main)
    return read_run(result, trace.events)


def asked(question: str, protocol: str) -> str:
    """What a server is asked: in ThreadWeaver's format the words of the model's training."""
    problem = parse(question)
    assert problem is not None
    if protocol != "threadweaver":
        return question
    return render(problem, "threadweaver").removesuffix("\n")


@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
@pytest.mark.parametrize("protocol", QUESTIONS)
def test_a_server_gives_the_answers_of_the_embedded_engine(
    kind: str, protocol: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{kind}_nano")
    forks = 0
    for question in QUESTIONS[protocol]:
        engine = Patient()
        ours = run(engine, question, protocol)
        theirs = run(OpenAIEngine(f"{server.url}/v1"), asked(question, protocol), protocol)
        forks += theirs.result.forks
        parted = where_they_part(ours, theirs, engine)
        gaps = [gap(engine.encode(context, opening=True)) for context in parted if context]
        assert not parted or gaps, "a join differs, but no thread does"
        assert all(wide <= AS_GOOD_AS_EQUAL for wide in gaps), (question, gaps)
        if not parted:
            said = theirs.result.answer  # ThreadWeaver's is words to plait, not a puzzle's answer
            assert ours.result.answer == ("no" if said == NO_SOLUTION else said)
    assert forks
