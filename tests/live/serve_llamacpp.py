"""Serves a GGUF file with llama.cpp until it is killed; prints its address on one line.

    python tests/live/serve_llamacpp.py FILE [--slots N] [--save DIR] [--unified] ...

A slot has 4,096 tokens; there are 4 unless N says otherwise. ``--save``: slots can be saved to
files there. ``--unified``: one memory for all slots, out of which idle ones are moved.
``--exact``: attention and its memory in float32, so that (of a file in float32) a text does not
depend on what else is in its batch. ``--special``: special tokens stay in the text.

Needs xllamacpp.
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
    parser.add_argument("--unified", action="store_true")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--save", default="")
    options = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = options.file
    settings.n_ctx, settings.n_parallel = SLOT_TOKENS * options.slots, options.slots
    settings.kv_unified = settings.cache_idle_slots = options.unified
    settings.cache_ram_mib = 8192 if options.unified else 0
    if options.exact:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.endpoint_metrics = settings.endpoint_slots = True
    settings.slot_save_path = options.save and options.save.rstrip("/") + "/"
    settings.special = options.special
    settings.port, settings.verbosity = 0, 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
