"""``plait feedback export STORE --out FOLDER``: what users said, as a suite of problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from plait.cli.show import print_json, say
from plait.errors import UsageError
from plait.server.export import GRADERS, Exported, suite_toml
from plait.server.export import export as make_suite
from plait.server.store import read_feedback_of
from plait.viewer.words import number

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback()
def feedback() -> None:
    """What users said of the gateway's runs."""


@app.command(short_help="Write a suite of the answers that users said are right.")
def export(
    store: Annotated[str, typer.Argument(metavar="STORE", show_default=False,
                                         help="The gateway's store; it may be running.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where the suite is written.")],
    grader: Annotated[str, typer.Option(help=f"How answers are compared: {', '.join(GRADERS)}."
                                        )] = "exact",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write questions with the answers that users said are right: a suite for `plait eval` and
    `plait tune`.

    Exit status 1 where nobody said what is right.
    """
    if grader not in GRADERS:
        raise UsageError(f"the grader `{grader}` compares no answers",
                         hint=f"Known here: {', '.join(GRADERS)}.")
    found = make_suite(read_feedback_of(Path(store)))
    file = _write(Path(out), found, grader) if found.rows else None
    if json:
        print_json({"suite": file and str(file), "problems": len(found.rows),
                    "left_out": dict(found.left_out)})
    for why, count in found.left_out.most_common():
        say(f"{count:,} left out: {why}")
    if file is None:
        say(f"no feedback in {store} says what is right: nothing was written")
        raise typer.Exit(1)
    say(f"wrote {number(len(found.rows), 'problem')}: plait eval {file}")


def _write(folder: Path, found: Exported, grader: str) -> Path:
    """The suite's two files; the one that describes it."""
    rows = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in found.rows)
    file = folder / "feedback.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "feedback.jsonl").write_bytes(rows)
        file.write_text(suite_toml(grader), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    return file
