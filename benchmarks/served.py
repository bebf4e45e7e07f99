"""plait-nano on a real server, for benchmarks: started on a free port, ended with the block.

The servers are those that `tests/live/setup.sh` installs into ``.live/``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from plait.engines.nano import WEIGHTS
from training.gguf import write_gguf

ROOT = Path(__file__).parent.parent
LIVE = ROOT / ".live"
PATIENCE = 120.0


@contextmanager
def serving(name: str, slots: int) -> Iterator[str]:
    """The address of a server of this ``name`` (``vllm``, ``llamacpp``) that works on ``slots``
    sequences at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = _vllm(slots, port) if name == "vllm" else _llamacpp(slots, port)
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                   "VLLM_NO_USAGE_STATS": "1"}
    with (LIVE / f"benchmark-{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True,
                                   env={**os.environ, **environment})
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _llamacpp(slots: int, port: int) -> list[str]:
    path = LIVE / "models" / "nano-f32.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(WEIGHTS, path, "F32")
    return [str(LIVE / "llamacpp/bin/python"), str(ROOT / "tests/live/serve_llamacpp.py"),
            str(path), f"--slots={slots}", f"--port={port}"]


def _vllm(slots: int, port: int) -> list[str]:
    return [str(LIVE / "vllm/bin/vllm"), "serve", str(WEIGHTS), "--served-model-name",
            "plait-nano", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
            "--max-num-seqs", str(slots), "--max-num-batched-tokens", "2048",
            "--enable-prefix-caching", "--enforce-eager", "--block-size", "32"]


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"the server did not start; see {LIVE}")
