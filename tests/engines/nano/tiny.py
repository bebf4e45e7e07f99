"""A small random model in a temporary folder, and the plainest possible forward pass of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from plait.core import Sampling
from plait.engines.batching import Batch, Sequence
from plait.engines.local import Piece
from plait.engines.nano.config import read_shape
from plait.engines.nano.forward import NumpyForward
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import read_weights

Array = NDArray[np.float32]

CONFIG: dict[str, object] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
    "vocab_size": 280, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8,
    "max_position_embeddings": 200, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "eos_token_id": 1,
}
TAGS = ("<Thread>", "</Thread>")


def make_tokenizer() -> Tokenizer:
    """Ids 0-2: begin, end, padding; then the bytes; then two tags."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|begin|>", "<|end|>", "<|pad|>", *alphabet]
    tokenizer = Tokenizer(models.BPE(vocab={n: k for k, n in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(n, special=True) for n in names[:3]])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in TAGS])
    return tokenizer


def make_tensors(config: dict[str, object], seed: int = 0) -> dict[str, Array]:
    """Random weights under Hugging Face names, large enough for lively logits."""
    rng = np.random.default_rng(seed)
    c = {k: v for k, v in config.items() if isinstance(v, int)}
    width, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]

    def matrix(rows: int, columns: int) -> Array:
        return (rng.standard_normal((rows, columns)) * 1.5 / math.sqrt(columns)).astype(np.float32)

    def norm() -> Array:
        return rng.uniform(0.5, 1.5, width).astype(np.float32)

    tensors = {"model.embed_tokens.weight": matrix(c["vocab_size"], width),
               "model.norm.weight": norm()}
    for k in range(c["num_hidden_layers"]):
        at = f"model.layers.{k}."
        tensors |= {
            at + "input_layernorm.weight": norm(), at + "post_attention_layernorm.weight": norm(),
            at + "self_attn.q_proj.weight": matrix(heads * head, width),
            at + "self_attn.k_proj.weight": matrix(kv * head, width),
            at + "self_attn.v_proj.weight": matrix(kv * head, width),
            at + "self_attn.o_proj.weight": matrix(width, heads * head),
            at + "mlp.gate_proj.weight": matrix(inner, width),
            at + "mlp.up_proj.weight": matrix(inner, width),
            at + "mlp.down_proj.weight": matrix(width, inner),
        }
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(c["vocab_size"], width)
    return tensors


def write_folder(folder: Path, config: dict[str, object], tensors: dict[str, Array]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>",
                "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    make_tokenizer().save(str(folder / "tokenizer.json"))
    save_file(tensors, folder / "model.safetensors")


def reference_logits(
    config: dict[str, object], tensors: dict[str, Array], ids: list[int]
) -> Array:
    """Logits [len(ids), vocab]: one sequence, no cache, one head at a time, in float64."""
    t = {k: v.astype(np.float64) for k, v in tensors.items()}
    c = {k: v for k, v in config.items() if isinstance(v, int)}
    heads, kv, head = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    theta, eps = config["rope_theta"], config["rms_norm_eps"]
    assert isinstance(theta, float)
    assert isinstance(eps, float)
    rates = theta ** (-np.arange(0, head, 2) / head)
    angles = np.tile(np.arange(len(ids))[:, None] * rates, 2)

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * t[name]

    def rope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = np.concatenate([-x[:, head // 2 :], x[:, : head // 2]], axis=1)
        return x * np.cos(angles) + turned * np.sin(angles)

    x = t["model.embed_tokens.weight"][ids]
    future = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for k in range(c["num_hidden_layers"]):
        at = f"model.layers.{k}."
        h = norm(x, at + "input_layernorm.weight")
        q, key, value = (h @ t[f"{at}self_attn.{n}_proj.weight"].T for n in "qkv")
        mixed = []
        for i in range(heads):
            j = i * kv // heads
            one = slice(j * head, (j + 1) * head)
            qi = rope(q[:, i * head : (i + 1) * head])
            scores = qi @ rope(key[:, one]).T / math.sqrt(head) + future
            share = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(share / share.sum(-1, keepdims=True) @ value[:, one])
        x = x + np.concatenate(mixed, 1) @ t[at + "self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (h @ t[f"{at}mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ t[at + "mlp.down_proj.weight"].T
    out = t["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return (norm(x, "model.norm.weight") @ out.T).astype(np.float32)


@dataclass(frozen=True)
class Tiny:
    """A model folder and what is in it."""

    folder: Path
    config: dict[str, object]
    tensors: dict[str, Array]

    def logits(self, ids: list[int]) -> Array:
        return reference_logits(self.config, self.tensors, ids)

    def greedy(self, ids: list[int], count: int) -> list[int]:
        """What follows ``ids`` when the likeliest token is taken ``count`` times."""
        ids = list(ids)
        for _ in range(count):
            ids.append(int(self.logits(ids)[-1].argmax()))
        return ids[-count:]


def make_tiny(folder: Path, **changes: object) -> Tiny:
    config = CONFIG | changes
    tensors = make_tensors(config)
    write_folder(folder, config, tensors)
    return Tiny(folder, config, tensors)


def make_batch(tiny: Tiny, blocks: int = 64, size: int = 4, chunk: int = 16) -> Batch:
    """A batch with small blocks and chunks, so that short texts cross their borders."""
    shape = read_shape(tiny.folder)
    vocabulary = read_vocabulary(tiny.folder, shape.vocab, shape.eos)
    forward = NumpyForward(read_weights(tiny.folder, shape), blocks, size)
    return Batch(forward, vocabulary, blocks, size, chunk)


def write(prompt: list[int], count: int = 8, **settings: Any) -> Sequence:
    """A greedy request for ``count`` tokens that no end token cuts short."""
    return Sequence(prompt, Sampling(max_tokens=count, ignore_eos=True, **settings))


def play(batch: Batch, *sequences: Sequence) -> list[tuple[Sequence, Piece]]:
    """Run ``sequences`` (and what is there) to the end; all invariants hold after each step."""
    for sequence in sequences:
        batch.add(sequence)
    output = []
    while batch.busy:
        output += batch.step()
        batch.check()
    return output


def written(output: list[tuple[Sequence, Piece]], sequence: Sequence) -> list[int]:
    """The ids that ``sequence`` wrote."""
    return [i for one, piece in output if one is sequence for i in piece.ids]


def random_ids(seed: int, count: int) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).integers(3, 259, count).tolist()
    return ids
