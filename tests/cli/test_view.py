"""``plait view``: pages on a port, one HTML file, a Chrome trace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest

from plait.trace import write_trace
from tests.cli.conftest import Shell
from tests.viewer.runs import whole_run


@pytest.fixture
def trace(tmp_path: Path) -> str:
    write_trace(tmp_path / "run.jsonl", whole_run())
    return "run.jsonl"


def test_one_file_is_written_with_everything_in_it(shell: Shell, trace: str) -> None:
    status, out, err = shell("view", trace, "--html", "out.html")
    assert (status, out, err) == (0, "", "plait: wrote out.html\n")
    page = Path("out.html").read_text(encoding="utf-8")
    assert "46+46=92" in page
    assert page.count("<template data-panel=") == 5


def test_a_second_trace_stands_beside_the_first(shell: Shell, trace: str) -> None:
    write_trace("base.jsonl", whole_run(1))
    assert shell("view", trace, "base.jsonl", "--html", "out.html")[0] == 0
    assert "Wall speedup" in Path("out.html").read_text(encoding="utf-8")


def test_a_chrome_trace_is_written(shell: Shell, trace: str) -> None:
    assert shell("view", trace, "--perfetto", "out.json")[0] == 0
    assert len(orjson.loads(Path("out.json").read_bytes())["traceEvents"]) > 20


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (["none.jsonl"], 2, "there is no file or folder none.jsonl"),
    (["log.jsonl"], 2, "log.jsonl is not a plait trace"),
    (["run.jsonl", "--html", "no/where.html"], 2, "cannot write no/where.html"),
    (["empty", "--html", "out.html"], 2, "there is no trace in what was named"),
    (["run.jsonl", "other.jsonl", "--perfetto", "out.json"], 2, "2 traces are given"),
    (["run.jsonl", "--port", "70000"], 2, "port")])
def test_what_cannot_be_done_is_one_line(
    shell: Shell, trace: str, arguments: list[str], status: int, said: str
) -> None:
    Path("log.jsonl").write_text("hello\n")
    Path("empty").mkdir()
    write_trace("other.jsonl", whole_run())
    found, out, err = shell("view", *arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert err.count("\n") == 1


def test_pages_are_served_on_this_machine_until_it_is_stopped(
    tmp_path: Path, trace: str
) -> None:
    command = [sys.executable, "-m", "plait.cli", "view", trace, "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        try:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/runs/run\.jsonl", address)
            assert "46+46=92" in httpx.get(address).text
            stranger = httpx.get(address, headers={"host": "evil.example"})
            assert stranger.status_code == 403
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, 130)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_a_folder_without_traces_is_said_and_served(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plait.cli", "view", ".", "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert "there is no trace in what was named" in process.stderr.readline()
            address = process.stdout.readline().strip()
            assert httpx.get(address).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
