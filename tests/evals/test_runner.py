"""The runner: every task once, in turns, with stable seeds; and nothing is lost or run twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from plait.core import Sampling
from plait.errors import EngineError, EngineRefused, EngineUnreachable, UsageError
from plait.evals.cache import Cache, file_identity
from plait.evals.measures import Prices
from plait.evals.runner import GIVE_UP, Job, pending
from plait.evals.store import RECORDS, TABLE, Store, latest, read_plan, read_records
from plait.evals.values import TIMED, Arm, Record, Task
from plait.trace import measure, read_trace
from tests.evals.help import ARMS, Bench, sums

pytestmark = pytest.mark.anyio


def untimed(record: Record) -> dict[str, object]:
    return {k: v for k, v in asdict(record).items() if k not in TIMED}


async def test_every_arm_gets_every_problem_in_turns_that_change(tmp_path: Path) -> None:
    records = await Bench(tmp_path).run(Job(sums(30), ARMS, seed=1))
    assert Counter(r.key for r in records) == Counter(t.key for t in Job(sums(30), ARMS).tasks())
    pairs = [(records[i], records[i + 1]) for i in range(0, 60, 2)]
    assert all(a.sample == b.sample and a.arm != b.arm for a, b in pairs)
    firsts = Counter(a.arm for a, _ in pairs)
    assert min(firsts.values()) >= 8, "one arm should not always be the first"


async def test_right_wrong_and_counts_are_recorded(tmp_path: Path) -> None:
    records = await Bench(tmp_path).run(Job(sums(10), ARMS[:1], prices=Prices(1e6, 2e6)))
    assert [r.mark for r in records].count("wrong") == 2
    one = records[0]
    assert (one.answer, one.read, one.mark, one.finish) == ("2", "number 2", "right", "answered")
    assert one.total_tokens == one.useful_tokens == one.critical_path_tokens == 6
    assert one.cost == pytest.approx(one.prompt_tokens + 2 * 6)
    assert one.longest_context == one.prompt_tokens + 6
    assert one.steps == ((1, 6),)
    spent = one.first_seconds + one.one_seconds + one.many_seconds + one.idle_seconds
    assert spent == pytest.approx(one.wall_seconds)
    assert one.group == "odd"


async def test_threads_at_work_side_by_side_are_seen_in_the_time(tmp_path: Path) -> None:
    suite = sums(1)
    asked = replace(suite, samples=(replace(
        suite.samples[0], question="In parallel: what is 1 plus 1? Think in parallel."),))
    arm = Arm("native", "native", "threadweaver")
    (record,) = await Bench(tmp_path).run(Job(asked, (arm,)))
    assert (record.forks, record.threads, record.mark) == (1, 3, "right")
    assert record.protocol == "threadweaver"
    assert record.critical_path_tokens < record.total_tokens
    assert [width for width, _ in record.steps] == [1, 2]
    assert sum(count for _, count in record.steps) == record.critical_path_tokens


async def test_traces_are_kept_and_agree_with_the_records(tmp_path: Path) -> None:
    records = await Bench(tmp_path).run(Job(sums(3), ARMS))
    for record in records:
        assert record.trace is not None
        metrics = measure(read_trace(tmp_path / record.trace).events)
        assert metrics.total_tokens == record.total_tokens
    assert len({r.trace for r in records}) == 6
    bare = await Bench(tmp_path / "bare").run(Job(sums(3), ARMS, keep_traces=False))
    assert {r.trace for r in bare} == {None}


async def test_seeds_depend_on_the_problem_and_the_trial_alone(tmp_path: Path) -> None:
    seeds: list[dict[str, set[int | None]]] = []
    for count, backwards in ((3, False), (6, True)):
        seen: dict[str, set[int | None]] = {}
        bench = Bench(tmp_path / str(count))
        play = bench.play

        def note(prompt: str, sampling: Sampling) -> object:
            seen.setdefault(prompt, set()).add(sampling.seed)  # noqa: B023 - used at once
            return play(prompt, sampling)  # noqa: B023

        bench.engine._script = note  # type: ignore[assignment]
        suite = sums(count)
        if backwards:
            suite = replace(suite, samples=suite.samples[::-1])
        warm = tuple(replace(arm, sampling=Sampling(temperature=1.0)) for arm in ARMS)
        await bench.run(Job(suite, warm, seed=7, trials=2))
        seeds.append(seen)
    assert all(len(found) == 2 for found in seeds[0].values()), "two trials, the same for all arms"
    assert all(seeds[1][prompt] == found for prompt, found in seeds[0].items())
    assert len({frozenset(s) for s in seeds[1].values()}) == 6
    assert Task(sums(1).samples[0], ARMS[0]).seed(7) != Task(sums(1).samples[0], ARMS[0]).seed(8)


async def test_what_the_engine_refuses_is_an_error_and_runs_again(tmp_path: Path) -> None:
    def fails(prompt: str) -> EngineError | None:
        return EngineRefused("too long") if " 3 plus" in prompt else None

    bench = Bench(tmp_path, fails)
    first = await bench.run(Job(sums(6), ARMS))
    failed = [r for r in first if r.status == "error"]
    assert {r.sample for r in failed} == {"sum/3"}
    assert {r.error for r in failed} == {"too long"}
    assert all(r.right is None for r in failed)
    bench.fails = lambda prompt: None
    second = await bench.run(Job(sums(6), ARMS), resume=True)
    assert {r.sample for r in second} == {"sum/3"}
    assert {r.status for r in latest(read_records(tmp_path))} == {"done"}
    assert len(list(read_records(tmp_path))) == 14


async def test_an_engine_that_is_gone_stops_it_and_keeps_what_is_done(tmp_path: Path) -> None:
    def fails(prompt: str) -> EngineError | None:
        gone = int(prompt.split(" plus")[0].split()[-1]) > 4
        return EngineUnreachable("connection refused") if gone else None

    bench = Bench(tmp_path, fails)
    with pytest.raises(EngineUnreachable) as caught:
        await bench.run(Job(sums(50), ARMS[:1]))
    assert "--resume" in caught.value.hint
    records = list(read_records(tmp_path))
    assert [r.status for r in records] == ["done"] * 4 + ["error"] * GIVE_UP


async def test_answers_that_no_file_can_hold_are_kept_as_well_as_can_be(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "1")
    bench.engine._script = lambda prompt, sampling: "hm</think>\ud800 2 \x00 \udfff"
    with Cache(tmp_path / "cache", "scripted") as cache:
        (record,) = await bench.run(Job(sums(1), ARMS[:1]), cache=cache)
    assert (record.answer, record.mark) == ("? 2 \x00 ?", "right")
    assert [r.answer for r in read_records(tmp_path / "1")] == ["? 2 \x00 ?"]


async def test_a_question_that_makes_no_sense_stops_it(tmp_path: Path) -> None:
    arm = Arm("native", "native")  # the scripted engine's model writes no known format
    with pytest.raises(UsageError, match="needs a protocol"):
        await Bench(tmp_path).run(Job(sums(3), (arm,)))


async def test_tasks_side_by_side_are_the_same_tasks(tmp_path: Path) -> None:
    job = Job(sums(20), ARMS, seed=2)
    one = await Bench(tmp_path / "1").run(job)
    bench = Bench(tmp_path / "4")
    four = await bench.run(replace(job, at_once=4))
    key = {r.key: untimed(r) for r in one}
    assert {r.key: untimed(r) for r in four} == key
    assert bench.engine.calls.most > 1


async def test_resuming_runs_more_of_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.run(Job(sums(4), ARMS[:1]))
    more = await bench.run(Job(sums(6), ARMS), resume=True)
    assert len(more) == 2 + 6
    assert await bench.run(Job(sums(6), ARMS), resume=True) == []
    assert set(read_plan(tmp_path)["arms"]) == {"sequential", "auto"}


async def test_a_folder_is_not_overwritten_nor_mixed_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.run(Job(sums(3), ARMS))
    with pytest.raises(UsageError, match="already holds an evaluation"):
        await bench.run(Job(sums(3), ARMS))
    with pytest.raises(UsageError, match="was made with seed 0, not 1"):
        await bench.run(Job(sums(3), ARMS, seed=1), resume=True)
    with pytest.raises(UsageError, match="was made with suite 'sums', not 'others'"):
        await bench.run(Job(sums(3, "others"), ARMS), resume=True)
    warmer = replace(ARMS[0], sampling=Sampling(temperature=1.0))
    with pytest.raises(UsageError, match="other settings of `sequential`"):
        await bench.run(Job(sums(3), (warmer,)), resume=True)
    changed = replace(sums(3), samples=tuple(replace(s, target="9") for s in sums(3).samples))
    with pytest.raises(UsageError, match="has changed since it was answered"):
        await bench.run(Job(changed, ARMS), resume=True)


def test_only_one_process_writes(tmp_path: Path) -> None:
    with Store(tmp_path, {"arms": {}}, resume=False), pytest.raises(
            UsageError, match="another evaluation is writing"):
        Store(tmp_path, {"arms": {}}, resume=True)
    Store(tmp_path, {"arms": {}}, resume=True).close()


def record(name: str) -> Record:
    return Record(name, "a", 0, "done", warnings=("one", "zwei"))


def test_a_torn_last_line_is_cut_off_and_everything_else_stays(tmp_path: Path) -> None:
    with Store(tmp_path, {"arms": {}}, resume=False) as store:
        for name in "abc":
            store.add(record(name))
    data = (tmp_path / RECORDS).read_bytes()
    for cut in range(1, len(data.splitlines(keepends=True)[2])):
        (tmp_path / RECORDS).write_bytes(data[:-cut])
        assert [r.sample for r in read_records(tmp_path)] == ["a", "b"]
    with Store(tmp_path, {"arms": {}}, resume=True) as store:
        store.add(record("d"))
    assert [r.sample for r in read_records(tmp_path)] == ["a", "b", "d"]
    (tmp_path / RECORDS).write_bytes(b"{")
    with Store(tmp_path, {"arms": {}}, resume=True) as store:
        assert store.records == {}


def test_a_broken_line_in_the_middle_is_no_torn_one(tmp_path: Path) -> None:
    (tmp_path / RECORDS).write_bytes(b"{nope\n" + orjson.dumps(asdict(record("a"))) + b"\n")
    with pytest.raises(UsageError, match="line 1: not JSON"):
        list(read_records(tmp_path))
    (tmp_path / RECORDS).write_bytes(b'{"sample": "a", "arm": "b", "trial": 0, "status": "done",'
                                     b' "colour": 1}\n')
    with pytest.raises(UsageError, match="line 1: a record has no `colour`"):
        list(read_records(tmp_path))


def rows(folder: Path) -> list[tuple[object, ...]]:
    base = sqlite3.connect(folder / TABLE)
    try:
        return base.execute("SELECT sample, arm, trial, mark, total_tokens FROM records"
                            " ORDER BY sample, arm, trial").fetchall()
    finally:
        base.close()


def remove_table(folder: Path) -> None:
    for file in folder.glob(TABLE + "*"):
        file.unlink()


async def test_the_table_holds_the_records_and_comes_back_when_it_is_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = await bench.run(Job(sums(5), ARMS))
    wanted = sorted((r.sample, r.arm, r.trial, r.mark, r.total_tokens) for r in records)
    assert rows(tmp_path) == wanted
    remove_table(tmp_path)
    await bench.run(Job(sums(5), ARMS), resume=True)
    assert rows(tmp_path) == wanted
    remove_table(tmp_path)
    base = sqlite3.connect(tmp_path / TABLE)
    base.execute("CREATE TABLE records (sample, arm, trial, colour)")  # of another version
    base.close()
    await bench.run(Job(sums(5), ARMS), resume=True)
    assert rows(tmp_path) == wanted
    (tmp_path / TABLE).write_bytes(b"this is no table" * 100)
    await bench.run(Job(sums(5), ARMS), resume=True)
    assert rows(tmp_path) == wanted


# --- the cache ---------------------------------------------------------------------------------


async def test_cached_answers_are_not_asked_for_and_say_so(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", "scripted") as cache:
        bench = Bench(tmp_path / "1")
        first = await bench.run(Job(sums(5), ARMS), cache=cache)
        calls = bench.engine.calls.started
        bench.folder = tmp_path / "2"
        second = await bench.run(Job(sums(5), ARMS), cache=cache)
    assert bench.engine.calls.started == calls
    assert all(r.cached for r in second)
    assert not any(r.cached for r in first)
    by_key = {r.key: untimed(replace(r, trace=None)) for r in first}
    assert {r.key: untimed(r) for r in second} == by_key


@pytest.mark.parametrize("change", ["seed", "temperature", "protocol", "identity", "question"])
async def test_whatever_matters_is_in_the_key(change: str, tmp_path: Path) -> None:
    arm, suite, seed = ARMS[0], sums(1), 0
    with Cache(tmp_path / "cache", "scripted") as cache, Cache(tmp_path / "c2", "other") as other:
        key = cache.key(Task(suite.samples[0], arm), seed)
        task = Task(suite.samples[0], arm)
        assert cache.key(Task(suite.samples[0], replace(arm, name="called otherwise")), 0) == key
        changed = {
            "seed": lambda: cache.key(task, 1),
            "temperature": lambda: cache.key(
                replace(task, arm=replace(arm, sampling=Sampling(temperature=1.0))), 0),
            "protocol": lambda: cache.key(replace(task, arm=replace(arm, protocol="apr")), 0),
            "identity": lambda: other.key(task, 0),
            "question": lambda: cache.key(
                replace(task, sample=replace(task.sample, question="another?")), 0)}
        assert changed[change]() != key


async def test_errors_and_cut_answers_are_never_kept(tmp_path: Path) -> None:
    def fails(prompt: str) -> EngineError | None:
        return EngineRefused("no") if " 2 plus" in prompt else None

    short = Arm("sequential", "sequential", sampling=Sampling(max_tokens=2))
    with Cache(tmp_path / "cache", "scripted") as cache:
        bench = Bench(tmp_path / "1", fails)
        await bench.run(Job(sums(3), (short,)), cache=cache)
        calls = bench.engine.calls.started
        bench.folder = tmp_path / "2"
        again = await bench.run(Job(sums(3), (short,)), cache=cache)
    assert bench.engine.calls.started == 2 * calls
    assert not any(r.cached for r in again)


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no cache at all, " * 100)
    with pytest.raises(UsageError, match="as a cache"):
        Cache(tmp_path / "notes.txt", "x")


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    before = file_identity(tmp_path)
    (tmp_path / "b").write_text("3")
    assert file_identity(tmp_path) != before
    assert file_identity(tmp_path / "a") != file_identity(tmp_path / "b")


# --- kill -9 -----------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
import anyio
from plait.evals.runner import Job
from tests.evals.help import ARMS, Bench, sums
anyio.run(lambda: Bench(Path(sys.argv[1])).run(Job(sums(int(sys.argv[2])), ARMS, seed=5),
                                               resume=True))
"""


def kill_and_resume(folder: Path, count: int, kills: int) -> int:
    """Kill an evaluation of ``count`` problems ``kills`` times, let it end; how often it was
    really killed in the middle."""
    command = [sys.executable, "-c", KILLED, str(folder), str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = 0
    for turn in range(kills):
        process = subprocess.Popen(command, env=environment)
        wanted = (turn + 1) * 2 * count // (kills + 1)
        while process.poll() is None and lines(folder) < wanted:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    subprocess.run(command, check=True, env=environment)
    return killed


def lines(folder: Path) -> int:
    try:
        return (folder / RECORDS).read_bytes().count(b"\n")
    except OSError:
        return 0


async def check_killed(tmp_path: Path, count: int, kills: int) -> None:
    killed = kill_and_resume(tmp_path / "killed", count, kills)
    assert killed > 0, "it was never killed in the middle: the test showed nothing"
    found = list(read_records(tmp_path / "killed"))
    assert len(found) == 2 * count, "a task was lost, or run twice"
    whole = await Bench(tmp_path / "whole").run(Job(sums(count), ARMS, seed=5))
    assert {r.key: untimed(r) for r in found} == {r.key: untimed(r) for r in whole}
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


async def test_nothing_is_lost_or_run_twice_when_it_is_killed(tmp_path: Path) -> None:
    await check_killed(tmp_path, 150, 3)


@pytest.mark.live
@pytest.mark.timeout(600)
async def test_nothing_is_lost_in_a_long_evaluation(tmp_path: Path) -> None:
    await check_killed(tmp_path, 1000, 5)


def test_what_is_pending_is_what_has_no_record() -> None:
    job = Job(sums(3), ARMS)
    done = {t.key: Record(*t.key, "done", digest=t.sample.digest) for t in list(job.tasks())[:4]}
    assert [t.key for t in pending(job, done)] == [t.key for t in list(job.tasks())[4:]]
    assert job.size == 6


def test_jobs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="different methods"):
        Job(sums(1), (ARMS[0], ARMS[0]))
    with pytest.raises(UsageError, match="above 0"):
        Job(sums(1), ARMS, trials=0)


