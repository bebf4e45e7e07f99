"""The forward step of a batch: one pass of the model for all that run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from plait.engines.batching import Block, Sequence, Taken, plan
from plait.engines.transformers.attention import STEP, Bundle, Step
from plait.engines.transformers.loading import Loaded, probe_ids
from plait.engines.transformers.memory import Memory
from plait.engines.transformers.sampler import choose, log_probability
from plait.errors import Bug, EngineOverloaded

_REGROUP = 64
"""Steps after which groups are made anew though nobody came or went: rows grow."""
_NO_MEMORY = "you tried to allocate"
_SCORES = 1 << 26
"""Scores that a bundle of readers may have at once in a layer (256 MB)."""


@dataclass(slots=True)
class _Group:
    """Members whose first blocks are ``blocks``, computed together."""

    blocks: tuple[Block, ...]
    members: list[Sequence]


@dataclass(slots=True)
class _Part:
    """Tokens of one sequence that are computed in a step."""

    table: list[Block]
    ids: list[int]
    start: int


@dataclass(slots=True)
class _Work:
    """A step while it is put together. ``last``: places of the tokens after which one is drawn."""

    ids: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    bundles: list[Bundle] = field(default_factory=list)


class TorchForward:
    """See `plait.engines.batching.Forward`. ``window``: tokens of a sequence."""

    def __init__(self, loaded: Loaded, memory: Memory, window: int) -> None:
        self.window = window
        self._loaded = loaded
        self._memory = memory
        self._heads = max(shape.heads for shape in memory.shapes.values())
        self._groups: list[_Group] = []
        self._stale = 0
        """Steps since the groups were made; 0: they must be made."""

    @property
    def groups(self) -> int:
        return len(self._groups)

    def copy(self, source: Block, target: Block, tokens: int) -> None:
        with torch.inference_mode():
            self._memory.copy(source, target, tokens)

    def arrange(self, running: Collection[Sequence]) -> None:
        self._stale = 0

    def leave(self, sequence: Sequence) -> None:
        self._stale = 0

    def grow(self, sequence: Sequence) -> None:
        """Tables are read anew in each step."""

    def promote(self, sequence: Sequence) -> None:
        """As above."""

    def run(
        self, running: Collection[Sequence], reading: list[tuple[Sequence, int]]
    ) -> list[Taken]:
        if self._stale % _REGROUP == 0:
            self._groups = [_Group(tuple(blocks), members) for _, blocks, members
                            in plan(list(running), self._memory.size)]
        self._stale += 1
        work, takers = _Work(), []
        counts = {sequence.number: count for sequence, count in reading}
        for group in self._groups:
            alike: dict[int, list[Sequence]] = {}
            for s in group.members:
                count = 1 if s.writes else counts.get(s.number, 0)
                if count:
                    alike.setdefault(count, []).append(s)
            for count, members in alike.items():
                takers += self._put(work, group.blocks, members, count)
        try:
            return self._compute(work, takers)
        except RuntimeError as error:  # PyTorch's, for a GPU; on a CPU it has only this text
            if not isinstance(error, torch.OutOfMemoryError) and _NO_MEMORY not in str(error):
                raise
            torch.cuda.empty_cache()
            raise EngineOverloaded(
                f"out of memory in a step of {len(running)} streams on {self._memory.device}",
                hint="Give the engine less `memory`, or fewer streams (`--width`).") from error

    def _compute(self, work: _Work, takers: list[Sequence]) -> list[Taken]:
        with torch.inference_mode():
            logits = self._logits(work)
            if not takers:
                return []
            tokens = choose(logits, [s.draw for s in takers])
            if any(s.sampling.logprobs for s in takers):
                logprobs = log_probability(logits, tokens).tolist()
            else:
                logprobs = [0.0] * len(takers)
            return list(zip(takers, tokens.tolist(), logprobs, strict=True))

    def _logits(self, work: _Work) -> torch.Tensor:
        """Logits [len(last), vocab] of a step."""
        device = self._memory.device

        def row(numbers: list[int]) -> torch.Tensor:
            return torch.tensor(numbers, dtype=torch.int64, device=device)

        last = row(work.last)
        picked = {"logits_to_keep": last} if self._loaded.picks_logits else {}
        out = self._loaded.model(
            input_ids=row(work.ids)[None], position_ids=row(work.places)[None], use_cache=False,
            **picked, **{STEP: Step(self._memory, row(work.slots), work.bundles)})
        found: torch.Tensor = out.logits[0]
        return found if self._loaded.picks_logits else found[last]

    # --- putting a step together ---------------------------------------------------------------

    def _put(self, work: _Work, shared: tuple[Block, ...], members: list[Sequence],
             count: int) -> list[Sequence]:
        """Add the next ``count`` tokens of each of ``members``. Returns who gets a token."""
        takers = []
        parts = []
        for s in members:
            start = s.table.written
            parts.append(_Part(s.table.blocks, s.ids[start : start + count], start))
            if start + count == len(s.ids):
                takers.append(s)
                work.last.append(len(work.ids) + len(parts) * count - 1)
        self._add(work, shared, parts)
        return takers

    def _add(self, work: _Work, shared: tuple[Block, ...], parts: list[_Part]) -> None:
        """Add ``parts`` of equal length, whose tables begin with ``shared``, to a step."""
        size, count = self._memory.size, len(parts[0].ids)
        first, held = len(work.ids), len(shared)
        for part in parts:
            work.ids += part.ids
            places = range(part.start, part.start + count)
            work.places += places
            work.slots += [part.table[p // size].id * size + p % size for p in places]
        longest = max(part.start for part in parts) + count
        blocks = -(-longest // size)
        fits = max(1, _SCORES // (self._heads * blocks * size))
        if len(parts) * count <= max(fits, len(parts)):
            work.bundles.append(self._bundle(shared, parts, first, count, blocks - held))
            return
        for row, part in enumerate(parts):  # a long prompt, in pieces whose scores find room
            for done in range(0, count, fits):
                new = min(fits, count - done)
                piece = _Part(part.table, part.ids, part.start + done)
                work.bundles.append(self._bundle(
                    shared, [piece], first + row * count + done, new, blocks - held))

    def _bundle(self, shared: tuple[Block, ...], parts: list[_Part], first: int, new: int,
                most: int) -> Bundle:
        own: list[int] = []
        for part in parts:
            numbers = [block.id for block in part.table[len(shared) : len(shared) + most]]
            own += numbers + [0] * (most - len(numbers))
        device = self._memory.device
        return Bundle(first, len(parts), new,
                      torch.tensor([b.id for b in shared], dtype=torch.int64, device=device),
                      torch.tensor(own, device=device),
                      torch.tensor([part.start for part in parts], device=device))

    # --- what must hold ------------------------------------------------------------------------

    def try_out(self) -> torch.Tensor:
        """Logits [tokens, vocab] of the text that models are tried with, read in three pieces
        beside its own twin, with which it shares its first block. Overwrites the first blocks."""
        ids, size = probe_ids(len(self._loaded.vocabulary.pieces)), self._memory.size
        own = -(-len(ids) // size) - 1
        common, *rest = [Block(number) for number in range(1 + 2 * own)]
        twins = [[common, *rest[:own]], [common, *rest[own:]]]
        found = []
        with torch.inference_mode():
            for start, end in ((0, size), (size, len(ids) - 1), (len(ids) - 1, len(ids))):
                tables, shared = (twins, (common,)) if start else (twins[:1], ())
                work, new = _Work(), end - start
                self._add(work, shared, [_Part(t, ids[start:end], start) for t in tables])
                work.last = list(range(len(work.ids) - new, len(work.ids)))
                found.append(self._logits(work))
        return torch.cat(found)

    def check(self, running: Collection[Sequence]) -> None:
        """Raise `Bug` unless every group shares what it says. Slow: for tests."""
        if self._stale == 0:
            return
        members = [s for group in self._groups for s in group.members]
        if {s.number for s in members} != {s.number for s in running}:
            raise Bug("a running sequence is in no group")
        for group in self._groups:
            for s in group.members:
                if tuple(s.table.blocks[: len(group.blocks)]) != group.blocks:
                    raise Bug("a sequence does not begin with the blocks of its group")
