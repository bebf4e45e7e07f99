"""What commands that run suites share: problems by name, the engine by the settings."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from plait.cli.settings import Settings, load_settings
from plait.core import Request
from plait.errors import UsageError
from plait.evals import Suite
from plait.evals.graders import Grader, open_grader
from plait.evals.suites import Choice, load_suite
from plait.solve import Runtime

JudgeOption = Annotated[str | None, typer.Option(
    "--judge", metavar="ENGINE MODEL", help="The model of the grader `judge`.")]
COMPARED = ("method", "policy", "trace")
"""Settings of one answer, which mean nothing where methods or policies are compared."""
SEARCHED = (*COMPARED, "width", "depth")
"""And those that a search or an experiment of policies is there to find out."""


def load_problems(
    name: str, tier: str | None, limit: int | None, data: str | None, seed: int = 0
) -> Suite:
    """The suite's problems. Raises `UsageError` if there is no such suite or nothing in it."""
    if limit is not None and limit < 1:
        raise UsageError(f"`limit` is {limit} but must be above 0")
    suite = load_suite(name, Choice(tier, limit, seed=seed), data=Path(data) if data else None)
    if not suite.samples:
        raise UsageError(f"the suite `{name}` has no problems")
    return suite


def made_folder(path: str) -> Path:
    """A folder, made where it is not there yet. Raises `UsageError` if it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from None
    return Path(path)


def tell(line: str) -> None:
    """How it is going, on standard error."""
    print(line, file=sys.stderr, flush=True)


@asynccontextmanager
async def grading(suite: Suite, judge: str | None) -> AsyncIterator[Grader]:
    """The suite's grader, seen to work. ``judge`` names the model that judges, if one does: an
    engine, and behind a blank the model's name. Raises `UsageError` where it cannot grade."""
    if judge is None:
        async with open_grader(suite.grader) as grader:
            yield grader
        return
    engine, _, model = judge.strip().partition(" ")
    async with (Runtime(engine, model=model.strip() or None) as runtime,
                open_grader(suite.grader, runtime) as grader):
        yield grader


def settings_from(**flags: object) -> Settings:
    """The settings in force here."""
    return load_settings(flags, os.environ, Path.cwd())


def free_settings(command: str, free: Sequence[str] = SEARCHED, **flags: object) -> Settings:
    """The settings in force. Raises `UsageError` if one of ``free`` is set, which would decide what
    is compared."""
    settings = settings_from(**flags)
    given = [n for n in free if getattr(settings, n) is not None]
    if given:
        raise UsageError(f"`{given[0]}` is set, which `plait {command}` must be free to choose",
                         hint="Take it out of plait.toml and of the environment.")
    return settings


def blank(settings: Settings, runtime: Runtime) -> Request:
    """Sampling, limits and directions of every request, with a prompt to be replaced."""
    return settings.fit(settings.request("?"), runtime.engine.model)


def formats_of(runtime: Runtime) -> tuple[str, ...]:
    """The wire formats that the engine's model is known to write, the preferred one first."""
    return runtime.engine.capabilities.protocols
