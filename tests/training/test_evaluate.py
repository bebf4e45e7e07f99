"""The evaluation of plait-nano, tried on a perfect player and on one that always errs."""

from itertools import islice

import pytest

from plait.core import Result
from plait.solve import Runtime
from plait.testing import Play, run_virtual
from tests.puzzles.player import Player
from training.evaluate import HEADS, ROWS, WINDOW, Row, cells, play, wilson


def results_of(row: Row, engine: Player, count: int = 6) -> list[Result]:
    async def main() -> list[Result]:
        questions = list(islice(row.questions(9), count))
        return await play(Runtime(engine), row, questions, at_once=4)

    return run_virtual(main)


WHOLE = [row for row in ROWS if row.window == WINDOW]


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.name)
def test_perfect_play_solves_every_line_of_the_table(row: Row) -> None:
    engine = Player(early_stop=row.dialect == "apr", pieces=64)
    results = results_of(row, engine, 3)
    line = dict(zip(HEADS, cells(row, results, 3.0), strict=True))
    assert [line[h] for h in ("n", "solved", "false", "fell back")] == ["3", "100.0%", "0", "0"]
    alone = row.dialect == "sequential" or row.name.startswith("sheet 1 threadweaver 4")
    if alone or (row.suite == "countdown-3" and row.dialect == "apr"):
        assert line["forked"] == "0%"
    elif row.suite != "countdown-4" or row.tier != "natural" or row.dialect == "apr forced":
        assert line["forked"] == "100%"  # an easy search of four numbers ends before it forks
    for result in results:
        assert (result.total_tokens != result.critical_path_tokens) == (result.threads > 2)
    assert line["seconds"] == "1.000"


def test_a_search_that_outgrows_its_window_is_no_answer_and_forks_stay_within_it() -> None:
    engine = Player(early_stop=True, pieces=8)
    whole = results_of(Row("countdown-4", "unsolvable", "sequential"), engine)
    half = min(r.total_tokens for r in whole) * 2 // 3
    lone, forked = (Row("countdown-4", "unsolvable", d, half) for d in ("sequential", "apr"))
    assert all(r.answer is None and r.finish == "budget" for r in results_of(lone, engine))
    assert all(r.correct and r.fallback is None for r in results_of(forked, engine))


def test_wrong_and_missing_answers_are_told_apart() -> None:
    wrong, silent = Player(), Player()
    wrong._script = lambda text, sampling: "\n1+1=2\n2,2 equal: Goal Reached"
    silent._script = lambda text, sampling: Play("hm")
    row = Row("countdown-4", "hard", "apr")
    lines = [dict(zip(HEADS, cells(row, results_of(row, e), 1.0), strict=True))
             for e in (wrong, silent)]
    assert [(line["solved"], line["false"], line["fell back"]) for line in lines] == [
        ("0.0%", "6", "0"), ("0.0%", "0", "6")]


def test_an_answer_after_falling_back_does_not_count_for_the_dialect() -> None:
    engine = Player()
    proper = engine._script
    engine._script = lambda text, sampling: (
        "hm" if text.startswith("Moving") else proper(text, sampling))
    row = Row("countdown-3", "natural", "apr")
    results = results_of(row, engine)
    assert all(r.correct for r in results)
    assert cells(row, results, 1.0)[HEADS.index("solved")] == "0.0%"


def test_the_interval_is_wilsons() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    for share in wilson(285, 300):  # where the share seen is 1.96 deviations away
        assert abs(share - 0.95) == pytest.approx(1.96 * (share * (1 - share) / 300) ** 0.5)
