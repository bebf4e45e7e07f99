"""Which sequences run, step by step. Synchronous: one thread owns a `Batch`.

    add -> waiting --(blocks are free)--> reading --(prompt read)--> writing --> finished
              ^                              |                          |
              +--------- preempted ----------+--------------------------+

Rules of this file
  * A step gives every writing sequence one token and reads at most ``chunk`` prompt tokens, the
    oldest request first, so that a long prompt delays nobody by more than one chunk.
  * Requests start in the order in which they came, once their whole prompt has room and one block
    for each running sequence is left. A later one never overtakes for want of memory; it may
    while the first waits for a prefix that another is just reading (siblings of one fork that
    arrive together: the first reads, the others share).
  * A writing sequence that needs a block when none is free takes those of the youngest, which
    waits again, in front, and later reads its prompt and what it wrote anew (mostly from the
    index). The oldest always advances, so all of them end. A sequence that is alone and does not
    fit ends with ``window``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from collections.abc import Sequence as Row
from dataclasses import dataclass, replace
from typing import Any, Protocol

from plait.core import Sampling
from plait.engines.batching.blocks import Block, Ledger, LedgerStatistics, Match, Table
from plait.engines.batching.draw import Draw
from plait.engines.batching.tokens import Vocabulary
from plait.engines.local import Piece, Writing
from plait.errors import Bug


class Sequence(Writing):
    """One request. ``ids`` are its prompt and what it wrote."""

    __slots__ = ("draw", "group", "ids", "row", "table", "writes")

    def __init__(self, ids: Row[int], sampling: Sampling, listener: object = None) -> None:
        super().__init__(len(ids), sampling, listener)
        self.ids = list(ids)
        self.draw = Draw.of(sampling)
        self.table = Table(self.ids)
        self.group: Any = None
        """Where the forward step keeps it, with ``row``; both are the forward step's own."""
        self.row = -1
        self.writes = False
        """It has read its prompt and decodes."""


Output = list[tuple[Sequence, Piece]]


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Sequences now; steps, tokens and preemptions since the start; groups of the last step."""

    running: int
    waiting: int
    steps: int
    generated: int
    read: int
    preempted: int
    groups: int
    blocks: LedgerStatistics


Taken = tuple[Sequence, int, float]
"""Who got a token, the token, and its log-probability (0 where nobody in the step asked)."""


class Forward(Protocol):
    """The forward step over the blocks: it owns their keys and values, and knows the model.

    ``arrange`` follows when sequences have come; ``leave`` when one goes, ``grow`` when one that
    writes was given a block, ``promote`` when one has read its prompt and will write.
    """

    @property
    def window(self) -> int: ...

    @property
    def groups(self) -> int:
        """Groups that share blocks, of those that run."""
        ...

    def copy(self, source: Block, target: Block, tokens: int) -> None:
        """Copy keys and values of the first ``tokens`` tokens of a block to another block."""
        ...

    def arrange(self, running: Collection[Sequence]) -> None: ...

    def leave(self, sequence: Sequence) -> None: ...

    def grow(self, sequence: Sequence) -> None: ...

    def promote(self, sequence: Sequence) -> None: ...

    def run(self, running: Collection[Sequence], reading: list[tuple[Sequence, int]]
            ) -> list[Taken]:
        """Compute the last token of each that writes, and the next so many prompt tokens of those
        that are ``reading``. A token is drawn for the former, and for each of the latter whose
        prompt ends here. The tables are advanced by the caller."""
        ...

    def check(self, running: Collection[Sequence]) -> None:
        """Raise `Bug` unless what it keeps agrees with the sequences."""
        ...


class Batch:
    """See the module's docstring. ``blocks`` of ``size`` tokens are all the memory there is."""

    def __init__(self, forward: Forward, vocabulary: Vocabulary, blocks: int, size: int = 16,
                 chunk: int = 256) -> None:
        self.window = forward.window
        self.chunk = chunk
        self.ledger = Ledger(blocks, size)
        self.forward = forward
        self.waiting: deque[Sequence] = deque()
        self.running: dict[int, Sequence] = {}
        self._vocabulary = vocabulary
        self._numbers = self._steps = self._generated = self._read = self._preempted = 0

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running)

    def fits(self, tokens: int) -> bool:
        """Could a prompt of so many tokens ever be read, and one token be written?"""
        return tokens < self.window and self.ledger.needed(tokens) <= len(self.ledger.blocks)

    def add(self, sequence: Sequence) -> None:
        """Queue a request. Its prompt must fit (`fits`)."""
        self._numbers += 1
        sequence.begin(self._numbers, self._vocabulary, self.window)
        self.waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Forget a request and free its blocks. Harmless when it is over."""
        if sequence.number in self.running:
            self._leave(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def step(self) -> Output:
        """Let every running sequence advance. Returns what was written."""
        self._steps += 1
        self._admit()
        output: Output = []
        self._make_room(output)
        if not self.running:
            return output
        reading = self._plan_reading()
        taken = self.forward.run(self.running.values(), reading)
        self._book(taken, reading)
        self._generated += len(taken)
        for sequence, token, logprob in taken:
            sequence.ids.append(token)
            piece = sequence.take(token, logprob)
            if piece is not None:
                output.append((sequence, piece))
                if piece.finish is not None:
                    self._leave(sequence)
        return output

    # --- who runs ------------------------------------------------------------------------------

    def _admit(self) -> None:
        if not self.waiting:
            return
        reading = [s for s in self.running.values() if not s.writes]
        admitted = False
        for sequence in list(self.waiting):
            if any(self._is_ahead(other, sequence) for other in reading):
                continue
            match = self._room_for(sequence)
            if match is None:
                break
            sequence.table, copy = self.ledger.open(sequence.ids, match)
            if copy is not None:
                self.forward.copy(*copy, match.copied)
            if not self.ledger.reserve(sequence.table, len(sequence.ids)):
                raise Bug("the block ledger promised room that it does not have")
            if sequence.cached is None:
                sequence.cached = sequence.table.written
            self.waiting.remove(sequence)
            self.running[sequence.number] = sequence
            reading.append(sequence)
            admitted = True
        if admitted:
            self.forward.arrange(self.running.values())

    def _is_ahead(self, reader: Sequence, sequence: Sequence) -> bool:
        """Will ``reader`` soon have read a block more of this prompt than is in memory now?"""
        ids, size = sequence.ids, self.ledger.size
        end = min(reader.table.written // size * size + size, len(reader.ids), len(ids) - 1)
        if end <= reader.table.written or ids[:end] != reader.ids[:end]:
            return False
        return self.ledger.match(ids).tokens < end

    def _room_for(self, sequence: Sequence) -> Match | None:
        match = self.ledger.match(sequence.ids)
        tokens, spare = len(sequence.ids), len(self.running)
        if self.ledger.fits(match, tokens, spare):
            return match
        plain = replace(match, source=None, copied=0, tokens=match.tokens - match.copied)
        return plain if self.ledger.fits(plain, tokens, spare) else None

    def _make_room(self, output: Output) -> None:
        """One more token for every writing sequence, the oldest first."""
        size = self.ledger.size
        full = [s for s in self.running.values()
                if s.writes and s.table.written == len(s.table.blocks) * size]
        for sequence in sorted(full, key=lambda s: s.number):
            table = sequence.table
            while sequence.number in self.running and (
                    not self.ledger.reserve(table, table.written + 1)):
                if len(self.running) == 1:
                    self._leave(sequence)
                    output.append((sequence, sequence.close("window")))
                else:
                    self._preempt(max(self.running.values(), key=lambda s: s.number))
            if sequence.number in self.running:
                self.forward.grow(sequence)

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence)
        self._preempted += 1
        sequence.writes = False
        self.waiting.appendleft(sequence)

    def _leave(self, sequence: Sequence) -> None:
        del self.running[sequence.number]
        self.forward.leave(sequence)
        self.ledger.release(sequence.table)

    # --- what a step computes ------------------------------------------------------------------

    def _plan_reading(self) -> list[tuple[Sequence, int]]:
        """Who reads how many prompt tokens in this step, the oldest first."""
        budget = self.chunk
        reading: list[tuple[Sequence, int]] = []
        for sequence in self.running.values():
            if not sequence.writes and budget:
                count = min(budget, len(sequence.ids) - sequence.table.written)
                budget -= count
                reading.append((sequence, count))
        return reading

    def _book(self, taken: list[Taken], reading: list[tuple[Sequence, int]]) -> None:
        advance = self.ledger.advance
        for sequence, _, _ in taken:
            if sequence.writes:  # it wrote before this step, so one token of it was computed
                advance(sequence.table, 1)
        for sequence, count in reading:
            advance(sequence.table, count)
            self._read += count
            if sequence.table.written == len(sequence.ids):
                sequence.writes = True
                self.forward.promote(sequence)

    # --- invariants ----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `Bug` unless books, groups and memory agree. Slow: for tests."""
        self.ledger.check(s.table for s in self.running.values())
        self.forward.check(self.running.values())

    def statistics(self) -> BatchStatistics:
        return BatchStatistics(
            len(self.running), len(self.waiting), self._steps, self._generated, self._read,
            self._preempted, self.forward.groups, self.ledger.statistics())
