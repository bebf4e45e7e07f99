"""``plait analyze [LOG...]``: where would parallel threads help? Reads past sequential answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from plait.analysis import (
    Analysis,
    Options,
    Traffic,
    analyse,
    markdown,
    read_traffic,
    terminal_lines,
    to_dict,
)
from plait.analysis.make import make_traffic
from plait.cli.problems import (
    JudgeOption,
    blank,
    formats_of,
    grading,
    load_problems,
    made_folder,
    settings_from,
)
from plait.cli.runtime import runtime_of
from plait.cli.settings import ENGINES, LARGEST, Settings
from plait.cli.show import mode_for, print_json, print_lines, say
from plait.errors import UsageError
from plait.evals import Suite
from plait.registry import METHODS, find_protocol

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def analyze(  # noqa: PLR0913 - typer makes an option of every argument
    logs: Annotated[list[str] | None, typer.Argument(
        metavar="LOG", show_default=False, help="Logs, or folders of them: OpenAI-style"
        " JSONL, inspect or lm-eval sample logs, plait traces, folders of `plait eval`.")] = None,
    suite: Annotated[str | None, typer.Option(
        help="Make the traffic: answer the problems of this suite in one thread each.")] = None,
    tier: Annotated[str | None, typer.Option(help="Tiers of the suite.")] = None,
    limit: Annotated[int | None, typer.Option(help="Problems at most.")] = None,
    data: Annotated[str | None, typer.Option(metavar="FILE", help="The suite's data.")] = None,
    engine: Annotated[str | None, typer.Option(help=ENGINES)] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    judge: JudgeOption = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST)] = None,
    keep: Annotated[str | None, typer.Option(
        metavar="FOLDER", help="Keep the traces of the suite's runs.")] = None,
    threads: Annotated[int, typer.Option(help="Threads to reckon with.")] = 8,
    slowdown: Annotated[float, typer.Option(
        help="Time of the engine's step with that many threads over that of one.")] = 1.0,
    protocol: Annotated[str | None, typer.Option(
        help="The wire format that your model writes, if it does.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    page: Annotated[str | None, typer.Option(
        "--markdown", metavar="FILE", help="Write the report as Markdown.")] = None,
    policy: Annotated[str | None, typer.Option(
        metavar="FILE", help="Write the recommended start as a policy file.")] = None,
) -> None:
    """Say where parallel threads would help, from what sequential reasoning looks like now."""
    if bool(logs) == bool(suite):
        raise UsageError("there is nothing to analyse" if not logs else
                         "logs and a suite cannot be analysed together",
                         hint="Name log files or folders, or a --suite.")
    settings = settings_from(engine=engine, model=model, seed=seed, protocol=protocol)
    known = (find_protocol(settings.protocol).facts.name,) if settings.protocol else ()
    options = Options(threads=threads, slowdown=slowdown, methods=METHODS, protocols=known)
    if suite:
        problems = load_problems(suite, tier, limit, data, settings.seed)
        folder = made_folder(keep) if keep else None
        traffic, spoken = anyio.run(_make, problems, settings, folder, judge)
        options = Options(threads=threads, slowdown=slowdown, methods=METHODS,
                          protocols=known or spoken)
    else:
        traffic = read_traffic(logs or ())
    _show(analyse(traffic, options), json=json, page=page, policy=policy)


async def _make(
    suite: Suite, settings: Settings, keep: Path | None, judge: str | None
) -> tuple[Traffic, tuple[str, ...]]:
    """The traffic, and the wire formats that the engine's model is known to write."""
    async with grading(suite, judge) as grader, runtime_of(settings) as runtime:
        traffic = await make_traffic(runtime, suite, grader, blank(settings, runtime), keep=keep,
                                     tell=_tell)
        return traffic, formats_of(runtime)


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of} problems", end="\n" if done == of else "", file=sys.stderr)


def _show(analysis: Analysis, *, json: bool, page: str | None, policy: str | None) -> None:
    """Print the report and write what was asked for."""
    if json:
        print_json(to_dict(analysis))
    else:
        print_lines(terminal_lines(analysis), mode_for(json=False, quiet=False))
    if page is not None:
        _write(page, markdown(analysis))
    if policy is not None:
        why = "\n".join(("recommended by plait analyze as a start:",
                         *analysis.recommendation.reasons))
        _write(policy, analysis.recommendation.policy.text(why))


def _write(path: str, text: str) -> None:
    """Write a file, and say so. Raises `UsageError` if it cannot be written."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    say(f"wrote {path}")
