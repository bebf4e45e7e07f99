"""``plait tune SUITE --out FOLDER``: search for the settings that do best, and confirm them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from plait.cli.problems import JudgeOption, free_settings, load_problems, made_folder
from plait.cli.settings import ENGINES, LARGEST, Settings
from plait.cli.show import print_json, say
from plait.errors import UsageError
from plait.evals import Suite
from plait.registry import MERGES, METHODS, find_protocol
from plait.tune.goal import Goal, split, weights_of
from plait.tune.space import Way

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Choices:
    """What to search over; no ``ways``: what suits the engine."""

    ways: tuple[Way, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    merges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A search, as it was asked for."""

    suite: Suite
    settings: Settings
    goal: Goal
    choices: Choices
    folder: Path
    trials: int
    judge: str | None


@app.command()
def tune(  # noqa: PLR0913 - typer makes an option of every argument
    suite: Annotated[str, typer.Argument(metavar="SUITE", show_default=False, help="`countdown`, "
                                         "a known data set, or a suite of your own, *.toml.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where the search is kept; the same"
                                     " command goes on with it.")],
    tier: Annotated[str | None, typer.Option(help="Tiers of the suite.")] = None,
    limit: Annotated[int | None, typer.Option(help="Problems at most, both halves.")] = None,
    data: Annotated[str | None, typer.Option(metavar="FILE", help="The suite's data.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Policies to try.")] = 30,
    latency: Annotated[float, typer.Option(help="What being as slow as sequential costs.")] = 0.3,
    tokens: Annotated[float, typer.Option(help="What as many tokens as sequential cost.")] = 0.0,
    methods: Annotated[str | None, typer.Option(help="For example native:apr,explore.")] = None,
    widths: Annotated[str, typer.Option(help="Threads at once.")] = "2,4,8,16",
    depths: Annotated[str, typer.Option(help="Levels of threads.")] = "1,2",
    merges: Annotated[str, typer.Option(help="For methods that take one.")] = "vote,adaptive",
    engine: Annotated[str | None, typer.Option(help=ENGINES)] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="The format your model writes.")] = None,
    judge: JudgeOption = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search for the policy that scores best, confirm it on other problems, write it to a file.

    Exit status 1 where the winner does not hold up; the file then holds what did better.
    """
    settings = free_settings("tune", engine=engine, model=model, protocol=protocol, seed=seed)
    Goal(latency, tokens)  # what makes no sense is refused before data is fetched
    problems = load_problems(suite, tier, limit, data, settings.seed)
    goal = Goal(latency, tokens, weights_of(problems.samples))
    split(problems.samples, settings.seed)  # too few are refused before anything runs
    choices = Choices(_ways(methods) if methods else (), _numbers("widths", widths),
                      _numbers("depths", depths), _merges(merges))
    folder = made_folder(out)
    found = anyio.run(_tuning().tune, Job(problems, settings, goal, choices, folder, trials, judge))
    if json:
        print_json(found.data)
    else:
        print("\n".join(found.lines))
    say(f"wrote {found.path}")
    if not found.holds:
        raise typer.Exit(1)


def _tuning() -> Any:
    """The module that does the work: it needs Optuna and SciPy, which are an extra."""
    try:
        return import_module("plait.cli.tuning")
    except ModuleNotFoundError as error:
        raise UsageError(f"`plait tune` needs {error.name}",
                         hint="Install it: pip install 'plait[tune]'.") from None


def _ways(text: str) -> tuple[Way, ...]:
    found = []
    for word in _words(text):
        method, _, protocol = word.partition(":")
        if method not in METHODS or method == "sequential":
            raise UsageError(f"`{method}` is no parallel method",
                             hint=f"Known: {', '.join(m for m in METHODS if m != 'sequential')}.")
        if method == "native" and not protocol:
            raise UsageError("the method `native` needs a protocol",
                             hint="Say native:apr, for example.")
        found.append(Way(method, find_protocol(protocol).facts.name if protocol else None))
    return tuple(found)


def _merges(text: str) -> tuple[str, ...]:
    for name in _words(text):
        if name not in MERGES:
            raise UsageError(f"there is no merge `{name}`", hint=f"Known: {', '.join(MERGES)}.")
    return tuple(_words(text))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(name: str, text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(w.isdigit() and 0 < int(w) < LARGEST for w in words):
        raise UsageError(f"`{name}` is {text!r:.60} but must be whole numbers above 0",
                         hint="Say 2,4,8, for example.")
    return tuple(int(w) for w in words)
