"""plait-nano on real servers, for the live tests and for benchmarks."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import numpy as np

from benchmarks.models import write_gguf
from plait.engines.nano import WEIGHTS
from tests.live.conftest import LIVE, Server, python_of, start_llamacpp


@contextlib.contextmanager
def llamacpp() -> Iterator[Server]:
    """llama.cpp in float32, its cache as well: the weights as the embedded engine has them."""
    path = LIVE / "models" / "nano-f32.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(WEIGHTS, path, np.float32)
    server = start_llamacpp(path, "--cache-type-k", "f32", "--cache-type-v", "f32")
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def vllm() -> Iterator[Server]:
    """vLLM on the CPU, in float32 without compilation."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(python_of("vllm").parent / "vllm"), "serve", str(WEIGHTS), "--served-model-name",
        "plait-nano", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--max-num-seqs", "16", "--max-num-batched-tokens", "2048", "--enable-prefix-caching",
        "--enforce-eager", "--block-size", "32"]
    server = Server("vllm-nano", command, {
        "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1"})
    try:
        server.wait_for_health(f"http://127.0.0.1:{port}")
        yield server
    finally:
        server.stop()
