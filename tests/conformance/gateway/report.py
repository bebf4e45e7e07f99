"""What came out, as text for a terminal, as Markdown for the documentation, as JSON for tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.conformance.gateway.case import Target
from tests.conformance.gateway.run import Verdict

SIGNS = {"pass": "yes", "fail": "**no**", "not judged": "–"}
STYLES = {"pass": "green", "fail": "red", "not judged": "dim"}


def count(verdicts: Sequence[Verdict]) -> str:
    """How many of the judged cases passed."""
    judged = [verdict for verdict in verdicts if verdict.result != "not judged"]
    return f"{sum(verdict.result == 'pass' for verdict in judged)} of {len(judged)}"


def print_table(target: Target, verdicts: Sequence[Verdict]) -> None:
    """One line a case."""
    table = Table(title=f"{target.name}: {target.base_url}, model {target.model}", box=None,
                  title_justify="left", pad_edge=False)
    for column in ("case", "result", "what it checks", "found"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        table.add_row(verdict.case.name, f"[{STYLES[verdict.result]}]{verdict.result}[/]",
                      verdict.case.checks, verdict.why, style=None)
    console = Console(soft_wrap=False)
    console.print(table)
    console.print(f"\n{count(verdicts)} judged cases pass")


def as_data(target: Target, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """For `--json`."""
    return {"target": target.name, "base_url": target.base_url, "model": target.model,
            "cases": [{"name": v.case.name, "checks": v.case.checks, "why": v.case.why,
                       "result": v.result, "found": v.why, "seconds": round(v.seconds, 3)}
                      for v in verdicts]}


def as_markdown(columns: Mapping[str, Sequence[Verdict]]) -> str:
    """A table with a column for each target, and below it what was found where one failed."""
    names = list(columns)
    lines = ["| case | what it checks | " + " | ".join(names) + " |",
             "| --- | --- |" + " --- |" * len(names)]
    by_name = {name: {v.case.name: v for v in verdicts} for name, verdicts in columns.items()}
    cases = [verdict.case for verdict in next(iter(columns.values()))]
    for case in cases:
        signs = [SIGNS[by_name[name][case.name].result] for name in names]
        lines.append(f"| `{case.name}` | {_cell(case.checks)} | " + " | ".join(signs) + " |")
    totals = " | ".join(f"**{count(columns[name])}**" for name in names)
    lines += [f"| | judged cases that pass | {totals} |", "", "## What was found", ""]
    for name in names:
        failed = [v for v in columns[name] if v.result == "fail"]
        lines.append(f"**{name}**" + ("" if failed else ": nothing failed."))
        lines += ["", *(f"- `{v.case.name}`: {_cell(v.why)}" for v in failed), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that stays within its cell."""
    return text.replace("|", "\\|").replace("\n", " ")[:160]
