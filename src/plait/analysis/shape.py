"""Which parts of a line of reasoning did not need each other: its parallel share and its span.

The text is cut into units, and a graph says which unit needs which; every unit weighs its words.

- A **branch** begins at a heading that opens an alternative or a part of its own ("Case 2:",
  "Alternatively", "Let me try", a line with ``>`` in front) and reaches to the next one.
- A **barrier** is a line that draws things together ("Combining", "The answer is"). It needs all
  units before it, and all after it need it. "Therefore" and its like are barriers only behind the
  last branch: within a branch they end a thought, not the fork.
- Outside branches every line is a unit. One that holds equations needs the units whose results
  it uses; any other goes on from the line before it.
- **Def-use**: a unit that uses a value (a number or a name) which an earlier unit derived needs
  that unit, unless the value is given in the question or derived in the unit itself. Between
  branches, which say that they are alternatives, a number of one digit is taken for chance. Units
  whose words lean on what stands before ("using the previous result") need that as well.

T is the weight of all units, the span L that of the heaviest chain, T/L what no number of threads
can beat (the span law). The parallel share p is the weight of the units for which another one
exists that neither needs nor is needed by them; Amdahl's law gives 1/((1-p) + p/n) for n threads
(Amdahl 1967). Both are read from wording: an independence the text does not show is missed, and
numbers that agree by chance count as needed, so the share errs on the low side in arithmetic. What
a model makes of it must be measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plait.analysis.call import count_words
from plait.analysis.passages import assignments, equations, numbers, passages

_BRANCH = re.compile(
    r"(?:case|option|approach|attempt|method|scenario|branch|candidate|hypothesis|possibility"
    r"|subproblem|sub-problem|alternative|strategy|path)\s*(?:#?\d+|[A-Z]\b|[ivx]+\b|one|two|three"
    r"|four|five)|alternatively\b|another (?:way|approach|option|idea|method|possibility)\b"
    r"|(?:let me|let's|now|next,?) (?:try|consider|check|test)\b|what if\b|or maybe\b"
    r"|wait,? (?:maybe|what if)\b|on the other hand\b|>", re.IGNORECASE)
_BARRIER = re.compile(
    r"combining\b|comparing\b|altogether\b|putting (?:it|this|these|all)\b|in conclusion\b"
    r"|overall\b|(?:so,? |thus,? |therefore,? |hence,? )?the (?:final )?answer\b|final answer\b"
    r"|answer:|to sum(?:marize| up)\b|\d+,\d+ equal: goal reached|no solution found", re.IGNORECASE)
_WEAK = re.compile(r"(?:so|thus|therefore|hence)\b", re.IGNORECASE)
_LEANS = re.compile(
    r"(?:using|with|from|given|by|as in|substituting) (?:the|this|that|our) "
    r"(?:previous|above|earlier|last|result|value)|as (?:found|shown|computed) (?:above|earlier"
    r"|before)|from (?:above|case|step|before)", re.IGNORECASE)
_DECORATION = re.compile(r"^[\s#*_\-•]+")
MOST_UNITS = 4000
"""Longer texts are measured on their first so many units: the graph's sets are quadratic."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``total`` and ``span`` in words and signs; ``parallel`` words could run beside others."""

    total: int = 0
    span: int = 0
    parallel: int = 0
    units: int = 0
    branches: int = 0
    width: int = 0
    """Most branches between two barriers."""
    cut: bool = False
    """Only the first `MOST_UNITS` units were looked at."""

    @property
    def share(self) -> float:
        """The parallel share p."""
        return self.parallel / self.total if self.total else 0.0

    @property
    def bound(self) -> float:
        """T / L: no number of threads makes it faster than that."""
        return self.total / self.span if self.span else 1.0

    def speedup(self, threads: int) -> float:
        """What Amdahl's law and the span allow with ``threads`` threads."""
        return min(amdahl(self.share, threads), self.bound)


def amdahl(share: float, threads: float) -> float:
    """1 / ((1 - p) + p / n). ``threads`` may be infinite; the bound is then 1 / (1 - p)."""
    rest = (1 - share) + share / threads
    return 1 / rest if rest > 0 else float("inf")


@dataclass(slots=True)
class _Unit:
    weight: int
    text: str
    kind: str
    direct: int = 0
    """Bit set of the units that it needs itself."""
    needs: int = 0
    """The same, with all that these need."""
    needed: int = 0
    """Bit set of the units that need it, directly or not."""


def find_shape(text: str, question: str = "") -> Shape:
    """The shape of ``text``, the answer to ``question``."""
    units = _cut(text)
    cut = len(units) > MOST_UNITS
    _connect(units[:MOST_UNITS], numbers(question))
    return _measure(units[:MOST_UNITS], cut)


def _cut(text: str) -> list[_Unit]:
    lines = [p.text for p in passages(text)]
    words = [_DECORATION.sub("", line) for line in lines]
    last = max((i for i, w in enumerate(words) if _BRANCH.match(w)), default=-1)
    units: list[_Unit] = []
    for i, (line, start) in enumerate(zip(lines, words, strict=True)):
        weight = count_words(line)
        if _BRANCH.match(start):
            units.append(_Unit(weight, line, "branch"))
        elif _BARRIER.match(start) or (i > last >= 0 and _WEAK.match(start)):
            units.append(_Unit(weight, line, "barrier"))
        elif units and units[-1].kind == "branch":
            units[-1].weight += weight
            units[-1].text += "\n" + line
        else:
            units.append(_Unit(weight, line, "line"))
    return units


def _connect(units: Sequence[_Unit], given: frozenset[str]) -> None:
    """Find out what each unit needs. ``given`` are the values in the question."""
    derived: dict[str, int] = {}
    last = 0  # where the last barrier stands
    barrier = 0
    setup = 0  # lines before the branches of a block: all of these lean on them
    for i, unit in enumerate(units):
        direct = barrier
        uses, gives, sums = _values(unit.text)
        if unit.kind == "barrier":
            direct = (1 << i) - (1 << last)
        elif unit.kind == "branch":
            direct |= setup
        elif i and not sums:
            direct |= 1 << (i - 1)
        if i and _LEANS.search(unit.text):
            direct |= 1 << (i - 1)
        for value in uses - given:
            source = derived.get(value)
            if source is None or (len(value) == 1 and value.isdigit() and source >= last
                                  and unit.kind == units[source].kind == "branch"):
                continue
            direct |= 1 << source
        unit.direct = direct
        derived |= dict.fromkeys(gives, i)
        if unit.kind == "barrier":
            last, barrier, setup = i, 1 << i, 0
        elif unit.kind == "line":
            setup |= 1 << i


def _values(text: str) -> tuple[set[str], set[str], bool]:
    """Values used that the text does not derive before, values derived, any equations at all."""
    uses: set[str] = set()
    gives: set[str] = set()
    found = False
    for line in text.split("\n"):
        for named in assignments(line):
            uses |= named.names - gives
            gives.add(named.name)
            found = True
        for equation in equations(line):
            uses |= equation.operands - gives
            gives.add(equation.value.lstrip("-"))
            found = True
    return uses, gives, found


def _bits(value: int) -> Iterator[int]:
    while value:
        low = value & -value
        yield low.bit_length() - 1
        value ^= low


def _measure(units: Sequence[_Unit], cut: bool) -> Shape:
    ends: list[int] = []
    for unit in units:
        unit.needs = unit.direct
        for j in _bits(unit.direct):
            unit.needs |= units[j].needs
        ends.append(unit.weight + max((ends[j] for j in _bits(unit.direct)), default=0))
    for i in reversed(range(len(units))):
        for j in _bits(units[i].direct):
            units[j].needed |= units[i].needed | 1 << i
    parallel = sum(u.weight for u in units
                   if u.needs.bit_count() + u.needed.bit_count() + 1 < len(units))
    width = most = 0
    for unit in units:
        width = 0 if unit.kind == "barrier" else width + (unit.kind == "branch")
        most = max(most, width)
    return Shape(sum(u.weight for u in units), max(ends, default=0), parallel, len(units),
                 sum(u.kind == "branch" for u in units), most, cut)
