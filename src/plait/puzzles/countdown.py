"""The countdown puzzle: reach a target with every given number, once each.

Rules of this file. A state is a tuple of numbers sorted in descending order, and everything that
is searched is searched in one canonical order: pairs `(i, j)` with `i < j` in lexicographic order
on that list, and for each pair `+`, `-`, `*`, `/` where the result is allowed (a positive whole
number of at most `LARGEST`, no division by one). plait-nano was trained on exactly this order, so
changing it means training it again.

Why plain tuples inside. A four-number search tries about 600 operations and the training data
needs thousands of searches a minute; `_moves` is therefore a cached table of bare tuples, and the
named `Operation` is made only for callers who ask for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random
from typing import Literal

LARGEST = 199
"""No operation may give more than this."""
NUMBERS = range(1, 51)
"""The numbers plait-nano has seen."""
TARGETS = range(10, 100)
"""The targets plait-nano has seen."""
SIZES = (3, 4)
"""How many numbers a problem for plait-nano may have."""
HARD_STEPS = 120
"""A four-number problem whose search takes more steps than this is hard."""

Tier = Literal["natural", "hard", "unsolvable"]
TIERS: tuple[Tier, ...] = ("natural", "hard", "unsolvable")
State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Reach `target` with all of `numbers`; they are kept in descending order."""

    target: int
    numbers: State

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", tuple(sorted(self.numbers, reverse=True)))

    @property
    def words(self) -> str:
        """The problem as a person would put it."""
        return f"Make {self.target} from {', '.join(map(str, self.numbers))}"

    def __str__(self) -> str:
        return f"{self.target}:[{', '.join(map(str, self.numbers))}]"


@dataclass(frozen=True, slots=True)
class Operation:
    """One allowed step from a state: its text, its result, and the state after it."""

    text: str
    result: int
    state: State


@dataclass(frozen=True, slots=True)
class Search:
    """What a full depth-first search found: operations tried, and the first solution if any."""

    steps: int
    path: tuple[str, ...] | None


@cache
def results(larger: int, smaller: int) -> tuple[tuple[str, int], ...]:
    """The allowed operations on two numbers, as `(symbol, result)`, in canonical order."""
    found = [("+", larger + smaller), ("-", larger - smaller), ("*", larger * smaller)]
    if smaller > 1 and larger % smaller == 0:
        found.append(("/", larger // smaller))
    return tuple((symbol, value) for symbol, value in found if 0 < value <= LARGEST)


@lru_cache(maxsize=1 << 16)
def _moves(state: State) -> tuple[tuple[str, int, State], ...]:
    moves: list[tuple[str, int, State]] = []
    for i, a in enumerate(state):
        for j in range(i + 1, len(state)):
            rest = state[:i] + state[i + 1 : j] + state[j + 1 :]
            for symbol, value in results(a, state[j]):
                after = tuple(sorted((*rest, value), reverse=True))
                moves.append((f"{a}{symbol}{state[j]}={value}", value, after))
    return tuple(moves)


def operations(numbers: State) -> tuple[Operation, ...]:
    """Every allowed operation on `numbers`, in canonical search order."""
    state = tuple(sorted(numbers, reverse=True))
    return tuple(Operation(*move) for move in _moves(state))


def _first(state: State, target: int, steps: int) -> Search:
    if len(state) == 2:
        for symbol, value in results(state[0], state[1]):
            steps += 1
            if value == target:
                return Search(steps, (f"{state[0]}{symbol}{state[1]}={value}",))
        return Search(steps, None)
    for text, _, after in _moves(state):
        found = _first(after, target, steps + 1)
        if found.path is not None:
            return Search(found.steps, (text, *found.path))
        steps = found.steps
    return Search(steps, None)


@lru_cache(maxsize=1 << 12)
def search(problem: Problem) -> Search:
    """Search depth first, in canonical order, and stop at the first solution."""
    return _first(problem.numbers, problem.target, 0)


def search_steps(problem: Problem) -> int:
    """How many operations the search tries, up to and with the one that solves the problem."""
    return search(problem).steps


def tier_named(name: str) -> Tier:
    """The tier of this name. Raises ValueError for a name that is none."""
    for tier in TIERS:
        if tier == name:
            return tier
    raise ValueError(f"there is no tier {name!r}; known: {', '.join(TIERS)}")


def is_hard(problem: Problem) -> bool:
    """Whether a four-number problem needs a long search (solvable or not)."""
    return len(problem.numbers) == 4 and search_steps(problem) > HARD_STEPS


def tier_of(problem: Problem) -> Tier:
    """The tier a problem belongs to; a hard problem has a solution, only far into the search."""
    if search(problem).path is None:
        return "unsolvable"
    return "hard" if is_hard(problem) else "natural"


def is_held_out(problem: Problem) -> bool:
    """Whether the problem is kept for evaluation: plait-nano never trains on it (1 in 50)."""
    return zlib.crc32(str(problem).encode()) % 50 == 0


def draw(random: Random, size: int, tier: Tier) -> Problem:
    """Draw one problem: random numbers and target, again until it is of the tier.

    `natural` is any problem that has a solution, `hard` one whose solution lies beyond
    `HARD_STEPS`, `unsolvable` one with none. Raises ValueError for an impossible request.
    """
    if size not in SIZES:
        raise ValueError(f"a problem has {' or '.join(map(str, SIZES))} numbers, not {size}")
    if tier == "hard" and size != 4:
        raise ValueError("only problems of 4 numbers are hard")
    while True:
        numbers = tuple(random.choice(NUMBERS) for _ in range(size))
        problem = Problem(random.choice(TARGETS), numbers)
        found = _first(problem.numbers, problem.target, 0)
        if (found.path is None) != (tier == "unsolvable"):
            continue
        if tier != "hard" or found.steps > HARD_STEPS:
            return problem


def generate(
    seed: int, size: int, tier: Tier, *, held_out: bool | None = None
) -> Iterator[Problem]:
    """Endless distinct problems of a tier; `held_out` keeps only one side of the split."""
    random = Random(f"{seed}/{size}/{tier}")
    seen: set[Problem] = set()
    while True:
        problem = draw(random, size, tier)
        if problem in seen or held_out not in (None, is_held_out(problem)):
            continue
        seen.add(problem)
        yield problem
