"""Serves a GGUF file with llama.cpp until it is killed; prints its address on one line.

    python tests/live/serve_llamacpp.py FILE [--special] [--slots=4] [--port=0]   needs xllamacpp
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(path: str, *flags: str) -> None:
    """Start the server and wait."""
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags if "=" in flag)
    slots = int(given.get("slots", 4))
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.n_ctx, settings.n_parallel, settings.kv_unified = 4096 * slots, slots, False
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.cache_idle_slots, settings.cache_ram_mib = False, 0
    settings.endpoint_metrics = settings.endpoint_slots = True
    settings.special = "--special" in flags
    settings.port, settings.verbosity = int(given.get("port", 0)), 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
