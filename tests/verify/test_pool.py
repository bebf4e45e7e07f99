"""Programs that stay in the cage: every job is as if it were the first, and none can stay."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from plait.core import Part, Request, Verdict
from plait.verify import Limits, Math
from plait.verify import sandbox as module
from plait.verify.maths import formulas
from plait.verify.pool import Pool, server
from plait.verify.sandbox import Caged, run_caged

SHORT = Limits(seconds=2.0, megabytes=256)
BUILT = sys.platform == "linux" and anyio.run(run_caged, {"m.py": ""}, "m.py").built
pytestmark = pytest.mark.skipif(not BUILT, reason="this system has no namespaces for a sandbox")
WORK = """
import ctypes, time
count = 0
def work(line):
    global count
    count += 1
    exec(line)
    return 10 + count
"""


def jobs(*lines: str, limits: Limits = SHORT) -> list[Caged]:
    """One after the other, in one pool: each is Python, and 11 is what it gives at its end."""
    async def main() -> list[Caged]:
        async with Pool(server(WORK, limits)) as pool:
            return [await pool.run(line.encode()) for line in lines]

    return anyio.run(main)


def statuses(found: Sequence[Caged]) -> list[int | None]:
    return [caged.status for caged in found]


def test_no_job_changes_what_the_next_one_meets() -> None:
    assert statuses(jobs("count = 50", "open('left', 'w')", "time.sleep = None", "time.sleep(0)")
                    ) == [11, 11, 11, 11]


@pytest.mark.parametrize("line", [
    "raise ValueError", "os._exit(3)", "os.write(1, b'11\\n'); os._exit(3)", "os.abort()",
    "ctypes.string_at(0)", "x = bytearray(1 << 40)", "raise SystemExit(3)",
    "os.kill(os.getppid(), 9); os._exit(3)",
    "[os.write(n, b'11\\n') for n in range(3)]; os._exit(3)"])
def test_a_job_that_fails_or_wants_to_cheat_has_failed_and_the_next_one_works(line: str) -> None:
    bad, good = jobs(line, "pass")
    assert bad.status not in (11, None)
    assert good.status == 11


@pytest.mark.parametrize("line", ["while True: pass", "time.sleep(1000)",
                                  "signal.alarm(0); signal.pause()"])
def test_a_job_that_hangs_is_killed_in_time_and_the_next_one_works(line: str) -> None:
    start = time.perf_counter()
    bad, good = jobs(line, "pass")
    assert bad.status != 11
    assert good.status == 11
    assert time.perf_counter() - start < 20


def test_what_a_job_leaves_running_is_gone_before_the_next_one() -> None:
    leave = "[os.fork() or (os.setsid(), time.sleep(1000)) for _ in range(3)]"
    assert statuses(jobs(*[leave] * 8)) == [11] * 8, "16 processes at most: none may be left"
    assert not running()


def test_there_are_as_many_programs_as_jobs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    async def counted(**streams: Any) -> object:
        started.append(streams)
        return await module.start(**streams)

    async def main() -> list[int]:
        counts = []
        async with Pool(server(WORK, SHORT)) as pool:
            for many in (1, 3, 2):
                async with anyio.create_task_group() as tasks:
                    for _ in range(many):
                        tasks.start_soon(pool.run, b"pass")
                counts.append(len(started))
        return counts

    monkeypatch.setattr("plait.verify.pool.start", counted)
    assert anyio.run(main) == [1, 3, 3]
    assert not running()


def test_leaving_in_the_middle_of_a_job_leaves_nothing() -> None:
    async def main() -> None:
        async with Pool(server(WORK, Limits(seconds=60.0))) as pool:
            await pool.run(b"pass")
            with anyio.move_on_after(0.2):
                await pool.run(b"time.sleep(1000)")
            assert (await pool.run(b"pass")).status == 11

    anyio.run(main)
    assert not running()


def test_a_program_that_does_not_load_says_why() -> None:
    async def main() -> Caged:
        async with Pool(server("import nothing_of_that_name", SHORT)) as pool:
            return await pool.run(b"pass")

    caged = anyio.run(main)
    assert "nothing_of_that_name" in caged.output
    assert caged.status == 1


def test_without_a_cage_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "cage.py"
    broken.write_text(module.CAGE.read_text().replace(
        "def leave() -> None:", "def leave() -> None:\n    raise NotBuilt('forbidden')"))
    monkeypatch.setattr(module, "CAGE", broken)
    (caged,) = jobs("pass")
    assert not caged.built
    assert "the sandbox cannot be built: forbidden" in caged.output


def test_formulas_are_compared_without_loading_anew_for_each() -> None:
    pytest.importorskip("math_verify")

    async def main() -> tuple[list[Verdict], float]:
        found = []
        async with formulas(Limits(seconds=2.0, megabytes=2048)) as pool:
            for answer in ("$x^2+2x+1$", "$x^2$", "$x+$", "$9^{9^{9^{9}}}$"):
                found.append(await compare(answer, pool))
            start = time.perf_counter()
            for number in range(20):
                found.append(await compare(f"$x^2+2x+{number}$", pool))
            return found, time.perf_counter() - start

    async def compare(answer: str, pool: Pool) -> Verdict:
        return await Math("(x+1)^2", pool=pool).verify(
            None, Request("?"), Part(answer))  # type: ignore[arg-type]

    found, seconds = anyio.run(main)
    assert [v.ok for v in found[:3]] == [True, False, False]
    assert not found[3].ok
    assert [v.ok for v in found[4:]] == [n == 1 for n in range(20)]
    assert seconds < 20.0, "loading takes about a second each time"
    assert not running()


def running() -> list[str]:
    """Sandboxes that are still there, after a moment's grace."""
    for _ in range(50):
        found = [folder.name for folder in Path("/proc").glob("[0-9]*") if caged(folder)]
        if not found:
            return []
        time.sleep(0.1)
    return found


def caged(folder: Path) -> bool:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[1:3] == [b"-I", b"main.py"] or any(w.endswith(b"cage.py") for w in words)
