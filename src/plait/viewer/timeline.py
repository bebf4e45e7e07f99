"""When each thread ran: one bar a thread over the wall time.

    █ writes   ▒ the engine reads its context   ─ waits (for children, or for a place)
"""

from __future__ import annotations

from math import ceil

from rich.text import Text

from plait.viewer.scene import Scene, Strand
from plait.viewer.tree import NAME_WIDTH, rows
from plait.viewer.words import fit, one_line, pad, seconds

WRITES, READS, WAITS, AWAY = "█", "▒", "─", " "
STYLES = {WRITES: "cyan", READS: "cyan", WAITS: "dim", AWAY: ""}
LEAST = 20
"""Cells below which a bar says nothing."""


def timeline_lines(scene: Scene, width: int, height: int | None = None) -> list[Text]:
    """The bars of the threads that the tree shows, below a scale; nothing if there is no room."""
    strands = [row.strand for row in rows(scene, height) if not row.hidden]
    left = min(max((len(s.name) for s in strands), default=0), NAME_WIDTH)
    room = width - left - 2
    if not strands or room < LEAST or scene.elapsed <= 0:
        return []
    begin, end = "0 s ", f" {seconds(scene.elapsed)}"
    scale = Text(" " * (left + 2) + begin + "╌" * (room - len(begin) - len(end)) + end, "dim")
    return [scale, *(_bar(strand, scene.elapsed, left, room) for strand in strands)]


def cells(strand: Strand, total: float, width: int) -> str:
    """The bar of a thread: one sign a cell. What is shorter than a cell still gets one."""
    bar = [AWAY] * width

    def paint(sign: str, begin: float, end: float) -> None:
        first = min(int(begin / total * width), width - 1)
        last = max(first + 1, min(ceil(end / total * width), width))
        bar[first:last] = [sign] * (last - first)

    paint(WAITS, strand.begin, total if strand.end is None else strand.end)
    for request in strand.requests:
        over = total if request.over is None else request.over
        paint(READS, request.asked, over if request.first is None else request.first)
    for request in strand.requests:
        if request.first is not None:
            paint(WRITES, request.first, total if request.over is None else request.over)
    return "".join(bar)


def _bar(strand: Strand, total: float, left: int, room: int) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    line.append(pad(fit(one_line(strand.name), left), left + 2))
    for sign in cells(strand, total, room):
        line.append(sign, STYLES[sign])
    return line
