"""The drawings of a report, from its summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from plait.evals.report import svg
from plait.evals.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale
from plait.evals.summary import ArmSummary, Cell, Summary
from plait.viewer.scale import compact, ticks

BINS = [round(-3 + i * 0.5, 1) for i in range(13)]
"""Lower ends of the speedups' classes, as powers of two: from 1/8 to 8 and more."""
MOST_LABELS = 12
KEYS = 3
"""Keys in a line below a stack."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its heading and a line that says how to read it."""

    title: str
    caption: str
    drawing: str


def charts(summary: Summary) -> list[Chart]:
    """Every chart for which there is something to show."""
    colour = {arm.name: place % 8 for place, arm in enumerate(summary.arms)}
    found = [
        Chart("Accuracy against latency", "Up and left is better. The line joins the arms that no"
              " other beats; bars are 95 % intervals.", _plane(summary, "seconds", colour)),
        Chart("Accuracy against tokens", "Tokens generated a task, in all threads together.",
              _plane(summary, "tokens", colour))]
    for name, place in (("time", 0), ("tokens", 1)):
        drawing = _speedups(summary, place, colour)
        if drawing:
            what = "wall clock" if place == 0 else "longest path of tokens"
            found.append(Chart(f"Speedup in {name}", f"Problems by their speedup ({what}) over"
                               f" {summary.base}; right of 1 is faster.", drawing))
    found.append(Chart("Accuracy by context length", "Longest context of any thread, in tokens;"
                       " bars are 95 % intervals.", _classes(summary.by_context, colour, "tokens")))
    found.append(Chart("Accuracy by difficulty", f"By {summary.groups_are}.",
                       _classes(summary.by_group, colour, "")))
    found.append(Chart("Activation by difficulty", "Share of answers that forked at all.",
                       _forking(summary.by_group, colour, width=False)))
    found.append(Chart("Width by difficulty", "Mean of the most threads that wrote at once.",
                       _forking(summary.by_group, colour, width=True)))
    found.append(Chart("Token accounting", "Tokens a task, by what became of them; prefilled and"
                       " cached ones are prompt tokens.",
                       _stacks(summary.arms, "spent_tokens", (0, 1, 2, 3, 4, 5))))
    found.append(Chart("Where time went", "Seconds a task: until the first token, while one thread"
                       " wrote, while several did, and in the runtime itself.",
                       _stacks(summary.arms, "spent_seconds", (3, 4, 2, 1))))
    return found


def _plane(summary: Summary, cost: str, colour: dict[str, int]) -> str:
    def of(arm: ArmSummary) -> float | None:
        return arm.seconds if cost == "seconds" else arm.tokens

    arms = [a for a in summary.arms if of(a) is not None and a.accuracy.n]
    most = max((of(a) or 0.0 for a in arms), default=1.0) * 1.12 or 1.0
    x = Scale(0.0, most, LEFT, WIDTH - RIGHT)
    y = Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    name = "seconds a task" if cost == "seconds" else "tokens a task"
    body = [*svg.value_axis(x, name), *svg.percent_axis(y, "accuracy")]
    at = {a.name: (x(of(a) or 0.0), y(a.accuracy.estimate)) for a in arms}
    front = [at[n] for n in summary.front(of) if n in at]
    if len(front) > 1:
        body.append(svg.path(front, "front"))
    for arm in arms:
        px, py = at[arm.name]
        kind = f"s{colour[arm.name]}"
        body.append(svg.line(px, y(arm.accuracy.low), px, y(arm.accuracy.high), f"bar {kind}"))
        body.append(svg.dot(px, py, kind, f"{arm.name}: {arm.accuracy.estimate:.1%},"
                            f" {compact(of(arm) or 0.0)} {name}"))
        inside = px < WIDTH - 120
        body.append(svg.text(px + (9 if inside else -9), py - 8, arm.name, "label",
                             "start" if inside else "end"))
    return svg.figure(body, f"accuracy against {name} of {', '.join(a.name for a in arms)}")


def _speedups(summary: Summary, place: int, colour: dict[str, int]) -> str:
    counts: dict[str, list[int]] = {}
    for versus in summary.versus:
        logs = [math.log2(r[place]) for r in versus.ratios if r[place] > 0]
        if logs:
            row = [0] * len(BINS)
            for value in logs:
                row[max(0, min(len(BINS) - 1, math.floor((value - BINS[0]) / 0.5)))] += 1
            counts[versus.arm] = row
    if not counts:
        return ""
    most = max(max(row) for row in counts.values())
    y = Scale(0.0, most * 1.08, HEIGHT - BOTTOM, TOP)
    x = Scale(BINS[0], BINS[-1] + 0.5, LEFT, WIDTH - RIGHT)
    body = [svg.line(x(0.0), TOP, x(0.0), HEIGHT - BOTTOM, "one")]
    for value in ticks(0.0, most, 4, whole=True):
        body += [svg.line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"),
                 svg.text(LEFT - 6, y(value) + 4, compact(value), "tick", "end")]
    for power in (-3, -2, -1, 0, 1, 2, 3):
        label = f"{2**power}×" if power >= 0 else f"1/{2**-power}"
        body.append(svg.text(x(power), HEIGHT - BOTTOM + 16, label, "tick"))
    body.append(svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "speedup", "name"))
    share = (x(0.5) - x(0.0) - 3) / len(counts)
    for turn, (name, row) in enumerate(counts.items()):
        for low, count in zip(BINS, row, strict=True):
            left = x(low) + 1.5 + turn * share
            body.append(svg.rect(left, y(count), share, y(0) - y(count), f"s{colour[name]}",
                                 f"{name}: {count} problems from {2**low:.2g} to"
                                 f" {2**(low + 0.5):.2g} times"))
    return svg.figure(body, "how many problems have which speedup")


def _classes(cells: Sequence[Cell], colour: dict[str, int], unit: str) -> str:
    """Points with intervals, one column a class."""
    labels = _ordered(cells)
    y = Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    body = [*svg.percent_axis(y, "accuracy"), *_columns(labels, unit)]
    arms = list(dict.fromkeys(c.arm for c in cells))
    for cell in cells:
        if not cell.accuracy.n:
            continue
        px = _place(labels, cell.label, arms.index(cell.arm), len(arms))
        kind = f"s{colour.get(cell.arm, 0)}"
        mean = cell.accuracy
        body += [svg.line(px, y(mean.low), px, y(mean.high), f"bar {kind}"),
                 svg.dot(px, y(mean.estimate), kind, f"{cell.arm}, {cell.label} {unit}:"
                         f" {mean.estimate:.0%} of {cell.tasks}", 4)]
    return svg.figure(body, "accuracy by class")


def _forking(cells: Sequence[Cell], colour: dict[str, int], *, width: bool) -> str:
    """Bars, one column a class: the share that forked, or the mean width."""
    labels = _ordered(cells)
    arms = list(dict.fromkeys(c.arm for c in cells))
    most = max((c.width for c in cells), default=1.0) * 1.1 if width else 1.0
    y = Scale(0.0, most, HEIGHT - BOTTOM, TOP)
    body = [] if width else svg.percent_axis(y, "forked")
    if width:
        for value in ticks(0.0, most, 5):
            body += [svg.line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"),
                     svg.text(LEFT - 6, y(value) + 4, compact(value), "tick", "end")]
    body += _columns(labels, "")
    thick = min(26.0, (WIDTH - LEFT - RIGHT) / len(labels) / (len(arms) + 1)) if labels else 1.0
    for cell in cells:
        value = cell.width if width else cell.activation
        px = _place(labels, cell.label, arms.index(cell.arm), len(arms))
        shown = f"{value:.1f} threads" if width else f"{value:.0%} forked"
        body.append(svg.rect(px - thick / 2, y(value), thick, y(0) - y(value),
                             f"s{colour.get(cell.arm, 0)}", f"{cell.arm}, {cell.label}: {shown}"))
    return svg.figure(body, "width by class" if width else "activation by class")


def _ordered(cells: Sequence[Cell]) -> list[str]:
    """The classes in the order of their arms; context classes by size."""
    labels = list(dict.fromkeys(c.label for c in cells))
    if all(label[:1] in "≤>" for label in labels):
        labels.sort(key=lambda s: (s[0] == ">", int(s[2:].replace(",", ""))))
    return labels


def _columns(labels: Sequence[str], unit: str) -> list[str]:
    found = []
    for label in labels:
        short = label if len(label) <= 16 else label[:15] + "…"
        if len(labels) <= MOST_LABELS:
            found.append(svg.text(_place(labels, label, 0, 1), HEIGHT - BOTTOM + 16,
                                  _narrow(short, len(labels)), "tick"))
    if unit:
        found.append(svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, unit, "name"))
    return found


def _narrow(label: str, columns: int) -> str:
    """A label that fits its column."""
    most = max(3, int((WIDTH - LEFT - RIGHT) / columns / 6.2))
    return label if len(label) <= most else label[: most - 1] + "…"


def _place(labels: Sequence[str], label: str, turn: int, arms: int) -> float:
    """The middle of an arm's place within a class's column."""
    column = (WIDTH - LEFT - RIGHT) / len(labels)
    return LEFT + column * (labels.index(label) + (turn + 1) / (arms + 1))


def _stacks(arms: Sequence[ArmSummary], column: str, kinds: Sequence[int]) -> str:
    """A horizontal bar an arm, cut into parts of its mean a task."""
    rows = []
    for arm in arms:
        parts: dict[str, float] = getattr(arm, column)
        timed = max(1, arm.tasks - (arm.cached if column == "spent_seconds" else 0))
        rows.append((arm.name, {name: value / timed for name, value in parts.items()}))
    names = list(rows[0][1]) if rows else []
    most = max((sum(parts.values()) for _, parts in rows), default=1.0) * 1.04 or 1.0
    lines = -(-len(names) // KEYS)
    height = TOP + 34 * len(rows) + 48 + 18 * lines
    end = TOP + 34 * len(rows) + 4
    x = Scale(0.0, most, LEFT + 50, WIDTH - RIGHT)
    body = []
    for value in ticks(0.0, most, 5):
        body += [svg.line(x(value), TOP, x(value), end, "grid"),
                 svg.text(x(value), end + 16, compact(value), "tick")]
    for row, (arm_name, parts) in enumerate(rows):
        y, start = TOP + 34 * row + 5, 0.0
        short = arm_name if len(arm_name) <= 16 else arm_name[:15] + "…"
        body.append(svg.text(LEFT + 44, y + 16, short, "label", "end"))
        for kind, name in zip(kinds, names, strict=True):
            shown = f"{arm_name}: {compact(parts[name])} {name}"
            body.append(svg.rect(x(start), y, x(start + parts[name]) - x(start), 24, f"p{kind}",
                                 shown))
            start += parts[name]
    for place, (kind, name) in enumerate(zip(kinds, names, strict=False)):
        left, low = 30 + 145 * (place % KEYS), end + 40 + 18 * (place // KEYS)
        body += [svg.rect(left, low - 9, 10, 10, f"p{kind}", name),
                 svg.text(left + 15, low, name, "tick", "start")]
    return svg.figure(body, f"{column.replace('_', ' ')} of every arm", height)
