"""A suite by its name: a puzzle of plait's, a known data set, or a ``*.toml`` file of the user's.

    load_suite("countdown", tier="hard", limit=200)
    load_suite("gsm8k", data=Path("test.jsonl"))
    load_suite("invoices.toml")

Whatever the order and the limit, a problem keeps its id: shuffling and cutting choose among
problems, they never name them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from random import Random

from plait.errors import UsageError
from plait.evals.datasets import DATASETS, Dataset, samples
from plait.evals.puzzle_suites import ABOUT, PUZZLES
from plait.evals.rows import fetch, read_rows
from plait.evals.user_suite import load_user_suite
from plait.evals.values import Suite, make_suite

PUZZLE_LIMIT = 100
"""Problems of a puzzle suite where no limit is given: its generator never ends."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples of a suite, in which order. ``tier``: a group of it, or several with commas
    between them. ``limit`` None: all."""

    tier: str | None = None
    limit: int | None = None
    shuffle: bool = False
    seed: int = 0

    @property
    def tiers(self) -> list[str]:
        """The groups to take, each once; none: all of them."""
        names = (self.tier or "").split(",")
        return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def load_suite(name: str, choice: Choice | None = None, *, data: Path | None = None) -> Suite:
    """The suite ``name``; ``data`` is a local file or folder of a known data set.

    Raises `UsageError` for a suite, tier or file that does not exist or cannot be read.
    """
    choice = choice or Choice()
    if name in PUZZLES:
        return _puzzle(name, choice)
    if name.endswith(".toml"):
        return _chosen(load_user_suite(Path(name)), choice)
    if name not in DATASETS:
        known = [*PUZZLES, *DATASETS]
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        raise UsageError(f"there is no suite `{name}`", hint=f"{hint}Known: {', '.join(known)};"
                         " or the path of a suite of your own, *.toml.")
    return _chosen(_known(name, DATASETS[name], data), choice)


def _known(name: str, dataset: Dataset, data: Path | None) -> Suite:
    if data is None:
        files, source = fetch(dataset.hub), dataset.hub.repository
    else:
        files, source = [data], data.name
    rows = chain.from_iterable(read_rows(file) for file in files)
    return make_suite(name, samples(dataset, rows, source), dataset.grader, source)


def _chosen(suite: Suite, choice: Choice) -> Suite:
    found = suite.samples
    groups = sorted({s.group for s in suite.samples if s.group})
    tiers = [choice.tier] if choice.tier in groups else choice.tiers  # a name may hold a comma
    if tiers:
        _known_tiers(suite.name, tiers, groups)
        found = tuple(s for s in found if s.group in tiers)
    if choice.shuffle:
        found = tuple(Random(choice.seed).sample(found, len(found)))
    return replace(suite, samples=found[: choice.limit], tier=",".join(tiers))


def _known_tiers(suite: str, wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            hint = f"It has {', '.join(known)}." if known else "It has none."
            raise UsageError(f"the suite `{suite}` has no tier `{name}`", hint=hint)


def _puzzle(name: str, choice: Choice) -> Suite:
    """Problems that plait-nano never trained on, one of each tier in turn. ``mixed``: all tiers."""
    known, tiers = PUZZLES[name], choice.tiers or ["mixed"]
    _known_tiers(name, tiers, [*known, "mixed"])
    names = list(known) if "mixed" in tiers else tiers
    turns = chain.from_iterable(zip(*(known[n](choice.seed, n) for n in names), strict=True))
    found = tuple(islice(turns, choice.limit or PUZZLE_LIMIT))
    if choice.shuffle:
        found = tuple(Random(choice.seed).sample(found, len(found)))
    return Suite(name, found, "puzzle", f"plait.puzzles, seed {choice.seed}", ",".join(tiers))


def describe() -> list[tuple[str, str, str]]:
    """Every known suite: name, grader, and a line about it."""
    return [*((name, "puzzle", f"{ABOUT[name]}; tiers {', '.join(tiers)}, mixed")
              for name, tiers in PUZZLES.items()),
            *((name, d.grader, d.about) for name, d in DATASETS.items())]
