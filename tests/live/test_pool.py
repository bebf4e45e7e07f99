"""A pool of real servers: one is killed among many forked runs, and one behind a router."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from benchmarks.replicas import Campaign, campaign, puzzles, replicas
from plait.core import Chunk, Prompt, Sampling
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.engines.pool import PoolEngine
from tests.live.agreement import AS_GOOD_AS_EQUAL, gap
from tests.live.conftest import Server, python_of
from tests.live.parting import read_run, where_they_part
from training.gguf import write_gguf

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

RUNS = 50


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python_of("llamacpp")
    path = tmp_path_factory.mktemp("pool") / "nano.gguf"
    write_gguf(WEIGHTS, path, "F32")
    return path


def ran(model: Path, *, kill: bool) -> Campaign:
    with replicas(model, 3) as served:
        return anyio.run(lambda: campaign(
            list(served.by_url), puzzles(RUNS), 6, served.kill if kill else None))


def test_a_replica_killed_in_the_middle_of_50_forked_runs_loses_none(model: Path) -> None:
    calm, killed = ran(model, kill=False), ran(model, kill=True)
    assert killed.failed == {}
    assert killed.failovers > 0
    assert killed.restarts == 0
    assert [r.answer is not None for r in killed.results.values()] == [True] * RUNS
    assert all(r.forks and r.fallback is None for r in killed.results.values())
    engine = NanoEngine()
    for question in puzzles(RUNS):
        ours = read_run(calm.results[question], calm.events[question])
        theirs = read_run(killed.results[question], killed.events[question])
        parted = where_they_part(ours, theirs, engine)
        gaps = [gap(engine.encode(context, opening=True)) for context in parted if context]
        assert not parted or gaps, "a join differs, but no thread does"
        assert all(wide <= AS_GOOD_AS_EQUAL for wide in gaps), (question, gaps)
        if not parted:
            assert ours.result.answer == theirs.result.answer
            assert ours.result.total_tokens == theirs.result.total_tokens


# --- behind a router -----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def routed(model: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The address of a router before two servers, and the process of each server."""
    with replicas(model, 2) as served:
        port = free_port()
        command = [str(python_of("router")), "-m", "sglang_router.launch_router",
                   "--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware",
                   "--balance-abs-threshold", "4", "--balance-rel-threshold", "1.1",
                   "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()),
                   "--worker-urls", *served.by_url]
        router = Server("router", command, {})
        router.wait_for_health(f"http://127.0.0.1:{port}")
        yield router.url, {url: process.pid for url, process in served.by_url.items()}
        router.stop()


def test_runs_behind_a_cache_aware_router_fork_as_they_do_without(
    routed: tuple[str, dict[str, int]], model: Path
) -> None:
    url, _ = routed
    with replicas(model, 1) as alone:
        straight = anyio.run(lambda: campaign(list(alone.by_url), puzzles(6), 3))

    through = anyio.run(lambda: campaign([url], puzzles(6), 3))
    assert through.failed == {}
    answers = {q: r.answer for q, r in through.results.items()}
    assert answers == {q: r.answer for q, r in straight.results.items()}
    assert all(r.forks and r.fallback is None for r in through.results.values())


def test_a_worker_killed_behind_the_router_is_gone_on_without(
    routed: tuple[str, dict[str, int]]
) -> None:
    url, workers = routed
    (question, *_) = puzzles(1)
    prompt, sampling = Prompt(question), Sampling(max_tokens=400, ignore_eos=True, session="one")

    async def write(*, kill: bool) -> tuple[list[Chunk], int]:
        pool = PoolEngine(url)
        chunks: list[Chunk] = []
        try:
            async with pool.stream(prompt, sampling) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
                    if kill and len(chunks) == 40:
                        kill = False
                        os.kill(workers[await busy(list(workers))], signal.SIGKILL)
            return chunks, pool.state.failovers
        finally:
            await pool.aclose()

    whole, _ = anyio.run(lambda: write(kill=False))
    chunks, moves = anyio.run(lambda: write(kill=True))
    assert moves == 1
    assert "".join(c.text for c in chunks) == "".join(c.text for c in whole)
    assert sum(c.tokens for c in chunks) == sum(c.tokens for c in whole) == 400


async def busy(urls: list[str]) -> str:
    """The worker that is at work."""
    pools = {url: PoolEngine(url) for url in urls}
    loads = {url: (await pool.load()).running or 0 for url, pool in pools.items()}
    for pool in pools.values():
        await pool.aclose()
    return max(loads, key=lambda url: loads[url])
