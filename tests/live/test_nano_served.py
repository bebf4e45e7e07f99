"""plait-nano on real servers: the same weights, the same wire formats, the same command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.models import write_gguf
from plait.engines.nano.engine import WEIGHTS
from tests.live.conftest import LIVE, Server, start_llamacpp

pytestmark = pytest.mark.live

HARD = "Make 92 from 46, 39, 29 and 20"


@pytest.fixture(scope="module")
def nano_file() -> Path:
    path = LIVE / "models" / "nano.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(WEIGHTS, path)
    return path


@pytest.fixture
def served(nano_file: Path) -> Iterator[Server]:
    server = start_llamacpp(nano_file)
    yield server
    server.stop()


def command(server: Server, *words: str) -> list[str]:
    return [sys.executable, "-m", "plait.cli", "solve", "--engine", f"{server.url}/v1",
            "--protocol", "apr", *words, HARD]


def test_the_same_command_line_forks_on_llama_cpp(served: Server) -> None:
    done = subprocess.run(command(served, "--json"), capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["correct"], result["fallback"]) == (True, None)
    assert result["threads"] > 8
    assert result["max_parallel"] > 1


def test_a_server_killed_in_the_middle_of_a_forked_run_ends_it_cleanly(served: Server) -> None:
    with subprocess.Popen(command(served), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if " 0.2  starts" in line:
                break
        os.kill(served.process.pid, signal.SIGKILL)
        killed = time.monotonic()
        _, errors = run.communicate(timeout=60)
        took = time.monotonic() - killed
    assert run.returncode == 3, errors
    assert took < 15
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("plait:")]
    assert len(lines) == 1
