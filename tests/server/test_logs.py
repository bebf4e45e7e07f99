"""Logs: JSON lines, one a run, without keys and texts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from plait.errors import EngineRefused
from plait.server.logs import LOGGERS, RunLog, configure_logs
from plait.testing import Play, ScriptedEngine, run_virtual
from tests.server.watched import about, answered


@pytest.fixture
def stream() -> Iterator[StringIO]:
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate)
              for name in LOGGERS}
    stream = StringIO()
    configure_logs(stream)
    yield stream
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers = handlers
        logging.getLogger(name).propagate = propagate
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_run_is_one_line_of_numbers_and_names(stream: StringIO) -> None:
    info = about(key="alice", user="Ada", question="1+2?", queued=0.25, stream=True)

    async def main() -> None:
        await answered([RunLog()], info)

    run_virtual(main)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["run"], said["outcome"]) == ("run", "r1", "answered")
    assert (said["key"], said["method"], said["threads"]) == ("alice", "native", 3)
    assert (said["queued"], said["level"]) == (0.25, "info")
    assert said["at"].endswith("Z")
    for text in ("1+2?", "Ada", "Outline", "one"):
        assert text not in line


def test_an_error_is_named_by_its_kind(stream: StringIO) -> None:
    engine = ScriptedEngine(lambda p, s: Play("", error=EngineRefused("no such prompt: 1+2?")))

    async def main() -> None:
        with pytest.raises(EngineRefused):
            await answered([RunLog()], about(), engine, method="sequential")

    run_virtual(main)
    said = json.loads(stream.getvalue())
    assert (said["outcome"], said["error"]) == ("failed", "EngineRefused")
    assert "1+2?" not in stream.getvalue()


def test_other_lines_are_json_too_and_show_the_place_of_an_exception(stream: StringIO) -> None:
    try:
        raise ValueError("a user's words")
    except ValueError:
        logging.getLogger("plait.server").exception("something %s", "odd")
    logging.getLogger("uvicorn.error").warning("late")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["error"], first["level"]) == ("something odd", "ValueError",
                                                                  "error")
    assert first["where"].startswith("tests.server.test_logs:")
    assert "a user's words" not in stream.getvalue()
    assert (second["logger"], second["message"]) == ("uvicorn.error", "late")
