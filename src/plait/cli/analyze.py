"""``plait analyze [LOG...]``: where would parallel threads help? Reads past sequential answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plait.analysis import (
    Analysis,
    Options,
    analyse,
    markdown,
    read_traffic,
    terminal_lines,
    to_dict,
)
from plait.cli.show import mode_for, print_json, print_lines, say
from plait.errors import UsageError
from plait.registry import METHODS, find_protocol

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def analyze(
    logs: Annotated[list[str] | None, typer.Argument(
        metavar="[LOG]...", show_default=False, help="Logs, or folders of them: OpenAI-style"
        " JSONL, inspect or lm-eval sample logs, plait traces.")] = None,
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
    if not logs:
        raise UsageError("there is nothing to analyse", hint="Name a log file or a folder.")
    known = (find_protocol(protocol).facts.name,) if protocol else ()
    options = Options(threads=threads, slowdown=slowdown, methods=METHODS, protocols=known)
    show(analyse(read_traffic(logs), options), json=json, page=page, policy=policy)


def show(analysis: Analysis, *, json: bool, page: str | None, policy: str | None) -> None:
    """Print the report and write what was asked for."""
    if json:
        print_json(to_dict(analysis))
    else:
        print_lines(terminal_lines(analysis), mode_for(json=False, quiet=False))
    if page is not None:
        write(page, markdown(analysis))
    if policy is not None:
        why = "\n".join(("recommended by plait analyze as a start:",
                         *analysis.recommendation.reasons))
        write(policy, analysis.recommendation.policy.text(why))


def write(path: str, text: str) -> None:
    """Write a file, and say so. Raises `UsageError` if it cannot be written."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    say(f"wrote {path}")
