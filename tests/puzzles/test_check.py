"""The exact checker: what is right, what is wrong and why, and that nothing is ever evaluated."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plait.puzzles import Problem, check, check_countdown, generate, search, to_expression
from plait.puzzles.countdown import NUMBERS, TARGETS, results
from plait.puzzles.countdown_check import LONGEST

DEMO = Problem(92, (46, 39, 29, 20))
QUESTION = "Make 92 from 46, 39, 29 and 20"
STEPS = ",".join(search(DEMO).path or ())

problems = st.builds(
    Problem, st.sampled_from(TARGETS),
    st.lists(st.sampled_from(NUMBERS), min_size=3, max_size=4).map(tuple))
solvable = st.builds(
    lambda seed, size: next(generate(seed, size, "natural")),
    st.integers(0, 10_000), st.sampled_from((3, 4)))


def reason(answer: str, problem: Problem = DEMO) -> str:
    verdict = check_countdown(problem, answer)
    assert not verdict.correct
    return verdict.reason


@given(solvable)
@settings(max_examples=60, deadline=None)
def test_what_the_search_finds_is_right_as_steps_and_as_an_expression(problem: Problem) -> None:
    path = search(problem).path
    assert path is not None
    steps, expression = ",".join(path), to_expression(path)
    for answer in (steps, steps.replace(",", "\n"), expression, f"{expression} = {problem.target}",
                   f" {expression}. ", expression.replace(" ", "").replace("*", "×")):
        assert check_countdown(problem, answer).correct, answer


@given(solvable, st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_digit_is_never_right(problem: Problem, data: st.DataObject) -> None:
    steps = ",".join(search(problem).path or ())
    place = data.draw(st.sampled_from([k for k, c in enumerate(steps) if c.isdigit()]))
    digit = data.draw(st.sampled_from("0123456789"))
    assume(digit != steps[place])
    assert not check_countdown(problem, steps[:place] + digit + steps[place + 1 :]).correct


@given(problems, st.text(max_size=60) | st.text("0123456789+-*/()=,. \n", max_size=60))
def test_junk_never_raises(problem: Problem, junk: str) -> None:
    assert check_countdown(problem, junk).reason


@pytest.mark.parametrize(("answer", "why"), [
    ("", "the answer is empty"),
    ("  . ", "the answer is empty"),
    ("46+39=86", "46+39=86 is wrong"),
    ("46+39=85", "not every number is used: [85, 29, 20] are left"),
    ("46+46=92", "46 in 46+46=92 is not at hand"),
    ("46+39=85,85+29=114,114-20=94", "the result is 94, not 92"),
    ("46 + 39 + 29", "20 is not used"),
    ("46 + 39 + 29 + 20 + 20", "20 is used more often than it is given"),
    ("46 + 39 + 29 + 20", "the result is 134, not 92"),
    ("46 + 39 + 29 + 20 = 92", "46 + 39 + 29 + 20 is 134, not 92"),
    ("46 + 39 + (29 + 20", "a parenthesis is not closed"),
    ("46 + 39 + 29 + 20)", "unexpected ')'"),
    ("46 + 39 +", "a number is missing"),
    ("46 / (39 - 39)", "it divides by zero"),
    ("46/0=1", "it divides by zero"),
    ("-46 + 39", "a number is missing"),
    ("46 ** 39", "a number is missing"),
    ("__import__('os').system('true')", "cannot read"),
    ("9**9**9**9", "a number is missing"),
    ("1e9 + 1", "cannot read"),
    ("46.0 + 39", "cannot read"),
    ("(" * 60 + "1" + ")" * 60, "parentheses are nested too deeply"),
    ("1+" * LONGEST, "longer than"),
    ("1234567890 + 1", "cannot read"),
])
def test_a_wrong_answer_is_told_why(answer: str, why: str) -> None:
    assert why in reason(answer)


def test_arithmetic_is_exact() -> None:
    thirds = Problem(10, (3, 3, 30, 1))
    assert not check_countdown(thirds, "1 / 3 * 3 * 30").correct
    assert check_countdown(Problem(24, (8, 8, 3, 3)), "8 / (3 - 8 / 3)").correct
    assert "2/3" in reason("2 / 3 + 1 - 1", Problem(11, (3, 2, 1, 1)))


def test_an_expression_may_leave_the_limits_of_the_search() -> None:
    assert check_countdown(Problem(50, (50, 50, 49, 1)), "50 * 50 / (49 + 1)").correct


def test_steps_may_use_equal_numbers_and_results_in_any_order() -> None:
    doubles = Problem(20, (5, 5, 5, 5))
    assert check_countdown(doubles, "5+5=10; 5+5=10; 10+10=20").correct
    assert not check_countdown(doubles, "5+5=10,10+10=20").correct


def test_the_demo_has_an_answer_for_people() -> None:
    assert STEPS == "39-29=10,20/10=2,46*2=92"
    assert to_expression(STEPS) == "46 * (20 / (39 - 29))"


def test_parentheses_stand_where_they_change_or_clear_the_meaning() -> None:
    assert to_expression("9-5=4,4-3=1,8-1=7") == "8 - (9 - 5 - 3)"
    assert to_expression("9/3=3,12/3=4") == "12 / (9 / 3)"
    assert to_expression(["2+1=3", "3*4=12"]) == "(2 + 1) * 4"


@pytest.mark.parametrize("text", ["", "no", "12", "1+1", "1+1=2, and so on"])
def test_only_steps_become_an_expression(text: str) -> None:
    with pytest.raises(ValueError, match="not a list of steps"):
        to_expression(text)


@given(st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_any_steps_keep_their_value_as_an_expression(
    numbers: list[int], data: st.DataObject
) -> None:
    given_numbers, steps = tuple(numbers), []
    while len(numbers) > 1:
        a, b = sorted((numbers.pop(data.draw(st.integers(0, len(numbers) - 1)))
                       for _ in range(2)), reverse=True)
        symbol, value = data.draw(st.sampled_from(results(a, b) or (("+", a + b),)))
        steps.append(f"{a}{symbol}{b}={value}")
        numbers.append(value)
    problem = Problem(numbers[0], given_numbers)
    assert check_countdown(problem, ",".join(steps)).correct
    assert check_countdown(problem, to_expression(steps)).correct


@pytest.mark.parametrize(("question", "answer", "right"), [
    (QUESTION, STEPS, True),
    (QUESTION, to_expression(STEPS), True),
    (QUESTION, "46+46=92", False),
    (QUESTION, None, False),
    (QUESTION, "no", False),
    (QUESTION, "No solution found.", False),
    ("Make 99 from 1, 1 and 1", "no", True),
    ("Make 99 from 1, 1 and 1", "No solution.", True),
    ("Make 99 from 1, 1 and 1", "1+1=2", False),
    ("What is 1+1?", "2", None),
    ("What is 1+1?", None, None),
    ("Make 9999 from 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10", "no", None),
])
def test_an_answer_to_a_question_is_judged_where_the_question_is_ours(
    question: str, answer: str | None, right: bool | None
) -> None:
    assert check(question, answer) is right
