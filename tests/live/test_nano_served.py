"""plait-nano on real servers: the same weights, the same wire formats, the same answers.

Servers add numbers in another order than the embedded engine, so where the two likeliest tokens are
as good as equal they may part. Everywhere else they must agree, thread by thread.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.request import Request as Call
from urllib.request import urlopen

import anyio
import numpy as np
import pytest

from benchmarks.models import write_gguf
from plait.core import Plan, Request, Result
from plait.core.events import Appended, Ended, Rewrote, Wrote
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.engines.openai import OpenAIEngine
from plait.interfaces import Engine, Opening
from plait.puzzles import countdown, parse_sheet, sheet
from plait.puzzles.sheet_text import render
from plait.solve import solve
from plait.trace import Trace
from tests.live.conftest import LIVE, Server, python_of, start_llamacpp

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

HARD = "Make 92 from 46, 39, 29 and 20"
AS_GOOD_AS_EQUAL = 1e-3
"""How near the two likeliest log-probabilities lie where a server may write another token."""
QUESTIONS = {
    "apr": [p.words for tier in ("natural", "hard", "unsolvable")
            for p in islice(countdown.generate(51, 4, countdown.tier_named(tier), held_out=True),
                            3)],
    "threadweaver": [s.words for width in (1, 2, 4, 8)
                     for s in islice(sheet.generate(51, width, held_out=True), 2)],
}


@pytest.fixture(scope="module")
def llamacpp_nano() -> Iterator[Server]:
    path = LIVE / "models" / "nano-f32.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(WEIGHTS, path, np.float32)
    server = start_llamacpp(path, "--cache-type-k", "f32", "--cache-type-v", "f32")
    yield server
    server.stop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "nano.gguf"
    write_gguf(WEIGHTS, path)
    server = start_llamacpp(path)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def vllm_nano() -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(python_of("vllm").parent / "vllm"), "serve", str(WEIGHTS), "--served-model-name",
        "plait-nano", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--max-num-seqs", "16", "--max-num-batched-tokens", "2048", "--enable-prefix-caching",
        "--enforce-eager", "--block-size", "32"]
    server = Server("vllm-nano", command, {
        "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1"})
    server.wait_for_health(f"http://127.0.0.1:{port}")
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


@dataclass(frozen=True)
class Ran:
    """``texts``: what stands in each thread's context at its end, by its name; ``wrote``: for each
    chunk that its model wrote, the context before it and the chunk."""

    result: Result
    texts: dict[str, str]
    wrote: dict[str, list[tuple[str, str]]]


def run(engine: Engine, question: str, protocol: str) -> Ran:
    trace = Trace()

    async def main() -> Result:
        try:
            return await solve(question, engine=engine, plan=Plan("native", protocol), trace=trace)
        finally:
            await engine.aclose()

    result = anyio.run(main)
    before: dict[str, str] = {}
    wrote: dict[str, list[tuple[str, str]]] = {}
    for event in trace.events:
        match event:
            case Appended(thread=thread, text=text):
                before[thread] = before.get(thread, "") + text
            case Rewrote(thread=thread, text=gone):
                before[thread] = before[thread].removesuffix(gone)
            case Wrote(thread=thread, text=text):
                wrote.setdefault(thread, []).append((before[thread], text))
                before[thread] += text
            case Ended(thread=thread, status=status):
                assert status == "done", (thread, status)
    return Ran(result, before, wrote)


def asked(question: str) -> str:
    """What a server is asked: a sheet goes in the words of the model's training."""
    found = parse_sheet(question)
    return question if found is None else render(found, "threadweaver").removesuffix("\n")


def apart(server: Server, context: str) -> float:
    """How far the two likeliest tokens behind ``context`` are apart on the server."""
    body = {"model": "plait-nano", "prompt": context, "max_tokens": 1, "temperature": 0,
            "logprobs": 2}
    call = Call(f"{server.url}/v1/completions", json.dumps(body).encode(),
                {"Content-Type": "application/json"})
    with urlopen(call, timeout=60) as reply:
        choice = json.load(reply)["choices"][0]
    (top,) = choice["logprobs"]["top_logprobs"]
    first, second = sorted(top.values(), reverse=True)[:2]
    return float(first - second)


def where_they_part(ours: Ran, theirs: Ran, engine: NanoEngine) -> list[str | None]:
    """For each thread that differs: the context whose continuation does, None where the model only
    reads what differs (a join of threads that did)."""
    found: list[str | None] = []
    for name, text in ours.texts.items():
        other = theirs.texts.get(name, "")
        if text == other:
            continue
        place = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b),
                     min(len(text), len(other)))
        chunk = next((c for c in ours.wrote[name] if 0 <= place - len(c[0]) < len(c[1])), None)
        found.append(None if chunk is None else before_token(*chunk, place, engine))
    return found


def before_token(context: str, chunk: str, place: int, engine: NanoEngine) -> str:
    """``context`` and the tokens of ``chunk`` before the one that covers ``place``."""
    end = len(context)
    for cut in range(1, len(chunk) + 1):
        if len(context) + cut > place:
            break
        if engine.encode(chunk[:cut]) + engine.encode(chunk[cut:]) == engine.encode(chunk):
            end = len(context) + cut
    return (context + chunk)[:end]


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
        theirs = run(OpenAIEngine(f"{server.url}/v1"), asked(question), protocol)
        forks += theirs.result.forks
        parted = where_they_part(ours, theirs, engine)
        gaps = [apart(server, context) for context in parted if context is not None]
        assert not parted or gaps, "a join differs, but no thread does"
        assert all(gap <= AS_GOOD_AS_EQUAL for gap in gaps), (question, gaps)
        if not parted:
            assert theirs.result.answer is not None
            assert ours.result.answer in (theirs.result.answer,
                                          theirs.result.answer.removeprefix("Answer: "))
    assert forks
