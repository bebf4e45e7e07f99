"""Keys and values of every block, by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from plait.engines.batching import Block
from plait.errors import UsageError


class LayerShape(NamedTuple):
    """What one layer keeps of a token: ``kv_heads`` keys of ``key`` and values of ``value``
    numbers; ``heads`` query heads read them."""

    heads: int
    kv_heads: int
    key: int
    value: int

    @property
    def row(self) -> int:
        """Numbers that one token takes."""
        return self.kv_heads * (self.key + self.value)


Shapes = Mapping[int, LayerShape]
"""By the number of the layer."""


def bytes_of_token(shapes: Shapes, dtype: torch.dtype) -> int:
    """What one token takes, in all layers."""
    return int(sum(shape.row for shape in shapes.values()) * dtype.itemsize)


class Memory:
    """``keys[layer]`` and ``values[layer]`` [kv_heads, blocks, size, width].

    Heads come first, so that the blocks of a step, once gathered, are matrices as they lie.
    Raises `UsageError` where the device has not so much memory.
    """

    def __init__(self, shapes: Shapes, blocks: int, size: int, dtype: torch.dtype,
                 device: torch.device) -> None:
        self.shapes = shapes
        self.size = size
        self.device = device
        wanted = bytes_of_token(shapes, dtype) * blocks * size >> 20
        try:
            # zeros: what lies behind a sequence's end is masked, but must not be NaN
            self.keys = {n: torch.zeros((s.kv_heads, blocks, size, s.key), dtype=dtype,
                                        device=device) for n, s in shapes.items()}
            self.values = {n: torch.zeros((s.kv_heads, blocks, size, s.value), dtype=dtype,
                                          device=device) for n, s in shapes.items()}
        except RuntimeError as error:
            raise UsageError(f"{wanted} MB for keys and values cannot be had on {device}",
                             hint="Say less `memory`.") from error

    def copy(self, source: Block, target: Block, tokens: int) -> None:
        """Copy the first ``tokens`` tokens of a block to another block."""
        for layers in (self.keys, self.values):
            for kept in layers.values():
                kept[:, target.id, :tokens] = kept[:, source.id, :tokens]
