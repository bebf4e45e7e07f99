"""Sheets in words: people's lines to a Sheet, a Sheet to a prompt, an answer back."""

from __future__ import annotations

import re
from typing import Literal

from plait.puzzles.sheet import (
    LINES,
    LITERALS,
    WIDTHS,
    Line,
    NotASheet,
    Operand,
    Sheet,
    canonical,
)

Dialect = Literal["sequential", "threadweaver"]

CAN_DO = (
    f"a sheet has lines such as `a = 17 + 25, b = a * 3, c = 81 - 46, d = b + c, d?`: at most "
    f"{LINES} of them, in at most {WIDTHS[-1]} chains, numbers from {LITERALS[0]} to "
    f"{LITERALS[-1]}, and every value but the last used once"
)
"""What plait-nano's sheets look like, for people who write others."""
LONGEST = 10_000
"""Longer texts are no sheet: they are not read."""
_NAME = r"[A-Za-z_]\w{0,30}"
_OPERAND = rf"(?:\d{{1,9}}|{_NAME})"
_LINE = re.compile(
    rf"(?:^|(?<=[\s,;.:(]))({_NAME}) ?= ?({_OPERAND}) ?([-+*/×·÷−–]) ?({_OPERAND})(?![\w.]*\w)")
_PLAIN = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_QUESTION = (
    re.compile(rf"\b({_NAME}) ?(?:= ?)?\?"),
    re.compile(rf"(?:what is|what's|find|give|compute|work out|evaluate|calculate) (?:me )?"
               rf"(?:the value of )?({_NAME})\b", re.IGNORECASE),
)


def _operand(text: str) -> Operand:
    return int(text) if text.isdigit() else text


def parse_lines(text: str) -> list[Line] | None:
    """The lines in a person's words, up to the value that is asked for; None if there is no sheet.

    Lines that the value does not depend on are left out. Without a question the last line's value
    is asked for.
    """
    if len(text) > LONGEST:
        return None
    text = " ".join(text.split())
    lines = [Line(m[1], _operand(m[2]), m[3].translate(_PLAIN), _operand(m[4]))
             for m in _LINE.finditer(text)]
    if not lines:
        return None
    rest = _LINE.sub(" ", text)
    named = {line.name for line in lines}
    asked = [m[1] for pattern in _QUESTION for m in pattern.finditer(rest) if m[1] in named]
    return _needed(lines, asked[-1] if asked else lines[-1].name)


def _needed(lines: list[Line], asked: str) -> list[Line]:
    wanted, kept = {asked}, []
    for line in reversed(lines):
        if line.name in wanted:
            kept.append(line)
            wanted.update(line.needs)
    return kept[::-1]


def parse_sheet(text: str) -> Sheet | None:
    """The sheet that a person's words hold, or None where they hold none that is whole."""
    lines = parse_lines(text)
    try:
        return None if lines is None else canonical(lines)
    except NotASheet:
        return None


def understand_sheet(text: str) -> Sheet:
    """The sheet in a person's words. Raises ValueError, saying why plait-nano cannot take it."""
    lines = parse_lines(text)
    if lines is None:
        raise ValueError(f"This is no sheet: {CAN_DO}.")
    try:
        sheet = canonical(lines)
    except NotASheet as error:
        raise ValueError(f"plait-nano cannot work this sheet out: {error}; {CAN_DO}") from None
    if why := sheet_limits(sheet):
        raise ValueError(f"plait-nano cannot work this sheet out: {why}; {CAN_DO}")
    return sheet


def sheet_limits(sheet: Sheet) -> str | None:
    """Why plait-nano cannot take the sheet, or None where it can."""
    if len(sheet.lines) > LINES:
        return f"it has {len(sheet.lines)} lines"
    if sheet.width > WIDTHS[-1]:
        return f"it has {sheet.width} chains"
    for line in sheet.lines:
        for x in (line.left, line.right):
            if isinstance(x, int) and x not in LITERALS:
                return f"{x} is not a number from {LITERALS[0]} to {LITERALS[-1]}"
    return None


def render(sheet: Sheet, dialect: Dialect) -> str:
    """The prompt that puts the sheet to plait-nano in one of its dialects."""
    return f"{sheet}\n<think>\n" if dialect == "threadweaver" else str(sheet)


_ANSWER = re.compile(r"Answer: (\d{1,9})")


def read_answer(text: str) -> str | None:
    """The number after `Answer: ` in the last line of the model's text, or None."""
    match = _ANSWER.fullmatch(text.rstrip().rpartition("\n")[2])
    return match[1] if match else None
