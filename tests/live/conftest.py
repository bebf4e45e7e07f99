"""Real servers for the live tests: started once a session on free ports, ended with it.

They are installed by `tests/live/setup.sh` into ``.live/``; tests whose server is not there are
skipped. What a server prints goes to ``.live/NAME.log``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from plait.engines.nano import WEIGHTS
from tests.live import tiny_model
from training.gguf import write_gguf

HERE = Path(__file__).parent
LIVE = HERE.parent.parent / ".live"
PATIENCE = 240.0
BLOCK = 32
"""Tokens a block of vLLM's cache."""


class Server:
    """A server process."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self._log = (LIVE / f"{name}.log").open("w")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE if name == "llamacpp" else self._log,
            stderr=self._log, env={**os.environ, **environment}, start_new_session=True, text=True)
        self.url = ""

    def wait_for_health(self, url: str) -> None:
        """Wait until the server says that it is well."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
                    if reply.status == 200:
                        self.url = url
                        return
            except (URLError, OSError):
                time.sleep(0.2)
        self.stop()
        pytest.fail(f"the server did not start; see {self._log.name}")

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def python_of(name: str) -> Path:
    """The interpreter of a server's virtual environment."""
    path = LIVE / name / "bin" / "python"
    if not path.exists():
        pytest.skip(f"{name} is not installed: run tests/live/setup.sh {name}")
    return path


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The tiny model as vLLM loads it."""
    folder = LIVE / "models" / "tiny"
    tiny_model.save(folder)
    return folder


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as llama.cpp loads it."""
    return tiny_gguf(tmp_path_factory.mktemp("models"))


def tiny_gguf(folder: Path, kind: str = "F16") -> Path:
    """Write the tiny model as llama.cpp loads it. Each session has its own: a server reads the
    file while it runs, and one that is written anew would end it."""
    saved = folder / "tiny"
    tiny_model.save(saved)
    path = folder / "tiny.gguf"
    write_gguf(saved, path, kind, name="tiny")
    return path


def start_llamacpp(gguf_file: Path, *flags: str) -> Server:
    """A llama.cpp server on a port of its own choice."""
    command = [str(python_of("llamacpp")), str(HERE / "serve_llamacpp.py"), str(gguf_file), *flags]
    server = Server("llamacpp", command, {})
    assert server.process.stdout is not None
    server.wait_for_health(server.process.stdout.readline().strip())
    return server


@pytest.fixture(scope="session")
def llamacpp(gguf_file: Path) -> Iterator[Server]:
    """A llama.cpp server for all tests."""
    server = start_llamacpp(gguf_file)
    yield server
    server.stop()


def start_vllm(name: str, folder: Path, *flags: str) -> Server:
    """A vLLM server on the CPU, in float32 without compilation: exact and quick to start."""
    program = python_of("vllm").parent / "vllm"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(program), "serve", str(folder), "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--max-num-seqs", "16", "--max-num-batched-tokens", "2048", "--enable-prefix-caching",
        "--enforce-eager", "--block-size", str(BLOCK), *flags]
    server = Server(f"vllm-{name}", command, {
        "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1"})
    server.wait_for_health(f"http://127.0.0.1:{port}")
    return server


def start_tiny_vllm(model_folder: Path) -> Server:
    """The tiny model on vLLM, with reports of cached tokens and calls of tools."""
    return start_vllm(
        "tiny", model_folder, "--max-model-len", str(tiny_model.WINDOW),
        "--enable-prompt-tokens-details", "--enable-auto-tool-choice", "--tool-call-parser",
        "hermes")


@pytest.fixture(scope="session")
def vllm(model_folder: Path) -> Iterator[Server]:
    """The tiny model on vLLM."""
    server = start_tiny_vllm(model_folder)
    yield server
    server.stop()


@pytest.fixture(params=["llamacpp", "vllm"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found


def start_nano_llamacpp(*flags: str) -> Server:
    """plait-nano on llama.cpp, in float32: products of float16 weights are less exact. Without
    ``flags`` in float32 throughout."""
    path = LIVE / "models" / "nano-f32.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    write_gguf(WEIGHTS, fresh, "F32")
    fresh.replace(path)  # a server that reads the old file goes on with it
    return start_llamacpp(path, *(flags or ("--exact",)))


def start_nano_vllm(*flags: str) -> Server:
    """plait-nano on vLLM. A flag that `start_vllm` has, too, is overruled."""
    return start_vllm("plait-nano", WEIGHTS, *flags)


@pytest.fixture(scope="session")
def llamacpp_nano() -> Iterator[Server]:
    server = start_nano_llamacpp()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def vllm_nano() -> Iterator[Server]:
    server = start_nano_vllm()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nano_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plait-nano as a user writes it."""
    path = tmp_path_factory.mktemp("models") / "nano.gguf"
    write_gguf(WEIGHTS, path)
    return path
