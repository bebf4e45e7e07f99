"""The store outlives its gateway, however that ends, and a disk that is full."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio

from plait.server.store import Limits, RunRecord, Store, StoreSettings
from tests.server.watched import about, made_up, play

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
import anyio
from plait.server.store import Limits, Store, StoreSettings
from plait.server.watch import watching
from tests.server.watched import about, made_up, play

async def main():
    async with Store(sys.argv[1], StoreSettings(limits=Limits(days=None))) as store:
        words = ["word "] * 200
        with watching([store], about("open")) as watched:
            for event in made_up(about("open"), *words)[:-3]:
                watched.event(event)
            number = 0
            while True:
                play([store], about(f"r{number}"), *words)
                await store.flush()
                print(number, flush=True)
                number += 1

anyio.run(main)
"""
FULL = """
import resource, signal, sys
import anyio
from plait.server.store import Limits, Store, StoreSettings
from tests.server.watched import about, play

async def main():
    async with Store(sys.argv[1], StoreSettings(limits=Limits(days=None))) as store:
        play([store], about("before"))
        await store.flush()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        for i in range(200):
            play([store], about(f"r{i}", question=f"{i * 7919:x}" * 1000))
        await store.flush()
        print(store.lost > 0, bool(store.failing), flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        play([store], about("after"))
        await store.flush()
        print(bool(store.failing), (await store.run("after")).state, flush=True)

anyio.run(main)
"""


def start(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})


def test_killed_in_the_middle_of_writing_it_keeps_all_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with start(WRITER, path) as program:
        assert program.stdout is not None
        flushed = [int(program.stdout.readline()) for _ in range(4)]
        os.kill(program.pid, signal.SIGKILL)
        flushed += [int(line) for line in program.stdout if line.strip()]
    assert program.returncode == -signal.SIGKILL
    base = sqlite3.connect(path)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    base.close()

    async def look() -> RunRecord:
        async with Store(path, StoreSettings(limits=Limits(days=None))) as store:
            words = ["word "] * 200
            for number in flushed:
                assert (await store.run(f"r{number}")).state == "answered"
                assert await store.trace(f"r{number}") == made_up(about(f"r{number}"), *words)
            assert await store.trace("open") == made_up(about("open"), *words)[:-3]
            play([store], about("next"))
            await store.flush()
            return await store.run("open")

    assert anyio.run(look).state == "lost"


def test_a_full_disk_loses_runs_and_says_so_but_stops_nothing(tmp_path: Path) -> None:
    with start(FULL, tmp_path / "runs.sqlite") as program:
        out, err = program.communicate(timeout=60)
    assert (program.returncode, out.split("\n")) == (0, ["True True", "False answered", ""])
    assert err.count("the store cannot be written") == 1
