"""``plait ab A.toml B.toml --suite SUITE``: which policy is better? Stops when it is known."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

import anyio
import typer

from plait.cli.problems import (
    JudgeOption,
    blank,
    free_settings,
    grading,
    load_problems,
    tell,
)
from plait.cli.runtime import runtime_of
from plait.cli.settings import ENGINES, LARGEST, Settings
from plait.cli.show import print_json
from plait.evals import Suite
from plait.evals.graders import grade
from plait.policy import PolicyFile, read_policy
from plait.tune.ab import Experiment, Question, experiment, lines, metric_named
from plait.tune.bench import Bench
from plait.tune.betting import ALPHA

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def ab(  # noqa: PLR0913 - typer makes an option of every argument
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A policy file.")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another one.")],
    suite: Annotated[str, typer.Option(help="`countdown`, a data set, or a *.toml file.")],
    tier: Annotated[str | None, typer.Option(help="Tiers of the suite.")] = None,
    limit: Annotated[int | None, typer.Option(help="Problems at most.")] = None,
    data: Annotated[str | None, typer.Option(metavar="FILE", help="The suite's data.")] = None,
    metric: Annotated[str, typer.Option(help="score, accuracy, seconds or tokens.")] = "score",
    latency: Annotated[float, typer.Option(help="Weight of seconds in the score.")] = 0.3,
    alpha: Annotated[float, typer.Option(help="The share of false alarms.")] = ALPHA,
    engine: Annotated[str | None, typer.Option(help=ENGINES)] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    judge: JudgeOption = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two policies problem by problem, until one is known to be better.

    Looking after every problem costs nothing in errors. Exit status 1 where nothing is decided.
    """
    question = Question(metric_named(metric), latency, alpha)
    policies = read_policy(a), read_policy(b)
    settings = free_settings("ab", engine=engine, model=model, seed=seed)
    problems = load_problems(suite, tier, limit, data, settings.seed)
    found = anyio.run(_compare, problems, policies, question, settings, judge)
    if json:
        print_json({**asdict(found), "early": found.early})
    else:
        print("\n".join(lines(found)))
    if found.better is None:
        raise typer.Exit(1)


async def _compare(
    suite: Suite, policies: tuple[PolicyFile, PolicyFile], question: Question, settings: Settings,
    judge: str | None,
) -> Experiment:
    async with grading(suite, judge) as grader, runtime_of(settings) as runtime:
        bench = Bench(runtime, partial(grade, grader), request=blank(settings, runtime))
        return await experiment(bench, suite.samples, *policies, question, seed=settings.seed,
                                tell=tell)
