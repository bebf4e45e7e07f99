"""``plait eval report DIR``: a page, tables and conditions from an evaluation's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from plait.cli.show import mode_for, print_json, print_lines, say
from plait.evals.report import check, measures, read_summary, write_report

app = typer.Typer(add_completion=False, rich_markup_mode=None)
NOT_MET = 1


@app.command(short_help="Write the report of a run, and say what came out.")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False,
                                           help="As filled by `plait eval SUITE --out DIR`.")],
    base: Annotated[str | None, typer.Option(metavar="METHOD", help="Compare with this one. "
                                             "[default: sequential]")] = None,
    require: Annotated[list[str] | None, typer.Option(
        metavar="CONDITION", help='Exit with 1 unless it holds: "native.accuracy >= 0.8"; may be '
        "given several times.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the files here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the measures as JSON.")] = False,
) -> None:
    """Write report.html, .md, .csv and .json, and say in a few lines what came out.

    Conditions are METHOD.MEASURE[.low|.high|.verdict] with >=, <=, >, <, == or !=; report.csv lists
    the measures.
    """
    summary = read_summary(folder, base)[1]
    values = measures(summary)
    met = [check(condition, values) for condition in require or []]
    written = write_report(folder, base=base, out=out, gates=met)
    if json:
        print_json({name: value for name, value in values.items()
                    if not isinstance(value, float) or abs(value) < float("inf")})
    else:
        lines = [*written.headlines, *(f"note: {caution}" for caution in written.cautions),
                 f"written: {', '.join(str(file) for file in written.files)}"]
        print_lines([Text(line) for line in lines], mode_for(json=False, quiet=False))
    for gate in met:
        if not gate.met:
            say(f"not met: {gate.condition} (it is {gate.found})")
    if not all(gate.met for gate in met):
        raise typer.Exit(NOT_MET)
