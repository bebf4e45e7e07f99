"""Problems of countdown: their tiers and search lengths, checked by other ways to search."""

from itertools import combinations, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.puzzles import Problem, generate, is_hard, search, search_steps, tier_of
from plait.puzzles.countdown import (
    HARD_STEPS,
    LARGEST,
    NUMBERS,
    TARGETS,
    Tier,
    draw,
    is_held_out,
    operations,
    results,
)

DEMO = Problem(92, (46, 39, 29, 20))
KINDS: list[tuple[int, Tier]] = [
    (3, "natural"), (3, "unsolvable"), (4, "natural"), (4, "hard"), (4, "unsolvable")]


def reachable(numbers: tuple[int, ...]) -> frozenset[int]:
    """All values that the numbers reach, by splitting them into two groups in every way."""
    if len(numbers) == 1:
        return frozenset(numbers)
    found: set[int] = set()
    places = range(len(numbers))
    for size in range(1, len(numbers) // 2 + 1):
        for group in combinations(places, size):
            left = reachable(tuple(numbers[k] for k in group))
            right = reachable(tuple(numbers[k] for k in places if k not in group))
            for a, b in ((max(x, y), min(x, y)) for x in left for y in right):
                found |= {a + b, a * b, a - b}
                if b > 1 and a % b == 0:
                    found.add(a // b)
    return frozenset(v for v in found if 0 < v <= LARGEST)


def count(numbers: list[int], target: int) -> tuple[int, bool]:
    """Operations of a plain depth-first search up to the first solution, the slow way."""
    if len(numbers) == 1:
        return 0, numbers[0] == target
    numbers = sorted(numbers, reverse=True)
    steps = 0
    for i, j in combinations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [n for k, n in enumerate(numbers) if k not in (i, j)]
        values = [a + b, a - b, a * b, a / b if b > 1 else 0.5]
        for value in values:
            if value == int(value) and 0 < value <= LARGEST:
                below, found = count([*rest, int(value)], target)
                steps += 1 + below
                if found:
                    return steps, True
    return steps, False


states = st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=4).map(tuple)


@given(states, st.sampled_from(TARGETS))
@settings(max_examples=60, deadline=None)
def test_search_agrees_with_two_other_ways_to_search(numbers: tuple[int, ...], target: int) -> None:
    problem = Problem(target, numbers)
    found = search(problem)
    assert (found.path is not None) == (target in reachable(numbers))
    assert (found.steps, found.path is not None) == count(list(numbers), target)


@given(states, st.sampled_from(TARGETS))
@settings(max_examples=60, deadline=None)
def test_a_found_path_leads_from_the_numbers_to_the_target(
    numbers: tuple[int, ...], target: int
) -> None:
    path = search(Problem(target, numbers)).path
    state = tuple(sorted(numbers, reverse=True))
    for text in path or ():
        state = next(op.state for op in operations(state) if op.text == text)
    assert path is None or state == (target,)


def test_the_demo_problem_is_hard() -> None:
    assert search_steps(DEMO) > HARD_STEPS
    assert is_hard(DEMO)
    assert tier_of(DEMO) == "hard"


def test_three_numbers_are_never_hard() -> None:
    assert not is_hard(Problem(99, (50, 49, 1)))
    with pytest.raises(ValueError, match="only problems of 4 numbers"):
        next(generate(1, 3, "hard"))
    with pytest.raises(ValueError, match="3 or 4 numbers, not 5"):
        next(generate(1, 5, "natural"))


@pytest.mark.parametrize(("size", "tier"), KINDS)
def test_generated_problems_are_of_their_tier(size: int, tier: Tier) -> None:
    for problem in islice(generate(8, size, tier), 25):
        steps, solved = count(list(problem.numbers), problem.target)
        assert len(problem.numbers) == size
        assert all(n in NUMBERS for n in problem.numbers)
        assert problem.target in TARGETS
        assert solved == (tier != "unsolvable")
        assert tier != "hard" or steps > HARD_STEPS


@pytest.mark.parametrize(("size", "tier"), KINDS)
def test_the_same_seed_gives_the_same_distinct_problems(size: int, tier: Tier) -> None:
    first, again = (list(islice(generate(5, size, tier), 30)) for _ in range(2))
    other = list(islice(generate(6, size, tier), 30))
    assert first == again != other
    assert len(set(first)) == 30


def test_the_two_sides_of_the_split_never_meet() -> None:
    held = list(islice(generate(2, 3, "natural", held_out=True), 5))
    rest = list(islice(generate(2, 3, "natural", held_out=False), 200))
    both = list(islice(generate(2, 3, "natural"), 400))
    assert all(is_held_out(p) for p in held)
    assert not any(is_held_out(p) for p in rest)
    assert sum(is_held_out(p) for p in both) == 5


def test_a_problem_is_the_same_in_any_order_of_its_numbers() -> None:
    assert Problem(92, (20, 29, 39, 46)) == DEMO
    assert str(DEMO) == "92:[46, 39, 29, 20]"


def test_operations_are_whole_positive_and_never_useless_divisions() -> None:
    assert results(6, 3) == (("+", 9), ("-", 3), ("*", 18), ("/", 2))
    assert results(7, 7) == (("+", 14), ("*", 49), ("/", 1))
    assert results(7, 1) == (("+", 8), ("-", 6), ("*", 7))
    assert results(50, 40) == (("+", 90), ("-", 10))
    assert [op.text for op in operations((2, 5, 3))] == [
        "5+3=8", "5-3=2", "5*3=15", "5+2=7", "5-2=3", "5*2=10", "3+2=5", "3-2=1", "3*2=6"]


def test_drawing_goes_on_from_the_given_random_numbers() -> None:
    class Fixed:
        """Gives numbers in turn: first an unsolvable draw, then a good one."""

        def __init__(self) -> None:
            self.values = iter([1, 1, 1, 99, 10, 20, 30, 60])

        def choice(self, options: object) -> int:
            return next(self.values)

    assert draw(Fixed(), 3, "natural") == Problem(60, (30, 20, 10))  # type: ignore[arg-type]
