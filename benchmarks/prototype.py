"""A plain prototype: what a careful person writes first. The baseline for nano.

Contiguous keys and values for each sequence, fused q/k/v and gate/up matrices, one batched
`np.matmul` over all sequences for the attention, all sequences in lock step.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from plait.engines.nano.config import read_shape
from plait.engines.nano.weights import Floats, read_tensors


class Prototype:
    """Greedy decoding of ``width`` sequences that start with the same ``prefix``."""

    def __init__(self, folder: Path) -> None:
        self.shape = shape = read_shape(folder)
        t = read_tensors(folder / "model.safetensors")
        self.embed = t["model.embed_tokens.weight"]
        self.head = np.ascontiguousarray(
            self.embed.T if shape.tied else t["lm_head.weight"].T)
        self.norm = t["model.norm.weight"]
        self.layers = []
        for k in range(shape.layers):
            at = f"model.layers.{k}."

            def fused(*names: str, at: str = at) -> Floats:
                rows = np.concatenate([t[f"{at}{n}.weight"] for n in names])
                return np.ascontiguousarray(rows.T)

            self.layers.append((
                t[at + "input_layernorm.weight"],
                fused("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                fused("self_attn.o_proj"),
                t[at + "post_attention_layernorm.weight"],
                fused("mlp.gate_proj", "mlp.up_proj"),
                fused("mlp.down_proj"),
            ))
        rates = shape.theta ** (-np.arange(0, shape.head, 2) / shape.head)
        angles = np.tile(np.arange(shape.window)[:, None] * rates, 2)
        self.cos, self.sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def start(self, width: int) -> None:
        s = self.shape
        self.k = np.zeros((s.layers, width, s.kv_heads, s.window, s.head), np.float32)
        self.v = np.zeros_like(self.k)
        self.at = 0

    def step(self, ids: Floats) -> Floats:
        """Logits [width, vocab] after one more token ``ids`` [width] for each sequence."""
        s, at = self.shape, self.at
        width, depth, half = len(ids), s.heads * s.head, s.row // 2
        cos, sin = self.cos[at], self.sin[at]
        x = self.embed[ids]
        for number, (norm1, qkv, out, norm2, gate_up, down) in enumerate(self.layers):
            rows = _rms(x, norm1, s.eps) @ qkv
            q = _rotate(rows[:, :depth].reshape(width, s.heads, s.head), cos, sin)
            k = _rotate(rows[:, depth : depth + half].reshape(width, s.kv_heads, s.head), cos, sin)
            self.k[number, :, :, at] = k
            self.v[number, :, :, at] = rows[:, depth + half :].reshape(width, s.kv_heads, s.head)
            keys = self.k[number, :, :, : at + 1]
            values = self.v[number, :, :, : at + 1]
            q = q.reshape(width, s.kv_heads, s.group, s.head)
            scores = q @ keys.swapaxes(2, 3) / np.float32(np.sqrt(s.head))
            share = np.exp(scores - scores.max(-1, keepdims=True))
            share /= share.sum(-1, keepdims=True)
            x = x + (share @ values).reshape(width, depth) @ out
            rows = _rms(x, norm2, s.eps) @ gate_up
            gate, up = rows[:, : s.inner], rows[:, s.inner :]
            x = x + (gate / (1 + np.exp(-gate)) * up) @ down
        self.at += 1
        return _rms(x, self.norm, s.eps) @ self.head

    def speed(self, prefix: list[int], headers: list[list[int]], tokens: int) -> float:
        """Tokens per second over ``tokens`` steps of all sequences; the prompt is not timed."""
        self.start(len(headers))
        for token in prefix:
            logits = self.step(np.full(len(headers), token))
        for column in zip(*headers, strict=True):
            logits = self.step(np.array(column))
        start = time.perf_counter()
        for _ in range(tokens):
            logits = self.step(logits.argmax(axis=1))
        return tokens * len(headers) / (time.perf_counter() - start)


def _rms(x: Floats, weight: Floats, eps: float) -> Floats:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(eps)) * weight


def _rotate(x: Floats, cos: Floats, sin: Floats) -> Floats:
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + turned * sin
