"""``plait serve``: what it says before it serves, and of what it will not begin with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from plait.core import EngineProfile
from plait.survey import Profiles
from tests.cli.conftest import Shell


@pytest.mark.parametrize(("arguments", "said"), [
    (["--polcy", "fixed"], "plait: no such option: --polcy"),
    (["--policy", "wild"], "there is no policy `wild`. Known: auto, sequential"),
    (["--method", "guess"], "there is no method `guess`. Known: auto, sequential"),
    (["--protocol", "apx"], "there is no protocol `apx`. Did you mean `apr`?"),
    (["--cost", "1"], "a budget of cost needs prices. Say prices = "),
    (["--keys", "none.toml"], "cannot read the keys none.toml: No such file or directory"),
    (["--store", "."], "cannot write the store .: Is a directory"),
    (["--store", "log.txt"], "log.txt is no store of plait"),
    (["--experiments", "none.toml", "--store", "none"], "cannot read the experiments none.toml"),
    (["--host", "0.0.0.0"], "without keys the gateway listens on this machine only"),
])
def test_what_it_cannot_begin_with_is_one_line(
    shell: Shell, arguments: list[str], said: str
) -> None:
    Path("log.txt").write_text("hello\n" * 1000)
    status, out, err = shell("serve", "--port", "0", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = shell("serve", "--port", str(port), "--store", "none")
    assert status == 2
    assert err.startswith(f"plait: cannot listen on 127.0.0.1 port {port}: Address already in use.")
    assert err.count("\n") == 1


def test_an_engine_that_is_down_is_said_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    command = [sys.executable, "-m", "plait.cli", "serve", "--port", "0", "--store", "none",
               "--engine", url]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stderr is not None
        said = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert said[0].startswith("plait: the engine cannot answer yet: cannot connect to")
    assert said[1].startswith("plait: listening on http://127.0.0.1:")
    assert said[1].endswith(f", engine {url}, no run is kept\n")


def test_advice_on_the_engine_is_given_once_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_PROFILES", str(tmp_path))
    flat = {1: 0.01, 2: 0.01, 4: 0.011, 8: 0.022}
    Profiles(tmp_path).keep(EngineProfile("nano", "plait-nano", "2026-11-25", 4096,
                                          step_seconds=flat))
    command = [sys.executable, "-m", "plait.cli", "serve", "--port", "0", "--store", "none"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert "listening on" in said[0]
    assert said[1].startswith("plait: Beyond 4 threads at once there is little to gain")
