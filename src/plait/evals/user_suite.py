"""A suite of the user's own, in ten lines of TOML.

    name = "invoices"
    path = "invoices.jsonl"          # JSONL, JSON, CSV or Parquet, beside this file
    grader = "number"                # plait eval suites lists them

    [fields]
    question = "Invoice:\\n{text}\\n\\nWhat is the total? End with `Answer: NUMBER`."
    answer = "total"                 # a column, or a template with {columns}
    id = "number"                    # optional, as are group, choices, setup, tests and weight
    group = "customer"

A value with ``{...}`` is a template, any other one names a column. Columns within objects are
named with dots (``meta.level``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plait.core.files import read_toml
from plait.errors import UsageError
from plait.evals.datasets import content_id
from plait.evals.graders import NAMES
from plait.evals.rows import Row, read_rows
from plait.evals.values import Sample, Suite, make_suite

FIELDS = ("question", "answer", "id", "group", "choices", "setup", "tests", "weight")
KEYS = ("name", "path", "grader", "fields")
_COLUMN = re.compile(r"\{([^{}]+)\}")
_NEEDS = {"exact": "answer", "number": "answer", "choice": "answer", "math": "answer",
          "code": "tests", "cases": "tests"}


def load_user_suite(file: Path) -> Suite:
    """The suite that ``file`` describes. Raises `UsageError` for everything that is wrong in it."""
    table = _table(file)
    fields: dict[str, str] = table["fields"]
    path = file.parent / table["path"]
    grader: str = table["grader"]
    if grader not in NAMES:
        raise UsageError(f"{file}: there is no grader `{grader}`",
                         hint=f"Known: {', '.join(NAMES)}.")
    needed = _NEEDS.get(grader)
    if needed is not None and needed not in fields:
        raise UsageError(f"{file}: the grader `{grader}` needs the field `{needed}`",
                         hint="Add it under [fields].")
    name = str(table.get("name") or file.stem)
    return make_suite(name, _samples(path, fields), grader, path.name)


def _table(file: Path) -> dict[str, Any]:
    table = read_toml(file, str(file))
    _only(f"{file}", table, KEYS)
    for key in ("path", "grader"):
        if not isinstance(table.get(key), str):
            raise UsageError(f"{file} has no `{key}`", hint=f'Add {key} = "...".')
    fields = table.get("fields")
    if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
        raise UsageError(f"{file} does not say where the question is",
                         hint='Add a table [fields] with question = "COLUMN".')
    _only(f"{file}, [fields]", fields, FIELDS)
    if wrong := [key for key, value in fields.items() if not isinstance(value, str)]:
        raise UsageError(f"{file}: the field `{wrong[0]}` is no text",
                         hint="Name a column, or write a template with {columns}.")
    return table


def _only(where: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    if unknown := [key for key in table if key not in known]:
        raise UsageError(f"{where}: unknown key `{unknown[0]}`", hint=f"Known: {', '.join(known)}.")


def _samples(path: Path, fields: Mapping[str, str]) -> Iterator[Sample]:
    for number, row in enumerate(read_rows(path), start=1):
        try:
            yield _sample(row, fields)
        except KeyError as error:
            raise UsageError(f"{path.name}, row {number} has no {error}",
                             hint=f"It has {', '.join(row)}.") from error
        except ValueError as error:
            raise UsageError(f"{path.name}, row {number}: {error}") from error


def _sample(row: Row, fields: Mapping[str, str]) -> Sample:
    def text(name: str) -> str:
        return _filled(row, fields[name]) if name in fields else ""

    choices: tuple[str, ...] = ()
    if "choices" in fields:
        value = _column(row, fields["choices"])
        choices = tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
    question = text("question")
    return Sample(text("id") or content_id(question), question,
                  text("answer") if "answer" in fields else None, text("group"), choices,
                  text("setup"), text("tests"), _weight(text("weight")))


def _weight(text: str) -> float:
    """A weight above 0; 1 where there is none. Raises ValueError for anything else."""
    weight = float(text or 1)
    if not 0 < weight < math.inf:
        raise ValueError(f"`weight` is {text!r:.60} but must be a number above 0")
    return weight


def _filled(row: Row, spec: str) -> str:
    if not _COLUMN.search(spec):
        return str(_column(row, spec))
    return _COLUMN.sub(lambda found: str(_column(row, found[1])), spec)


def _column(row: Row, name: str) -> object:
    """The value of a column; dots go into objects. Raises KeyError if there is none."""
    value: object = row
    for part in [name] if name in row else name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(f"`{name}`")
        value = value[part]
    return value
