"""Attention of a step, one group at a time.

Rules of this file
  * The softmax is computed as exp(s) / sum(exp(s)), without subtracting the largest score first:
    that saves two of the ten calls that a layer needs, and two passes over the scores. It is
    right unless a row's sum overflows or all of it underflows, which `sane` tells after the step;
    then the step is computed again with `careful` set, where the largest score is subtracted.
    Until `finish` a step changes nothing that it would not change again in the same way.
  * What does not depend on the length of the rows is made once for as long as a group's members
    stay the same, see `follows`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plait.engines.nano.stage import Group, Indices
from plait.engines.nano.weights import Floats

_SMALLEST, _LARGEST = 1e-25, 1e37
"""Sums between these have all their digits: the smallest float32 is 1e-38."""


class Bundle:
    """Rows of one group that get ``new`` tokens each; their attention is computed together.

    The tokens of a bundle lie side by side in the step's batch, row after row, from ``first`` on.
    A token sees the group's shared part, its row, and the new tokens of its row up to itself.
    """

    def __init__(self, group: Group, rows: Sequence[int], new: int, first: int) -> None:
        self.group = group
        self.new = new
        self.count = len(rows)
        self.tokens = self.count * new
        self.careful = False
        self._part = slice(first, first + self.tokens)
        start = rows[0]
        together = start + self.count == rows[-1] + 1
        self._take = slice(start, start + self.count) if together else np.array(rows)
        self._rows: Indices = (np.arange(start, start + self.count) if together
                               else np.array(rows))[:, None]
        lens = group.lens[self._take]
        shortest, longest = int(lens.min()), int(lens.max())
        self._columns: Indices = lens[:, None] + np.arange(new)
        self.positions: Indices = (self._columns + group.shared).ravel()
        self.length = longest + new
        """Columns of a row that are looked at."""
        group.make_room(len(group.members), self.length)
        self._version = group.version
        self._clear = shortest + 1
        self._mask: Floats | None = None
        if self._clear < self.length:
            seen = np.arange(self._clear, self.length) <= self._columns[:, :, None]
            self._mask = np.where(seen, np.float32(0), np.float32(-np.inf))[None, :, :, None, :]
        self._bound: Floats | None = None

    @property
    def scores(self) -> int:
        """Size of the buffer that `bind` needs for the scores."""
        return self.tokens * self.group.pool.shape.heads * (self.group.shared + self.length)

    def follows(self, first: int) -> bool:
        """May it be used for another step, at ``first``, after `finish`? Only rows that get one
        token a step can, while nobody comes or goes; their mask moves along with them."""
        group = self.group
        group.make_room(len(group.members), self.length)
        return group.version == self._version and self._part.start == first

    def bind(self, qkv: Floats, out: Floats, scratch: Floats) -> None:
        """Make the views of a step.

        ``qkv`` [layers, batch, heads * head + row] is where queries, keys and values of the step
        will be; ``out`` [batch, heads * head] takes the result of each layer in turn; ``scratch``
        is for scores.
        """
        if self._bound is not qkv:
            self._bind_batch(qkv, out)
        shape, shared, new = self.group.pool.shape, self.group.shared, self.new
        width = shared + self.length
        size = shape.kv_heads, self.count, new * shape.group, width
        self._scores = scratch[: self.scores].reshape(size)
        self._own = self._scores[..., shared:].swapaxes(0, 1)
        if self._mask is not None:
            grid = self._scores.reshape(shape.kv_heads, self.count, new, shape.group, width)
            self._masked = grid[..., shared + self._clear :]
        if shared:
            self._flat = self._scores.reshape(shape.kv_heads, -1, width)[..., :shared]

    def _bind_batch(self, qkv: Floats, out: Floats) -> None:
        group, shape = self.group, self.group.pool.shape
        layers, kv_heads, share, head = shape.layers, shape.kv_heads, shape.group, shape.head
        count, new, depth = self.count, self.new, shape.heads * shape.head
        self._bound, mine = qkv, qkv[:, self._part]
        heads = mine[..., :depth].reshape(layers, count, new, kv_heads, share, head)
        both = mine[..., depth:].reshape(layers, count, new, 2, kv_heads, head)
        rows = count, kv_heads, new * share, head
        # with one KV head, or one token a row, results need no reordering; queries lie between
        # keys and values in memory, so several of a row cannot be seen as one matrix
        self._simple = kv_heads == 1 or new == 1
        self._queries: list[Floats] = list(
            heads.reshape(layers, *rows) if new == 1 else heads.swapaxes(2, 3))
        self._by_head = list(heads.transpose(0, 3, 1, 2, 4, 5))
        self._new = list(zip(both[:, :, :, 0], both[:, :, :, 1], strict=True))
        self._rooms = list(zip(group.k, group.v, strict=True))
        self._total = np.empty((layers, kv_heads, count, new * share, 1), np.float32)
        self._totals = list(zip(self._total, self._total.swapaxes(1, 2), strict=True))
        self._out = out[self._part].reshape(count, new, kv_heads, share, head)
        self._mixed = self._out.reshape(rows) if self._simple else np.empty(rows, np.float32)
        if group.shared:
            self._common = np.empty((kv_heads, self.tokens * share, head), np.float32)
            self._common_rows = self._common.reshape(kv_heads, count, -1, head).swapaxes(0, 1)

    def attend(self, layer: int) -> None:
        """One layer, once its queries, keys and values are there."""
        group, scores, mixed = self.group, self._scores, self._mixed
        keys, values = self._write(layer)
        queries, (total, total_rows) = self._queries[layer], self._totals[layer]
        np.matmul(queries if self.new == 1 else queries.reshape(mixed.shape), keys, self._own)
        if group.shared:
            stacked = self._by_head[layer].reshape(self._common.shape)
            np.matmul(stacked, group.shared_k[layer], self._flat)
        if self._mask is not None:
            np.add(self._masked, self._mask, self._masked)
        if self.careful:
            np.subtract(scores, np.maximum.reduce(scores, axis=-1, keepdims=True), scores)
        np.exp(scores, scores)
        np.add.reduce(scores, axis=-1, keepdims=True, out=total)
        np.matmul(self._own, values, mixed)
        if group.shared:
            np.matmul(self._flat, group.shared_v[layer], self._common)
            np.add(mixed, self._common_rows, mixed)
        np.divide(mixed, total_rows, mixed)
        if not self._simple:
            count, kv_heads, _, head = mixed.shape
            self._out[...] = mixed.reshape(count, kv_heads, self.new, -1, head).swapaxes(1, 2)

    def _write(self, layer: int) -> tuple[Floats, Floats]:
        """Put the new keys and values into their rows. Returns all keys and values to look at."""
        take, length = self._take, self.length
        (new_k, new_v), (keys, values) = self._new[layer], self._rooms[layer]
        if self.tokens == 1:
            row, column = int(self._rows[0, 0]), length - 1
            keys[row, :, :, column] = new_k[0, 0]
            values[row, :, column] = new_v[0, 0]
        else:
            keys[self._rows, :, :, self._columns] = new_k
            values[self._rows, :, self._columns] = new_v
        if not isinstance(take, slice):
            keys, values, take = keys[take], values[take], slice(None)
        return keys[take, :, :, :length], values[take, :, :length]

    def sane(self) -> bool:
        """Did the softmax of every layer stay in the range of its numbers?"""
        return bool(self._total.min() > _SMALLEST and self._total.max() < _LARGEST)

    def finish(self) -> None:
        """The step is computed: the rows are longer now."""
        new = self.new
        self.group.lens[self._take] += new
        self._columns += new
        self.positions += new
        self._clear += new
        self.length += new
