"""docs/protocols.md is what the code says, and its pictures are real runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.core import Request, Result, Sampling
from plait.protocols import CATALOGUE, REFUSED
from plait.protocols.check import check
from plait.protocols.examples import EXAMPLES
from plait.protocols.page import draw, markdown
from plait.solve import solve
from plait.testing import ScriptedEngine, run_virtual

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "run `plait protocols --markdown > docs/protocols.md`")


def test_the_page_holds_what_is_known_of_every_format() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, known in CATALOGUE.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for fact in (known.facts.paper, known.facts.nesting, *known.facts.models,
                     *draw(known, EXAMPLES[name])):
            assert fact in section
        assert ("start at one position" in section) == bool(known.facts.mismatch)
    for refused in REFUSED:
        assert refused.reason in page
        assert refused.instead in page


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_the_example_of_a_format_runs_as_it_is_drawn(name: str) -> None:
    example, known = EXAMPLES[name], CATALOGUE[name]
    said = [*example.turns[:1], *example.threads, *example.turns[1:]]
    if name == "parathinker":
        said = [*example.threads, *example.turns]
    turns = iter(said)

    def play(prompt: str, sampling: Sampling) -> str:
        return next(turns)

    async def ask() -> Result:
        request = Request(example.prompt or "Which?")
        return await solve(request, engine=ScriptedEngine(play), protocol=name)

    result = run_virtual(ask)
    assert set(result.warnings) <= {known.facts.mismatch}
    assert (result.threads, result.fallback) == (1 + len(example.threads), None)
    assert check(known, result.text).faults == ()
    assert main_line(draw(known, example)) == result.text


def main_line(drawn: list[str]) -> str:
    """The main line's text, read off a picture."""
    text, who = "", ""
    for line in drawn:
        who = line[:10].strip() or who
        piece, _, placed = line[10:].partition("   (in place of everything from ")
        if placed:
            text = text[: text.index(placed.removesuffix(" on)"))]
        if who in ("model", "joined"):
            text += piece.replace("⏎", "\n")
    return text
