"""The timeline as shapes: for each thread when it wrote, read, waited, and what is critical.

Two axes show the same run. On the axis of *time* a unit is a tenth of a millisecond. On the axis
of *tokens* a unit is a token of the causal clock (`plait.trace.clock`): where a thread would stand
if every engine wrote one token a step for everybody at once. Shapes are SVG path data in a box as
wide as the axis is long and `HEIGHT` high, so that a page that grows changes one number only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from plait.trace.metrics import LOST
from plait.trace.path import Stretch
from plait.viewer.scale import ticks
from plait.viewer.scene import Strand
from plait.viewer.web.view import View

Axis = Literal["time", "tokens"]
AXES: tuple[Axis, Axis] = ("time", "tokens")
UNIT = 10_000
"""Units of the axis of time in a second."""
HEIGHT = 20
"""Height of a row, in pixels and units."""
PROFILE = 40
REACH = 40
"""Rows that a line of a fork or a join spans at most: longer ones lead off the screen."""
THIN = 1 / 500
"""The least part of an axis that a shape takes, so that it can be seen."""
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bars:
    """The shapes of one row on one axis: path data by what they show, empty for nothing."""

    waits: str
    reads: str
    writes: str
    path: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thread of the timeline."""

    strand: Strand
    depth: int
    place: int
    """Its place in the list, from 0."""
    lit: bool
    """It is on the critical path."""
    lost: bool
    """What it wrote was in vain (see `plait.trace.metrics`)."""
    bars: dict[Axis, Bars]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, in per cent, and what is written there."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: its length in units, its marks, who wrote at once, and forks and joins."""

    length: int
    ticks: Sequence[Tick]
    profile: str
    most: int
    links: str
    lit_links: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The timeline of a run."""

    rows: Sequence[Row]
    scales: dict[Axis, Scale] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return len(self.rows) * HEIGHT


def draw(view: View, least: dict[Axis, int] | None = None) -> Picture:
    """The whole timeline. ``least``: lengths that its axes have at least, so that two pictures
    can be compared."""
    path = view.path()
    lengths: dict[Axis, int] = {axis: max(length(view, axis), (least or {}).get(axis, 1))
                                for axis in AXES}
    stretches: dict[str, list[Stretch]] = {}
    for stretch in path:
        stretches.setdefault(stretch.attempt.thread, []).append(stretch)
    order = view.order()
    saved = _saved(view)
    rows = [Row(strand, depth, place, strand.name in stretches,
                strand.status in LOST or (saved is not None and strand.name not in saved),
                {axis: _bars(view, axis, strand, stretches.get(strand.name, ()), lengths[axis])
                 for axis in AXES})
            for place, (strand, depth) in enumerate(order)]
    places = {strand.name: place for place, (strand, _) in enumerate(order)}
    return Picture(rows, {axis: _scale(view, axis, places, path, lengths[axis]) for axis in AXES})


def length(view: View, axis: Axis) -> int:
    """How long an axis has to be to hold the run, in units; at least 1."""
    if axis == "time":
        return max(1, round(view.scene.elapsed * UNIT))
    every = view.scene.meter.clocks.attempts.values()
    return max([1, *(attempt.clock for tries in every for attempt in tries)])


def _saved(view: View) -> set[str] | None:
    """The fallback's threads, outside which all was in vain; None if there was no fallback."""
    saved: set[str] = set()
    for strand, _ in view.order():
        parent = strand.parent
        if strand.role == "fallback" or (parent is not None and parent.name in saved):
            saved.add(strand.name)
    return saved or None


def _bars(
    view: View, axis: Axis, strand: Strand, stretches: Iterable[Stretch], total: int
) -> Bars:
    if axis == "time":
        reads, writes = _requests(view, strand)
        end = view.scene.elapsed if strand.end is None else strand.end
        waits = [(strand.begin * UNIT, end * UNIT)]
        path = [span for stretch in stretches for span in _in_time(view, stretch, writes)]
    else:
        tries = view.scene.meter.clocks.attempts[strand.name]
        reads, writes = [], [(float(a), float(b)) for t in tries for a, b in t.spans()]
        waits = [(float(t.clocks[0]), float(t.clock)) for t in tries]
        path = [(float(s.clock), float(s.clock + s.end - s.begin)) for s in stretches]
    thin = total * THIN
    return Bars(_boxes(waits, 9.5, 1, thin), _boxes(reads, 6, 8, thin),
                _boxes(writes, 3, 14, thin), _boxes(path, 3, 14, thin))


def _requests(view: View, strand: Strand) -> tuple[list[Span], list[Span]]:
    reads: list[Span] = []
    writes: list[Span] = []
    for request in strand.requests:
        over = view.scene.elapsed if request.over is None else request.over
        first = over if request.first is None else request.first
        reads.append((request.asked * UNIT, first * UNIT))
        if request.first is not None:
            writes.append((first * UNIT, over * UNIT))
    return reads, writes


def _in_time(view: View, stretch: Stretch, writes: Iterable[Span]) -> Iterator[Span]:
    """When a stretch of the critical path was written; what it waited for in between is not."""
    begin, end = _span(view, stretch)
    for first, over in writes:
        if first <= end * UNIT and over >= begin * UNIT:
            yield max(first, begin * UNIT), min(over, end * UNIT)


def _span(view: View, stretch: Stretch) -> Span:
    tries = view.scene.meter.clocks.attempts[stretch.attempt.thread]
    number = next(i for i, one in enumerate(tries) if one is stretch.attempt)
    return view.journal.threads[stretch.attempt.thread][number].span(stretch.begin, stretch.end)


def _boxes(spans: Iterable[Span], top: float, height: float, thin: float) -> str:
    """Rectangles as path data; those that touch are one."""
    merged: list[list[float]] = []
    for begin, end in sorted(spans):
        end = max(end, begin + thin)
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return "".join(f"M{begin:.0f} {top:g}h{end - begin:.0f}v{height:g}h{begin - end:.0f}z"
                   for begin, end in merged)


def _scale(
    view: View, axis: Axis, places: dict[str, int], path: Sequence[Stretch], total: int
) -> Scale:
    shown = total / UNIT if axis == "time" else total
    marks = [Tick(100 * value / shown, value) for value in ticks(0, shown, 6)]
    profile, most = _profile(_all_writes(view, axis), total)
    return Scale(total, marks, profile, most, _links(view, axis, places),
                 _lit_links(view, axis, places, path))


def _all_writes(view: View, axis: Axis) -> Iterator[Span]:
    if axis == "time":
        for strand in view.scene.strands.values():
            yield from _requests(view, strand)[1]
    else:
        for tries in view.scene.meter.clocks.attempts.values():
            yield from ((float(a), float(b)) for attempt in tries for a, b in attempt.spans())


def _profile(spans: Iterable[Span], total: int, bins: int = 300) -> tuple[str, int]:
    """How many write at once, as an outline `PROFILE` high, and the most. A bin holds its most."""
    change: dict[float, int] = {}
    for begin, end in spans:
        change[begin] = change.get(begin, 0) + 1
        change[end] = change.get(end, 0) - 1
    heights, active, since = [0] * (bins + 1), 0, 0
    for moment in sorted(change):
        now = min(int(moment / total * bins), bins)
        for index in range(since, now + 1):
            heights[index] = max(heights[index], active)
        active += change[moment]
        heights[now] = max(heights[now], active)
        since = now
    most, width = max(heights), total / bins
    outline = "".join(f"H{index * width:.0f}V{PROFILE * (1 - level / max(most, 1)):.1f}"
                      for index, level in enumerate(heights[:bins])
                      if not index or level != heights[index - 1])
    return f"M0 {PROFILE}{outline}H{total}V{PROFILE}z", most


def _middle(place: int) -> float:
    return place * HEIGHT + HEIGHT / 2


def _links(view: View, axis: Axis, places: dict[str, int]) -> str:
    """Forks and joins: upright lines from a parent to the furthest child that starts, or is
    joined, at the same place of the axis, as far as `REACH` goes."""
    far: dict[tuple[str, int], int] = {}

    def link(parent: str, child: str, at: int) -> None:
        if places[child] - places[parent] <= REACH:
            far[parent, at] = max(far.get((parent, at), 0), places[child])

    for strand in view.scene.strands.values():
        if strand.parent is not None:
            link(strand.parent.name, strand.name, _begin(view, axis, strand))
    for join in view.joins:
        for child in join.children:
            link(join.thread, child, round(join.t * UNIT) if axis == "time" else join.clock)
    return "".join(f"M{at} {_middle(places[parent]):g}V{_middle(place):g}"
                   for (parent, at), place in far.items())


def _begin(view: View, axis: Axis, strand: Strand) -> int:
    if axis == "time":
        return round(strand.begin * UNIT)
    return view.scene.meter.clocks.attempts[strand.name][0].clocks[0]


def _lit_links(
    view: View, axis: Axis, places: dict[str, int], path: Sequence[Stretch]
) -> str:
    """Where the critical path goes over from one thread to the next."""
    found = []
    for before, after in pairwise(path):
        if before.attempt.thread == after.attempt.thread:
            continue
        at = round(_span(view, after)[0] * UNIT) if axis == "time" else after.clock
        end = round(_span(view, before)[1] * UNIT) if axis == "time" else after.clock
        top, bottom = places[before.attempt.thread], places[after.attempt.thread]
        found.append(f"M{end} {_middle(top):g}H{at}V{_middle(bottom):g}")
    return "".join(found)

