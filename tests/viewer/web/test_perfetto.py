"""The Chrome trace, held against the Trace Event Format: required fields, nesting, bound arrows."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import orjson
import pytest

from plait.core.events import Event
from plait.viewer.web import View, perfetto
from tests.viewer.runs import whole_run
from tests.viewer.web.big import big_run

REQUIRED = {"X": {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"},
            "M": {"name", "ph", "pid", "tid", "args"},
            "s": {"name", "cat", "ph", "ts", "pid", "tid", "id"},
            "f": {"name", "cat", "ph", "ts", "pid", "tid", "id", "bp"},
            "i": {"name", "ph", "ts", "pid", "tid", "s"},
            "C": {"name", "ph", "ts", "pid", "args"}}
SLACK = 0.002


def items(events: list[Event]) -> list[dict[str, Any]]:
    whole = orjson.loads(perfetto(View(events)))
    assert whole["displayTimeUnit"] in ("ms", "ns")
    assert all(isinstance(value, str) for value in whole["otherData"].values())
    found: list[dict[str, Any]] = whole["traceEvents"]
    return found


@pytest.mark.parametrize("events", [whole_run(), big_run(200, chunks=3)], ids=["small", "large"])
def test_every_item_has_what_the_format_requires(events: list[Event]) -> None:
    for item in items(events):
        assert item.keys() >= REQUIRED[item["ph"]]
        assert isinstance(item["name"], str)
        assert isinstance(item["pid"], int)
        assert isinstance(item["tid"], int)
        assert item.get("ts", 0) >= 0
        assert item.get("dur", 1) > 0


@pytest.mark.parametrize("events", [whole_run(), big_run(200, chunks=3)], ids=["small", "large"])
def test_slices_of_a_track_nest_and_every_arrow_holds_on_to_a_slice(events: list[Event]) -> None:
    tracks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    found = items(events)
    for item in found:
        if item["ph"] == "X":
            tracks[item["tid"]].append((item["ts"], item["ts"] + item["dur"]))
    for spans in tracks.values():
        for begin, end in spans:
            for other, until in spans:
                assert not other + SLACK < begin < until - SLACK < end - 2 * SLACK
    arrows: Counter[int] = Counter()
    for item in found:
        if item["ph"] in "sf":
            arrows[item["id"]] += 1 if item["ph"] == "s" else -1
            assert any(begin - SLACK <= item["ts"] <= end + SLACK
                       for begin, end in tracks[item["tid"]])
    assert set(arrows.values()) == {0}


def test_tracks_slices_arrows_and_the_counter_tell_the_run() -> None:
    found = items(whole_run())
    names = [i["args"]["name"] for i in found if i["name"] == "thread_name"]
    assert names == ["0", "0.0 #0,0", "0.1 #0,1", "0.2 #0,2", "0.3 #0,3"]
    writes = [(i["tid"], i["ts"], i["dur"]) for i in found if i["name"] == "writes"]
    assert writes[:3] == [(1, 500_000, 500_000), (1, 3_000_000, 1_000_000), (2, 1_500_000, 500_000)]
    assert Counter(i["name"] for i in found if i["ph"] == "s") == {"fork": 4, "join": 4}
    levels = [i["args"]["threads"] for i in found if i["ph"] == "C"]
    assert max(levels) == 4
    assert levels[-1] == 0
    critical = {i["args"]["thread"] for i in found if i["ph"] == "X" and i["args"].get("critical")}
    assert critical == {"0", "0.0"}
