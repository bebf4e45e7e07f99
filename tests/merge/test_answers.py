"""When two short answers are the same, and where the short answer stands in a text."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.answers import canonical, read_number, read_value

PUZZLE = "Make 92 from 46, 39, 29 and 20"


@pytest.mark.parametrize("same", [
    ("0.5", "1/2", ".50", "$\\frac{1}{2}$", "\\boxed{\\frac{1}{2}}", "x = 0.5", "**0.5**", "5e-1",
     "\\dfrac{1}{2}", "0.5."),
    ("1,234", "1234", "1234.0", "+1234", "1.234e3"),
    ("-3", "−3", "-3.0"),
    ("(B)", "b", "B.", "option B", "b)"),
    ("Paris", "paris.", " **Paris** ", '"Paris"'),
    ("(1, 2)", "(1,2)", "( 1 , 2 )"),
    ("\\text{yes}", "yes"),
])
def test_equal_answers_have_one_key(same: tuple[str, ...]) -> None:
    assert len({canonical(answer) for answer in same}) == 1


@pytest.mark.parametrize("different", [
    ("1", "2", "1.0000001", "10"), ("5", "5 m", "5%"), ("1/2", "2/1", "1/0"),
    ("Paris", "London"), ("x^2", "2^x"), ("(1,2)", "[1,2]"), ("1,23", "123"), ("", "."),
])
def test_different_answers_have_different_keys(different: tuple[str, ...]) -> None:
    assert len({canonical(answer) for answer in different}) == len(different)


def test_right_solutions_of_a_puzzle_are_one_answer_and_wrong_ones_are_not() -> None:
    right = ("39-29=10,20/10=2,46*2=92", "46 * (20 / (39 - 29))")
    assert {canonical(answer, PUZZLE) for answer in right} == {"right"}
    assert canonical("46+46=92", PUZZLE) != canonical("no", PUZZLE)
    assert "right" not in (canonical("46+46=92", PUZZLE), canonical("no", PUZZLE))


@given(st.fractions())
def test_every_fraction_is_read_back(value: Fraction) -> None:
    assert read_number(f"{value.numerator}/{value.denominator}") == value
    assert read_number(f"\\frac{{{value.numerator}}}{{{value.denominator}}}") == value


@given(st.integers(-10**12, 10**12))
def test_thousands_separators_change_nothing(value: int) -> None:
    assert read_number(f"{value:,}") == value == read_number(str(value))


@given(st.text(max_size=300))
def test_any_text_has_a_key_and_the_key_is_stable(text: str) -> None:
    assert canonical(text) == canonical(text)
    assert canonical(text + " ") == canonical(text) or not text.strip()


@pytest.mark.parametrize(("text", "value"), [
    ("So we get it.\nAnswer: 42", "42"),
    ("Answer: 1\nNo, wait.\n**Answer:** 42", "42"),
    ("**Final answer: 42**", "42"),
    ("Answer: **42**.", "42."),
    ("The answer is 42.", "42."),
    ("the final answer is: \\(42\\)", "\\(42\\)"),
    ("Therefore \\boxed{\\frac{1}{2}} holds, as we said above.\nQED", "\\frac{1}{2}"),
    ("42", "42"),
    ("Answer: 42\nAnswer: ...", "42"),
    ("One line.\nAnother line.", None),
    ("Answer: " + "x" * 300, None),
    ("\\boxed{never closed", "\\boxed{never closed"),
    ("", None),
])
def test_the_short_answer_is_found(text: str, value: str | None) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", [
    "answer" + " *_" * 100_000, "answer is " * 50_000, "\\boxed{" * 50_000, "9" * 100_000,
    "1," * 100_000, "x=" * 100_000, "$" * 100_000,
])
def test_hostile_text_is_read_in_no_time(text: str) -> None:
    start = time.perf_counter()
    canonical(text)
    read_value(text)
    assert time.perf_counter() - start < 1.0
