"""What models and engines do wrong, format by format; the table is in `failures`.

Each case runs a whole request on a scripted model through the real scheduler. What every run must
hold besides its row of the table (no thread and no text is lost, the runtime puts nothing into a
context but the format's own tags) is checked by `run_model.run`.
"""

from __future__ import annotations

import re

import pytest

from plait.protocols import CATALOGUE
from tests.protocols.cells import EVERY, Case, Never
from tests.protocols.failures import TABLE
from tests.protocols.run_model import run
from tests.protocols.words import WORDS, Model

CASES = [(failure, name) for failure, row in TABLE.items() for name in EVERY
         if isinstance(row[name], Case)]


@pytest.mark.parametrize(("failure", "name"), CASES)
def test_a_failure_ends_as_the_table_says(failure: str, name: str) -> None:
    case = TABLE[failure][name]
    assert isinstance(case, Case)
    model = Model(WORDS[name], list(case.first), list(case.thread), list(case.after))
    ran = run(model, **case.given)
    result = ran.result
    assert ran.threads == case.threads
    assert (ran.root, result.finish) == (case.root, "answered")
    assert re.search(case.fallback, result.fallback or "")
    assert bool(result.fallback) == bool(case.fallback)
    assert re.search(case.holds, ran.text), ran.text
    assert re.search(case.reads, model.prompts[0]), model.prompts[0]
    assert (model.first, model.thread, model.after) == ([], [], []), "never asked for"
    warnings = set(result.warnings) - {CATALOGUE[name].facts.mismatch,
                                       f"falling back to sequential reasoning: {result.fallback}"}
    unsaid = [said for said in case.says if not any(re.match(said, w) for w in warnings)]
    unwanted = [w for w in warnings if not any(re.match(said, w) for said in case.says)]
    assert (unsaid, unwanted) == ([], [])


@pytest.mark.parametrize("name", EVERY)
def test_a_well_behaved_run_is_the_same_in_token_ids(name: str) -> None:
    text, ids = (run(Model(WORDS[name]), ids=ids) for ids in (False, True))
    assert ids.text == text.text
    assert ids.threads == text.threads == ("done",) * WORDS[name].threads


def test_the_table_has_every_failure_for_every_format() -> None:
    assert sorted(EVERY) == sorted(CATALOGUE)
    assert all(set(row) == set(CATALOGUE) for row in TABLE.values())
    assert {int(failure.split()[0]) for failure in TABLE} == set(range(14))
    assert all(cell.why for row in TABLE.values() for cell in row.values()
               if isinstance(cell, Never))
