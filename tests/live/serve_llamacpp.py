"""Serves a GGUF file with llama.cpp until it is killed; prints its address on one line.

    python tests/live/serve_llamacpp.py FILE [--special] [--exact] [--slots N] [--save FOLDER/]
                                        [--port N]

Needs xllamacpp. ``--special``: special tokens stay in the text. ``--exact``: attention in float32,
its cache too. A slot has 4,096 tokens; there are 4 unless N says otherwise. The port is a free one.
"""

from __future__ import annotations

import argparse
import signal

import xllamacpp

SLOT_TOKENS = 4096


def main() -> None:
    """Start the server and wait."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--special", action="store_true")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--save", default="")
    parser.add_argument("--port", type=int, default=0)
    told = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = told.file
    settings.n_ctx, settings.n_parallel = SLOT_TOKENS * told.slots, told.slots
    settings.kv_unified = False
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.cache_idle_slots, settings.cache_ram_mib = False, 0
    settings.endpoint_metrics = settings.endpoint_slots = True
    settings.special, settings.slot_save_path = told.special, told.save
    if told.exact:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.port, settings.verbosity = told.port, 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
