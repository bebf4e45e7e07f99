"""The forward step of a batch: what is computed with what, in NumPy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from plait.engines.batching import Block, Sequence, Taken
from plait.engines.nano.attention import Bundle
from plait.engines.nano.kernel import Kernel
from plait.engines.nano.sampler import choose, log_probability
from plait.engines.nano.stage import Group, Indices, Pool, Stage
from plait.engines.nano.weights import Weights
from plait.errors import Bug


@dataclass(slots=True)
class _Work:
    """What a step computes. ``takers``: who gets a token, from the batch rows ``last``."""

    bundles: list[Bundle]
    ids: list[int]
    slots: list[Indices]
    takers: list[Sequence]
    last: list[int]


class NumpyForward:
    """See `plait.engines.batching.Forward`. ``blocks`` of ``size`` tokens are its memory."""

    def __init__(self, weights: Weights, blocks: int, size: int) -> None:
        self.window = weights.shape.window
        self.pool = Pool(weights.shape, blocks, size)
        self.stage = Stage(self.pool)
        self.kernel = Kernel(weights, self.pool)
        self.bundles: dict[Group, Bundle] = {}
        """Each group's bundle of the step before."""

    @property
    def groups(self) -> int:
        return len(self.stage.groups)

    def copy(self, source: Block, target: Block, tokens: int) -> None:
        self.pool.copy(source, target, tokens)

    def arrange(self, running: Collection[Sequence]) -> None:
        self.stage.arrange(running)

    def leave(self, sequence: Sequence) -> None:
        self.stage.remove(sequence)

    def grow(self, sequence: Sequence) -> None:
        sequence.group.place(sequence)

    def promote(self, sequence: Sequence) -> None:
        sequence.group.promote(sequence)

    def run(
        self, running: Collection[Sequence], reading: list[tuple[Sequence, int]]
    ) -> list[Taken]:
        if self.stage.outgrown():
            self.stage.arrange(running)
        work = self._plan(reading)
        logits = self.kernel.run(np.array(work.ids, np.int64), work.bundles,
                                 np.concatenate(work.slots), np.array(work.last, np.int64))
        for group in self.stage.groups.values():
            group.slots[: group.ready] += 1
        takers = work.takers
        if not takers:
            return []
        tokens = choose(logits, [s.draw for s in takers])
        logprobs = log_probability(logits, tokens) \
            if any(s.sampling.logprobs for s in takers) else [0.0] * len(tokens)
        return list(zip(takers, tokens, logprobs, strict=True))

    def _plan(self, reading: list[tuple[Sequence, int]]) -> _Work:
        work = _Work([], [], [], [], [])
        if len(self.bundles) > 2 * len(self.stage.groups):
            self.bundles.clear()
        for group in self.stage.groups.values():
            if group.ready:
                bundle = self.bundles.get(group)
                if bundle is None or not bundle.follows(len(work.ids)):
                    bundle = Bundle(group, range(group.ready), 1, len(work.ids))
                self.bundles[group] = bundle
                work.bundles.append(bundle)
                work.last.extend(range(len(work.ids), len(work.ids) + group.ready))
                writers = group.members[: group.ready]
                work.ids.extend([s.table.ids[-1] for s in writers])
                work.takers.extend(writers)
                work.slots.append(group.slots[: group.ready].copy())
        alike: dict[tuple[int, int], list[Sequence]] = {}
        for sequence, count in reading:
            alike.setdefault((id(sequence.group), count), []).append(sequence)
        for (_, count), part in alike.items():
            self._plan_reading(work, sorted(part, key=lambda s: s.row), count)
        return work

    def _plan_reading(self, work: _Work, part: list[Sequence], count: int) -> None:
        work.bundles.append(Bundle(part[0].group, [s.row for s in part], count, len(work.ids)))
        for sequence in part:
            start, blocks = sequence.table.written, sequence.table.blocks
            work.ids.extend(sequence.ids[start : start + count])
            work.slots.append(self.pool.slots(blocks, start, start + count))
            if start + count == len(sequence.ids):
                work.takers.append(sequence)
                work.last.append(len(work.ids) - 1)

    def check(self, running: Collection[Sequence]) -> None:
        """Raise `Bug` unless groups and memory agree. Slow: for tests."""
        staged = 0
        for key, group in self.stage.groups.items():
            staged += len(group.members)
            for row, member in enumerate(group.members):
                good = (member.group is group and member.row == row and group.key == key
                        and member.writes == (row < group.ready)
                        and group.lens[row] == member.table.written - group.shared)
                if not good or not _same_memory(self.pool, group, row):
                    raise Bug(f"row {row} of group {key} is not what its sequence holds")
        if staged != len(running):
            raise Bug("a running sequence is in no group, or in two")


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
