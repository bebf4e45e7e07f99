"""A run as a Chrome trace (Trace Event Format, JSON object form), for ui.perfetto.dev.

One track a thread, below each other as in the tree; on it a slice for its life, and within that
slices for what the engine read and what the model wrote. Arrows show forks and joins, marks show
notes, and a counter how many write at once. Times are in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from plait.viewer.scene import Strand
from plait.viewer.web.view import View
from plait.viewer.words import one_line

PROCESS = 1
LEAST = 0.001
"""Microseconds that a slice lasts at least: arrows hold on to slices."""

Item = dict[str, Any]


def perfetto(view: View) -> bytes:
    """The JSON of the whole run."""
    order = view.order()
    tracks = {strand.name: place + 1 for place, (strand, _) in enumerate(order)}
    lit = {stretch.attempt.thread for stretch in view.path()}
    items = list(_names(view, tracks))
    for strand, _ in order:
        items += _slices(view, strand, tracks[strand.name], strand.name in lit)
    items += [*_arrows(view, tracks), *_notes(view, tracks), *_counter(view)]
    started = view.scene.started
    about = {} if started is None else {
        "run": started.run, "question": started.question, "engine": started.engine,
        "model": started.model, "method": started.method, "protocol": started.protocol or ""}
    return orjson.dumps({"traceEvents": items, "displayTimeUnit": "ms", "otherData": about})


def _micro(t: float) -> float:
    return round(t * 1e6, 3)


def _names(view: View, tracks: dict[str, int]) -> Iterator[Item]:
    question = view.scene.started.question if view.scene.started else "run"
    yield _meta("process_name", 0, {"name": f"plait: {one_line(question):.80}"})
    for name, track in tracks.items():
        label = one_line(view.scene.strands[name].label)
        yield _meta("thread_name", track, {"name": f"{name} {label:.60}".strip()})
        yield _meta("thread_sort_index", track, {"sort_index": track})


def _meta(name: str, track: int, values: Item) -> Item:
    return {"ph": "M", "name": name, "pid": PROCESS, "tid": track, "ts": 0, "args": values}


def _slice(name: str, kind: str, track: int, span: tuple[float, float], args: Item) -> Item:
    begin, end = map(_micro, span)
    return {"ph": "X", "name": name, "cat": kind, "pid": PROCESS, "tid": track, "ts": begin,
            "dur": max(LEAST, round(end - begin, 3)), "args": args}


def _end(view: View, strand: Strand) -> float:
    return view.scene.elapsed if strand.end is None else strand.end


def _slices(view: View, strand: Strand, track: int, lit: bool) -> Iterator[Item]:
    yield _slice(one_line(strand.label) or strand.role, strand.role, track,
                 (strand.begin, _end(view, strand)),
                 {"thread": strand.name, "state": strand.state, "tokens": strand.tokens,
                  "critical": lit, "value": strand.value or "", "reason": strand.reason})
    for request in strand.requests:
        over = _end(view, strand) if request.over is None else request.over
        first = over if request.first is None else request.first
        yield _slice("reads", "engine", track, (request.asked, first), {})
        if request.first is not None:
            yield _slice("writes", "engine", track, (first, over), {})


def _arrows(view: View, tracks: dict[str, int]) -> Iterator[Item]:
    number = 0
    for strand in view.scene.strands.values():
        if strand.parent is not None:
            number += 1
            yield from _arrow(number, "fork", (tracks[strand.parent.name], strand.begin),
                              (tracks[strand.name], strand.begin))
    for join in view.joins:
        for child in join.children:
            number += 1
            end = min(join.t, _end(view, view.scene.strands[child]))
            yield from _arrow(number, "join", (tracks[child], end), (tracks[join.thread], join.t))


def _arrow(
    number: int, name: str, start: tuple[int, float], finish: tuple[int, float]
) -> Iterator[Item]:
    """``bp`` e: the arrow ends at the slice around its end, not at the next one."""
    common = {"name": name, "cat": "flow", "id": number, "pid": PROCESS}
    (track, begin), (other, end) = start, finish
    yield {**common, "ph": "s", "tid": track, "ts": _micro(begin)}
    yield {**common, "ph": "f", "bp": "e", "tid": other, "ts": _micro(end)}


def _notes(view: View, tracks: dict[str, int]) -> Iterator[Item]:
    for line in view.story.lines:
        if line.thread and line.tone not in ("fork", "join"):
            yield {"ph": "i", "s": "t", "name": one_line(line.text), "cat": line.tone,
                   "pid": PROCESS, "tid": tracks[line.thread], "ts": _micro(line.t)}


def _counter(view: View) -> Iterator[Item]:
    change: dict[float, int] = {}
    for strand in view.scene.strands.values():
        for request in strand.requests:
            if request.first is not None:
                over = _end(view, strand) if request.over is None else request.over
                change[request.first] = change.get(request.first, 0) + 1
                change[over] = change.get(over, 0) - 1
    active = 0
    for t in sorted(change):
        active += change[t]
        yield {"ph": "C", "name": "write at once", "pid": PROCESS, "tid": 0, "ts": _micro(t),
               "args": {"threads": active}}
