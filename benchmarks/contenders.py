"""What `benchmarks.engine` compares, each to be run in a process of its own.

    python -m benchmarks.contenders NAME CORES MODEL_FOLDER GGUF_FILE

prints one JSON object: tokens per second by width.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from plait.core import Prompt, Sampling
from plait.interfaces import Engine

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
SHARED, HEADER, TOKENS = 96, 8, 64
PREFIX = [3 + 7 * k % 250 for k in range(SHARED)]
Speed = Callable[[int], float]


def header(number: int) -> list[int]:
    """What thread ``number`` alone has in its prompt."""
    return [3 + (13 * number + k) % 250 for k in range(HEADER)]


class Clock:
    """Counts tokens from the moment when every thread has written its first chunk."""

    def __init__(self, width: int) -> None:
        self._silent = width
        self._start = 0.0
        self._tokens = 0
        self._lock = threading.Lock()

    def count(self, tokens: int, first: bool) -> None:
        with self._lock:
            if self._silent == 0:
                self._tokens += tokens
            elif first:
                self._silent -= 1
                self._start = time.perf_counter()

    @property
    def speed(self) -> float:
        return self._tokens / (time.perf_counter() - self._start)


def products(cores: int, folder: Path, gguf: Path) -> Speed:
    """The bound: nothing but the matrix products of the layers and the output."""
    from plait.engines.nano.config import read_shape
    from plait.engines.nano.kernel import multiply
    from plait.engines.nano.weights import read_weights

    weights = read_weights(folder, read_shape(folder))
    matrices = [m for w in weights.layers for m in (w.qkv, w.out, w.gate_up, w.down)]
    matrices.append(weights.output)

    def speed(width: int) -> float:
        rng = np.random.default_rng(0)
        work = [(rng.standard_normal((width, len(m)), np.float32), m,
                 np.empty((width, m.shape[1]), np.float32)) for m in matrices]
        times = []
        for _ in range(TOKENS):
            start = time.perf_counter()
            for x, matrix, out in work:
                multiply(x, matrix, out)
            times.append(time.perf_counter() - start)
        return width / float(np.median(times))

    return speed


def prototype(cores: int, folder: Path, gguf: Path) -> Speed:
    from benchmarks.prototype import Prototype

    model = Prototype(folder)
    return lambda width: model.speed(PREFIX, [header(k) for k in range(width)], TOKENS)


def nano(cores: int, folder: Path, gguf: Path) -> Speed:
    from plait.engines.nano import NanoEngine

    return through_plait(NanoEngine(folder, threads=cores))


def openvino_engine(cores: int, folder: Path, gguf: Path) -> Speed:
    """OpenVINO as plait runs it."""
    from plait.engines.openvino import OpenVINOEngine

    return through_plait(OpenVINOEngine(gguf, threads=cores))


def through_plait(engine: Engine) -> Speed:
    """A whole engine: asyncio in front, one stream a thread."""
    sampling = Sampling(max_tokens=TOKENS, ignore_eos=True)

    async def read(number: int, clock: Clock) -> None:
        first = True
        prompt = Prompt(ids=(*PREFIX, *header(number)))
        async with engine.stream(prompt, sampling) as stream:
            async for chunk in stream:
                clock.count(chunk.tokens, first)
                first = False

    async def play(width: int) -> float:
        await read(0, Clock(1))  # the prefix is warm
        clock = Clock(width)
        await asyncio.gather(*(read(k, clock) for k in range(width)))
        return clock.speed

    return lambda width: asyncio.run(play(width))


def openvino(cores: int, folder: Path, gguf: Path) -> Speed:
    """OpenVINO GenAI alone, in f32 (its other precisions fail or lose accuracy on some CPUs)."""
    import openvino as ov
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.cache_size = 1
    scheduler.max_num_seqs = WIDTHS[-1]
    scheduler.max_num_batched_tokens = 2048
    pipeline = genai.ContinuousBatchingPipeline(str(gguf), scheduler, "CPU", {
        "INFERENCE_NUM_THREADS": cores, "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32"})
    settings = genai.GenerationConfig()
    settings.max_new_tokens, settings.ignore_eos, settings.do_sample = TOKENS, True, False

    def speed(width: int) -> float:
        clock, handles = Clock(width), []
        for k in range(-1, width):  # the first one warms the prefix
            ids = np.array([[*PREFIX, *header(max(k, 0))]], np.int64)
            handle = pipeline.add_request(k + 1, ov.Tensor(ids), settings)
            if k >= 0:
                handles.append((handle, [True]))
            while k < 0 and pipeline.has_non_finished_requests():
                pipeline.step()
        while pipeline.has_non_finished_requests():
            pipeline.step()
            for handle, first in handles:
                while handle.can_read():
                    handle.read()
                    clock.count(1, first[0])
                    first[0] = False
        return clock.speed

    return speed


def llama(cores: int, folder: Path, gguf: Path) -> Speed:
    """llama.cpp's server in this process, one slot a thread (KV not unified: faster on a CPU)."""
    import xllamacpp

    def speed(width: int) -> float:
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx, params.n_parallel = 256 * width, width
        params.kv_unified = False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores
        params.cache_idle_slots, params.cache_ram_mib = False, 0
        params.verbosity, params.port = 0, 0
        server = xllamacpp.Server(params)
        clock = Clock(width)

        def read(number: int) -> None:
            first = [True]

            def take(chunk: dict[str, object]) -> bool:
                if "error" in chunk:
                    raise RuntimeError(str(chunk["error"]))
                clock.count(1, first[0])
                first[0] = False
                return False

            server.handle_completions({
                "prompt": [*PREFIX, *header(number)], "max_tokens": TOKENS, "temperature": 0,
                "ignore_eos": True, "stream": True, "cache_prompt": True}, take)

        with ThreadPoolExecutor(width) as pool:
            list(pool.map(read, range(width)))
        return clock.speed

    return speed


CONTENDERS: dict[str, Callable[[int, Path, Path], Speed]] = {
    "products": products, "prototype": prototype, "nano": nano, "openvino": openvino,
    "openvino-engine": openvino_engine, "llama.cpp": llama,
}


def main() -> None:
    name, cores, folder, gguf = sys.argv[1:]
    free = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, free[-int(cores) :])
    speed = CONTENDERS[name](int(cores), Path(folder), Path(gguf))
    speed(1)
    print(json.dumps({width: max(speed(width) for _ in range(2)) for width in WIDTHS}))


if __name__ == "__main__":
    main()
