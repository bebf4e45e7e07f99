"""Who holds which block of the KV cache, and what is in it. Pure bookkeeping: no arrays.

Rules of this file
  * The memory is cut into *blocks* of ``size`` tokens. A *table* lists the blocks of one running
    sequence; a block may stand in many tables and counts them (``refs``). Only its last, not yet
    full block is written by a sequence, and that one is in no other table.
  * A full block is *sealed*: it gets a digest of its tokens and of all before them (a hash chain,
    blake2b with 16 bytes, so that equal digests mean equal contexts) and enters the index at
    once, while its sequence still runs. That is why a child finds the context of a parent that is
    still writing, and why siblings share blocks without being told that they are siblings.
  * A block that is not full is found too, by its parent's digest and first token. It cannot be
    shared, since its owner goes on writing in it, but what it holds can be copied: a fork copies
    at most one block and computes nothing but its own header.
  * A block in no table stays in the index until its memory is needed. The block that was freed
    longest ago goes first, and of one sequence the deepest, which is useless without those before.
  * Of equal full blocks, made by sequences that did not know of each other, the first is indexed.

Rejected: a radix tree of tokens (SGLang). It shares at token granularity without copying, but
then attention has to gather tokens, not blocks; and a lookup by digests needs no rebalancing.
vLLM's prefix cache is the same chain without the partial blocks.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from plait.errors import Bug

ROOT = b""
_SCAN = 32
"""Half-matching blocks that are looked at for the longest common start."""


class Block:
    """``size`` tokens of KV memory. ``digest`` is set once it is full."""

    __slots__ = ("digest", "id", "ids", "parent", "refs", "table")

    def __init__(self, number: int) -> None:
        self.id = number
        self.refs = 0
        self.parent = ROOT
        self.digest: bytes | None = None
        self.ids: tuple[int, ...] = ()
        self.table: Table | None = None
        """The sequence that is still writing in it."""

    def content(self, size: int) -> Sequence[int]:
        """Tokens whose keys and values it holds."""
        if self.table is None:
            return self.ids
        written = self.table.written
        start = (written - 1) // size * size
        return self.table.ids[start:written]


class Table:
    """The blocks of one sequence. ``ids`` is the sequence's own list and grows with it;
    keys and values of the first ``written`` of them are in the blocks."""

    __slots__ = ("blocks", "ids", "written")

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self.blocks: list[Block] = []
        self.written = 0


@dataclass(frozen=True, slots=True)
class Match:
    """What of a prompt is in memory: whole ``blocks``, then ``copied`` tokens of ``source``."""

    blocks: tuple[Block, ...]
    source: Block | None
    copied: int
    tokens: int


@dataclass(frozen=True, slots=True)
class LedgerStatistics:
    """Blocks by state. ``cached`` ones are free but still hold a context that may come again."""

    total: int
    used: int
    cached: int
    free: int


class Ledger:
    """See the module's docstring. All methods are synchronous and never wait."""

    def __init__(self, total: int, size: int) -> None:
        self.size = size
        self.blocks = [Block(k) for k in range(total)]
        self._free = self.blocks[::-1]
        self._idle: OrderedDict[int, Block] = OrderedDict()
        self._sealed: dict[bytes, Block] = {}
        self._begun: dict[tuple[bytes, int], dict[int, Block]] = {}

    @property
    def available(self) -> int:
        """Blocks that can be had without taking one from a running sequence."""
        return len(self._free) + len(self._idle)

    def needed(self, tokens: int) -> int:
        """Blocks that hold ``tokens`` tokens."""
        return -(-tokens // self.size)

    def match(self, ids: Sequence[int]) -> Match:
        """The longest start of ``ids`` in memory. Its last token is left to be computed, since
        somebody wants to know what follows it."""
        size, limit = self.size, len(ids) - 1
        blocks: list[Block] = []
        parent = ROOT
        for start in range(0, limit - size + 1, size):
            block = self._sealed.get(_digest(parent, ids[start : start + size]))
            if block is None or block.digest is None:
                break
            blocks.append(block)
            parent = block.digest
        done = len(blocks) * size
        source, copied = self._half(parent, ids[done : min(done + size, limit)])
        return Match(tuple(blocks), source, copied, done + copied)

    def _half(self, parent: bytes, ids: Sequence[int]) -> tuple[Block | None, int]:
        best, length = None, 0
        if not ids:
            return best, length
        children = self._begun.get((parent, ids[0]), {})
        for _, block in zip(range(_SCAN), reversed(children.values()), strict=False):
            common = _common(block.content(self.size), ids)
            if common > length:
                best, length = block, common
        return best, length

    def fits(self, match: Match, tokens: int, spare: int = 0) -> bool:
        """Is there room for ``tokens`` tokens after `open`, with ``spare`` blocks to spare?"""
        waking = sum(not block.refs for block in match.blocks)
        if match.source is not None and not match.source.refs:
            waking += 1
        return self.needed(tokens) - len(match.blocks) + waking + spare <= self.available

    def open(self, ids: list[int], match: Match) -> tuple[Table, tuple[Block, Block] | None]:
        """A table that starts with what `match` found.

        The second value is a copy to make now: keys and values of the first ``match.copied``
        tokens from one block to another. Without room for it the copy is left out.
        """
        table = Table(ids)
        for block in match.blocks:
            self._take(block)
        table.blocks.extend(match.blocks)
        table.written = len(match.blocks) * self.size
        if match.source is None:
            return table, None
        self._take(match.source)  # or making room might throw it out
        copy = None
        if self.reserve(table, table.written + match.copied):
            copy = match.source, table.blocks[-1]
            self.advance(table, match.copied)
        self._give(match.source)
        return table, copy

    def reserve(self, table: Table, tokens: int) -> bool:
        """Make room for ``tokens`` tokens in all. False (and nothing done) if there is none."""
        missing = self.needed(tokens) - len(table.blocks)
        if missing > self.available:
            return False
        for _ in range(missing):
            if self._free:
                block = self._free.pop()
            else:
                _, block = self._idle.popitem(last=False)
                self._forget(block)
            block.refs = 1
            table.blocks.append(block)
        return True

    def advance(self, table: Table, tokens: int) -> None:
        """The next ``tokens`` tokens of ``table.ids`` are in its blocks now."""
        size, start = self.size, table.written
        table.written = end = start + tokens
        if tokens == 1 and 0 < start % size < size - 1:
            return  # the block is begun and not full yet
        for number in range(start // size, (end - 1) // size + 1):
            block = table.blocks[number]
            if block.table is None and block.digest is None:
                self._begin(block, table, number)
            if (number + 1) * size <= end:
                self._seal(block, table, number)

    def _begin(self, block: Block, table: Table, number: int) -> None:
        block.parent = ROOT if number == 0 else table.blocks[number - 1].digest or ROOT
        block.table = table
        key = block.parent, table.ids[number * self.size]
        self._begun.setdefault(key, {})[block.id] = block

    def _seal(self, block: Block, table: Table, number: int) -> None:
        block.ids = tuple(table.ids[number * self.size : (number + 1) * self.size])
        block.table = None
        block.digest = _digest(block.parent, block.ids)
        if block.digest in self._sealed:
            self._leave(block)
        else:
            self._sealed[block.digest] = block

    def release(self, table: Table) -> None:
        """The sequence is over: its blocks are free, what is in them can still be found."""
        for block in reversed(table.blocks):
            if block.table is table:
                block.ids = tuple(block.content(self.size))
                block.table = None
            self._give(block)
        table.blocks.clear()
        table.written = 0

    def drop_index(self) -> None:
        """Forget every context that no running sequence holds."""
        while self._idle:
            _, block = self._idle.popitem()
            self._forget(block)
            self._free.append(block)

    def _take(self, block: Block) -> None:
        if block.refs == 0:
            del self._idle[block.id]
        block.refs += 1

    def _give(self, block: Block) -> None:
        block.refs -= 1
        if block.refs:
            return
        if self._indexed(block):
            self._idle[block.id] = block
        else:
            self._forget(block)
            self._free.append(block)

    def _indexed(self, block: Block) -> bool:
        if not block.ids:
            return False
        return block.id in self._begun.get((block.parent, block.ids[0]), ())

    def _leave(self, block: Block) -> None:
        key = block.parent, block.ids[0]
        children = self._begun.get(key)
        if children is not None and children.pop(block.id, None) is not None and not children:
            del self._begun[key]

    def _forget(self, block: Block) -> None:
        if block.ids:
            self._leave(block)
        if block.digest is not None and self._sealed.get(block.digest) is block:
            del self._sealed[block.digest]
        block.ids, block.digest, block.parent, block.table = (), None, ROOT, None

    def statistics(self) -> LedgerStatistics:
        total, free, idle = len(self.blocks), len(self._free), len(self._idle)
        return LedgerStatistics(total, total - free - idle, idle, free)

    def check(self, tables: Iterable[Table]) -> None:
        """Raise `Bug` unless ``tables`` (all there are) and the books agree."""
        tables = list(tables)
        refs = [0] * len(self.blocks)
        for table in tables:
            for block in table.blocks:
                refs[block.id] += 1
            _expect(table.written <= len(table.blocks) * self.size, "a table is written too far")
            _expect(table.written <= len(table.ids), "a table holds tokens nobody knows")
        _expect(refs == [b.refs for b in self.blocks], "a reference count is wrong")
        free, idle = {b.id for b in self._free}, set(self._idle)
        _expect(len(free) == len(self._free), "a block is free twice")
        _expect(not free & idle, "a block is both free and cached")
        unused = {k for k, count in enumerate(refs) if count == 0}
        _expect(unused == free | idle, "a block is lost, or free while it is used")
        for digest, block in self._sealed.items():
            _expect(block.digest == digest == _digest(block.parent, block.ids),
                    "the index points at a block with another content")
            _expect(block.id not in free, "the index points at a free block")
        for (parent, first), children in self._begun.items():
            _expect(bool(children), "the index keeps an empty entry")
            for block in children.values():
                content = block.content(self.size)
                _expect(block.parent == parent and content[0] == first and block.id not in free,
                        "the index points at a block with another content")
        for table in tables:
            for number, block in enumerate(table.blocks[: table.written // self.size]):
                start = number * self.size
                _expect(block.ids == tuple(table.ids[start : start + self.size]),
                        "a block does not hold its sequence's tokens")


def _expect(good: bool, message: str) -> None:
    if not good:
        raise Bug(f"block ledger: {message}")


def _digest(parent: bytes, ids: Sequence[int]) -> bytes:
    return blake2b(parent + array("q", ids).tobytes(), digest_size=16).digest()


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
