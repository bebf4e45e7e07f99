"""Greedy decoding in PyTorch, many prompts at once, for evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from training.model import Nano, rotary


class Decoder:
    """Keys and values of a batch of rows; each row has its own length."""

    def __init__(self, model: Nano, rows: int, room: int) -> None:
        c = model.config
        self.model, self.room = model, room
        shape = rows, room, c.kv_heads, c.head
        self.keys = [torch.zeros(shape) for _ in range(c.layers)]
        self.values = [torch.zeros(shape) for _ in range(c.layers)]
        self.cos, self.sin = rotary(torch.arange(room), c)

    def forward(self, ids: Tensor, start: Tensor) -> Tensor:
        """Take `ids` (rows, n) at positions `start + 0..n-1`; give all hidden states."""
        c, n = self.model.config, ids.shape[1]
        at = (start[:, None] + torch.arange(n)).clamp(max=self.room - 1)
        cos, sin = self.cos[at], self.sin[at]
        span = int(at.max()) + 1
        mask = torch.arange(span)[None, None, :] <= at[:, :, None]
        x = self.model.embed_tokens(ids)
        for k, layer in enumerate(self.model.layers):
            q, key, value = layer.self_attn.project(layer.input_layernorm(x), cos, sin)
            index = at[:, :, None, None].expand(-1, -1, c.kv_heads, c.head)
            self.keys[k].scatter_(1, index, key)
            self.values[k].scatter_(1, index, value)
            keys, values = self.keys[k][:, :span], self.values[k][:, :span]
            q = q.view(len(ids), n, c.kv_heads, -1, c.head)
            scores = torch.einsum("bnkgd,bskd->bkngs", q, keys) * c.head**-0.5
            scores = scores.masked_fill(~mask[:, None, :, None], -torch.inf).softmax(-1)
            out = torch.einsum("bkngs,bskd->bnkgd", scores, values).reshape(len(ids), n, -1)
            x = x + layer.self_attn.o_proj(out)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.norm(x)

    def keep(self, rows: Tensor) -> None:
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]


@torch.inference_mode()
def greedy(
    model: Nano, prompts: list[list[int]], stops: set[int], limit: int, batch: int = 64
) -> list[list[int]]:
    """Continue each prompt to a stop id (kept) or `limit` new ids."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    written: list[list[int]] = [[] for _ in prompts]
    for begin in range(0, len(order), batch):
        live = order[begin : begin + batch]
        lengths = torch.tensor([len(prompts[i]) for i in live])
        longest = int(lengths.max())
        room = min(model.config.longest, longest + limit)
        padded = torch.tensor([prompts[i] + [0] * (longest - len(prompts[i])) for i in live])
        decoder = Decoder(model, len(live), room)
        states = decoder.forward(padded, torch.zeros_like(lengths))
        last = states[torch.arange(len(live)), lengths - 1]
        while live:
            chosen = model.logits(last).argmax(-1)
            for i, token in zip(live, chosen.tolist(), strict=True):
                written[i].append(token)
            going = [
                k for k, i in enumerate(live)
                if written[i][-1] not in stops and len(prompts[i]) + len(written[i]) < room
                and len(written[i]) < limit
            ]
            if len(going) < len(live):
                rows = torch.tensor(going, dtype=torch.long)
                live = [live[k] for k in going]
                chosen, lengths = chosen[rows], lengths[rows]
                decoder.keep(rows)
            if live:
                last = decoder.forward(chosen[:, None], lengths)[:, 0]
                lengths = lengths + 1
    return written
