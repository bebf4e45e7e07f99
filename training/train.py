"""Train plait-nano: `python -m training.train`, then `python -m training.export`.

The schedule runs on *training time*: the sum of step times, each counted at most three times the
usual step, so that pauses (SIGSTOP) do not count. Each worker is one process with one thread which
handles its own batches; gradients are added up once a step (two busy workers beat one process of
two threads, above all where other work shares the cores). Warm-up, then constant, then linear decay
to zero over the last two fifths.

The run folder, `training/runs/NAME`, holds `log.jsonl` (the learning curve), `last.pt` (written
every three minutes; a run that finds one goes on from it) and, where wanted, `control.json`, read
every 50 steps: `{"minutes": 80}` moves the end of the schedule, `{"cap": 3000}` the longest
document, `{"shares": {"s3": 0.4}}` the mix.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict, deque
from datetime import timedelta
from pathlib import Path
from random import Random

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from tokenizers import Tokenizer

from plait.puzzles.countdown import Problem, generate
from plait.puzzles.countdown_text import render
from plait.puzzles.countdown_trace import search3
from training.data import SHARES, WRITERS, Batch, Stream, collate, encode
from training.decode import greedy
from training.export import read
from training.model import Config, Nano
from training.optimizer import Muon
from training.tokenizer import BOS, EOS, PAD, build, load, names, numbers, sums

RUNS = Path(__file__).parent / "runs"
DECAY = 0.4
WARM_STEPS = 100


def losses(model: Nano, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed cross-entropy over the model's own tokens, and how many were predicted right."""
    ids = torch.from_numpy(batch.ids)
    branch = None if batch.branch is None else torch.from_numpy(batch.branch)
    previous, targets = pairs(batch)
    with torch.autocast("cpu", torch.bfloat16):  # half again as fast where the CPU has it
        states = model.hidden(ids, branch).flatten(0, 1)[previous]
        logits = model.logits(states).float()
    right = (logits.argmax(-1) == targets).sum()
    return F.cross_entropy(logits, targets, reduction="sum"), right


@torch.no_grad()
def begin_from(model: Nano, folder: Path, tokenizer: Tokenizer) -> None:
    """Take over the weights of the earlier model in ``folder``. Tokens that it does not know start
    from those that it does: see `Nano.place_sums` and `Nano.place_names`."""
    known = load(folder / "tokenizer.json").get_vocab()
    weights = read(folder).state_dict()
    embed = model.embed_tokens.weight
    old, new = weights.pop("embed_tokens.weight"), tokenizer.get_vocab()
    for token, place in new.items():
        if token in known:
            embed[place] = old[known[token]]
    model.load_state_dict(weights, strict=False)
    if len(known) < len(new):
        place_new(model, tokenizer)


def place_new(model: Nano, tokenizer: Tokenizer) -> None:
    """Start the embeddings of the tokens of sheets from those of the numbers."""
    model.place_sums(sums(tokenizer))
    for kind in names(tokenizer):
        model.place_names(kind, numbers(tokenizer))


def pairs(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat index of the state that predicts each counted token, and the tokens.

    The state before the first token of a branch is the trunk's last one; branches never start
    with a counted token, so the state one place to the left is always the right one.
    """
    loss = torch.from_numpy(batch.loss)
    at = loss.flatten().nonzero().squeeze(1)
    return at - 1, torch.from_numpy(batch.ids).flatten()[at]


def rate(elapsed: float, total: float, step: int) -> float:
    return min(1.0, (step + 1) / WARM_STEPS) * max(0.0, min(1.0, (1 - elapsed / total) / DECAY))


class Trainer:
    def __init__(self, options: argparse.Namespace, rank: int) -> None:
        self.run, self.minutes = RUNS / options.run, options.minutes
        self.rank, self.workers = rank, options.workers
        self.tokens, self.peak = options.tokens // options.workers, options.peak
        self.run.mkdir(parents=True, exist_ok=True)
        self.tokenizer = build()
        torch.manual_seed(7)
        self.model = Nano(Config(vocab=self.tokenizer.get_vocab_size()))
        self.model.place_numbers(numbers(self.tokenizer))
        place_new(self.model, self.tokenizer)
        if options.start is not None:
            begin_from(self.model, options.start, self.tokenizer)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "proj" in n]
        others = [p for n, p in self.model.named_parameters() if "proj" not in n]
        self.muon = Muon(
            matrices, lr=0.02, rank=rank, workers=self.workers, add_up=add_up
        )
        self.adam = torch.optim.AdamW(others, lr=0.003, betas=(0.9, 0.95), weight_decay=0.0)
        self.step, self.seen, self.elapsed, self.finished = 0, 0, 0.0, False
        if (self.run / "last.pt").exists():
            self.resume()
        self.stream = Stream(self.tokenizer, f"train/{self.step}/{rank}", cap=options.cap)
        self.stream.mix(options.shares)
        self.control()

    def resume(self) -> None:
        saved = torch.load(self.run / "last.pt", weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.muon.load_state_dict(saved["muon"])
        self.adam.load_state_dict(saved["adam"])
        self.step, self.seen, self.elapsed = saved["step"], saved["seen"], saved["elapsed"]

    def save(self) -> None:
        saved = {
            "model": self.model.state_dict(), "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(), "step": self.step, "seen": self.seen,
            "elapsed": self.elapsed,
        }
        torch.save(saved, self.run / "last.tmp")
        (self.run / "last.tmp").replace(self.run / "last.pt")

    def control(self) -> None:
        path = self.run / "control.json"
        if path.exists():
            wanted = json.loads(path.read_text())
            self.minutes = wanted.get("minutes", self.minutes)
            self.stream.cap = wanted.get("cap", self.stream.cap)
            self.stream.mix(wanted.get("shares", {}))

    def log(self, **values: object) -> None:
        line = {"step": self.step, "tokens": self.seen, "seconds": round(self.elapsed), **values}
        with (self.run / "log.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def one(self) -> dict[str, list[float]]:
        """One optimizer step over several batches; sums of loss, right and counted, by kind.

        What differs between workers travels behind the gradients: the counts, and the first
        worker's clock, so that all of them set the same rate.
        """
        kinds, size = list(SHARES), 0
        notes = torch.zeros(len(kinds) * 3 + 3)
        while size < self.tokens:
            batch = next(self.stream)
            size += batch.tokens
            loss, right = losses(self.model, batch)
            (loss / self.tokens).backward()
            at = kinds.index(batch.kind) * 3
            notes[at : at + 3] += torch.tensor([loss.item(), int(right), int(batch.loss.sum())])
        notes[-3] = size
        if self.rank == 0:
            notes[-2], notes[-1] = self.elapsed, self.minutes
        weights = list(self.model.parameters())
        flat = torch.cat([*(w.grad.flatten() for w in weights), notes])
        add_up(flat)
        notes = flat[-len(notes) :].clone()
        flat.mul_(self.tokens / float(notes[2:-3:3].sum()))
        grads = flat[: -len(notes)].split([w.numel() for w in weights])
        for weight, grad in zip(weights, grads, strict=True):
            weight.grad.copy_(grad.view_as(weight))
        self.elapsed, self.minutes = float(notes[-2]), float(notes[-1])
        self.finished = self.elapsed >= self.minutes * 60
        now = self.peak * rate(self.elapsed, self.minutes * 60, self.step)
        for optimizer, base in ((self.muon, 0.02), (self.adam, 0.003)):
            optimizer.param_groups[0]["lr"] = base * now
            optimizer.step()
        self.model.zero_grad()
        self.step += 1
        self.seen += int(notes[-3])
        if self.step % 500 == 0:
            for weight in weights:
                dist.broadcast(weight.data, 0)
        return {k: notes[3 * i : 3 * i + 3].tolist() for i, k in enumerate(kinds)}

    def evaluate(self) -> None:
        """Token accuracy by kind on always the same documents, and held-out searches of three
        numbers written from start to end: exactly right, and right at the end."""
        began = time.perf_counter()
        pad = self.tokenizer.token_to_id(PAD)
        out = {}
        with torch.inference_mode():
            for kind in SHARES:
                random = Random(f"eval/{kind}")
                rows = [
                    encode(self.tokenizer, kind, WRITERS[kind](random), self.stream.cap)
                    for _ in range(8)
                ]
                batch = collate(rows, pad)
                out[kind] = round(int(losses(self.model, batch)[1]) / int(batch.loss.sum()), 4)
        made = generate(11, 3, "natural", held_out=True)
        problems: list[Problem] = [next(made) for _ in range(60)]
        bos, eos = (self.tokenizer.token_to_id(t) for t in (BOS, EOS))
        prompts = [
            [bos, *self.tokenizer.encode(render(p, "sequential"), add_special_tokens=False).ids]
            for p in problems
        ]
        texts = [self.tokenizer.decode(w[:-1], skip_special_tokens=False)
                 for w in greedy(self.model, prompts, {eos}, 420)]
        exact = sum(t == search3(p).text for t, p in zip(texts, problems, strict=True))
        ends = sum(t.endswith(search3(p).text[-30:]) for t, p in zip(texts, problems, strict=True))
        self.log(eval=out, s3_exact=exact / 60, s3_solved=ends / 60,
                 eval_seconds=round(time.perf_counter() - began, 1))
        (self.run / "samples.txt").write_text(
            "\n=====\n".join(f"{p}{t}" for p, t in zip(problems[:8], texts[:8], strict=True)))

    def train(self, save_every: float, eval_every: float) -> None:
        durations: deque[float] = deque(maxlen=50)
        saved, evaluated = self.elapsed, self.elapsed - eval_every + 120
        totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0])
        since = (self.seen, self.elapsed)
        while not self.finished:
            began = time.perf_counter()
            for kind, counts in self.one().items():
                totals[kind] = [a + b for a, b in zip(totals[kind], counts, strict=True)]
            took = time.perf_counter() - began
            durations.append(took)
            self.elapsed += min(took, 3 * statistics.median(durations))
            if self.step % 50 == 0:
                speed = (self.seen - since[0]) / max(1e-9, self.elapsed - since[1])
                if self.rank == 0:
                    now = self.peak * rate(self.elapsed, self.minutes * 60, self.step)
                    self.log(
                        loss={k: round(v[0] / max(1, v[2]), 4) for k, v in totals.items()},
                        right={k: round(v[1] / max(1, v[2]), 4) for k, v in totals.items()},
                        speed=round(speed), rate=round(now, 3),
                    )
                totals.clear()
                since = (self.seen, self.elapsed)
                self.control()
            if self.rank:
                continue
            if self.elapsed - evaluated > eval_every:
                self.evaluate()
                evaluated = self.elapsed
            if self.elapsed - saved > save_every:
                self.save()
                saved = self.elapsed
        if self.rank == 0:
            self.evaluate()
            self.save()
            self.log(done=True)


def add_up(tensor: torch.Tensor) -> None:
    if dist.is_initialized():
        dist.all_reduce(tensor)


def work(rank: int, options: argparse.Namespace, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=options.workers,
        timeout=timedelta(days=1),
    )
    Trainer(options, rank).train(save_every=180, eval_every=600)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train plait-nano.")
    parser.add_argument("--run", default="nano")
    parser.add_argument("--minutes", type=float, default=68)
    parser.add_argument("--start", type=Path, help="folder of an earlier model to go on from")
    parser.add_argument("--shares", type=json.loads, default={},
                        help="JSON: the share of tokens of each kind of document")
    parser.add_argument("--peak", type=float, default=1.0, help="share of the full learning rate")
    parser.add_argument("--tokens", type=int, default=6144, help="tokens in an optimizer step")
    parser.add_argument("--cap", type=int, default=4000, help="longest document at first")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            work, (options, f"{folder}/meeting"), nprocs=options.workers, start_method="fork"
        )


if __name__ == "__main__":
    main()
