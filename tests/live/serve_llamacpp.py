"""Serves a GGUF file with llama.cpp until it is killed; prints its address on one line.

    python tests/live/serve_llamacpp.py FILE [--special] [--exact]       needs xllamacpp

``--special``: special tokens stay in the text. ``--exact``: attention in float32, its cache too.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(path: str, *flags: str) -> None:
    """Start the server and wait."""
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.n_ctx, settings.n_parallel, settings.kv_unified = 16384, 4, False
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.cache_idle_slots, settings.cache_ram_mib = False, 0
    settings.endpoint_metrics = settings.endpoint_slots = True
    settings.special = "--special" in flags
    if "--exact" in flags:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.port, settings.verbosity = 0, 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
