"""What a perfect player of sheets writes, in each dialect of plait-nano.

A line is copied with its mark, and each value is put behind its name as it is copied:
`b=a:42*3=b:126`, or `b=a:42*3;b:126` at the end of a chain. So every token is one small decision:
copy on, look a value up behind its name, work the line out. In one thread all lines follow in
their order. In ThreadWeaver's format a sheet of one chain is answered the same way; a wider one
opens a thread for each chain.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.puzzles.sheet import Line, Operand, Sheet


def worked(line: Line, mark: str, values: dict[str, int]) -> str:
    """`a=17+25=a:42`, or `b=a:42*3;b:126` with the mark of the end of a chain."""

    def seen(x: Operand) -> str:
        return f"{x}:{values[x]}" if isinstance(x, str) else str(x)

    return (f"{line.name}={seen(line.left)}{line.symbol}{seen(line.right)}"
            f"{mark or '='}{line.name}:{values[line.name]}")


def _worked(lines: Sequence[Line], sheet: Sheet) -> str:
    return "\n".join(worked(line, sheet.marks[line], sheet.values) for line in lines)


def answer_line(sheet: Sheet) -> str:
    return f"Answer: {sheet.answer}"


def sequential(sheet: Sheet) -> str:
    """Everything in one thread."""
    return f"\n{_worked(sheet.lines, sheet)}\n{answer_line(sheet)}"


def alone(sheet: Sheet) -> str:
    """A single chain in ThreadWeaver's dialect: no fork."""
    return f"{_worked(sheet.lines, sheet)}\n</think>\n{answer_line(sheet)}"


def outlines(sheet: Sheet) -> str:
    """The list of threads, one a chain, with its number."""
    lines = "".join(f"<Outline>{n}: chain</Outline>\n" for n, _ in enumerate(sheet.chains, 1))
    return f"<Parallel>\n<Outlines>\n{lines}</Outlines>"


def thread_header(number: int) -> str:
    """What the runtime puts in front of a thread's words."""
    return f"\n<Thread>\n{number}:"


def threads(sheet: Sheet) -> tuple[str, ...]:
    """What each thread writes after its header, its closing tag included."""
    return tuple(f"{_worked(chain, sheet)}</Thread>" for chain in sheet.chains)


def joined(written: Sequence[str]) -> str:
    """What the runtime puts behind the outlines once all threads have ended."""
    parts = "".join(f"<Thread>\n{n}:{text}" for n, text in enumerate(written, start=1))
    return f"\n{parts}\n"


def final(sheet: Sheet) -> str:
    """What the model writes after the joined threads."""
    return f"</Parallel>\n{_worked(sheet.combining, sheet)}\n</think>\n{answer_line(sheet)}"
