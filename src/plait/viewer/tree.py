"""The tree of threads as lines of text, one a thread, in as many lines as there is room for.

Where the room is short the running threads come first, then those that found something; what is
left out is summed up in one line below its parent. The order is always that of the names, so that
lines do not jump about while a run goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from plait.viewer.scene import Scene, Strand
from plait.viewer.words import fit, gist, one_line, pad

STYLES = {
    "writing": ("●", "cyan"),
    "reading": ("○", "cyan"),
    "thinking": ("○", "cyan"),
    "queued": ("·", "dim"),
    "done": ("✓", "green"),
    "no solution": ("·", "dim"),
    "no answer": ("✗", "red"),
    "cancelled": ("−", "dim"),
    "failed": ("✗", "red"),
    "malformed": ("✗", "red"),
    "out of budget": ("✗", "yellow"),
}
WAITING = ("○", "yellow")
STATE_WIDTH = 15
NAME_WIDTH = 28
LABEL_WIDTH = 24
LEAST = 6
"""Cells below which a detail is left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a thread, or (``hidden`` not empty) what is left out below the thread."""

    strand: Strand
    guide: str
    hidden: tuple[tuple[str, int], ...] = ()


def rows(scene: Scene, height: int | None = None) -> list[Row]:
    """The lines of the tree, at most ``height`` of them (but at least one, the root's)."""
    if scene.root is None:
        return []
    shown = _choose(scene, height)
    return list(_walk(scene.root, shown, "", ""))


def tree_lines(scene: Scene, width: int, height: int | None = None) -> list[Text]:
    """The tree, drawn in lines of at most ``width`` cells."""
    tree = rows(scene, height)
    threads = [row for row in tree if not row.hidden]
    left = max((len(r.guide) + len(r.strand.name) for r in threads), default=0)
    label = max((cell_len(one_line(r.strand.label)) for r in threads), default=0)
    columns = min(left, NAME_WIDTH), min(label, LABEL_WIDTH)
    return [_more(row, width) if row.hidden else _line(row, columns, width) for row in tree]


def style_of(strand: Strand) -> tuple[str, str]:
    """The mark and the colour of what a thread is doing."""
    return STYLES.get(strand.state, WAITING)


def _urgency(strand: Strand) -> int:
    """What is shown first when the room is short (0: most of all)."""
    if strand.status is None:
        return 2 if strand.state == "queued" else 0
    if strand.status == "done" and strand.value is not None:
        return 1
    return 4 if strand.status in ("done", "cancelled") else 3


def _choose(scene: Scene, height: int | None) -> set[Strand]:
    """The threads to show: each with all above it, and a line for what its parent leaves out."""
    everybody = list(scene.strands.values())
    if height is None or len(everybody) <= height:
        return set(everybody)
    shown: set[Strand] = set()
    missing = {strand: len(strand.children) for strand in everybody}
    lines = 0
    assert scene.root is not None
    for strand in [scene.root, *sorted(everybody, key=_urgency)]:
        new = [s for s in _upwards(strand) if s not in shown]
        before = lines
        for item in reversed(new):
            lines += 1 + bool(missing[item])
            if item.parent is not None:
                missing[item.parent] -= 1
                lines -= not missing[item.parent]
        if lines > height and shown:
            for item in new:
                if item.parent is not None:
                    missing[item.parent] += 1
            lines = before
            break
        shown.update(new)
    return shown


def _upwards(strand: Strand | None) -> Iterator[Strand]:
    while strand is not None:
        yield strand
        strand = strand.parent


def _walk(strand: Strand, shown: set[Strand], first: str, rest: str) -> Iterator[Row]:
    yield Row(strand, first)
    visible = [child for child in strand.children if child in shown]
    hidden: Counter[str] = Counter()
    for child in strand.children:
        if child not in shown:
            hidden.update(_states(child))
    for child in visible:
        last = child is visible[-1] and not hidden
        yield from _walk(child, shown, rest + ("└─ " if last else "├─ "),
                         rest + ("   " if last else "│  "))
    if hidden:
        yield Row(strand, rest + "└─ ", tuple(hidden.most_common()))


def _states(strand: Strand) -> Iterator[str]:
    stack = [strand]
    while stack:
        item = stack.pop()
        yield "waiting" if item.state.startswith("waits") else item.state
        stack.extend(item.children)


def _line(row: Row, columns: tuple[int, int], width: int) -> Text:
    strand, (left, label) = row.strand, columns
    mark, colour = style_of(strand)
    guide, name = row.guide[:left], fit(one_line(strand.name), left - len(row.guide))
    line = Text(no_wrap=True, overflow="crop")
    line.append(guide, "dim")
    line.append(pad(name, left - len(guide)))
    line.append(f"  {mark} {pad(strand.state, STATE_WIDTH)}", colour)
    line.append(f"{strand.tokens:>7,}", "" if strand.tokens else "dim")
    line.append(" tok", "dim")
    if label:
        line.append("  " + pad(fit(one_line(strand.label), label), label), "dim")
    for text, style in _details(strand):
        room = width - line.cell_len - 2
        if room >= LEAST:
            line.append("  " + fit(text, room), style)
    line.truncate(width)
    return line


def _details(strand: Strand) -> Iterator[tuple[str, str]]:
    """What else there is to say: the role, tries, what was found or what went wrong."""
    if strand.role not in ("thread", "fallback"):
        yield strand.role, "dim"
    if strand.attempt:
        yield f"attempt {strand.attempt + 1}", "yellow"
    if strand.value is not None and (found := gist(strand.value)):
        yield found, "bold" if strand.parent is None else ""
    elif strand.reason:
        yield one_line(strand.reason), "dim" if strand.status == "cancelled" else ""


def _more(row: Row, width: int) -> Text:
    total = sum(count for _, count in row.hidden)
    states = [f"{count:,} {state}" for state, count in row.hidden]
    text = f"{total:,} more: {', '.join(states)}"
    line = Text(no_wrap=True, overflow="crop", style="dim")
    line.append(fit(f"{row.guide}+ {text}", width))
    return line
