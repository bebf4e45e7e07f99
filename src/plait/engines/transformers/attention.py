"""Attention over the blocks, for any model that uses transformers' attention interface.

All new tokens of a step lie side by side in one row, [1, tokens], so the model's own layers see a
single long text; its positions say where in its sequence each token stands. In the place of the
model's attention, `attend` writes the new keys and values to their blocks and then computes one
*bundle* after the other:

    queries of all rows   @ keys of the blocks that the rows share, read once
    queries of each row   @ keys of its own blocks
    -> one softmax over both -> the same two products with the values

Rules of this file
  * The blocks are all there is: nothing else keeps keys or values between two steps. So sharing a
    block copies nothing, and what a step computes depends on the tables alone.
  * A step gathers the blocks of a bundle into one piece before it multiplies. That reads and writes
    them once more than need be; it spares a second copy of the cache and its upkeep.
  * Rows are padded to the longest of their bundle; `plan` keeps very different lengths apart.
  * Scores and softmax are computed in float32, as transformers' own plain attention does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from plait.engines.transformers.memory import LayerShape, Memory

NAME = "plait"
"""Under which the function is known to transformers."""
STEP = "plait_step"
"""The argument in which the model hands a step through to its attention."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a layer attends. ``window``: tokens that are seen, None: all. ``cap``: scores beyond it
    are flattened. ``sinks`` [heads]: scores that take part in the softmax and carry no value."""

    scaling: float
    window: int | None = None
    cap: float | None = None
    sinks: Any = None


@dataclass(slots=True)
class Bundle:
    """``rows`` sequences with ``new`` tokens each, at ``first`` in the step, row after row.

    ``shared``: numbers of the blocks with which all rows begin. ``own`` [rows * most]: those of
    each row's further blocks, padded with any. ``starts`` [rows]: where the first new tokens stand.
    """

    first: int
    rows: int
    new: int
    shared: torch.Tensor
    own: torch.Tensor
    starts: torch.Tensor
    _hidden: dict[tuple[int, int | None], torch.Tensor] = field(default_factory=dict)

    def hidden(self, columns: int, window: int | None) -> torch.Tensor:
        """Which of so many positions a new token may not see: [rows, new, 1, columns]."""
        found = self._hidden.get((columns, window))
        if found is None:
            device = self.starts.device
            place = (self.starts[:, None] + torch.arange(self.new, device=device))[..., None, None]
            column = torch.arange(columns, device=device)
            found = column > place
            if window is not None:
                found = found | (column <= place - window)
            self._hidden[columns, window] = found
        return found


@dataclass(slots=True)
class Step:
    """What the attention of a step needs. ``slots`` [tokens]: where the new keys go, block number
    * block size + place in the block."""

    memory: Memory
    slots: torch.Tensor
    bundles: list[Bundle]

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
               manner: Manner) -> torch.Tensor:
        """``query`` [1, heads, tokens, width] and the new keys and values of a layer, to the
        result [1, tokens, heads, width]."""
        keys, values = self.memory.keys[layer], self.memory.values[layer]
        keys.flatten(1, 2).index_copy_(1, self.slots, key[0])
        values.flatten(1, 2).index_copy_(1, self.slots, value[0])
        out = query.new_empty((query.shape[2], query.shape[1], values.shape[-1]))
        for bundle in self.bundles:
            end = bundle.first + bundle.rows * bundle.new
            part = query[0, :, bundle.first : end]
            out[bundle.first : end] = _attend(bundle, part, keys, values, manner)
        return out[None]


def _attend(bundle: Bundle, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
            manner: Manner) -> torch.Tensor:
    """``query`` [heads, rows * new, width] to [rows * new, heads, width]."""
    heads, kv, rows, new = len(query), len(keys), bundle.rows, bundle.new
    share = heads // kv
    q = query.reshape(kv, share, rows, new, -1).permute(0, 2, 3, 1, 4)
    q = q.reshape(kv, rows, new * share, -1)
    own_k, own_v = (kept.index_select(1, bundle.own).view(kv, rows, -1, kept.shape[-1])
                    for kept in (keys, values))
    scores = q @ own_k.transpose(2, 3)
    common = len(bundle.shared) * keys.shape[2]
    if common:
        shared_k, shared_v = (kept.index_select(1, bundle.shared).flatten(1, 2)
                              for kept in (keys, values))
        all_rows = (q.flatten(1, 2) @ shared_k.transpose(1, 2)).view(kv, rows, -1, common)
        scores = torch.cat((all_rows, scores), -1)
    weights = _weigh(bundle, scores.float(), manner).to(values.dtype)
    mixed = weights[..., common:] @ own_v
    if common:
        mixed += (weights[..., :common].flatten(1, 2) @ shared_v).view_as(mixed)
    mixed = mixed.view(kv, rows, new, share, -1).permute(1, 2, 0, 3, 4)
    return mixed.reshape(rows * new, heads, -1)


def _weigh(bundle: Bundle, scores: torch.Tensor, manner: Manner) -> torch.Tensor:
    """The softmax of ``scores`` [kv, rows, new * share, columns] over what each token sees."""
    kv, rows, _, columns = scores.shape
    scores *= manner.scaling
    if manner.cap is not None:
        scores = torch.tanh(scores / manner.cap) * manner.cap
    by_token = scores.view(kv, rows, bundle.new, -1, columns)
    by_token.masked_fill_(bundle.hidden(columns, manner.window), float("-inf"))
    if manner.sinks is None:
        return scores.softmax(-1)
    sinks = manner.sinks.float().view(kv, 1, 1, -1, 1).expand(*by_token.shape[:-1], 1)
    return torch.cat((by_token, sinks), -1).softmax(-1)[..., :-1].reshape(scores.shape)


@dataclass(slots=True)
class Survey:
    """In place of a step: finds out what the layers keep of a token, from a text of one token,
    whose attention is its value. ``manners``: how each layer attends."""

    shapes: dict[int, LayerShape] = field(default_factory=dict)
    manners: dict[int, Manner] = field(default_factory=dict)

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
               manner: Manner) -> torch.Tensor:
        heads, kv = query.shape[1], key.shape[1]
        self.shapes[layer] = LayerShape(heads, kv, key.shape[-1], value.shape[-1])
        self.manners[layer] = manner
        return value.repeat_interleave(heads // kv, 1).transpose(1, 2)


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: object = None, scaling: float | None = None, **given: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. What the model adds to the scores by a mask of its own
    cannot be had here; whether it matters, `loading` finds out."""
    step: Step | Survey = given[STEP]
    window, sinks = given.get("sliding_window"), given.get("s_aux")
    manner = Manner(query.shape[-1] ** -0.5 if scaling is None else scaling,
                    window if window and window > 0 else None, given.get("softcap"), sinks)
    return step.attend(module.layer_idx, query, key, value, manner), None
