"""Sheets: their rules, people's words, and perfect play through the real runtime."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core import Plan, Result
from plait.puzzles import check, parse_sheet, pose, sheet_trace
from plait.puzzles.sheet import (
    DEPTHS,
    LARGEST,
    LINES,
    WIDTHS,
    Line,
    NotASheet,
    Sheet,
    canonical,
    draw,
    generate,
    is_held_out,
    name,
)
from plait.puzzles.sheet_text import LONGEST, read_answer, render, sheet_limits
from plait.solve import solve
from plait.testing import run_virtual
from tests.puzzles.player import Player

DEMO = "a = 17 + 25, b = a * 3, c = 81 - 46, d = b + c, d?"


def sheets(width: int, count: int = 8) -> list[Sheet]:
    return list(islice(generate(3, width), count))


def run(sheet: Sheet, plan: Plan) -> Result:
    async def main() -> Result:
        return await solve(sheet.words, engine=Player(ids=True, pieces=8), plan=plan)

    return run_virtual(main)


# --- rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_a_generated_sheet_has_the_width_that_was_asked_for_and_fits_the_model(width: int) -> None:
    for sheet in sheets(width, 5):
        assert sheet.width == width
        assert all(len(chain) in DEPTHS for chain in sheet.chains)
        assert len(sheet.combining) == width - 1
        assert sheet_limits(sheet) is None
        assert all(0 < value <= LARGEST for value in sheet.values.values())
        assert canonical(list(sheet.lines)) == sheet


def test_every_line_of_a_sheet_belongs_to_one_chain_or_combines_two() -> None:
    sheet = sheets(7, 1)[0]
    lines = [line for chain in sheet.chains for line in chain]
    assert sorted(map(str, (*lines, *sheet.combining))) == sorted(map(str, sheet.lines))


def test_a_sheet_with_other_names_is_the_same_sheet() -> None:
    sheet = sheets(5, 1)[0]
    late = sheet.renamed(LINES - len(sheet.lines))
    assert late.lines[-1].name == name(LINES - 1)
    assert (late.answer, late.width) == (sheet.answer, sheet.width)
    assert late.renamed(0) == sheet == canonical(list(late.lines))


def test_a_sheet_keeps_one_order() -> None:
    with pytest.raises(NotASheet, match="chain after chain"):
        Sheet((Line("a", 1, "+", 1), Line("b", 1, "+", 2), Line("c", "a", "*", 2),
               Line("d", "b", "+", "c")))


def test_names_are_distinct_and_short() -> None:
    names = [name(place) for place in range(LINES)]
    assert len(set(names)) == LINES
    assert (names[0], names[25], names[26], names[-1]) == ("a", "z", "a1", "z4")


def test_the_same_seed_gives_the_same_sheets_and_the_split_is_kept() -> None:
    assert sheets(4) == sheets(4)
    assert all(map(is_held_out, islice(generate(3, 2, held_out=True), 5)))
    assert not any(map(is_held_out, islice(generate(3, 2, held_out=False), 5)))
    with pytest.raises(ValueError, match="chains"):
        draw(Random(1), 17)


@pytest.mark.parametrize(("lines", "why"), [
    ((Line("a", 1, "-", 2),), "whole number"),
    ((Line("a", 100, "+", 100),), "whole number"),
    ((Line("a", 7, "/", 2),), "whole number"),
    ((Line("a", 7, "/", 0),), "whole number"),
    ((Line("a", "b", "+", 1),), "before it is defined"),
    ((Line("a", "a", "+", 1),), "before it is defined"),
    ((Line("a", 1, "+", 1), Line("a", 2, "+", 2)), "twice"),
    ((Line("a", 1, "+", 1), Line("b", 2, "+", 2)), "used 0 times"),
    ((Line("a", 1, "+", 1), Line("b", "a", "+", "a")), "used 2 times"),
    ((Line("a", 1, "+", 1), Line("b", 1, "+", 2), Line("c", "a", "+", "b"), Line("d", "c", "+", 1)),
     "combines"),
    ((), "no lines"),
])
def test_what_is_no_sheet_says_why(lines: tuple[Line, ...], why: str) -> None:
    with pytest.raises(NotASheet, match=why):
        canonical(list(lines))


# --- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    DEMO,
    "a = 17 + 25\nb = a * 3\nc = 81 - 46\nd = b + c\nd?",
    "Given c = 81 - 46; a=17+25; b = a × 3; d = b + c. What is d?",
    "Let apples = 17 + 25, b = apples * 3, pears = 81 - 46 and total = b + pears. Compute total",
    "x = 1 + 1, a = 17 + 25, b = a * 3, c = 81 - 46, d = b + c, e = d + x, d = ?",
    "a = 17 + 25, c = 81 - 46, b = 3 * a, d = b + c, d?",
])
def test_people_may_write_a_sheet_in_many_ways(words: str) -> None:
    sheet = parse_sheet(words)
    assert sheet is not None
    assert (sheet.answer, sheet.width) == (161, 2)
    assert {str(sheet), str(sheet.renamed(0))} <= {
        "Sheet\n1:a=17+25\nb=a*3;\n2:c=81-46;\nd=b+c?",
        "Sheet\n1:a=81-46;\n2:b=17+25\nc=b*3;\nd=c+a?"}


def test_without_a_question_the_last_value_is_asked_for() -> None:
    sheet = parse_sheet("a = 2 + 3, b = a * 4")
    assert sheet is not None
    assert sheet.answer == 20


def test_the_words_of_a_sheet_and_its_prompt_are_read_back() -> None:
    for width in WIDTHS:
        for sheet in sheets(width, 2):
            assert parse_sheet(sheet.words) == sheet
            assert parse_sheet(render(sheet, "sequential")) == sheet


@pytest.mark.parametrize(("words", "why"), [
    ("a = 2 + 3, b = a + 100, b?", "100 is not a number"),
    ("a = 2 + 3, b = 4 + 5, c = a + a, c?", "used 2 times"),
    ("a = 2 - 3, a?", "whole number"),
    ("b = a + 3, b?", "before it is defined"),
    ("What is the capital of France?", "no puzzle"),
])
def test_what_the_model_cannot_take_says_why_and_what_it_can(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        pose(words)
    assert "a = 17 + 25" in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    sheet = parse_sheet(text)
    assert sheet is None or check(text, str(sheet.answer)) is True


def test_long_texts_are_not_read() -> None:
    assert parse_sheet("a = 1 + 1, " * LONGEST) is None


@pytest.mark.parametrize(("text", "answer"), [
    ("\na=1+1=2\nAnswer: 2", "2"), ("a=1+1=2\n</think>\nAnswer: 17\n", "17"),
    ("\na=1+1=2", None), ("Answer: 2\nb=", None), ("", None), ("Answer: x", None),
])
def test_the_answer_is_the_last_line(text: str, answer: str | None) -> None:
    assert read_answer(text) == answer


def test_answers_are_checked_exactly() -> None:
    assert check(DEMO, "161") is True
    assert [check(DEMO, wrong) for wrong in ("160", "no", "", None)] == [False] * 4
    assert check("a = 1 - 2, a?", "1") is None


# --- play --------------------------------------------------------------------------------------


def test_a_sheet_is_worked_out_as_the_card_shows() -> None:
    sheet = parse_sheet(DEMO)
    assert sheet is not None
    assert sheet_trace.sequential(sheet) == (
        "\na=17+25=a:42\nb=a:42*3;b:126\nc=81-46;c:35\nd=b:126+c:35?d:161\nAnswer: 161")
    assert str(sheet) == "Sheet\n1:a=17+25\nb=a*3;\n2:c=81-46;\nd=b+c?"
    assert sheet_trace.outlines(sheet) == (
        "<Parallel>\n<Outlines>\n<Outline>1: chain</Outline>\n<Outline>2: chain</Outline>\n"
        "</Outlines>")
    assert sheet_trace.threads(sheet) == (
        "a=17+25=a:42\nb=a:42*3;b:126</Thread>", "c=81-46;c:35</Thread>")
    assert sheet_trace.final(sheet) == (
        "</Parallel>\nd=b:126+c:35?d:161\n</think>\nAnswer: 161")


@pytest.mark.parametrize("width", [1, 2, 3, 8, 16])
def test_perfect_play_through_the_runtime_is_right_in_both_dialects(width: int) -> None:
    for sheet in sheets(width, 2):
        lone = run(sheet, Plan("sequential"))
        woven = run(sheet, Plan("native", "threadweaver"))
        for result in (lone, woven):
            assert (result.correct, result.fallback, result.warnings) == (True, None, ())
        assert woven.threads == (width + 1 if width > 1 else 1)
        assert woven.critical_path_tokens <= woven.total_tokens


def test_a_wide_sheet_has_a_short_path() -> None:
    sheet = sheets(16, 1)[0]
    lone, woven = run(sheet, Plan("sequential")), run(sheet, Plan("native", "threadweaver"))
    assert lone.total_tokens > 1.5 * woven.critical_path_tokens
