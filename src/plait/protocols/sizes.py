"""What a transcript comes to: its length, its longest path, its faults.

    T               all tokens; for formats that spawn, of the organiser and its workers
    L               the longest path: what stands outside threads, and of each block its longest
                    thread (nested ones likewise); headers and close tags count as shared
    parallel share  tokens of threads / T
    acceleration    1 - L/T, parallelism T/L

and under the paper's own name beside them (`Size.published`): ThreadWeaver's ratio is 1 - L/T with
exactly this L, Multiverse's T/L, NPR's the share inside steps, Parallel-R1's the share of answers
with a block (1 or 0 for one), AsyncThink's concurrency the mean number of threads at work over L
(the organiser counted), APR's the length of the longest single thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from plait.protocols.facts import Measure
from plait.protocols.transcript import Fault, Line

Count = Callable[[str], int]
_WORD = re.compile(r"</?[\w-]{1,40}>|\w+|[^\w\s]")


def count_words(text: str) -> int:
    """Length in words, signs and tags, for want of a tokenizer."""
    return sum(1 for _ in _WORD.finditer(text))


@dataclass(frozen=True, slots=True)
class Size:
    """What a transcript's tree comes to, in tokens."""

    total: int = 0
    longest_path: int = 0
    in_threads: int = 0
    longest_thread: int = 0
    threads: int = 1
    blocks: int = 0
    depth: int = 0

    @property
    def parallelism(self) -> float:
        return self.total / self.longest_path if self.longest_path else 1.0

    @property
    def acceleration(self) -> float:
        return 1 - self.longest_path / self.total if self.total else 0.0

    @property
    def share(self) -> float:
        return self.in_threads / self.total if self.total else 0.0

    def published(self, measure: Measure) -> float:
        """The number that the format's own paper would give."""
        match measure:
            case "1 - L/T":
                return self.acceleration
            case "T/L" | "concurrency":
                return self.parallelism
            case "parallel share":
                return self.share
            case "responses with a block":
                return float(self.blocks > 0)
            case "longest thread":
                return float(self.longest_thread)


@dataclass(frozen=True, slots=True)
class Report:
    """One transcript, checked."""

    faults: tuple[Fault, ...]
    size: Size
    note: str = ""
    """What the numbers leave out."""

    @property
    def well_formed(self) -> bool:
        return not self.faults


def measure_line(line: Line, count: Count) -> Size:
    """The size of a tree; what is outside its threads counts for every path."""
    total = path = inside = longest = blocks = depth = 0
    threads = 1
    for part in line.parts:
        if isinstance(part, str):
            shared = count(part)
            total, path = total + shared, path + shared
            continue
        blocks += 1
        shared = count(part.suffix)
        sizes = [measure_line(thread.line, count) for thread in part.threads]
        for thread, size in zip(part.threads, sizes, strict=True):
            shared += count(thread.header) + count(thread.line.close)
            inside += size.total
            threads += size.threads
            blocks += size.blocks
            longest = max(longest, size.total)
            depth = max(depth, 1 + size.depth)
        total += shared + sum(size.total for size in sizes)
        path += shared + max((size.longest_path for size in sizes), default=0)
    return Size(total, path, inside, max(longest, total - inside), threads, blocks, depth)
