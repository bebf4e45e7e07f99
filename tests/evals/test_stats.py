"""The statistics agree with scipy and with textbooks, and err as often as they say they do."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random

import numpy as np
import pytest
from scipy import stats as scipy_stats

from plait.evals import stats
from plait.evals.resampling import FEWEST, LARGE

EXPERIMENTS = 1000
CHANCE = scipy_stats.binom(EXPERIMENTS, 0.05)
FEW, MANY = CHANCE.ppf(0.0005), CHANCE.ppf(0.9995)
"""False alarms in 1,000 experiments that a rate of 5 % allows."""


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (263, 300), (1, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_is_scipys(hits: int, n: int, confidence: float) -> None:
    ours = stats.wilson(hits, n, confidence)
    theirs = scipy_stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.estimate == hits / n


def test_no_trials_tell_nothing() -> None:
    nothing = stats.wilson(0, 0)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
    assert math.isnan(nothing.estimate)
    with pytest.raises(ValueError, match="no share"):
        stats.wilson(3, 2)


@pytest.mark.parametrize(("gained", "lost"),
                         [(0, 0), (1, 0), (6, 0), (10, 3), (3, 10), (500, 430), (4000, 3900)])
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int) -> None:
    n = gained + lost
    theirs = scipy_stats.binomtest(gained, n).pvalue if n else 1.0
    assert stats.mcnemar(gained, lost) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_on_a_textbook_table() -> None:
    """Agresti, Categorical Data Analysis, prime minister's performance: 86 and 150 changed."""
    assert stats.mcnemar(86, 150) == pytest.approx(3.716e-5, rel=1e-3)


def test_newcombes_interval_on_his_own_table() -> None:
    """Newcombe 1998, table III: of 50 pairs 36 both, 12 and 2 discordant."""
    arm = [1.0] * 48 + [0.0] * 2
    base = [1.0] * 36 + [0.0] * 12 + [1.0] * 2
    found = stats.compare_accuracy(arm, base).effect
    assert found.estimate == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-4)


def test_newcombes_interval_covers_the_difference() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(EXPERIMENTS):
        draw = random.choice(4, size=80, p=(0.5, 0.2, 0.1, 0.2))  # both, arm, base, none
        found = stats.compare_accuracy((draw <= 1).astype(float),
                                       np.isin(draw, (0, 2)).astype(float)).effect
        covered += found.low <= 0.1 <= found.high
    assert EXPERIMENTS - MANY <= covered <= EXPERIMENTS - 0.3 * FEW


def accuracies(random: np.random.Generator, n: int, gain: float) -> tuple[list[float], list[float]]:
    """Right or wrong on ``n`` problems for two arms that share the problems' difficulty; the
    first arm solves ``gain`` more of them."""
    ease = random.beta(2.0, 1.5, size=n)
    base = random.random(n) < ease
    arm = random.random(n) < np.minimum(1.0, ease + gain)
    return arm.astype(float).tolist(), base.astype(float).tolist()


def times(random: np.random.Generator, n: int, speedup: float) -> tuple[list[float], list[float]]:
    """Skewed seconds of two arms on ``n`` problems; their means and medians differ by
    ``speedup``."""
    size = random.lognormal(1.0, 0.7, size=n)
    base = size * random.lognormal(0.0, 0.4, size=n)
    arm = size * random.lognormal(0.0, 0.4, size=n) / speedup
    return base.tolist(), arm.tolist()


def test_accuracies_raise_few_false_alarms() -> None:
    random = np.random.default_rng(1)
    alarms = sum(stats.compare_accuracy(*accuracies(random, 200, 0.0)).verdict != "tied"
                 for _ in range(EXPERIMENTS))
    assert alarms <= MANY  # exact tests stay below 5 %: chances come in steps
    assert alarms >= 5


@pytest.mark.parametrize("n", [25, 60])
def test_speedups_raise_false_alarms_at_the_rate_they_say(n: int) -> None:
    random = np.random.default_rng(n)
    sums = medians = 0
    for _ in range(EXPERIMENTS):
        base, arm = times(random, n, 1.0)
        sums += stats.ratio_of_means(base, arm, seed=1).verdict != "tied"
        medians += stats.median_of_ratios(base, arm).verdict != "tied"
    assert FEW <= sums <= MANY
    assert medians <= MANY
    assert medians >= 5


def test_means_raise_false_alarms_at_the_rate_they_say() -> None:
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(EXPERIMENTS):
        base, arm = times(random, 40, 1.0)
        alarms += stats.compare_means(arm, base, seed=1).verdict != "tied"
    assert FEW <= alarms <= MANY


def test_a_planted_gain_in_accuracy_is_found() -> None:
    random = np.random.default_rng(2)
    found = [stats.compare_accuracy(*accuracies(random, 400, 0.12)).verdict for _ in range(200)]
    assert found.count("better") >= 180
    assert found.count("worse") == 0


def test_a_planted_speedup_is_found_and_covered() -> None:
    random = np.random.default_rng(4)
    sums, medians, covered = [], [], 0
    for _ in range(300):
        base, arm = times(random, 80, 1.4)
        sums.append(stats.ratio_of_means(base, arm, seed=2))
        medians.append(stats.median_of_ratios(base, arm))
        covered += sums[-1].effect.low <= 1.4 <= sums[-1].effect.high
    assert [c.verdict for c in sums].count("better") >= 270
    assert [c.verdict for c in medians].count("better") >= 250
    assert 275 <= covered <= 296


def test_what_is_needed_decides_as_often_as_it_says() -> None:
    """With the effect as it is, so many problems decide in about 80 of 100 experiments."""
    random = np.random.default_rng(6)
    gained, lost, n = 12, 6, 100  # discordant 0.18, difference 0.06
    needed = stats.compare_accuracy(
        [1.0] * gained + [0.0] * (n - gained), [0.0] * gained + [1.0] * lost
        + [0.0] * (n - gained - lost)).needed
    assert needed is not None
    decided = 0
    for _ in range(500):
        a, b, _ = random.multinomial(n + needed, (0.12, 0.06, 0.82))
        decided += stats.mcnemar(int(a), int(b)) < 0.05
    assert 0.72 <= decided / 500 <= 0.88


def test_what_is_needed_for_a_ratio_decides_as_often_as_it_says() -> None:
    random = np.random.default_rng(8)
    base, arm = (np.array(v) for v in times(random, 60, 1.0))
    arm *= base.mean() / arm.mean() / 1.1  # looks like 1.1, exactly
    looks = stats.ratio_of_means(base.tolist(), arm.tolist())
    assert looks.verdict == "tied"
    assert looks.needed is not None
    better = sum(stats.ratio_of_means(*times(random, 60 + looks.needed, 1.1)).verdict == "better"
                 for _ in range(100))
    assert 65 <= better <= 93


def test_the_median_and_its_interval_are_order_statistics() -> None:
    base, arm = [float(v) for v in range(1, 11)], [1.0] * 10
    found = stats.median_of_ratios(base, arm)
    assert found.effect.estimate == 5.5
    assert (found.effect.low, found.effect.high) == (2.0, 9.0)  # textbook: n = 10 gives ranks 2, 9
    assert found.verdict == "better"


@pytest.mark.parametrize("n", [6, 20, 101, 1000])
def test_ranks_of_the_median_hold_the_confidence(n: int) -> None:
    ranks = stats.median_of_ratios([float(v + 1) for v in range(n)], [1.0] * n).effect
    k = int(ranks.low)
    assert 2 * scipy_stats.binom.cdf(k - 1, n, 0.5) <= 0.05 < 2 * scipy_stats.binom.cdf(k, n, 0.5)
    assert ranks.high == n + 1 - k


def test_an_interval_of_a_mean_is_near_students() -> None:
    values = np.random.default_rng(7).normal(10, 2, size=60)
    ours = stats.mean_interval(values.tolist(), seed=1)
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06)


def test_the_large_limit_joins_the_bootstrap_smoothly() -> None:
    base, arm = times(np.random.default_rng(9), LARGE + 1, 1.3)
    limit = stats.ratio_of_means(base, arm)
    drawn = stats.ratio_of_means(base[:LARGE], arm[:LARGE])
    assert limit.effect.low == pytest.approx(drawn.effect.low, rel=0.005)
    assert limit.effect.high == pytest.approx(drawn.effect.high, rel=0.005)


@pytest.mark.parametrize("n", range(1, FEWEST))
def test_a_handful_of_problems_decides_nothing(n: int) -> None:
    two, one = [2.0] * n, [1.0] * n
    better = [stats.compare_accuracy(one, [0.0] * n), stats.compare_means(two, one),
              stats.ratio_of_means(two, one), stats.median_of_ratios(two, one)]
    assert {c.verdict for c in better} == {"tied"}
    assert all(c.needed is not None and c.needed >= FEWEST - n for c in better)


def test_equal_arms_tie_and_no_number_would_decide() -> None:
    same = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    for found in (stats.compare_accuracy(same, same), stats.compare_means(same, same),
                  stats.ratio_of_means(same, same), stats.median_of_ratios([2.0] * 8, [2.0] * 8)):
        assert (found.verdict, found.needed) == ("tied", None)
        assert found.p == 1.0 or found.effect.low == found.effect.high


def test_trials_of_one_problem_are_one_observation() -> None:
    """Shares between 0 and 1 come from several trials: the bootstrap over problems is used."""
    random = np.random.default_rng(10)
    base = (random.binomial(8, 0.5, size=60) / 8).tolist()
    arm = [min(1.0, b + 0.25) for b in base]
    found = stats.compare_accuracy(arm, base)
    assert found.verdict == "better"
    assert found.effect.low > 0.15


def test_pass_at_k_is_the_share_of_sets_with_a_right_one() -> None:
    right = [True, False, False, True, False, False]
    for k in range(1, 7):
        sets = list(combinations(right, k))
        assert stats.pass_at_k(right, k) == pytest.approx(sum(map(any, sets)) / len(sets))
    assert stats.avg_at_k(right, 4) == 0.5
    with pytest.raises(ValueError, match="trials"):
        stats.pass_at_k(right, 7)


def test_majorities_vote_without_those_who_did_not_answer() -> None:
    answers = ["7", "7", None, "8", "9"]
    right = [True, True, False, False, False]
    assert stats.maj_at_k(answers, right, 5) == 1.0
    assert stats.maj_at_k(["7", "8"], [True, False], 2) == 0.5  # a tie is drawn by lot
    assert stats.maj_at_k([None, None], [False, False], 2) == 0.0
    assert stats.maj_at_k(answers, right, 1) == pytest.approx(2 / 5)


def test_drawn_majorities_are_near_exact_ones() -> None:
    random = Random(1)
    answers = [random.choice("aaabbc") for _ in range(40)]
    right = [a == "a" for a in answers]
    exact = sum(_share_of_majority(answers, chosen) for chosen in
                (random.sample(range(40), 9) for _ in range(20_000))) / 20_000
    assert stats.maj_at_k(answers, right, 9) == pytest.approx(exact, abs=0.02)


def _share_of_majority(answers: list[str], chosen: list[int]) -> float:
    votes = [answers[i] for i in chosen]
    most = max(votes.count(a) for a in set(votes))
    winners = [a for a in set(votes) if votes.count(a) == most]
    return ("a" in winners) / len(winners)


def test_the_same_seed_gives_the_same_interval() -> None:
    base, arm = times(np.random.default_rng(11), 50, 1.1)
    assert stats.ratio_of_means(base, arm, seed=3) == stats.ratio_of_means(base, arm, seed=3)
    assert stats.ratio_of_means(base, arm, seed=3) != stats.ratio_of_means(base, arm, seed=4)


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        stats.compare_means([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="nothing"):
        stats.mean_interval([])
    with pytest.raises(ValueError, match="above 0"):
        stats.median_of_ratios([1.0, 0.0], [1.0, 1.0])
