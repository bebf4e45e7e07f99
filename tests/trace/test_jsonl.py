"""Traces in files: everything comes back, and what is broken is named with its line."""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.events import KINDS, Ended, Event, RunStarted, Started, Wrote
from plait.errors import TraceError
from plait.trace import JsonlWriter, Trace, read_trace, write_trace
from plait.trace.codec import encode, from_dict, to_dict
from plait.version import VERSION

HEADER = b'{"plait_trace":1,"version":"0.1.0"}\n'
NUMBERS = {"float": st.floats(0, 1e9), "int": st.integers(-(2**63), 2**63 - 1),
           "int | None": st.none() | st.integers(0, 2**63 - 1)}


def events() -> st.SearchStrategy[Event]:
    """Any event, with numbers that JSON can hold."""
    return st.one_of([
        st.builds(kind, **{f.name: NUMBERS[f.type] for f in fields(kind) if f.type in NUMBERS})
        for kind in KINDS.values()
    ])


@given(st.lists(events(), max_size=8))
def test_every_trace_comes_back_from_its_file_as_it_was(run: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        write_trace(path, run)
        recording = read_trace(path)
    assert list(recording.events) == run
    assert (recording.version, recording.truncated) == (VERSION, False)


@given(events(), st.data())
def test_a_file_that_was_cut_anywhere_in_its_last_line_loses_that_line_only(
    event: Event, data: st.DataObject
) -> None:
    whole = HEADER + encode(Wrote(0.0, "0", "x", 1)) + b"\n"
    last = encode(event)
    cut = data.draw(st.integers(1, len(last)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(whole + last[:cut])
        recording = read_trace(path)
    assert recording.truncated == (cut < len(last))
    assert recording.events == (Wrote(0.0, "0", "x", 1), event)[: 2 - recording.truncated]


def test_text_keeps_every_separator_and_sign(tmp_path: Path) -> None:
    text = "a\nb\r\n\u2028\u2029\x85\x00\x1b[31m \N{FAMILY} é \U0010ffff\ufeff"
    write_trace(tmp_path / "t", [Wrote(0.5, "0", text, 3)])
    assert read_trace(tmp_path / "t").events == (Wrote(0.5, "0", text, 3),)


def test_half_of_a_surrogate_pair_becomes_a_replacement_sign(tmp_path: Path) -> None:
    run = [Wrote(0.5, "0", "a\ud83db", 1),
           Started(0.0, "0.\udc80", "0", "fork", "thread", 1, after=("\ud800",))]
    write_trace(tmp_path / "t", run)
    assert read_trace(tmp_path / "t").events == (
        Wrote(0.5, "0", "a\ufffdb", 1),
        Started(0.0, "0.\ufffd", "0", "fork", "thread", 1, after=("\ufffd",)))


def test_the_header_names_the_version_of_the_installed_package(tmp_path: Path) -> None:
    write_trace(tmp_path / "t", [])
    assert (tmp_path / "t").read_bytes() == HEADER
    assert version("plait") == VERSION


def test_a_live_file_can_be_read_after_every_event_that_is_not_a_chunk(tmp_path: Path) -> None:
    trace, path = Trace(), tmp_path / "t"
    with JsonlWriter(path) as writer:
        trace.subscribe(writer)
        assert read_trace(path).events == ()
        trace.emit(Wrote(0.0, "0", "x", 1))
        trace.emit(Ended(0.1, "0", "done"))
        assert read_trace(path).events == trace.events
        for _ in range(100):
            trace.emit(Wrote(0.2, "0", "y", 1))
        assert len(read_trace(path).events) > 64
    writer.close()
    assert read_trace(path).events == trace.events


def test_a_writer_that_is_closed_is_dropped_from_the_bus_with_a_warning(tmp_path: Path) -> None:
    trace = Trace()
    with JsonlWriter(tmp_path / "t") as writer:
        trace.subscribe(writer)
    trace.emit(Ended(0.1, "0", "done"))
    assert [e.kind for e in trace.events] == ["ended", "noted"]


GOOD = encode(Wrote(0.0, "0", "x", 1))
RUN = to_dict(RunStarted(0.0, "r", "q", "e", "m", "native", None, 0))


@pytest.mark.parametrize(("lines", "says"), [
    (b"", "is not a plait trace: line 1 is no header"),
    (GOOD + b"\n", "is not a plait trace"),
    (b'{"plait_tr', "is not a plait trace"),
    (b"[1]\n", "is not a plait trace"),
    (b'{"plait_trace":2,"version":"9"}\n', "line 1: trace version 2, but this plait reads"),
    (b'{"plait_trace":true,"version":"9"}\n', "line 1: trace version True"),
    (b'{"plait_trace":1}\n', "line 1: the header lacks the version"),
    (HEADER + GOOD + b"\n{broken\n" + GOOD + b"\n", "line 3: not JSON"),
    (HEADER + b"\n" + GOOD + b"\n", "line 2: not JSON"),
    (HEADER + b"7\n", "line 2: not an event but 7"),
    (HEADER + b'{"kind":"forked"}\n', "line 2: unknown kind of event: 'forked'"),
    (HEADER + b'{"t":1}\n', "line 2: unknown kind of event: None"),
    (HEADER + b'{"kind":["wrote"]}', "line 2: unknown kind"),
    (HEADER + b'{"kind":"ended","t":1,"thread":"0"}\n', "line 2: `ended` lacks the field `status`"),
    (HEADER + b'{"kind":"ended","t":1,"thread":"0","status":"ok"}\n',
     "line 2: `status` of `ended` cannot be 'ok'"),
    (HEADER + orjson.dumps({**RUN, "color": 1}), "line 2: `run_started` has no field `color`"),
    (HEADER + orjson.dumps({**RUN, "seed": True}), "`seed` of `run_started` cannot be True"),
    (HEADER + orjson.dumps({**RUN, "seed": 1.5}), "`seed` of `run_started` cannot be 1.5"),
    (HEADER + orjson.dumps({**RUN, "t": None}), "`t` of `run_started` cannot be None"),
    (HEADER + b'{"kind":"joined","t":1,"thread":"0","children":[1]}', "`children` of `joined`"),
])
def test_a_broken_file_is_an_error_that_says_where_and_what(
    tmp_path: Path, lines: bytes, says: str
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(lines)
    with pytest.raises(TraceError) as error:
        read_trace(path)
    assert "broken.jsonl" in str(error.value)
    assert says in str(error.value)


def test_fields_with_defaults_may_be_missing() -> None:
    event = from_dict({"kind": "ended", "t": 1, "thread": "0", "status": "done"})
    assert event == Ended(1, "0", "done")


def test_files_that_cannot_be_opened_are_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"cannot read the trace file .*: No such file"):
        read_trace(tmp_path / "missing")
    with pytest.raises(TraceError, match=r"cannot write the trace file .*: No such file"):
        write_trace(tmp_path / "no" / "folder", [])
    with pytest.raises(TraceError, match="Is a directory"):
        JsonlWriter(tmp_path)
