"""What an evaluation is going to take, before anything is sent to an engine.

Tokens and seconds a task come from the records that the folder has already (run a few problems
first: ``--limit 5``); where there are none, the limits of the request give a ceiling. What neither
tells stays unknown rather than guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from plait.evals.measures import Prices
from plait.evals.runner import Job
from plait.evals.values import Arm, Record, Task

CHARACTERS = 4
"""Of a question, a token: a rough rule, used for prompts where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """For one arm: tasks to run, and what they take in all. None: unknown. ``ceiling``: tokens are
    the most that the limits allow, not what is expected."""

    arm: str
    tasks: int
    prompt_tokens: float
    generated_tokens: float | None
    seconds: float | None
    cost: float | None
    ceiling: bool


def estimate(job: Job, tasks: Iterable[Task], known: Iterable[Record]) -> list[Estimate]:
    """One `Estimate` an arm, in the order of the arms."""
    counts: dict[str, int] = defaultdict(int)
    characters: dict[str, int] = defaultdict(int)
    for task in tasks:
        counts[task.arm.name] += 1
        characters[task.arm.name] += len(task.sample.question)
    done: dict[str, list[Record]] = defaultdict(list)
    for record in known:
        if record.status == "done":
            done[record.arm].append(record)
    return [_of_arm(arm, counts[arm.name], characters[arm.name], done[arm.name], job)
            for arm in job.arms]


def _of_arm(arm: Arm, tasks: int, characters: int, done: list[Record], job: Job) -> Estimate:
    prompt: float = characters / CHARACTERS
    generated: float | None = None
    seconds: float | None = None
    if done:
        prompt = tasks * sum(r.prompt_tokens for r in done) / len(done)
        generated = tasks * sum(r.total_tokens for r in done) / len(done)
        timed = [r.wall_seconds + r.grade_seconds for r in done if not r.cached]
        seconds = tasks * sum(timed) / len(timed) / job.at_once if timed else None
    elif (most := _most(arm)) is not None:
        generated = float(tasks * most)
    cost = None
    if job.prices is not None and generated is not None:
        cost = job.prices.of(round(prompt), 0, round(generated))
    return Estimate(arm.name, tasks, prompt, generated, seconds, cost, not done)


def _most(arm: Arm) -> int | None:
    """The most tokens that one task of ``arm`` may generate, None if no limit says so."""
    if arm.budget.total_tokens is not None:
        return arm.budget.total_tokens
    return arm.sampling.max_tokens if arm.method == "sequential" else None


def read_prices(text: str) -> Prices:
    """``PROMPT,GENERATED`` or ``PROMPT,GENERATED,CACHED``: prices of a million tokens.

    Raises ValueError for anything else.
    """
    values = [float(part) for part in text.split(",")]
    if len(values) not in (2, 3) or min(values) < 0:
        raise ValueError(text)
    return Prices(*values)
