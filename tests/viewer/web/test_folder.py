"""Trace files as a source of runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient

from plait.core.events import Event, RunEnded, Wrote
from plait.errors import TraceError, UsageError
from plait.trace import JsonlWriter, write_trace
from plait.viewer.web import Entry, Filter, Folder, Listing, viewer_app
from plait.viewer.web.pages import Places
from tests.viewer.runs import HEADER, ROOT, whole_run


def runs(folder: Folder, wanted: Filter | None = None) -> Listing:
    return anyio.run(folder.runs, wanted or Filter())


def keys(folder: Folder, **wanted: object) -> list[str]:
    return [e.key for e in runs(folder, Filter(**wanted)).entries]  # type: ignore[arg-type]


def ended(answer: str | None, *, correct: bool | None, fallback: str | None = None) -> RunEnded:
    finish = "answered" if answer else "failed"
    return RunEnded(4.0, finish, answer, correct, "native", fallback)


@pytest.fixture
def full(tmp_path: Path) -> Folder:
    """Five runs: right, wrong with a fallback, none, lost, running; a note that is no trace."""
    body = whole_run()[:-1]
    variants: dict[str, Sequence[Event]] = {
        "right": [*body, ended("46+46=92", correct=True)],
        "deep/wrong": [replace(HEADER, model="other", question="Sum them"), *body[1:],
                       ended("1", correct=False, fallback="no plan")],
        "none": [*body, ended(None, correct=False)], "lost": body, "running": body}
    (tmp_path / "deep").mkdir()
    for age, (name, events) in enumerate(variants.items()):
        path = tmp_path / f"{name}.jsonl"
        write_trace(path, events)
        when = time.time() - (0 if name == "running" else 3600 * (age + 1))
        os.utime(path, (when, when))
    (tmp_path / "notes.jsonl").write_text('{"some": "log"}\n')
    return Folder([tmp_path])


def test_a_folder_lists_its_traces_newest_first_with_their_outcomes(full: Folder) -> None:
    listing = runs(full)
    assert listing.total == 5
    assert [(e.key, e.state, e.correct) for e in listing.entries] == [
        ("running.jsonl", "running", None), ("right.jsonl", "answered", True),
        ("deep/wrong.jsonl", "answered", False), ("none.jsonl", "failed", None),
        ("lost.jsonl", "lost", None)]
    assert listing.models == ["other", "plait-nano"]
    right = listing.entries[1]
    assert (right.threads, right.total_tokens, right.critical_path_tokens, right.seconds) == (
        5, 11, 5, 4.0)


def test_filters_leave_what_was_asked_for(full: Folder) -> None:
    assert keys(full, outcome="right") == ["right.jsonl"]
    assert keys(full, outcome="wrong") == ["deep/wrong.jsonl"]
    assert keys(full, outcome="fallback") == ["deep/wrong.jsonl"]
    assert keys(full, outcome="lost") == ["lost.jsonl"]
    assert keys(full, model="other") == ["deep/wrong.jsonl"]
    assert keys(full, text="SUM") == ["deep/wrong.jsonl"]
    assert keys(full, text="none.js") == ["none.jsonl"]
    assert keys(full, method="plan") == []
    assert keys(full, since=time.time() - 3 * 3600 + 60) == [
        "running.jsonl", "right.jsonl", "deep/wrong.jsonl"]
    page = runs(full, Filter(most=2))
    assert page.older == "2"
    assert keys(full, most=2, page="4") == ["lost.jsonl"]


def test_a_sequential_run_of_the_same_question_and_model_comes_first(tmp_path: Path) -> None:
    for name, method, question in (("a", "native", "Make 92"), ("b", "plan", "Make 92"),
                                   ("c", "sequential", "Make 92"), ("d", "sequential", "Other")):
        header = replace(HEADER, method=method, question=question)
        write_trace(tmp_path / f"{name}.jsonl", [header, *whole_run()[1:]])
    folder = Folder([tmp_path])
    assert [e.key for e in anyio.run(folder.alike, "a.jsonl")] == ["c.jsonl", "b.jsonl"]
    assert anyio.run(folder.alike, "none.jsonl") == ()


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write_trace(path, whole_run())
    folder = Folder([path])
    assert runs(folder).entries[0].total_tokens == 11
    write_trace(path, [*whole_run()[:-1], Wrote(5.0, "0", "more", 100), whole_run()[-1]])
    assert runs(folder).entries[0].total_tokens == 111
    path.unlink()
    assert runs(folder).entries == []
    assert anyio.run(folder.entry, "run.jsonl") is None
    assert anyio.run(folder.events, "other.jsonl") == ()


def test_a_broken_or_cut_file_says_so_in_its_line_and_on_its_page(tmp_path: Path) -> None:
    write_trace(tmp_path / "cut.jsonl", whole_run())
    data = (tmp_path / "cut.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(data[:-20])
    (tmp_path / "bad.jsonl").write_bytes(data.replace(b'"wrote"', b'"scribbled"'))
    (tmp_path / "new.jsonl").write_bytes(data.replace(b'"seed"', b'"sprout"'))
    for name in ("cut", "bad", "new"):
        os.utime(tmp_path / f"{name}.jsonl", (1e9, 1e9))
    folder = Folder([tmp_path])
    notes = {e.key: e.note for e in runs(folder).entries}
    assert "cut off in its last line" in notes["cut.jsonl"]
    assert "unknown kind of event: 'scribbled'" in notes["bad.jsonl"]
    assert "`run_started` has no field `sprout`" in notes["new.jsonl"]
    client = TestClient(viewer_app(folder))
    assert client.get("/runs/new.jsonl").status_code == 422
    assert "cut off in its last line" in client.get("/runs/cut.jsonl").text
    bad = client.get("/runs/bad.jsonl")
    assert bad.status_code == 422
    assert "line 6" in bad.text


def test_what_is_named_must_be_there_and_be_a_trace(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        Folder([tmp_path / "none.jsonl"])
    (tmp_path / "log.jsonl").write_text("hello\n")
    with pytest.raises(TraceError, match="is not a plait trace"):
        Folder([tmp_path / "log.jsonl"])


def test_files_of_one_name_and_names_of_strangers_are_told_apart(tmp_path: Path) -> None:
    names = ["a/run.jsonl", "b/run.jsonl", "<script>alert(1)</script>.jsonl", "é%2f#?&.jsonl"]
    for name in names:
        path = tmp_path / name.replace("</", "<\N{DIVISION SLASH}") if "<" in name else (
            tmp_path / name)
        path.parent.mkdir(exist_ok=True)
        write_trace(path, whole_run())
    files = sorted(tmp_path.rglob("*.jsonl"))
    folder = Folder(files)
    assert len(set(folder.keys())) == 4
    client = TestClient(viewer_app(folder))
    page = client.get("/").text
    assert "<script>alert" not in page
    for key in keys(folder):
        if "%" not in key:  # the test client decodes a path twice
            assert client.get(Places().run(key)).status_code == 200
            assert "<script>alert" not in client.get(Places().run(key)).text


def test_a_file_is_followed_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    events = whole_run()
    seen: list[Event] = []

    async def write(writer: JsonlWriter) -> None:
        for event in events[2:]:
            writer(event)
            if not isinstance(event, Wrote):
                await anyio.sleep(0.002)

    async def follow() -> None:
        with JsonlWriter(path) as writer:
            writer(HEADER)
            writer(ROOT)
            folder = Folder([path])
            entry = await folder.entry("live.jsonl")
            assert isinstance(entry, Entry)
            assert entry.state == "running"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, writer)
                async for event in folder.follow("live.jsonl"):
                    seen.append(event)

    anyio.run(follow)
    assert seen == events
