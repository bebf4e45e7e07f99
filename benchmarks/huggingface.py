"""How fast the engine `hf:` answers a fan-out, beside transformers' own ways to run the same model.

    python -m benchmarks.huggingface [--sizes 5M 100M] [--widths 1 4 16 32] [--rounds 2]

``width`` streams share a prompt of 512 tokens that nobody has read yet, have a header of 8 tokens
each, and write 32. What counts is all tokens that are written, over the time from the question to
the last of them: prompts are read within it. Random Llamas in float32; a round of each contender
after the other, the best of each counts. Needs `pip install 'plait[transformers]'`.

    plait         `TransformersEngine`, asyncio in front
    one by one    `model.generate`, one stream after the other
    one batch     `model.generate`, all streams at once: they cannot come and go
    continuous    `model.generate_batch`: transformers' own continuous batching (of pages of 32)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.models import write_tokenizer

SHARED, HEADER, TOKENS = 512, 8, 32
WORDS = 8000
SIZES = {
    "5M": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
           "num_attention_heads": 8, "num_key_value_heads": 4},
    "100M": {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 14,
             "num_attention_heads": 12, "num_key_value_heads": 4},
}
Run = Callable[[list[list[int]]], int]
"""Continues all prompts; returns how many tokens were written."""


def write_model(folder: Path, size: str) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=WORDS, max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=1, pad_token_id=2, **SIZES[size])
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder)


def prompts(width: int, turn: int) -> list[list[int]]:
    """Prompts that share their beginning with each other, and with no other turn's."""
    shared = [3 + (7 * k + 131 * turn) % 5000 for k in range(SHARED)]
    return [shared + [3 + (13 * n + k) % 5000 for k in range(HEADER)] for n in range(width)]


def plait(folder: Path) -> Run:
    from plait.core import Prompt, Sampling
    from plait.engines.transformers.engine import TransformersEngine

    engine = TransformersEngine(f"hf:{folder}")
    sampling = Sampling(max_tokens=TOKENS, ignore_eos=True)

    async def read(prompt: list[int]) -> int:
        async with engine.stream(Prompt(ids=tuple(prompt)), sampling) as stream:
            return sum([chunk.tokens async for chunk in stream])

    async def play(given: list[list[int]]) -> int:
        return sum(await asyncio.gather(*(read(p) for p in given)))

    return lambda given: asyncio.run(play(given))


def stock(folder: Path, attention: str = "sdpa") -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation=attention).eval()


def one_batch(folder: Path) -> Run:
    import torch

    model = stock(folder)

    def run(given: list[list[int]]) -> int:
        ids = torch.tensor(given)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS,
                             min_new_tokens=TOKENS, do_sample=False, pad_token_id=2)
        return int(out[:, ids.shape[1]:].numel())

    return run


def one_by_one(folder: Path) -> Run:
    run = one_batch(folder)
    return lambda given: sum(run([prompt]) for prompt in given)


def continuous(folder: Path) -> Run:
    import transformers

    model = stock(folder)
    generation = transformers.GenerationConfig(
        max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=2)
    settings = transformers.ContinuousBatchingConfig(
        page_size=32, num_blocks=1024, max_batch_tokens=512)

    def run(given: list[list[int]]) -> int:
        found = model.generate_batch(given, generation_config=generation,
                                     continuous_batching_config=settings)
        return sum(len(one.generated_tokens) for one in found.values())

    return run


CONTENDERS = {"plait": plait, "one by one": one_by_one, "one batch": one_batch,
              "continuous": continuous}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    given = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(given.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    turn = 0
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as place:
            write_model(Path(place), size)
            runs = {name: CONTENDERS[name](Path(place)) for name in given.only}
            best = {name: dict.fromkeys(given.widths, 0.0) for name in runs}
            for width in given.widths * given.rounds:
                for name, run in runs.items():
                    turn += 1
                    start = time.perf_counter()
                    wanted = prompts(width if name != "one by one" else min(width, 2), turn)
                    try:
                        written = run(wanted)
                    except Exception as error:  # noqa: BLE001  a peer that does not run here
                        print(f"{name} at {width}: {error!r:.200}", file=sys.stderr)
                        continue
                    speed = written / (time.perf_counter() - start)
                    best[name][width] = max(best[name][width], speed)
        print(f"\n{size}, tokens/s on {given.threads} threads | "
              + " | ".join(map(str, given.widths)))
        print("---|" * len(given.widths) + "---")
        for name, speeds in best.items():
            print(f"{name} | " + " | ".join(f"{s:.0f}" if s else "-" for s in speeds.values()),
                  flush=True)


if __name__ == "__main__":
    main()
