"""``plait protocols``: the wire formats that models fork in, and what is known of each."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from plait.cli.show import mode_for, print_json, print_lines
from plait.protocols import CATALOGUE, Facts

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_KEYS = 10
"""Columns of the words in front of a fact."""


@app.command()
def protocols(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the wire formats that models fork in: `plait solve --protocol NAME`."""
    facts = [known.facts for known in CATALOGUE.values()]
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
