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
from collections.abc import Sequence as Row
from dataclasses import dataclass, replace

import numpy as np

from plait.core import Sampling
from plait.engines.local import Piece, Writing
from plait.engines.nano.attention import Bundle
from plait.engines.nano.blocks import Ledger, LedgerStatistics, Match, Table
from plait.engines.nano.kernel import Kernel
from plait.engines.nano.sampler import Draw, choose, log_probability
from plait.engines.nano.stage import Group, Pool, Stage
from plait.engines.nano.tokens import Vocabulary
from plait.engines.nano.weights import Weights
from plait.errors import Bug


class Sequence(Writing):
    """One request. ``ids`` are its prompt and what it wrote."""

    __slots__ = ("draw", "group", "ids", "row", "table", "writes")

    def __init__(self, ids: Row[int], sampling: Sampling, listener: object = None) -> None:
        super().__init__(len(ids), sampling, listener)
        self.ids = list(ids)
        self.draw = Draw.of(sampling)
        self.table = Table(self.ids)
        self.group: Group | None = None
        self.row = -1
        self.writes = False


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


@dataclass(slots=True)
class _Work:
    """What a step computes. ``takers``: who gets a token, from the batch rows ``last``."""

    bundles: list[Bundle]
    ids: list[int]
    slots: list[np.ndarray[tuple[int], np.dtype[np.int64]]]
    takers: list[Sequence]
    last: list[int]
    read: list[tuple[Sequence, int]]


class Batch:
    """See the module's docstring. ``blocks`` of ``size`` tokens are all the memory there is."""

    def __init__(self, weights: Weights, vocabulary: Vocabulary, blocks: int, size: int = 16,
                 chunk: int = 256) -> None:
        self.window = weights.shape.window
        self.chunk = chunk
        self.ledger = Ledger(blocks, size)
        self.pool = Pool(weights.shape, blocks, size)
        self.stage = Stage(self.pool)
        self.kernel = Kernel(weights, self.pool)
        self.waiting: deque[Sequence] = deque()
        self.running: dict[int, Sequence] = {}
        self._bundles: dict[Group, Bundle] = {}
        """Each group's bundle of the step before."""
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
        if self.stage.outgrown():
            self.stage.arrange(self.running.values())
        work = self._plan()
        logits = self.kernel.run(np.array(work.ids, np.int64), work.bundles,
                                 np.concatenate(work.slots), np.array(work.last, np.int64))
        self._book(work)
        if not work.takers:
            return output
        tokens = choose(logits, [s.draw for s in work.takers])
        self._generated += len(tokens)
        logprobs = log_probability(logits, tokens) \
            if any(s.sampling.logprobs for s in work.takers) else [0.0] * len(tokens)
        for sequence, token, logprob in zip(work.takers, tokens, logprobs, strict=True):
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
                self.pool.copy(*copy, match.copied)
            if not self.ledger.reserve(sequence.table, len(sequence.ids)):
                raise Bug("the block ledger promised room that it does not have")
            if sequence.cached is None:
                sequence.cached = sequence.table.written
            self.waiting.remove(sequence)
            self.running[sequence.number] = sequence
            reading.append(sequence)
            admitted = True
        if admitted:
            self.stage.arrange(self.running.values())

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
            while sequence.group and not self.ledger.reserve(table, table.written + 1):
                if len(self.running) == 1:
                    self._leave(sequence)
                    output.append((sequence, sequence.close("window")))
                else:
                    self._preempt(max(self.running.values(), key=lambda s: s.number))
            if sequence.group:
                sequence.group.place(sequence)

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence)
        self._preempted += 1
        sequence.writes = False
        self.waiting.appendleft(sequence)

    def _leave(self, sequence: Sequence) -> None:
        del self.running[sequence.number]
        self.stage.remove(sequence)
        self.ledger.release(sequence.table)

    # --- what a step computes ------------------------------------------------------------------

    def _plan(self) -> _Work:
        work = _Work([], [], [], [], [], [])
        if len(self._bundles) > 2 * len(self.stage.groups):
            self._bundles.clear()
        for group in self.stage.groups.values():
            if group.ready:
                bundle = self._bundles.get(group)
                if bundle is None or not bundle.follows(len(work.ids)):
                    bundle = Bundle(group, range(group.ready), 1, len(work.ids))
                self._bundles[group] = bundle
                work.bundles.append(bundle)
                work.last.extend(range(len(work.ids), len(work.ids) + group.ready))
                writers = group.members[: group.ready]
                work.ids.extend([s.table.ids[-1] for s in writers])
                work.takers.extend(self.running[s.number] for s in writers)
                work.slots.append(group.slots[: group.ready].copy())
        if len(work.takers) < len(self.running):
            self._plan_readers(work)
        return work

    def _plan_readers(self, work: _Work) -> None:
        budget = self.chunk
        alike: dict[tuple[int, int], list[Sequence]] = {}
        for sequence in self.running.values():
            if not sequence.writes and budget:
                count = min(budget, len(sequence.ids) - sequence.table.written)
                budget -= count
                alike.setdefault((id(sequence.group), count), []).append(sequence)
        for (_, count), part in alike.items():
            self._plan_reading(work, sorted(part, key=lambda s: s.row), count)

    def _plan_reading(self, work: _Work, part: list[Sequence], count: int) -> None:
        group = part[0].group
        assert group is not None
        work.bundles.append(Bundle(group, [s.row for s in part], count, len(work.ids)))
        for sequence in part:
            start, blocks = sequence.table.written, sequence.table.blocks
            work.ids.extend(sequence.ids[start : start + count])
            work.slots.append(self.pool.slots(blocks, start, start + count))
            work.read.append((sequence, count))
            if start + count == len(sequence.ids):
                work.takers.append(sequence)
                work.last.append(len(work.ids) - 1)

    def _book(self, work: _Work) -> None:
        for group in self.stage.groups.values():
            group.slots[: group.ready] += 1
        advance = self.ledger.advance
        for sequence in work.takers:
            if sequence.writes:  # it wrote before this step, so one token of it was computed
                advance(sequence.table, 1)
        for sequence, count in work.read:
            advance(sequence.table, count)
            self._read += count
            if sequence.table.written == len(sequence.ids) and sequence.group:
                sequence.writes = True
                sequence.group.promote(sequence)

    # --- invariants ----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `Bug` unless books, groups and memory agree. Slow: for tests."""
        self.ledger.check(s.table for s in self.running.values())
        staged = 0
        for key, group in self.stage.groups.items():
            staged += len(group.members)
            for row, member in enumerate(group.members):
                good = (member.group is group and member.row == row and group.key == key
                        and member.writes == (row < group.ready)
                        and group.lens[row] == member.table.written - group.shared)
                if not good or not _same_memory(self.pool, group, row):
                    raise Bug(f"row {row} of group {key} is not what its sequence holds")
        if staged != len(self.running):
            raise Bug("a running sequence is in no group, or in two")

    def statistics(self) -> BatchStatistics:
        return BatchStatistics(
            len(self.running), len(self.waiting), self._steps, self._generated, self._read,
            self._preempted, len(self.stage.groups), self.ledger.statistics())


def _same_memory(pool: Pool, group: Group, row: int) -> bool:
    table = group.members[row].table
    keys, values = pool.read(pool.slots(table.blocks, 0, table.written))
    own, shared = int(group.lens[row]), group.shared
    good = np.array_equal(keys[..., shared:], group.k[:, row, :, :, :own]) \
        and np.array_equal(values[:, :, shared:], group.v[:, row, :, :own])
    if shared:
        good = good and np.array_equal(keys[..., :shared], group.shared_k) \
            and np.array_equal(values[:, :, :shared], group.shared_v)
    return good
