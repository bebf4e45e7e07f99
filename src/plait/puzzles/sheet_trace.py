"""What a perfect player of sheets writes, in each dialect of plait-nano.

A line is written out in three parts, `b=a*3 42*3 b:126`, so that every token is one small decision:
copy the line, look its values up, work it out. The name stands before the result once more, for
that is where later lines look it up. In one thread all lines follow in
their order. In ThreadWeaver's format a sheet of one chain is answered the same way; a wider one
opens a thread for each chain, which is named by its first value and ends where a line needs
another chain's value.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.puzzles.sheet import Line, Sheet


def worked(line: Line, values: dict[str, int]) -> str:
    """`a=17+25 a:42`, or `b=a*3 42*3 b:126` where the line uses values."""
    result = f"{line.name}:{values[line.name]}"
    if not line.needs:
        return f"{line} {result}"
    left, right = (values[x] if isinstance(x, str) else x for x in (line.left, line.right))
    return f"{line} {left}{line.symbol}{right} {result}"


def _worked(lines: Sequence[Line], sheet: Sheet) -> str:
    return "\n".join(worked(line, sheet.values) for line in lines)


def answer_line(sheet: Sheet) -> str:
    return f"Answer: {sheet.answer}"


def sequential(sheet: Sheet) -> str:
    """Everything in one thread."""
    return f"\n{_worked(sheet.lines, sheet)}\n{answer_line(sheet)}"


def alone(sheet: Sheet) -> str:
    """A single chain in ThreadWeaver's dialect: no fork."""
    return f"{_worked(sheet.lines, sheet)}\n</think>\n{answer_line(sheet)}"


def outlines(sheet: Sheet) -> str:
    """The list of threads: each is named by the first value of its chain."""
    lines = "".join(
        f"<Outline>{n}: {chain[0].name}</Outline>\n" for n, chain in enumerate(sheet.chains, 1))
    return f"<Parallel>\n<Outlines>\n{lines}</Outlines>"


def threads(sheet: Sheet) -> tuple[str, ...]:
    """What each thread writes after its header, its closing tag included."""
    return tuple(f" {_worked(chain, sheet)}</Thread>" for chain in sheet.chains)


def final(sheet: Sheet) -> str:
    """What the model writes after the joined threads."""
    return f"</Parallel>\n{_worked(sheet.combining, sheet)}\n</think>\n{answer_line(sheet)}"
