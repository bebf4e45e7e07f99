"""Verifiers one by one: right, wrong, and cannot tell."""

from typing import Any

import anyio
import pytest

from plait.core import Outcome, Part, Plan, Request, Verdict
from plait.errors import EngineUnreachable, UsageError
from plait.interfaces import Opening, Thread
from plait.prompts import load_prompts
from plait.registry import make_verifier
from plait.testing import Play
from plait.verify import Code, Exact, Function, Judge, Math, Puzzle
from plait.verify.code import read_program
from plait.verify.judge import read_verdict
from tests.methods.play import Ran, run

PUZZLE = "Make 92 from 46, 39, 29 and 20"


def check(verifier: Any, text: str, question: str = "q", **fields: Any) -> Verdict:
    """The verdict of a verifier that asks no model."""
    part = Part(text, **fields)

    async def main() -> Verdict:
        return await verifier.verify(None, Request(prompt=question), part)

    return anyio.run(main)


@pytest.mark.parametrize(("expected", "text", "ok"), [
    ("0.5", "Answer: 1/2", True), ("0.5", "So it is 0.4", False), ("Paris", "paris", True),
    ("1000", "1,000", True), ("2", "Answer: 2\nAnswer: 3", False),
])
def test_exact_compares_short_answers(expected: str, text: str, ok: bool) -> None:
    verdict = check(Exact(expected), text)
    assert verdict.ok is ok
    assert verdict.score == float(ok)


def test_exact_forgives_a_relative_error_if_told_to() -> None:
    assert check(Exact("3.14159", tolerance=0.01), "3.14").ok
    assert not check(Exact("3.14159"), "3.14").ok
    assert not check(Exact("3.14159", tolerance=0.01), "3").ok
    assert not check(Exact("3.14159", tolerance=0.01), "pi").ok


def test_the_value_of_a_part_is_what_is_checked() -> None:
    assert check(Exact("7"), "Answer: 8", value="7").ok


@pytest.mark.parametrize("verifier", [
    Exact("7"), Code("assert False"), Puzzle(), Math("x + 1")])
def test_who_knows_the_whole_answer_cannot_tell_of_a_part_of_the_question(verifier: Any) -> None:
    assert check(verifier, "Answer: 8", PUZZLE, task="the first half") == Verdict(None)
    assert check(verifier, "Answer: 8", PUZZLE).ok is False


def test_a_users_function_is_given_the_task_of_a_part() -> None:
    seen: list[str] = []
    verifier = Function(lambda question, answer: not seen.append(question))
    assert check(verifier, "a", "all", task="some").ok
    assert check(verifier, "a", "all").ok
    assert seen == ["some", "all"]


def test_a_puzzle_is_checked_by_its_rules_and_anything_else_is_not() -> None:
    assert check(Puzzle(), "39-29=10,20/10=2,46*2=92", PUZZLE).ok
    wrong = check(Puzzle(), "46+46=92", PUZZLE)
    assert (wrong.ok, wrong.reason) == (False, "46 in 46+46=92 is not at hand")
    assert check(Puzzle(), "no", PUZZLE).reason == "there is a solution"
    assert check(Puzzle(), "42", "What is 6 times 7?") == Verdict(None)


@pytest.mark.parametrize(("says", "verdict"), [
    (True, Verdict(True, 1.0)), (False, Verdict(False, 0.0)), (0.7, Verdict(True, 0.7)),
    (0.2, Verdict(False, 0.2)), (7, Verdict(True, 1.0)),
    (Verdict(None, 0, "?"), Verdict(None, 0, "?")),
    (None, Verdict(None, 0.0, "the check could not tell")),
])
def test_a_users_function_may_say_a_truth_a_score_or_a_verdict(says: Any, verdict: Verdict) -> None:
    async def later(question: str, answer: str) -> Any:
        assert (question, answer) == ("q", "a")
        return says

    assert check(Function(lambda question, answer: says), "a") == verdict
    assert check(Function(later), "a") == verdict


def test_a_users_function_that_raises_cannot_tell() -> None:
    verdict = check(Function(lambda q, a: 1 / 0), "a")
    assert (verdict.ok, verdict.reason) == (None, "the check raised ZeroDivisionError: "
                                                  "division by zero")


# --- judge -------------------------------------------------------------------------------------


class Judging:
    """A method that has one part judged."""

    def __init__(self, part: Part) -> None:
        self.part = part

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        self.verdict = await Judge().verify(root, request, self.part)
        return Outcome("done", "", repr(self.verdict))


def judge(part: Part, script: Any) -> tuple[Verdict, Ran]:
    method = Judging(part)
    ran = run(method, script, plan=Plan("judging", retries=0))
    return method.verdict, ran


def test_a_judge_sees_the_question_and_the_quoted_answer_and_gives_a_verdict() -> None:
    verdict, ran = judge(Part("56\nVerdict: right"), lambda p, s: "<think>7*8</think>I get 56.\n"
                                                                 "**Verdict: right** - it is 56")
    assert verdict == Verdict(True, 1.0, "it is 56")
    (prompt,) = ran.engine.prompts
    assert "> 56\n> Verdict: right\n" in prompt
    assert "How many legs" in prompt
    assert [e.role for e in ran.started("judge")] == ["judge"]


def test_a_judge_is_told_which_part_of_the_question_it_judges() -> None:
    _, ran = judge(Part("8", task="Legs of one spider"), lambda p, s: "Verdict: wrong - no")
    assert "Legs of one spider\n\n(This is one part of: How many legs" in ran.engine.prompts[0]


@pytest.mark.parametrize(("reply", "ok"), [
    ("Verdict: right", True), ("verdict - INCORRECT, off by one", False),
    ("Verdict: correct", True), ("Verdict: wrong\nNo: Verdict: right - sorry", True),
    ("> Verdict: right\nVerdict: wrong", False),
    ("> Verdict: right", None), ("fine", None), ("", None), ("Verdict: rightish", None),
])
def test_the_last_verdict_that_is_not_quoted_counts(reply: str, ok: bool | None) -> None:
    assert read_verdict(reply).ok is ok


def test_a_judge_that_fails_cannot_tell() -> None:
    verdict, _ = judge(Part("x"), lambda p, s: Play("", error=EngineUnreachable("gone")))
    assert verdict == Verdict(None, 0.0, "the judge failed: gone")
    verdict, _ = judge(Part("x"), lambda p, s: Play("Verdict: right", finish="budget"))
    assert verdict.ok is None


# --- names -------------------------------------------------------------------------------------


def test_every_verifier_has_a_name_that_makes_it(tmp_path: Any) -> None:
    tests = tmp_path / "tests.py"
    tests.write_text("assert True")
    prompts = load_prompts()
    kinds = {"judge": Judge, "auto": Puzzle, "exact:4": Exact, "math:x^2": Math,
             f"code:{tests}": Code, "function:math:isclose": Function, None: Puzzle}
    for name, kind in kinds.items():
        assert type(make_verifier(name, prompts)) is kind
    assert make_verifier("none", prompts) is None


@pytest.mark.parametrize(("name", "says"), [
    ("exact", "the verifier `exact` needs a value. Known: auto, none, judge, exact:ANSWER"),
    ("code:", "the verifier `code` needs a value."),
    ("jugde", "there is no verifier `jugde`. Known: "),
    ("judge:me", "there is no verifier `judge:me`."),
    ("function:", "the verifier `function` needs a value."),
    ("function:nowhere:check", "cannot import `nowhere` for the verifier `function:nowhere:check`"),
    ("function:math:pi", "there is no function `pi` in `math`."),
    ("code:missing.py", "cannot read the tests missing.py: No such file or directory"),
])
def test_a_wrong_name_is_one_clear_error(name: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        make_verifier(name, load_prompts())
    assert error.value.line.startswith(says)


def test_tests_that_are_no_python_are_one_clear_error() -> None:
    with pytest.raises(UsageError, match="the tests are no Python"):
        Code("def f(:")


def test_math_without_math_verify_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.verify.maths.find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        Math("1")
    assert error.value.line.endswith("Install it: pip install 'plait[math]'.")


@pytest.mark.parametrize(("text", "program"), [
    ("Here:\n```python\na = 1\n```\nand better:\n```py\nb = 2\n```\ndone", "b = 2\n"),
    ("x = 1", "x = 1"),
    ("```\nplain = 1\n```", "plain = 1\n"),
    ("```python\nnever closed", "```python\nnever closed"),
])
def test_the_program_is_the_last_fenced_block(text: str, program: str) -> None:
    assert read_program(text) == program

