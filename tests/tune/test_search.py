"""Tuning on one half of a mixed set, confirmed on the other, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import pytest

from plait.errors import UsageError
from plait.evals import Sample
from plait.policy import PolicyFile
from plait.solve import Runtime
from plait.testing import run_virtual
from plait.tune.bench import SEQUENTIAL, Bench
from plait.tune.confirm import Confirmation, confirm
from plait.tune.goal import Goal, split
from plait.tune.search import Found, hopeless, open_study, search
from plait.tune.space import threshold_at
from plait.tune.summary import comment, summary, to_dict
from tests.tune.mixed import SPACE, Mixed, grade, samples

T = TypeVar("T")
GOAL = Goal(latency=0.3)
"""Written down before: being as slow as sequential reasoning costs 30 points of accuracy."""


def at_bench(work: Callable[[Bench], Awaitable[T]], store: Path | None = None) -> T:
    async def go() -> T:
        async with Runtime(Mixed()) as runtime:
            return await work(Bench(runtime, grade, store=store))

    return run_virtual(go)


def tune(
    problems: list[Sample], trials: int, seed: int = 0, folder: Path | None = None
) -> tuple[Found, Confirmation, int]:
    mine, others = split(problems)

    async def work(bench: Bench) -> tuple[Found, Confirmation, int]:
        study = open_study(folder, {"goal": GOAL.words()}, seed)
        found = await search(bench, mine, SPACE, GOAL, study, trials=trials)
        answered = bench.answered
        return found, await confirm(bench, others, found.best.policy, found.parallel.policy,
                                    GOAL), answered

    return at_bench(work, folder / "outcomes.jsonl" if folder else None)


@pytest.fixture(scope="module")
def tuned() -> tuple[Found, Confirmation, int]:
    return tune(samples(80), 20)


def test_tuning_beats_always_sequential_and_always_parallel_on_the_other_half(
    tuned: tuple[Found, Confirmation, int]
) -> None:
    """In the score that was written down before, and by more than chance."""
    _, confirmed, _ = tuned
    assert confirmed.problems == 40
    assert confirmed.holds
    assert confirmed.kept.name == "tuned"
    assert {name: c.verdict for name, c in confirmed.against} == {
        "always sequential": "better", "always parallel": "better"}
    best, sequential, parallel = confirmed.sides
    assert best.score > max(sequential.score, parallel.score) + 0.02
    assert best.seconds < parallel.seconds < sequential.seconds


def test_the_winner_parts_easy_from_hard_and_is_wide_enough(
    tuned: tuple[Found, Confirmation, int]
) -> None:
    policy = tuned[0].best.policy
    easy, hard = samples(2)
    assert policy.decide(easy.question).plan.method == "sequential"
    assert policy.decide(hard.question).plan.method == "native"
    assert policy.width is not None
    assert policy.width >= 4


def test_hopeless_policies_are_given_up_and_the_front_is_one(
    tuned: tuple[Found, Confirmation, int]
) -> None:
    found = tuned[0]
    assert found.pruned > 0
    for one in found.front:
        assert not any(o.accuracy >= one.accuracy and o.seconds < one.seconds
                       and o.tokens < one.tokens for o in found.front)


def test_the_same_seed_gives_the_same_search() -> None:
    first, second = (tune(samples(24), 10, seed=3)[0] for _ in range(2))
    assert first == second


def test_a_search_that_was_stopped_goes_on_without_answering_twice(tmp_path: Path) -> None:
    whole, _, _ = tune(samples(24), 8, folder=_made(tmp_path / "whole"))
    folder = _made(tmp_path / "parts")
    tune(samples(24), 3, folder=folder)
    resumed, _, _ = tune(samples(24), 8, folder=folder)
    again, _, answered = tune(samples(24), 8, folder=folder)
    assert answered == 0
    assert again.best == resumed.best
    assert (resumed.tried, whole.tried) == (8, 8)
    assert resumed.best.score == pytest.approx(whole.best.score, abs=0.1)


def test_a_search_is_not_gone_on_with_under_another_score(tmp_path: Path) -> None:
    open_study(tmp_path, {"goal": "one", "suite": "x"})
    open_study(tmp_path, {"goal": "one", "suite": "x"})
    with pytest.raises(UsageError, match="begun with another goal"):
        open_study(tmp_path, {"goal": "two", "suite": "x"})


def test_what_was_stopped_in_the_middle_is_tried_once_more(tmp_path: Path) -> None:
    study = open_study(tmp_path, {"goal": "one"})
    study.enqueue_trial({"way": "native:threadweaver", "easy": 0.0, "width": 8})
    study.ask()  # and then the process ended
    again = open_study(tmp_path, {"goal": "one"}).ask()
    assert again.suggest_float("easy", 0.0, 1.0) == 0.0
    assert again.suggest_categorical("width", [2, 4, 8]) == 8


def test_always_parallel_is_measured_even_where_it_is_hopeless() -> None:
    """On easy problems alone it loses, and is still what the winner is compared with."""
    easy = [s for s in samples(100) if s.group == "easy"]
    found, confirmed, _ = tune(easy, 6)
    assert found.parallel.policy.method == "native"
    assert found.best.policy.decide(easy[0].question).plan.method == "sequential"
    assert confirmed.sides[2].policy.method == "native"
    assert confirmed.sides[2].seconds > confirmed.sides[0].seconds


def test_outcomes_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    store = tmp_path / "outcomes.jsonl"
    problems = samples(3)

    async def all_of(bench: Bench) -> int:
        for sample in problems:
            await bench.take(SEQUENTIAL, sample)
        return bench.answered

    assert at_bench(all_of, store) == 3
    store.write_bytes(store.read_bytes()[:-9])
    assert at_bench(all_of, store) == 1
    assert at_bench(all_of, store) == 0


def test_policies_that_do_the_same_share_their_outcomes() -> None:
    async def work(bench: Bench) -> int:
        easy = samples(1)[0]
        await bench.take(SEQUENTIAL, easy)
        await bench.take(PolicyFile("sequential", width=4), easy)
        await bench.take(PolicyFile("native", "threadweaver", width=4), easy)
        return bench.answered

    assert at_bench(work) == 2


def test_the_score_is_as_written() -> None:
    async def work(bench: Bench) -> None:
        problems = samples(10)
        alone = [await bench.take(SEQUENTIAL, s) for s in problems]
        scores = GOAL.scores(alone, alone)
        assert fmean(scores) == pytest.approx(fmean(t.right for t in alone) - 0.3)

    at_bench(work)


def test_the_split_depends_on_ids_alone_and_is_even_in_each_group() -> None:
    problems = samples(40)
    mine, others = split(problems)
    again, _ = split(list(reversed(problems)))
    assert mine == again
    assert not {s.id for s in mine} & {s.id for s in others}
    assert sum(s.group == "hard" for s in mine) == sum(s.group == "hard" for s in others) == 10
    with pytest.raises(UsageError, match="too few"):
        split(samples(3))


def test_only_clearly_lower_scores_are_hopeless() -> None:
    rival = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert hopeless([s - 0.2 for s in rival], rival)
    assert not hopeless([s + 0.2 for s in rival], rival)
    assert not hopeless(rival, rival)
    assert not hopeless([s - 0.01 for s in rival], rival)
    assert not hopeless([s - (0.2 if i % 2 else -0.2) for i, s in enumerate(rival)], rival)
    assert not hopeless([s - 0.2 for s in rival[:6]], rival[:6])


def test_thresholds_lie_between_the_levels() -> None:
    levels = [10.2, 50.9, 400.0]
    assert [threshold_at(levels, share) for share in (0.0, 0.3, 0.7, 1.0)] == [0, 11, 51, 401]


def test_the_summary_tells_the_story(tuned: tuple[Found, Confirmation, int]) -> None:
    found, confirmed, _ = tuned
    text = "\n".join(summary(found, confirmed, GOAL))
    assert "on 40 problems that the search did not see" in text
    assert "the tuned policy holds up: it is better than both" in text
    assert "score = right - 0.3 * seconds" in text
    assert "tuned is better than always parallel" in text
    assert to_dict(found, confirmed, GOAL)["tried"] == 20
    policy = confirmed.kept.policy.text(comment(found, confirmed, GOAL, "mixed"))
    assert all(line.startswith("#") for line in policy.split("policy = 1")[0].splitlines())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_winner_by_luck_is_not_kept() -> None:
    """Forking always is no match for forking hard problems alone, whatever a search said."""
    parallel, tuned = PolicyFile("native", "threadweaver", width=4), tune(samples(40), 6)[0].best
    assert tuned.policy.threshold

    async def work(bench: Bench) -> Confirmation:
        return await confirm(bench, split(samples(80))[1], parallel, tuned.policy, GOAL)

    confirmed = at_bench(work)
    assert not confirmed.holds
    assert confirmed.kept.policy == tuned.policy
    found, _, _ = tune(samples(24), 3)
    assert "the tuned policy does not hold up" in summary(found, confirmed, GOAL)[-1]


def test_among_equals_the_tuned_policy_is_kept() -> None:
    async def work(bench: Bench) -> Confirmation:
        return await confirm(bench, samples(12), SEQUENTIAL, SEQUENTIAL, GOAL)

    confirmed = at_bench(work)
    assert confirmed.holds
    assert confirmed.kept.name == "tuned"
    assert {c.verdict for _, c in confirmed.against} == {"tied"}
    found, _, _ = tune(samples(24), 3)
    assert "no policy that goes parallel scored more" in summary(found, confirmed, GOAL)[-1]
