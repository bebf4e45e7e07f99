"""The sheet puzzle: straight-line arithmetic whose dependencies say what can run at once.

    a = 17 + 25
    b = a * 3
    c = 81 - 46
    d = b + c        d?

Rules of this file. A line defines one value from two operands; an operand is a number or a value
defined by an earlier line, and every value but the last is used exactly once. So a sheet is a
tree: *chains* that start at a line of two numbers and go on with lines of one value and one number,
and *combining* lines of two values. The chains depend on nothing outside themselves: their number
is the sheet's **width**, the most threads that it can keep busy. All results are whole numbers
from 1 to `LARGEST`; a division leaves no rest.

Lines are kept in one order that plait-nano was trained on: chain after chain, in the order of their
first lines, then the combining lines; values are named by their place (`name`), whatever people
call them, and a value that may stand on either side stands on the left.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

LARGEST = 199
"""No line may give more than this."""
LITERALS = range(1, 100)
"""The numbers that stand in plait-nano's sheets."""
WIDTHS = range(1, 17)
"""How many chains plait-nano's sheets have."""
LINES = 130
"""The most lines of plait-nano's sheets; there is a name for each."""
DEPTHS = range(4, 8)
"""How many lines a chain of a generated sheet has."""

Operand = int | str


class NotASheet(ValueError):
    """The lines are no sheet; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Line:
    """``name = left symbol right``; operands are numbers or names of earlier lines."""

    name: str
    left: Operand
    symbol: str
    right: Operand

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the values that the line uses."""
        return tuple(x for x in (self.left, self.right) if isinstance(x, str))

    def __str__(self) -> str:
        return f"{self.name}={self.left}{self.symbol}{self.right}"


@dataclass(frozen=True)
class Sheet:
    """Lines in canonical order; the question is the value of the last one.

    Raises `NotASheet` for lines that break the rules of this file.
    """

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        _ = self.values  # checks the arithmetic and the names
        used = [name for line in self.lines for name in line.needs]
        for line in self.lines[:-1]:
            if used.count(line.name) != 1:
                raise NotASheet(f"{line.name} is used {used.count(line.name)} times, not once")
        if self.lines != (*(line for chain in self.chains for line in chain), *self.combining):
            raise NotASheet("its lines do not stand chain after chain, those that combine last")

    @cached_property
    def values(self) -> dict[str, int]:
        """The value of every line."""
        values: dict[str, int] = {}
        for line in self.lines:
            if line.name in values:
                raise NotASheet(f"{line.name} is defined twice")
            for name in line.needs:
                if name not in values:
                    raise NotASheet(f"{name} is used before it is defined")
            left, right = (values[x] if isinstance(x, str) else x for x in (line.left, line.right))
            value = apply(left, line.symbol, right)
            if value is None:
                raise NotASheet(f"{line} does not give a whole number from 1 to {LARGEST}")
            values[line.name] = value
        return values

    @property
    def answer(self) -> int:
        return self.values[self.lines[-1].name]

    @cached_property
    def chains(self) -> tuple[tuple[Line, ...], ...]:
        """The chains, in the order of their first lines."""
        users = {name: line for line in self.lines for name in line.needs}
        found = []
        for line in self.lines:
            if line.needs:
                continue
            chain = [line]
            while (after := users.get(chain[-1].name)) is not None and len(after.needs) == 1:
                chain.append(after)
            found.append(tuple(chain))
        return tuple(found)

    @cached_property
    def combining(self) -> tuple[Line, ...]:
        """The lines that use two values."""
        return tuple(line for line in self.lines if len(line.needs) == 2)

    @property
    def width(self) -> int:
        return len(self.chains)

    @property
    def words(self) -> str:
        """The sheet as a person would write it."""
        lines = (f"{line.name} = {line.left} {line.symbol} {line.right}" for line in self.lines)
        return f"{', '.join(lines)}, {self.lines[-1].name}?"

    @cached_property
    def marks(self) -> dict[Line, str]:
        """What stands behind each line: nothing while its chain goes on and behind a line that
        combines values, a semicolon at the end of a chain, a question mark behind the last line
        of all."""
        ends = {chain[-1]: ";" for chain in self.chains}
        return {**dict.fromkeys(self.lines, ""), **ends, self.lines[-1]: "?"}

    def __str__(self) -> str:
        """All lines with their marks, and in front of each chain its number."""
        numbers = {chain[0]: f"{n}:" for n, chain in enumerate(self.chains, start=1)}
        return "Sheet" + "".join(f"\n{numbers.get(line, '')}{line}{self.marks[line]}"
                                 for line in self.lines)

    def renamed(self, first: int) -> Sheet:
        """The same sheet with names that begin at the place ``first``."""
        names = {line.name: name(first + k) for k, line in enumerate(self.lines)}
        return Sheet(tuple(_renamed(line, names) for line in self.lines))


def apply(left: int, symbol: str, right: int) -> int | None:
    """The result, or None where it is not a whole number from 1 to `LARGEST`."""
    if symbol == "/":
        value = left // right if right and left % right == 0 else 0
    else:
        value = {"+": left + right, "-": left - right, "*": left * right}[symbol]
    return value if 0 < value <= LARGEST else None


def name(place: int) -> str:
    """The name of the value at a place (from 0): a .. z, a1 .. z1, a2 ..."""
    letter = chr(ord("a") + place % 26)
    return letter if place < 26 else f"{letter}{place // 26}"


def canonical(lines: list[Line]) -> Sheet:
    """A sheet of these lines: in the order that plait-nano was trained on, names by place.

    Raises `NotASheet` where the lines, in the order given, are none.
    """
    if not lines:
        raise NotASheet("there are no lines")
    seen: set[str] = set()
    for line in lines:
        for need in line.needs:
            if need not in seen:
                raise NotASheet(f"{need} is used before it is defined")
        seen.add(line.name)
    combined = {line.name for line in lines if len(line.needs) == 2}
    for line in lines:
        if len(line.needs) == 1 and line.needs[0] in combined:
            raise NotASheet(f"{line.name} goes on from {line.needs[0]}, which combines two values")
    if len({line.name for line in lines}) < len(lines):
        raise NotASheet("a name is defined twice")
    chain: dict[str, int] = {}
    for k, line in enumerate(lines):
        chain[line.name] = (chain[line.needs[0]] if len(line.needs) == 1
                            else k + len(lines) * len(line.needs))
    ordered = sorted(lines, key=lambda line: chain[line.name])
    names = {line.name: name(k) for k, line in enumerate(ordered)}
    return Sheet(tuple(_renamed(line, names) for line in ordered))


def _renamed(line: Line, names: dict[str, str]) -> Line:
    left, right = (names[x] if isinstance(x, str) else x for x in (line.left, line.right))
    if line.symbol in "+*" and isinstance(right, str) and not isinstance(left, str):
        left, right = right, left
    return Line(names[line.name], left, line.symbol, right)


def is_held_out(sheet: Sheet) -> bool:
    """Whether the sheet is kept for evaluation: plait-nano never trains on it (1 in 50)."""
    return zlib.crc32(str(sheet).encode()) % 50 == 0


def draw(random: Random, width: int, depths: range = DEPTHS) -> Sheet:
    """A random sheet of ``width`` chains, each of a length in ``depths``.

    Raises ValueError for a width that no sheet has.
    """
    if width not in WIDTHS:
        raise ValueError(f"a sheet has from {WIDTHS[0]} to {WIDTHS[-1]} chains, not {width}")
    lines: list[Line] = []
    open_values: list[tuple[str, int]] = []
    for _ in range(width):
        tip = None
        for _ in range(random.choice(depths)):
            line, value = _chain_line(random, name(len(lines)), tip)
            lines.append(line)
            tip = line.name, value
        assert tip is not None
        open_values.append(tip)
    while len(open_values) > 1:
        random.shuffle(open_values)
        (a, x), (b, y) = open_values.pop(), open_values.pop()
        if x < y and random.random() < 0.5:
            (a, x), (b, y) = (b, y), (a, x)
        possible = [(s, v) for s in "+-*/" if (v := apply(x, s, y)) is not None]
        if not possible:  # x < y and their sum is too large
            a, b, possible = b, a, [("-", y - x)]
        symbol, value = random.choice(possible)
        lines.append(Line(name(len(lines)), a, symbol, b))
        open_values.append((lines[-1].name, value))
    return Sheet(tuple(lines))


def _chain_line(
    random: Random, called: str, tip: tuple[str, int] | None
) -> tuple[Line, int]:
    while True:
        symbol, number = random.choice("+-*/"), random.choice(LITERALS)
        if symbol in "*/" and random.random() < 0.8:
            number = random.randint(2, 12)
        other = random.choice(LITERALS) if tip is None else tip[1]
        first = random.random() < (0.5 if tip is None or symbol in "-/" else 1)
        left, right = (other, number) if first else (number, other)
        value = apply(left, symbol, right)
        if value is None or (symbol in "*/" and right == 1):
            continue
        if tip is None:
            return Line(called, left, symbol, right), value
        operands = (tip[0], number) if first else (number, tip[0])
        return Line(called, operands[0], symbol, operands[1]), value


def generate(
    seed: int, width: int, *, depths: range = DEPTHS, held_out: bool | None = None
) -> Iterator[Sheet]:
    """Endless distinct sheets of a width; ``held_out`` keeps only one side of the split."""
    random = Random(f"{seed}/sheet/{width}")
    seen: set[Sheet] = set()
    while True:
        sheet = draw(random, width, depths)
        if sheet in seen or held_out not in (None, is_held_out(sheet)):
            continue
        seen.add(sheet)
        yield sheet
