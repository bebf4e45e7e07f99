"""Write what the embedded engine must compute: `python -m training.golden`.

The file holds texts of every kind as token ids and, at some of their places, the logits of the
exported weights, computed by PyTorch in float64. An engine that computes in float32 agrees within
1e-4. The hash of the weights file tells a test whether the numbers belong to the weights at hand.

    weights_sha256      str
    ids_K               int64 (length_K,)          begin token included
    places_K            int64 (PLACES,)            indices into ids_K, the last one among them
    logits_K            float32 (PLACES, vocab)    scores of the token after each place
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plait.puzzles import sheet_trace
from plait.puzzles.countdown import Problem, generate, operations
from plait.puzzles.countdown_text import child_prompt, render
from plait.puzzles.countdown_trace import (
    apr_calls,
    apr_final,
    apr_joined,
    quick_look,
    search3,
    sequential4,
)
from plait.puzzles.sheet import generate as generate_sheets
from plait.puzzles.sheet_text import render as render_sheet
from training.export import WEIGHTS, read
from training.tokenizer import BOS, load

OUT = Path(__file__).parents[1] / "tests" / "engines" / "nano" / "golden.npz"
LONGEST = 400
PLACES = 16


def texts() -> list[str]:
    """Contexts as they stand in a run, one of each kind, on problems never trained on."""
    (three,) = islice(generate(41, 3, "natural", held_out=True), 1)
    (four,) = islice(generate(41, 4, "hard", held_out=True), 1)
    move = operations(four.numbers)[2]
    child = Problem(four.target, move.state)
    look, joined = quick_look(four).text, apr_joined(four)
    (chains,) = islice(generate_sheets(41, 4, held_out=True), 1)
    trunk = render_sheet(chains, "threadweaver") + sheet_trace.outlines(chains)
    written = sheet_trace.threads(chains)
    return [
        render(three, "sequential") + search3(three).text,
        child_prompt(child, (move.text,), 2) + search3(child, (move.text,)).text,
        render(four, "apr") + look + apr_calls(four),
        render(four, "apr") + look + joined.text + apr_final(four, joined.path),
        render(four, "sequential") + sequential4(four).text,
        render_sheet(chains, "sequential") + sheet_trace.sequential(chains),
        trunk + sheet_trace.thread_header(2) + written[1],
        trunk + sheet_trace.joined(written) + sheet_trace.final(chains),
    ]


@torch.inference_mode()
def compute(folder: Path) -> dict[str, NDArray[np.generic] | str]:
    """All arrays of the file, for the model in ``folder``."""
    model, tokenizer = read(folder).double(), load(folder / "tokenizer.json")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    found: dict[str, NDArray[np.generic] | str] = {"weights_sha256": digest}
    for k, text in enumerate(texts()):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        row = torch.tensor([[tokenizer.token_to_id(BOS), *ids][:LONGEST]])
        places = torch.linspace(0, row.shape[1] - 1, PLACES).round().long()
        logits = model.logits(model.hidden(row)[0, places])
        found[f"ids_{k}"] = row[0].numpy()
        found[f"places_{k}"] = places.numpy()
        found[f"logits_{k}"] = logits.float().numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Write reference logits of plait-nano.")
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    np.savez_compressed(options.out, **compute(options.model))
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
