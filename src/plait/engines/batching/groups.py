"""Which sequences are computed together: those that share blocks, each read of them once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from plait.engines.batching.blocks import Block, Table

Key = tuple[int, int]
"""Tokens shared and the last shared block's number; or 0 and the class of length."""

WORTH = 512
"""Token reads that must be saved a step before a group gets a product of its own (measured with
NumPy: the calls of one more group take as long as reading about so many rows)."""
SHORTEST = 128
"""The smallest class of length; the next ones are four times as long."""


class Holder(Protocol):
    """A sequence, as far as groups go."""

    table: Table


M = TypeVar("M", bound=Holder)


def length_class(tokens: int) -> int:
    """The row length of the group for unshared sequences of ``tokens`` tokens."""
    length = SHORTEST
    while tokens > length:
        length *= 4
    return length


def plan(members: list[M], size: int) -> Iterator[tuple[Key, Sequence[Block], list[M]]]:
    """Who should be grouped with whom: a cut through the tree of shared blocks.

    A branch becomes a group when the reads it saves, (members - 1) * tokens shared beyond the
    group around it, are worth the calls that a group costs.
    """
    loose: dict[int, list[M]] = {}
    for depth, part in _branches(members, 0, size):
        if depth:
            blocks = part[0].table.blocks[:depth]
            yield (depth * size, blocks[-1].id), blocks, part
        else:
            for member in part:
                loose.setdefault(length_class(len(member.table.ids) + 1), []).append(member)
    for length, part in loose.items():
        yield (0, length), (), part


def _branches(members: list[M], depth: int, size: int) -> Iterator[tuple[int, list[M]]]:
    """Groups as (shared blocks, members), given members that share ``depth`` blocks."""
    parts: dict[int, list[M]] = {}
    rest: list[M] = []
    for member in members:
        table = member.table
        if table.written // size > depth:
            parts.setdefault(table.blocks[depth].id, []).append(member)
        else:
            rest.append(member)
    for part in parts.values():
        deepest = _common_depth(part, depth, size) if len(part) > 1 else depth
        if (len(part) - 1) * (deepest - depth) * size >= WORTH:
            yield from _branches(part, deepest, size)
        else:
            rest.extend(part)
    if rest:
        yield depth, rest


def _common_depth(members: list[M], depth: int, size: int) -> int:
    limit = min(m.table.written for m in members) // size
    first = members[0].table.blocks
    others = [m.table.blocks for m in members[1:]]
    while depth < limit and all(blocks[depth] is first[depth] for blocks in others):
        depth += 1
    return depth
