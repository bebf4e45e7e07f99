"""People's phrasings, the limits of plait-nano, prompts, and answers read back."""

import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.puzzles import Problem, check, generate, parse, read_answer, render, understand
from plait.puzzles.countdown_text import LONGEST, Dialect, child_prompt, current_state, limits

DEMO = Problem(92, (46, 39, 29, 20))
DIALECTS: tuple[Dialect, ...] = ("sequential", "apr", "threadweaver")

PHRASINGS = [
    "Make 92 from 46, 39, 29 and 20",
    "make 92 from 46, 39, 29, 20.",
    "Make 92 from 46 39 29 20",
    "Make 92 out of 46, 39, 29, and 20!",
    "Please make 92 using only the numbers 46, 39, 29 and 20.",
    "MAKE 92 WITH [46, 39, 29, 20]",
    "Can you reach 92 with 46, 39, 29 and 20?",
    "How do I get 92 from 46, 39, 29 and 20?",
    "How do you get to 92 using 46, 39, 29, 20?",
    "Combine 46, 39, 29 and 20 to get 92",
    "combine the numbers 46, 39, 29 & 20 into an expression that equals 92",
    "What combination of 46, 39, 29 and 20 gives 92?",
    "Use 46, 39, 29 and 20 to make 92",
    "Using the numbers [46, 39, 29, 20], create an equation that equals 92. You can use basic "
    "arithmetic operations (+, -, *, /) and each number can only be used once.",
    "Using 46, 39, 29 and 20, each once, with + - * and /, reach 92.",
    "With the numbers 46, 39, 29 and 20, how do I get 92?",
    "Given the numbers 46, 39, 29 and 20, find a way to make 92.",
    "Given 46; 39; 29; 20: produce 92",
    "I have the numbers 46, 39, 29 and 20. Make 92.",
    "How can 46, 39, 29 and 20 make 92?",
    "Form 92 by using 46, 39, 29, 20",
    "Obtain 92 with the following numbers: 46, 39, 29, 20",
    "Find an expression equal to the target: 92 from 46, 39, 29, 20",
    "countdown 92: 46 39 29 20",
    "Countdown: 92 from 46, 39, 29, 20",
    "Target 92, numbers 46, 39, 29, 20",
    "Target: 92. Numbers: 46, 39, 29, 20.",
    "The target is 92. The numbers are 46, 39, 29 and 20.",
    "Target = 92; numbers = [46, 39, 29, 20]",
    "Numbers: 46, 39, 29, 20. Target: 92",
    "The numbers are 46, 39, 29 and 20, and the target is 92.",
    "numbers: (46, 39, 29, 20) target: 92",
    "Numbers: 46, 39, 29, 20\nTarget: 92\n",
    "92: 46, 39, 29, 20",
    "92:[46, 39, 29, 20]",
    "  Make\t92\n from   46,39,29,20  ",
]


@pytest.mark.parametrize("words", PHRASINGS)
def test_a_problem_is_understood_however_it_is_put(words: str) -> None:
    assert parse(words) == DEMO
    assert understand(words) == DEMO


@pytest.mark.parametrize("words", [
    "", "hello", "What is 12 + 30?", "Make me a sandwich from bread", "make 92",
    "Prove that there are 2 primes from 10 to 20", "Make 92 from 46",
    "Make 9.5 from 1, 2 and 3", "Make 92 from 46, 39, 29 and 2.5", "Make -5 from 1, 2 and 3",
    "Make 92 from 46, -39, 29", "Make 1234567890 from 1, 2 and 3", "Make 9 from 1, 1234567890",
    "Nineteen people have 3, 4 and 5 apples each; how many are there?",
])
def test_other_questions_are_no_problem(words: str) -> None:
    assert parse(words) is None
    assert check(words, "1+1=2") is None


@given(st.text(max_size=300) | st.text("make from 0123456789,;and[]. ", max_size=300))
def test_any_text_is_read_without_harm(words: str) -> None:
    problem = parse(words)
    assert problem is None or len(problem.numbers) >= 2


@pytest.mark.parametrize("unit", [
    " ", "1 ", "1, and ", "1 , ", "use 1, ", "make 1 from ", "use the numbers ", "1  2   ", "(1 ",
    "target 1 numbers 2, ", "use : ", "and ", "9", "use 1 2 3 ",
])
def test_long_nonsense_is_turned_down_at_once(unit: str) -> None:
    for lead in ("", "use ", "make 9 from ", "make 9 with the "):
        words = (lead + unit * LONGEST)[:LONGEST]
        began = time.perf_counter()
        parse(words)
        parse(words[:-1] + "x")
        assert time.perf_counter() - began < 0.5
    assert parse(PHRASINGS[0] + unit * LONGEST) is None, "longer texts are not read"


@pytest.mark.parametrize(("words", "why"), [
    ("Make 92 from 46 and 39", "2 numbers are given"),
    ("Make 92 from 1, 2, 3, 4 and 5", "5 numbers are given"),
    ("Make 92 from 46, 39, 29 and 51", "51 is not a number from 1 to 50"),
    ("Make 92 from 46, 39, 29 and 0", "0 is not a number from 1 to 50"),
    ("Make 100 from 46, 39 and 29", "the target 100 is not from 10 to 99"),
    ("Make 9 from 4, 3 and 2", "the target 9 is not from 10 to 99"),
    ("What is the capital of France?", "no countdown problem"),
])
def test_what_plait_nano_cannot_play_is_refused_with_what_it_can(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        understand(words)
    assert "Make 92 from 46, 39, 29 and 20" in str(caught.value)


def test_every_problem_that_is_generated_is_within_the_limits() -> None:
    made = generate(3, 4, "natural")
    assert all(limits(next(made)) is None for _ in range(50))


def test_prompts_are_as_apr_published_them() -> None:
    state = "Current State: 92:[46, 39, 29, 20], Operations: []"
    assert render(DEMO, "sequential") == state
    assert render(DEMO, "apr") == f"Moving to Node #0\n{state}"
    assert child_prompt(Problem(92, (29, 20, 85)), ("46+39=85",), 0) == (
        "Moving to Node #0,0\nCurrent State: 92:[85, 29, 20], Operations: ['46+39=85']")
    assert current_state(DEMO, ("1+2=3", "3+4=7")).endswith("Operations: ['1+2=3', '3+4=7']")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prompt_is_itself_a_phrasing(dialect: Dialect) -> None:
    made = generate(4, 4, "natural")
    for problem in (next(made) for _ in range(20)):
        assert parse(render(problem, dialect)) == problem


@pytest.mark.parametrize(("text", "answer"), [
    ("\n50-9=41 41 7:48.\n9+1=10,10+9=19\n19,19 equal: Goal Reached", "9+1=10,10+9=19"),
    ("19,19 equal: Goal Reached\n9+1=10,10+9=19\n19,19 equal: Goal Reached\n",
     "9+1=10,10+9=19"),
    ("\n50-9=41 41 7:48.\nNo solution found.", "no"),
    ("\nNo solution found.\n", "no"),
])
def test_answers_are_read(text: str, answer: str) -> None:
    assert read_answer(text) == answer


@pytest.mark.parametrize("text", [
    "", "\n",
    "\n50-9=41 41 7:48.\n50+9=59",
    "\n50-9=41 41 7:48.\n9+1=10,10+9=19",
    "\n9+1=10 10 9:19!\n19,19 equal: Goal Reached",
    "9+1=10,10+9=19\n18,19 equal: Goal Reached",
    "<Sub Searches>\n<No Solution in Sub Search 0 at level 1 at Node #0,0>",
    "No solution found",
])
def test_a_text_that_was_cut_off_or_broken_holds_no_answer(text: str) -> None:
    assert read_answer(text) is None


@given(st.text(max_size=200))
def test_reading_an_answer_never_raises(text: str) -> None:
    assert read_answer(text) in (None, "no") or read_answer(text)


def test_random_cuts_of_a_text_never_give_another_answer() -> None:
    whole = "\n50-9=41 41 7:48.\n9+1=10 10 9:19!\n19,19 equal: Goal Reached\n" \
            "9+1=10,10+9=19\n19,19 equal: Goal Reached"
    found = {read_answer(whole[:n]) for n in range(len(whole))}
    assert found == {None}


def test_a_text_with_noise_is_not_taken_for_an_answer() -> None:
    noise = random.Random(1)
    for _ in range(200):
        junk = "".join(noise.choices(string.printable, k=40))
        assert read_answer(f"9+1=10{junk}x") is None
