"""How fast the embedded engine decodes, beside a bare matrix product, a plain prototype and peers.

    python -m benchmarks.engine [--cores 1 2] [--rounds 2] [--only nano prototype] [--model FOLDER]

Each contender runs in a child process of its own that is tied to its cores, so that no library's
threads meet another's; the rounds of all contenders are interleaved and the best one counts, as
other load on the machine only ever makes a round slower. ``width`` threads share a prompt of 96
tokens and have a header of 8 tokens each; what is timed is the decoding of 64 tokens a thread,
from the moment when all of them have written their first. OpenVINO GenAI (alone, and as an engine
of plait) and llama.cpp run the same weights (GGUF, F16) where `openvino-genai`, `xllamacpp` and
`gguf` are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import CONTENDERS, WIDTHS
from benchmarks.models import write_random
from plait.engines.nano import WEIGHTS

NEEDS = {"openvino": ("openvino_genai", "gguf"), "openvino-engine": ("openvino_genai", "gguf"),
         "llama.cpp": ("xllamacpp", "gguf")}
"""Packages without which a contender is left out."""


def can_run(name: str) -> bool:
    return all(importlib.util.find_spec(package) for package in NEEDS.get(name, ()))


def measure(name: str, cores: int, folder: Path, gguf: Path) -> dict[int, float]:
    """Tokens per second at each width, from a child process."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
                            str(cores))
    command = [sys.executable, "-m", "benchmarks.contenders", name, str(cores), str(folder),
               str(gguf)]
    done = subprocess.run(command, env={**os.environ, **threads}, text=True, timeout=600,
                          capture_output=True, check=False)
    if done.returncode:
        print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {}
    speeds = json.loads(done.stdout.strip().splitlines()[-1])
    return {int(width): speed for width, speed in speeds.items()}


def table(cores: int, best: dict[str, dict[int, float]]) -> str:
    """The speeds as a Markdown table, and what each contender gains from 64 threads."""
    head = " | ".join(str(width) for width in WIDTHS)
    lines = [f"tokens/s on {cores} core{'s' * (cores > 1)} | {head} | x64/x1",
             "---|" * (len(WIDTHS) + 1) + "---"]
    for name, speeds in best.items():
        if speeds:
            cells = " | ".join(f"{speeds[width]:.0f}" for width in WIDTHS)
            lines.append(f"{name} | {cells} | {speeds[WIDTHS[-1]] / speeds[WIDTHS[0]]:.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--model", type=Path, default=WEIGHTS,
                        help="a model folder; random weights of plait-nano's shape if missing")
    given = parser.parse_args()
    names = [name for name in given.only if can_run(name)]
    for name in set(given.only) - set(names):
        print(f"{name} is left out: pip install {' '.join(NEEDS[name])}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        folder, gguf = given.model, Path(place) / "model.gguf"
        if not (folder / "model.safetensors").exists():
            folder = Path(place)
            write_random(folder)
        if importlib.util.find_spec("gguf"):
            from training.gguf import write_gguf

            write_gguf(folder, gguf)
        for cores in given.cores:
            best: dict[str, dict[int, float]] = {name: {} for name in names}
            for _ in range(given.rounds):
                for name in names:
                    for width, speed in measure(name, cores, folder, gguf).items():
                        best[name][width] = max(speed, best[name].get(width, 0.0))
            print(table(cores, best), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
