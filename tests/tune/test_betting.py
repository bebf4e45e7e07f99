"""An experiment that is looked at after every problem errs no more often than it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plait.tune.betting import ALPHA, Bets, evidence

EXPERIMENTS = 1000
LONGEST = 400
DIFFER = 0.35
"""The share of problems on which two policies differ."""


def draws(gain: float, differ: float, seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Differences of right answers: 1 or -1 with a chance of ``differ``, ``gain`` on average."""
    random = np.random.default_rng(seed)
    up = (differ + gain) / 2
    return random.choice([1.0, -1.0, 0.0], p=[up, differ - up, 1 - differ], size=shape)


def stops(differences: np.ndarray) -> np.ndarray:
    """Problems after which each experiment stops; infinite for those that never do."""
    reached = np.array([evidence(row) >= 1 / ALPHA for row in differences])
    return np.where(reached.any(1), reached.argmax(1) + 1, np.inf)


def fixed_size(gain: float, differ: float) -> int:
    """Problems for which the two-sided paired z test at 5 % has a power of 80 %."""
    return math.ceil((1.96 * math.sqrt(differ) + 0.8416 * math.sqrt(differ - gain**2)) ** 2
                     / gain**2)


@pytest.mark.parametrize("differ", [0.1, 0.3, 0.9])
def test_no_effect_is_claimed_in_at_most_5_percent_of_1000_experiments(differ: float) -> None:
    found = stops(draws(0.0, differ, 7, (EXPERIMENTS, LONGEST))) <= LONGEST
    assert found.sum() <= 0.05 * EXPERIMENTS


def test_skewed_differences_of_mean_zero_are_no_effect_either() -> None:
    random = np.random.default_rng(5)
    skewed = np.where(random.random((EXPERIMENTS, LONGEST)) < 0.1, 0.9, -0.1)
    assert (stops(skewed) <= LONGEST).sum() <= 0.05 * EXPERIMENTS


def test_looking_after_every_problem_would_ruin_the_fixed_test() -> None:
    """Why all this: the plain test, looked at after every problem from the tenth on."""
    d = draws(0.0, 0.3, 7, (EXPERIMENTS, LONGEST))
    z = d.cumsum(1) / np.sqrt(np.maximum(1, (d**2).cumsum(1)))
    assert (np.abs(z[:, 10:]) > 1.96).any(1).mean() > 0.2


@pytest.mark.parametrize(("gain", "saved"), [(0.15, 0.45), (0.2, 0.65), (0.3, 0.85)])
def test_planted_effects_are_found_earlier_than_by_the_fixed_test(
    gain: float, saved: float
) -> None:
    """The fixed test is planned for an effect of 0.1, the smallest that would matter, and has to
    run to its end whatever it sees. Larger effects are found long before that."""
    planned = fixed_size(0.1, DIFFER)
    when = stops(draws(gain, DIFFER, 11, (EXPERIMENTS, planned)))
    assert (when <= planned).mean() >= 0.9
    assert np.minimum(when, planned).mean() <= (1 - saved) * planned


def test_the_smallest_effect_needs_more_than_the_fixed_test_but_is_found() -> None:
    """What looking at any time costs: an effect just as large as planned for."""
    planned = fixed_size(0.1, DIFFER)
    when = stops(draws(0.1, DIFFER, 11, (EXPERIMENTS, 2 * planned)))
    assert (when <= planned).mean() < 0.8 <= (when <= 1.8 * planned).mean()
    assert np.minimum(when, 2 * planned).mean() <= 1.1 * planned


def test_the_decision_has_the_right_sign() -> None:
    wrong = 0
    for row in draws(0.2, 0.3, 3, (50, LONGEST)):
        bets = Bets()
        for d in row:
            bets.add(float(d))
            if bets.decided:
                break
        wrong += bets.decided and bets.mean < 0
    assert wrong == 0


def test_the_confidence_sequence_holds_the_mean_at_all_times() -> None:
    """95 % in truth; fewer than 53 of 60 is a chance of less than 1 %."""
    held = 0
    for row in draws(0.15, 0.4, 9, (60, 120)):
        bets, inside = Bets(), True
        for d in row:
            bets.add(float(d))
            inside &= bets.interval.low <= 0.15 <= bets.interval.high
        held += inside
    assert held >= 53


def test_one_by_one_and_at_once_agree() -> None:
    row = draws(0.1, 0.5, 1, (1, 50))[0]
    bets = Bets()
    for d in row:
        bets.add(float(d))
    assert bets.evidence == pytest.approx(max(1.0, evidence(row).max()))
    assert bets.mean == pytest.approx(row.mean())
    assert bets.p == pytest.approx(min(1.0, 1 / bets.evidence))


@pytest.mark.parametrize("difference", [1.01, -2.0, math.nan])
def test_what_is_out_of_bounds_is_refused(difference: float) -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        Bets().add(difference)
    with pytest.raises(ValueError, match="between -1 and 1"):
        evidence([difference])
