"""``plait protocols``: the wire formats that models fork in, and a checker of transcripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.text import Text

from plait.cli.show import mode_for, print_json, print_lines
from plait.errors import UsageError
from plait.protocols import CATALOGUE, Facts
from plait.protocols.check import check as check_text
from plait.protocols.page import markdown as page
from plait.protocols.sizes import Report
from plait.registry import find_protocol
from plait.viewer.words import number

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)
_KEYS = 10
"""Columns of the words in front of a fact."""


@app.callback()
def protocols(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page with pictures that "
                                           "is docs/protocols.md.")] = False,
) -> None:
    """List the wire formats that models fork in: `plait solve --protocol NAME`."""
    if context.invoked_subcommand is not None:
        return
    facts = [known.facts for known in CATALOGUE.values()]
    if markdown:
        print(page(), end="")
        return
    if json:
        print_json([asdict(f) for f in facts])
        return
    lines = [line for f in facts for line in (*_page(f), Text())]
    print_lines(lines[:-1], mode_for(json=False, quiet=False))


def _page(facts: Facts) -> list[Text]:
    head = Text(facts.name, "bold")
    head.append(f"  {facts.title}, {facts.paper}", "not bold dim")
    shape = "threads continue the parent's context" if facts.family == "fork" \
        else "threads start from prompts of their own"
    rows = [("threads", f"{shape}; nesting: {facts.nesting}"), ("join", facts.joins)]
    if facts.models:
        rows.append(("models", ", ".join(facts.models)))
    if facts.mismatch:
        rows.append(("mismatch", facts.mismatch))
    rows += [("caveat", caveat) for caveat in facts.caveats]
    return [head, *(Text.assemble(("  " + key.ljust(_KEYS), "dim"), value) for key, value in rows)]


@dataclass(frozen=True, slots=True)
class _Transcript:
    """One text to check; ``threads`` are the own texts of spawned threads, by number or node."""

    text: str
    threads: dict[str, str] = field(default_factory=dict)


@app.command(short_help="Check transcripts: faults with their places.")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="A transcript as "
                                        "text, or *.jsonl: objects with `text`, and `threads` for "
                                        "formats that spawn.")],
    protocol: Annotated[str, typer.Option(help="The wire format; `plait protocols` lists them.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Check transcripts: faults with their places, and what the threads come to.

    Lengths are in words, signs and tags. Exit status 1 where a transcript has a fault.
    """
    known, faulty = find_protocol(protocol), False
    for place, transcript in enumerate(_read(Path(file)), start=1):
        report = check_text(known, transcript.text, transcript.threads)
        faulty |= not report.well_formed
        if json:
            print_json(_as_dict(report, known.facts))
        else:
            lines = _report_lines(report, known.facts, f"transcript {place}", transcript.text)
            print_lines(lines, mode_for(json=False, quiet=False))
    if faulty:
        raise typer.Exit(1)


def _read(path: Path) -> Iterator[_Transcript]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}",
                         hint="Name a UTF-8 file that holds a transcript.") from None
    if path.suffix != ".jsonl":
        yield _Transcript(text)
        return
    for place, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _transcript(line, f"{path}, line {place}")


def _transcript(line: str, where: str) -> _Transcript:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{where} is no JSON: {error}",
                         hint='Each line must be an object such as {"text": "..."}.') from None
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    text, threads = fields.get("text"), fields.get("threads") or {}
    if not isinstance(text, str) or not isinstance(threads, dict) or not all(
            isinstance(v, str) for v in threads.values()):
        raise UsageError(f"{where} has no `text`, or `threads` that are no texts",
                         hint='Each line must be an object such as {"text": "..."}.')
    return _Transcript(text, threads)


def _as_dict(report: Report, facts: Facts) -> dict[str, object]:
    size = report.size
    return {
        "well_formed": report.well_formed, "faults": [asdict(f) for f in report.faults],
        "threads": size.threads, "blocks": size.blocks, "depth": size.depth,
        "total_tokens": size.total, "critical_path_tokens": size.longest_path,
        "parallel_share": size.share, "acceleration_ratio": size.acceleration,
        "published": {"measure": facts.measure, "value": size.published(facts.measure)},
        "note": report.note or None,
    }


def _report_lines(report: Report, facts: Facts, name: str, text: str) -> list[Text]:
    size = report.size
    lines = [Text.assemble((name, "bold"), ": ", ("well formed", "green") if report.well_formed
                           else (number(len(report.faults), "fault"), "red"))]
    for fault in report.faults:
        row = text.count("\n", 0, fault.at) + 1
        column = fault.at - text.rfind("\n", 0, fault.at)
        lines.append(Text(f"  {row}:{column}  {fault.what}"))
    lines.append(Text(
        f"  {number(size.threads, 'thread')} in {number(size.blocks, 'block')},"
        f" {number(size.depth, 'level')} deep; T {size.total:,}, L {size.longest_path:,} words;"
        f" share {size.share:.0%}, acceleration {size.acceleration:.0%}"))
    lines.append(Text(f"  as its paper counts ({facts.measure}):"
                      f" {size.published(facts.measure):.3g}"))
    return [*lines, Text(f"  {report.note}")] if report.note else lines
