"""Serves a GGUF file with llama.cpp until it is killed; prints its address on one line.

    python tests/live/serve_llamacpp.py FILE [--slots N] [--save DIR] [--unified] ...

``--save``: slots can be saved to files there. ``--unified``: one memory for all slots, out of
which idle ones are moved. ``--f32``: full precision, so that a text does not depend on
what else is in its batch. ``--special``: special tokens are shown. Needs xllamacpp.
"""

from __future__ import annotations

import argparse
import signal

import xllamacpp

WINDOW = 4096


def main() -> None:
    """Start the server and wait."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--special", action="store_true")
    parser.add_argument("--unified", action="store_true")
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--save", default="")
    options = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = options.file
    settings.n_ctx, settings.n_parallel = options.slots * WINDOW, options.slots
    settings.kv_unified = settings.cache_idle_slots = options.unified
    settings.cache_ram_mib = 8192 if options.unified else 0
    if options.f32:
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
