"""Logs whose findings are known before anybody looks: what is planted must be found again.

Every line of a text has twelve words that occur nowhere else, so that shares of lines are shares
of words. A text has a serial part, ``branches`` cases of equal length, and a serial rest; a
planted share of the lines of each part are near-copies (one word in twelve changed) of an earlier
line of it, and a planted share of the equations and states stand there twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from plait.analysis import Call

WORDS = 12


@dataclass(frozen=True, slots=True)
class Planted:
    """What is planted in a log. ``each`` is seconds a token, ``fixed`` seconds a call."""

    calls: int = 600
    share: float = 0.6
    branches: int = 4
    duplicates: float = 0.2
    equations: float = 0.25
    states: float = 0.25
    knee: int = 1500
    before: float = 0.9
    fall: float = 1.6
    each: float = 0.02
    fixed: float = 0.8
    task: str = "planted"
    lines: int = 40


def log(planted: Planted, seed: int = 0) -> list[Call]:
    """``planted.calls`` calls with lengths from 100 to 12,000 tokens."""
    random = Random(seed)
    return [call(planted, random, index) for index in range(planted.calls)]


def call(planted: Planted, random: Random, index: int) -> Call:
    tokens = round(math.exp(random.uniform(math.log(100), math.log(12_000))))
    odds = math.log(planted.before / (1 - planted.before))
    odds -= planted.fall * max(0.0, math.log2(tokens / planted.knee))
    noise = random.lognormvariate(0, 0.05)
    return Call(
        id=f"{planted.task}-{index}", task=planted.task, question="What is asked?",
        text=text(planted, random), tokens=tokens,
        seconds=planted.fixed + planted.each * tokens * noise,
        correct=random.random() < 1 / (1 + math.exp(-odds)))


def text(planted: Planted, random: Random) -> str:
    serial = round(planted.lines * (1 - planted.share))
    each = round(planted.lines * planted.share / planted.branches)
    branches = planted.branches if each else 0
    head = _lines(serial // 2, planted.duplicates, random)
    parts = ["\n".join(head)]
    for number in range(1, branches + 1):
        lines = _lines(each, planted.duplicates, random)
        lines[0] = f"Case {number}: " + " ".join(lines[0].split()[3:])  # three pieces: 12 words
        parts.append("\n".join(lines))
    tail = _lines(serial - serial // 2, planted.duplicates, random)
    tail[0] = "Combining " + " ".join(tail[0].split()[1:])
    return "\n".join([*parts, *tail])


def _lines(count: int, duplicates: float, random: Random) -> list[str]:
    copies = round(count * duplicates)
    lines = [_line(random) for _ in range(count - copies)]
    for _ in range(copies):
        words = random.choice(lines[1 : count - copies] or lines).split()
        words[-1] = _word(random)
        lines.append(" ".join(words))
    return lines


def _line(random: Random) -> str:
    return " ".join(_word(random) for _ in range(WORDS))


def _word(random: Random) -> str:
    return "".join(random.choice("bcdfghjklmnpqrstvwz") + random.choice("aeiou") for _ in range(4))


def arithmetic(count: int, again: float, random: Random) -> str:
    """``count`` different equations and as many states, of which a share ``again`` stand twice, in
    another spelling the second time."""
    sums: set[tuple[int, int]] = set()
    while len(sums) < count:
        sums.add((random.randrange(10, 500), random.randrange(500, 1000)))
    lines = [f"{a} + {b} = {a + b} leaves [{a}, {b}, 7]" for a, b in sorted(sums)]
    for a, b in sorted(sums)[: round(count * again)]:
        lines.append(f"{b}+{a}={a + b} leaves [7, {b}, {a}]")
    return "\n".join(lines)
