"""Step times of the bare engine, measured again and again between tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import pytest

from plait.core import Request
from plait.errors import EngineRefused, UsageError
from plait.evals.steps import SHARE, STEPS, Metronome, Tick, steady_step, step_seconds, widths_up_to
from plait.evals.store import STEPS as FILE
from plait.evals.store import Store, read_steps
from plait.testing import Play, ScriptedEngine, run_virtual

ASKED = Request("How long is a step?")


def ticking(every: float = 0.02, pieces: int = STEPS) -> ScriptedEngine:
    """Takes ``every`` seconds a token, however many streams there are."""
    return ScriptedEngine(lambda prompt, sampling: Play("tick " * pieces, every=every))


def test_widths_double_until_they_reach_the_widest_run() -> None:
    assert [widths_up_to(n) for n in (0, 1, 2, 3, 8, 9)] == [
        [1], [1], [1, 2], [1, 2, 4], [1, 2, 4, 8], [1, 2, 4, 8, 16]]


def test_a_step_is_measured_while_all_streams_write() -> None:
    one = [Tick(float(t), 1) for t in range(10)]
    two = [Tick(t + 2.5, 1) for t in range(10)]
    assert steady_step([one]) == 1.0
    assert steady_step([one, two]) == pytest.approx(6.5 / 6.5)
    assert steady_step([one, []]) is None
    assert steady_step([one[:3]]) is None
    assert steady_step([one, [Tick(50.0, 1), Tick(60.0, 1)]]) is None


@pytest.mark.parametrize("width", [1, 3])
def test_the_step_of_an_engine_is_what_it_takes_a_token(width: int) -> None:
    assert run_virtual(step_seconds, ticking(), ASKED, width) == pytest.approx(0.02)


def test_an_engine_that_says_too_little_or_fails_has_no_step_time() -> None:
    assert run_virtual(step_seconds, ticking(pieces=3), ASKED, 1) is None
    gone = ScriptedEngine(lambda prompt, sampling: Play("", error=EngineRefused("no")))
    assert run_virtual(step_seconds, gone, ASKED, 2) is None


def beat(engine: ScriptedEngine, widths: list[int], seconds: float) -> list[tuple[int, float]]:
    """What is measured while tasks of these widths take ``seconds`` each."""
    found: list[tuple[int, float]] = []

    async def run() -> None:
        metronome = Metronome(engine, ASKED, lambda width, step: found.append((width, step)))
        for width in widths:
            await anyio.sleep(seconds)
            await metronome.ran(width)
        await metronome.ended()

    run_virtual(run)
    return found


def test_measuring_takes_a_small_share_of_the_time() -> None:
    tasks, seconds = 100, 1.0
    found = beat(ticking(), [4] * tasks, seconds)
    counts = Counter(width for width, _ in found)
    assert set(counts) == {1, 2, 4}
    assert min(counts.values()) == max(counts.values()) >= 2
    measured = len(found) * STEPS * 0.02
    assert measured <= tasks * seconds / SHARE + 2 * 3 * STEPS * 0.02  # the first and the last one


def test_the_last_measurement_has_the_widest_run() -> None:
    found = beat(ticking(), [1, 1, 6], 0.001)
    assert {width for width, _ in found} == {1, 2, 4, 8}
    assert beat(ticking(), [], 1.0) == []


def test_an_engine_that_cannot_be_measured_is_asked_once() -> None:
    engine = ticking(pieces=3)
    assert beat(engine, [2] * 50, 10.0) == []
    assert engine.calls.started == 1


def test_step_times_are_kept_and_read_as_medians(tmp_path: Path) -> None:
    assert read_steps(tmp_path) == {}
    with Store(tmp_path, {"arms": {}}, resume=False) as store:
        for width, seconds in ((2, 0.5), (1, 0.1), (1, 0.9), (1, 0.2)):
            store.note_step(width, seconds)
    assert read_steps(tmp_path) == {1: 0.2, 2: 0.5}
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-4])  # killed while writing: the last line is left out
    assert read_steps(tmp_path) == {1: 0.5, 2: 0.5}
    (tmp_path / FILE).write_bytes(b"[1, \n")
    with pytest.raises(UsageError, match="cannot read"):
        read_steps(tmp_path)
