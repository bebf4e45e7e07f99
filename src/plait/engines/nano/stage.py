"""The contiguous side of the KV cache: what a step's attention reads.

The pool (`Pool`) holds keys and values by block and is the truth. Reading blocks one by one would
make a step hundreds of tiny products, so running sequences are staged in *groups*:

    group = blocks that all its members share, once   keys [kv, head, P], values [kv, P, head]
          + one row a member for what is its own      keys [rows, kv, head, T], values [.., T, head]

A decode step then is, per group and layer, one product of all queries with the shared part (a
real GEMM, as in cascade attention and Hydragen, Juravsky et al. 2024) and one batched product
with the own parts. Both write into one buffer of scores, so that a single softmax covers them
and nothing has to be merged afterwards. A step's new keys and values go to the row and the pool.

Members that decode come first (rows 0 .. ``ready``), those still reading their prompt behind
them. Sequences that share too little to be worth a product of their own are together in groups
without a shared part, one for each class of length, because a row is as long as the longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.engines.batching import Block, Key, plan
from plait.engines.batching import Sequence as Member
from plait.engines.nano.config import Shape
from plait.engines.nano.weights import Floats

Indices = NDArray[np.int64]
_SPARES = 4
"""Pairs of row memories that are kept for the next group."""


class Pool:
    """Keys and values of every block: ``kv`` [blocks * size, layers, 2 * kv_heads * head]."""

    def __init__(self, shape: Shape, blocks: int, size: int) -> None:
        self.shape = shape
        self.size = size
        self.kv: Floats = np.zeros((blocks * size, shape.layers, shape.row), np.float32)
        self._spare: list[tuple[Floats, Floats]] = []

    def rows(self, rows: int, length: int) -> tuple[Floats, Floats]:
        """Keys and values for at least so many rows and tokens a row, used before if possible:
        memory that is new costs a page fault for each page, as much as the step that fills it."""
        for number, (k, v) in enumerate(self._spare):
            if rows <= k.shape[1] <= 4 * rows and length <= k.shape[-1] <= 4 * length:
                del self._spare[number]
                return k, v
        s = self.shape
        # zeros: what lies behind a row's end is masked, but must not be NaN
        return (np.zeros((s.layers, rows, s.kv_heads, s.head, length), np.float32),
                np.zeros((s.layers, rows, s.kv_heads, length, s.head), np.float32))

    def give_back(self, k: Floats, v: Floats) -> None:
        """Rows that a group needs no longer."""
        if k.size:
            self._spare = [(k, v), *self._spare[: _SPARES - 1]]

    def slots(self, blocks: Sequence[Block], start: int, end: int) -> Indices:
        """Where the tokens ``start`` .. ``end`` of these blocks lie."""
        first = start // self.size
        numbers = np.array([b.id for b in blocks[first : -(-end // self.size)]], np.int64)
        every = (numbers[:, None] * self.size + np.arange(self.size)).ravel()
        return every[start - first * self.size : end - first * self.size]

    def copy(self, source: Block, target: Block, tokens: int) -> None:
        """Copy the first ``tokens`` tokens of a block to another block."""
        a, b = source.id * self.size, target.id * self.size
        self.kv[b : b + tokens] = self.kv[a : a + tokens]

    def read(self, slots: Indices) -> tuple[Floats, Floats]:
        """Keys [layers, kv, head, n] and values [layers, kv, n, head] at ``slots``."""
        s = self.shape
        both = self.kv[slots].reshape(len(slots), s.layers, 2, s.kv_heads, s.head)
        return both[:, :, 0].transpose(1, 2, 3, 0), both[:, :, 1].transpose(1, 2, 0, 3)


class Group:
    """See the module's docstring. ``lens[row]``: tokens in a row; ``slots[row]``: where in the
    pool the row's next token goes (kept for rows that decode)."""

    def __init__(self, pool: Pool, key: Key, blocks: Sequence[Block]) -> None:
        self.pool = pool
        self.key = key
        self.blocks = tuple(blocks)  # kept so that `id`s in `key` stay theirs
        self.shared = len(blocks) * pool.size
        self.members: list[Member] = []
        self.ready = 0
        self.version = 0
        """Counts changes of who is in which row, and moves of the rows in memory."""
        self.lens: Indices = np.zeros(0, np.int64)
        self.slots: Indices = np.zeros(0, np.int64)
        if self.shared:
            keys, values = pool.read(pool.slots(blocks, 0, self.shared))
            self.shared_k = np.ascontiguousarray(keys)
            self.shared_v = np.ascontiguousarray(values)
        s = pool.shape
        self.k: Floats = np.zeros((s.layers, 0, s.kv_heads, s.head, 0), np.float32)
        self.v: Floats = np.zeros((s.layers, 0, s.kv_heads, 0, s.head), np.float32)

    @property
    def length(self) -> int:
        """Tokens that a row has room for."""
        return int(self.k.shape[-1])

    def make_room(self, rows: int, length: int) -> None:
        """Room for so many rows and tokens a row; both grow by half at least.

        The length is never a multiple of 32: with a power of two between them, the numbers of one
        key would fall on few cache sets and push each other out.
        """
        have_rows, have = self.k.shape[1], self.length
        if rows <= have_rows and length <= have:
            return
        if rows > have_rows:
            rows = max(4, rows, have_rows + have_rows // 2)
        if length > have:
            length = max(self.key[1] if not self.shared else 96, length, have + have // 2)
            length = length // 32 * 32 + 16 + 32 * (length % 32 > 16)
        rows, length = max(rows, have_rows), max(length, have)
        self.version += 1
        old_k, old_v = self.k, self.v
        self.k, self.v = self.pool.rows(rows, length)
        self.k[:, :have_rows, :, :, :have] = old_k
        self.v[:, :have_rows, :, :have] = old_v
        self.pool.give_back(old_k, old_v)
        for name in ("lens", "slots"):
            grown = np.zeros(self.k.shape[1], np.int64)
            grown[:have_rows] = getattr(self, name)
            setattr(self, name, grown)

    def add(self, member: Member) -> None:
        """Give the sequence a row and read its own part from the pool."""
        self.version += 1
        row, table = len(self.members), member.table
        own = table.written - self.shared
        self.make_room(row + 1, own + 1)
        keys, values = self.pool.read(self.pool.slots(table.blocks, self.shared, table.written))
        self.k[:, row, :, :, :own] = keys
        self.v[:, row, :, :own] = values
        self.lens[row] = own
        self.members.append(member)
        member.group, member.row = self, row
        if member.writes:
            self.promote(member)

    def promote(self, member: Member) -> None:
        """The sequence has read its prompt: its row moves to those that decode."""
        self.version += 1
        self._swap(member.row, self.ready)
        self.ready += 1
        self.place(member)

    def place(self, member: Member) -> None:
        """Note where the next token of a decoding sequence goes."""
        table, size = member.table, self.pool.size
        block, offset = divmod(table.written, size)
        if block < len(table.blocks):  # else it is told again when the block is there
            self.slots[member.row] = table.blocks[block].id * size + offset

    def remove(self, member: Member) -> None:
        """Free the sequence's row; the rows stay without gaps."""
        self.version += 1
        if member.row < self.ready:
            self.ready -= 1
            self._swap(member.row, self.ready)
        self._swap(member.row, len(self.members) - 1)
        self.members.pop()
        member.group, member.row = None, -1

    def _swap(self, a: int, b: int) -> None:
        if a == b:
            return
        n, m = int(self.lens[a]), int(self.lens[b])
        keys, values = self.k[:, a, :, :, :n].copy(), self.v[:, a, :, :n].copy()
        self.k[:, a, :, :, :m] = self.k[:, b, :, :, :m]
        self.v[:, a, :, :m] = self.v[:, b, :, :m]
        self.k[:, b, :, :, :n], self.v[:, b, :, :n] = keys, values
        for column in (self.lens, self.slots):
            column[a], column[b] = column[b], column[a]
        one, other = self.members[a], self.members[b]
        self.members[a], self.members[b] = other, one
        one.row, other.row = b, a


class Stage:
    """All groups, and who belongs to which."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.groups: dict[Key, Group] = {}

    def arrange(self, members: Iterable[Member]) -> None:
        """Put every sequence into the group it belongs to now. Called when sequences come, or
        have outgrown their group."""
        for key, blocks, part in plan(list(members), self.pool.size):
            moving = [m for m in part if m.group is None or m.group.key != key]
            if not moving:
                continue
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Group(self.pool, key, blocks)
            group.make_room(len(group.members) + len(moving),
                            max(m.table.written for m in moving) - group.shared + 1)
            for member in moving:
                self.remove(member)
                group.add(member)

    def outgrown(self) -> bool:
        """Is a row of unshared tokens full? (Rows beside a shared part grow by themselves.)"""
        return any(not g.shared and g.ready and int(g.lens[: g.ready].max()) >= g.key[1]
                   for g in self.groups.values())

    def remove(self, member: Member) -> None:
        """Take a sequence out of its group, if it has one; an empty group goes."""
        group = member.group
        if group is None:
            return
        group.remove(member)
        if not group.members:
            del self.groups[group.key]
            self.pool.give_back(group.k, group.v)
