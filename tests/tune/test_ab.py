"""Two policies side by side: decided when it is known, not before, whoever looks when."""

from __future__ import annotations

import numpy as np
import pytest

from plait.errors import UsageError
from plait.policy import PolicyFile
from plait.solve import Runtime
from plait.testing import run_virtual
from plait.tune.ab import METRICS, Experiment, Metric, Question, experiment, lines, metric_named
from plait.tune.bench import SEQUENTIAL, Bench, Taken
from plait.tune.betting import ALPHA, Bets, evidence
from tests.tune.mixed import Mixed, grade, samples

FORKED = PolicyFile("native", "threadweaver", width=4)
NARROW = PolicyFile("native", "threadweaver", width=1)


def compare(
    a: PolicyFile, b: PolicyFile, question: Question, kind: str = "hard", count: int = 200,
    seed: int = 0,
) -> Experiment:
    async def go() -> Experiment:
        async with Runtime(Mixed()) as runtime:
            problems = [s for s in samples(2 * count) if s.group == kind]
            return await experiment(Bench(runtime, grade), problems, a, b, question, seed=seed)

    return run_virtual(go)


@pytest.mark.parametrize(("a", "b", "better"), [
    (SEQUENTIAL, FORKED, "B"), (FORKED, SEQUENTIAL, "A")])
def test_a_clear_difference_stops_the_experiment_early(
    a: PolicyFile, b: PolicyFile, better: str
) -> None:
    found = compare(a, b, Question("seconds"))
    assert found.better == better
    assert found.early
    assert found.problems < 40
    assert (found.low > 0) == (better == "B")
    assert found.low <= found.effect <= found.high


def test_accuracy_takes_more_problems_than_time_but_is_found() -> None:
    """50 % against 75 % right."""
    found = compare(SEQUENTIAL, FORKED, Question("accuracy"))
    assert found.better == "B"
    assert compare(SEQUENTIAL, FORKED, Question("seconds")).problems < found.problems < 200


def test_a_policy_against_itself_is_never_decided() -> None:
    found = compare(FORKED, FORKED, Question("score"), count=60)
    assert (found.better, found.problems, found.early, found.p) == (None, 60, False, 1.0)
    assert found.low < 0 < found.high


def test_width_that_is_missing_shows_in_seconds_and_not_in_accuracy() -> None:
    assert compare(NARROW, FORKED, Question("seconds"), count=60).better == "B"
    assert compare(NARROW, FORKED, Question("accuracy"), count=60).better is None


def test_the_seed_decides_on_the_order_alone() -> None:
    one, again, other = (compare(SEQUENTIAL, FORKED, Question("accuracy"), seed=s)
                         for s in (1, 1, 2))
    assert one == again
    assert one.problems != other.problems
    assert one.better == other.better == "B"


def test_differences_are_as_written() -> None:
    a = Taken("s", False, 2.0, 100, 100, "sequential")
    b = Taken("s", True, 1.0, 300, 60, "native")
    assert Question("accuracy").difference(a, b) == 1.0
    assert Question("seconds").difference(a, b) == pytest.approx(1 / 3)
    assert Question("tokens").difference(a, b) == pytest.approx(-0.5)
    assert Question("score", latency=0.5).difference(a, b) == pytest.approx((1 + 0.5 / 3) / 1.5)
    assert Question("seconds").difference(b, a) == -Question("seconds").difference(a, b)


def test_the_outcome_is_told_in_plain_words() -> None:
    text = "\n".join(lines(compare(SEQUENTIAL, FORKED, Question("seconds"))))
    assert text.startswith("B is better: known after ")
    assert "so it stopped" in text
    assert "valid whenever one looks" in text
    none = "\n".join(lines(compare(FORKED, FORKED, Question("score"), count=20)))
    assert none.startswith("no difference was shown after 20 of 20 problems")


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="no metric `speed`"):
        metric_named("speed")
    with pytest.raises(UsageError, match="`alpha` is"):
        Question(alpha=1.5)
    with pytest.raises(UsageError, match="weight of latency is -1"):
        Question(latency=-1)
    with pytest.raises(UsageError, match="at least one problem"):
        compare(SEQUENTIAL, FORKED, Question(), count=0)


def simulated(gain: float, faster: float, seed: int, problems: int) -> list[tuple[Taken, Taken]]:
    """Two policies on problems of their own difficulty and size; B is right ``gain`` more often
    and ``faster`` times as fast and as cheap."""
    random = np.random.default_rng(seed)
    ease, size = random.beta(2.0, 1.5, problems), random.lognormal(1.0, 0.7, problems)
    luck, noise = random.random((2, problems)), random.lognormal(0.0, 0.4, (2, problems))
    sides = [[Taken("s", bool(luck[k, i] < ease[i] + k * gain), t := float(
        size[i] * noise[k, i] / (faster if k else 1.0)), round(1000 * t), round(1000 * t), "m")
        for i in range(problems)] for k in (0, 1)]
    return list(zip(*sides, strict=True))


@pytest.mark.parametrize("metric", METRICS)
def test_policies_that_do_not_differ_are_told_apart_in_at_most_5_percent_of_1000(
    metric: Metric
) -> None:
    """Looked at after every problem, in each of the metrics."""
    question = Question(metric)
    alarms = sum(bool((evidence([question.difference(a, b) for a, b in simulated(0, 1, seed, 60)])
                       >= 1 / ALPHA).any()) for seed in range(1000))
    assert alarms <= 50


@pytest.mark.parametrize("metric", METRICS)
def test_a_planted_difference_is_found_in_every_metric(metric: Metric) -> None:
    question = Question(metric)
    found = 0
    for seed in range(40):
        bets = Bets()
        for a, b in simulated(0.35, 3.0, seed, 150):
            bets.add(question.difference(a, b))
        found += bets.decided and bets.mean > 0
    assert found >= 36
