"""What the comparison with peers counts by: the ideal, and the ledger of the paced upstream."""

import pytest

from benchmarks.peers.cases import ANSWER, CASES, PARTS, POINTS, SAMPLES, Pace, ideal
from benchmarks.peers.upstream import Asked, ledger

PACE = Pace(token=0.01, read=0.001)


def test_points_wait_for_the_outline_and_the_answer_for_the_longest() -> None:
    assert ideal("skeleton", PACE, 30) == pytest.approx(0.01 * (30 + max(POINTS.values())))


def test_parts_wait_for_their_line_of_the_plan_and_for_what_they_need() -> None:
    chain = PARTS["walls"].tokens + PARTS["roof"].tokens + PARTS["heating"].tokens
    assert ideal("plan", PACE, 100) == pytest.approx(0.01 * (40 + chain + ANSWER))
    late = 100_000  # the last line of so long a plan comes after everything else is done
    last = list(PARTS.values())[-1].tokens
    assert ideal("plan", PACE, late) == pytest.approx(0.01 * (late + last + ANSWER))


def test_a_vote_waits_until_the_others_cannot_turn_it() -> None:
    tokens = int(ideal("vote", PACE, 0) / 0.01 + 0.5)
    done = [answer for length, answer in SAMPLES if length <= tokens]
    assert done.count(42) > len(SAMPLES) / 2
    before = [answer for length, answer in SAMPLES if length < tokens]
    assert before.count(42) <= len(SAMPLES) / 2


def test_the_longest_path_is_what_was_written_one_after_the_other() -> None:
    first = Asked(began=0.0, prompt=10, new=10, tokens=20, ended=0.21)
    beside = Asked(began=0.001, prompt=10, new=10, tokens=50, ended=0.511)
    then = Asked(began=0.3, prompt=40, new=0, tokens=30, ended=0.6)
    found = ledger([first, beside, then], PACE)
    assert (found["calls"], found["prompt"], found["read"]) == (3, 60, 20)
    assert found["generated"] == 100
    assert found["path"] == 29 + 30  # `beside` had written 29 when the last one began


def test_a_call_that_was_left_early_wrote_what_it_had_time_for() -> None:
    left = Asked(began=1.0, prompt=10, new=10, tokens=50, ended=1.11)
    assert ledger([left], PACE)["generated"] == 10


@pytest.mark.parametrize("name", CASES)
def test_every_case_answers_whoever_asks(name: str) -> None:
    case = CASES[name]
    body = {"messages": [{"role": "user", "content": case.question}]}
    assert case.script(body, 0)
