"""The evaluation of plait-nano, tried on a perfect player and on one that always errs."""

from itertools import islice

import pytest

from plait.core import Result
from plait.puzzles import generate
from plait.solve import Runtime
from plait.testing import Play, run_virtual
from tests.puzzles.player import Player
from training.evaluate import HEADS, ROWS, Row, cells, play, wilson


def results_of(row: Row, engine: Player, count: int = 6) -> list[Result]:
    async def main() -> list[Result]:
        problems = list(islice(generate(9, row.size, row.tier, held_out=True), count))
        return await play(Runtime(engine), row, problems, at_once=4)

    return run_virtual(main)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_perfect_play_solves_every_line_of_the_table(row: Row) -> None:
    engine = Player(early_stop=row.dialect == "apr", pieces=64)
    line = dict(zip(HEADS, cells(row, results_of(row, engine, 3), 3.0), strict=True))
    forks = row.dialect == "threadweaver" or (row.dialect == "apr" and row.size == 4)
    assert [line[h] for h in ("n", "solved", "false", "fell back")] == ["3", "100.0%", "0", "0"]
    assert line["forked"] == ("100%" if forks else "0%")
    assert (line["tokens"] != line["path"]) == forks
    assert line["seconds"] == "1.000"


def test_wrong_and_missing_answers_are_told_apart() -> None:
    wrong, silent = Player(), Player()
    wrong._script = lambda text, sampling: "\n1+1=2\n2,2 equal: Goal Reached"
    silent._script = lambda text, sampling: Play("hm")
    row = Row(4, "hard", "apr")
    lines = [dict(zip(HEADS, cells(row, results_of(row, e), 1.0), strict=True))
             for e in (wrong, silent)]
    assert [(line["solved"], line["false"], line["fell back"]) for line in lines] == [
        ("0.0%", "6", "0"), ("0.0%", "0", "6")]


def test_an_answer_after_falling_back_does_not_count_for_the_dialect() -> None:
    engine = Player()
    proper = engine._script
    engine._script = lambda text, sampling: (
        "hm" if text.startswith("Moving") else proper(text, sampling))
    row = Row(3, "natural", "apr")
    results = results_of(row, engine)
    assert all(r.correct for r in results)
    assert cells(row, results, 1.0)[3] == "0.0%"


def test_the_interval_is_wilsons() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    for share in wilson(285, 300):  # where the share seen is 1.96 deviations away
        assert abs(share - 0.95) == pytest.approx(1.96 * (share * (1 - share) / 300) ** 0.5)
