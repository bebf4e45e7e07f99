"""Votes: what wins, that order does not matter, and when counting may stop."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core import Part, Request, Verdict
from plait.merge import Confidence, cannot_turn, is_sure, least_votes, tally
from plait.merge.votes import decide, is_tie, lead

ASK = Request(prompt="q")
answers = st.sampled_from(["1", "2", "3", "1.0", "x", "X "])
confidences = st.floats(0.01, 1.0)
voters = st.lists(st.builds(
    lambda value, sure, ok: Part(f"It is {value}", value, ok=ok, confidence=sure),
    answers, confidences, st.booleans()), min_size=1, max_size=12)


def parts(*values: str, sure: float | None = None) -> list[Part]:
    return [Part(f"{v} by {k}", v, confidence=sure) for k, v in enumerate(values)]


@pytest.mark.parametrize("weigh", ["majority", "confidence"])
@given(st.data())
def test_the_order_of_the_parts_never_matters(weigh: str, data: st.DataObject) -> None:
    found = data.draw(voters)
    again = data.draw(st.permutations(found))
    first, second = (tally(p, "", weigh, seed=3) for p in (found, again))  # type: ignore[arg-type]
    assert [(c.key, c.votes, c.weight) for c in first] == [
        (c.key, c.votes, c.weight) for c in second]
    if first:
        assert first[0].best.text == second[0].best.text


@given(voters)
def test_the_winner_has_most_votes_and_every_usable_vote_is_counted(found: list[Part]) -> None:
    candidates = tally(found, "", "majority")
    assert sum(c.votes for c in candidates) == sum(p.usable for p in found)
    if candidates:
        assert candidates[0].votes == max(c.votes for c in candidates)


def test_numbers_written_differently_are_one_answer() -> None:
    outcome, why = decide(parts("7", "0.5", "1/2", "\\frac{1}{2}"), ASK, "majority")
    assert outcome.value in ("0.5 by 1", "1/2 by 2", "\\frac{1}{2} by 3")
    assert why.startswith("vote (majority): 3 of 4 for ")


def test_confidence_can_turn_a_majority() -> None:
    found = [Part("a", "a", confidence=0.2), Part("a", "a", confidence=0.2),
             Part("b", "b", confidence=0.9)]
    assert decide(found, ASK, "majority")[0].value == "a"
    assert decide(found, ASK, "confidence")[0].value == "b"


def test_of_equal_answers_the_most_confident_one_is_given() -> None:
    found = [Part("weak", "1", confidence=0.3), Part("strong", "1", confidence=0.8)]
    assert decide(found, ASK, "majority")[0].value == "strong"


def test_without_log_probabilities_every_vote_counts_one_and_that_is_said() -> None:
    found = [Part("a", "a", confidence=0.9), Part("b", "b"), Part("b", "b")]
    outcome, why = decide(found, ASK, "confidence")
    assert outcome.value == "b"
    assert why.endswith("the engine gave no log-probabilities")


def test_a_tie_is_drawn_by_the_seed_and_favours_no_answer() -> None:
    winners = [decide(parts("1", "2"), Request(prompt="q", seed=s), "majority")[0].value
               for s in range(40)]
    assert 5 < sum(w == "1 by 0" for w in winners if w) < 35
    assert "; a tie, drawn by lot" in decide(parts("1", "2"), ASK, "majority")[1]
    assert is_tie(tally(parts("1", "2"), "", "majority"))
    assert not is_tie(tally(parts("1", "1"), "", "majority"))


def test_failed_and_rejected_parts_do_not_vote() -> None:
    found = [Part("a", "a", ok=False), Part("a", "a", verdict=Verdict(False)), Part("b", "b"),
             Part("c")]
    assert [c.key for c in tally(found, "", "majority")] == ["choice b"]
    assert decide(found[:2], ASK, "majority")[0].reason == "no part can be used"
    reason = decide(found[3:], ASK, "majority")[0].reason
    assert reason.startswith("no part has a short answer to vote on")


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=6), st.integers(0, 4))
def test_a_vote_that_cannot_turn_is_not_turned_by_any_votes_to_come(
    so_far: list[str], remaining: int
) -> None:
    candidates = tally(parts(*so_far), "", "majority")
    worst = [tally(parts(*so_far, *coming), "", "majority")
             for coming in product("abc", repeat=remaining)]
    turned = any(is_tie(w) or w[0].key != candidates[0].key for w in worst)
    assert cannot_turn(candidates, remaining) == (not turned)


def test_nothing_is_certain_before_anybody_voted() -> None:
    assert not cannot_turn([], 0)
    assert not is_sure([])


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_posterior_is_the_integral_of_the_beta_density(first: int, second: int) -> None:
    steps = 2000
    grid = [(k + 0.5) / steps for k in range(steps)]
    density = [x**first * (1 - x) ** second for x in grid]
    expected = sum(density[steps // 2 :]) / sum(density)
    assert lead(first, second) == pytest.approx(expected, abs=1e-4)


def test_four_equal_votes_decide_at_95_percent_and_three_do_not() -> None:
    assert is_sure(tally(parts(*"aaaa"), "", "majority"))
    assert not is_sure(tally(parts(*"aaa"), "", "majority"))
    assert least_votes(0.95) == 4
    assert least_votes(0.95, 1) == 6
    assert lead(2000, 10) == 1.0


def test_the_confidence_is_that_of_the_least_sure_window() -> None:
    whole = Confidence(window=4)
    whole.feed([math.log(0.9)] * 4)
    assert whole.value == pytest.approx(0.9)
    whole.feed([math.log(0.1)] * 4)
    whole.feed([math.log(0.9)] * 100)
    assert whole.value == pytest.approx(0.1)


def test_a_short_text_is_one_window_and_no_text_has_no_confidence() -> None:
    short = Confidence()
    assert short.value is None
    short.feed([-1.0, -3.0])
    assert short.value == pytest.approx(math.exp(-2.0))
    short.feed([float("-inf")])
    assert 0.0 <= (short.value or 0.0) < 1e-10


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=60), st.integers(1, 8))
def test_the_running_minimum_is_that_of_all_windows(values: list[float], window: int) -> None:
    running = Confidence(window)
    running.feed(values)
    windows = [values[k : k + window] for k in range(max(1, len(values) - window + 1))]
    lowest = min(sum(w) / len(w) for w in windows)
    assert running.value == pytest.approx(math.exp(lowest), rel=1e-6, abs=1e-9)
