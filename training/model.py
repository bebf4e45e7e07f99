"""The reference model: a small Llama in PyTorch, with the parameter names of Hugging Face.

One key-value head is shared by all query heads. RoPE turns halves (`rotate_half`), as Hugging
Face's Llama does. Embedding and output share one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Config:
    vocab: int
    layers: int = 4
    width: int = 256
    heads: int = 4
    head: int = 64
    inner: int = 704
    theta: float = 10000.0
    longest: int = 4096
    eps: float = 1e-5


def rotary(positions: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Cosine and sine of shape (*positions, head); angles are exact, for positions are large."""
    rates = config.theta ** (-torch.arange(0, config.head, 2).double() / config.head)
    angles = positions.double()[..., None] * rates
    angles = torch.cat([angles, angles], -1)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Norm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.width, c.heads * c.head, bias=False)
        self.k_proj = nn.Linear(c.width, c.head, bias=False)
        self.v_proj = nn.Linear(c.width, c.head, bias=False)
        self.o_proj = nn.Linear(c.heads * c.head, c.width, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.c.heads, self.c.head)
        q = rotate(q, cos.unsqueeze(-2), sin.unsqueeze(-2))
        return q, rotate(self.k_proj(x), cos, sin), self.v_proj(x)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.project(x, cos, sin)
        shape = (b, self.c.heads, t, self.c.head)
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.unsqueeze(1).expand(shape),
            v.unsqueeze(1).expand(shape),
            attn_mask=mask,
            is_causal=mask is None,
        )
        return self.o_proj(out.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(c.width, c.inner, bias=False)
        self.up_proj = nn.Linear(c.width, c.inner, bias=False)
        self.down_proj = nn.Linear(c.inner, c.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.input_layernorm = Norm(c.width, c.eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c.width, c.eps)
        self.mlp = Mlp(c)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Nano(nn.Module):
    """`hidden` gives final states, `logits` turns (some of) them into scores."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = Norm(config.width, config.eps)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                quiet = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = 0.02 if "embed" in name else weight.shape[1] ** -0.5
                nn.init.normal_(weight, std=scale * (0.35 if quiet else 1.0))

    @torch.no_grad()
    def place_numbers(self, tokens: list[int]) -> None:
        """Start number embeddings as waves over the number and over its logarithm.

        Models that learn to add do it with such features (Nanda et al. 2023, arXiv 2301.05217);
        given from the start, with products at hand in SwiGLU, they need not be discovered.
        """
        n = torch.arange(len(tokens)).float()
        periods = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128,
                   160, 200, 256, 400, 800]
        angles = [2 * torch.pi * n / p for p in periods]
        angles += [torch.log2(n.clamp(min=1)) * 2 * torch.pi / p for p in (0.5, 1, 2, 4, 8, 16)]
        waves = [f(a) for a in angles for f in (torch.cos, torch.sin)]
        table = torch.stack([*waves, n / 100 - 1], 1) * 0.03
        self.embed_tokens.weight[tokens, : table.shape[1]] = table

    @torch.no_grad()
    def place_sums(self, tokens: dict[int, tuple[int, int]]) -> None:
        """Start the embeddings of tokens that are made of two as the sums of theirs."""
        weight = self.embed_tokens.weight
        for token, (first, second) in tokens.items():
            weight[token] = weight[first] + weight[second]

    @torch.no_grad()
    def place_names(self, names: list[int], numbers: list[int]) -> None:
        """Start the embeddings of names as those of the numbers of their places, moved all the
        same way. What the model can do with numbers (tell them apart, copy them, go on to the next
        one) it can do with names then."""
        weight = self.embed_tokens.weight
        size = weight[numbers].norm(dim=1).mean()
        weight[names] = weight[numbers[1 : len(names) + 1]] + F.normalize(
            torch.randn(weight.shape[1]), dim=0) * size

    def hidden(self, ids: Tensor, branch: Tensor | None = None) -> Tensor:
        positions, mask = torch.arange(ids.shape[1]), None
        if branch is not None:
            positions, mask = tree(branch)
        cos, sin = rotary(positions, self.config)
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embed_tokens.weight)


def tree(branch: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and attention mask of rows whose tokens lie on branches of a trunk (0)."""
    index = torch.arange(branch.shape[1])
    trunk = (branch == 0).int().cummin(1).values.sum(1, keepdim=True)
    same = branch[:, :, None] == branch[:, None, :]
    causal = index[:, None] >= index[None, :]
    mask = (same | (branch == 0)[:, None, :]) & causal
    within = (same & causal).sum(-1) - 1
    positions = torch.where(branch == 0, within, trunk + within)
    return positions, mask[:, None]
