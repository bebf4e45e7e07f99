"""What stands in a line of reasoning: passages, equations, states. Pure text, no judgement.

An equation is arithmetic with its result, ``46 + 39 = 85``; the same one is recognised whatever
its blanks and signs (``46\\times 2``, ``46·2``) and whatever the order of a pure sum or product.
A state is a list of numbers in brackets, with what stands in front of a colon if anything does
(``92:[46, 39]``), or, in a search that lists what is left, the numbers right behind an equation up
to a colon (``33+32=65 65 12:``). The order of its numbers does not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "∗": "*"})
_LATEX = ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\left", ""), (r"\right", ""))
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_TERM = rf"(?:\( ?){{0,6}}{_NUMBER}(?: ?\)){{0,6}}"
_EQUATION = re.compile(
    rf"(?<![\w.])({_TERM}(?: ?[-+*/^] ?{_TERM}){{1,20}}) ?= ?(-?{_NUMBER})(?![\w.]*\d)")
_ASSIGNED = re.compile(r"(?<![\w.])([A-Za-z]\w{0,15}) ?= ?([^=\n,;]{1,80})")
_BRACKETS = re.compile(r"(?:(\d{1,9}) ?: ?)?\[ ?(\d{1,9}(?: ?, ?\d{1,9}){0,30}) ?\]")
_LISTED = re.compile(r"=\d{1,9}((?: \d{1,9}){1,30}):")
_NAME = re.compile(r"(?<![\w\\])[A-Za-z]\w{0,15}(?!\w)")
_TERMS = re.compile(_NUMBER)


@dataclass(frozen=True, slots=True)
class Passage:
    """A line of text that says something, from character ``at`` on."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Equation:
    """Arithmetic with its result, in one form whatever way it was written."""

    left: str
    value: str

    @property
    def operands(self) -> frozenset[str]:
        """The numbers on its left side."""
        return frozenset(_TERMS.findall(self.left))


@dataclass(frozen=True, slots=True)
class Assignment:
    """A name that is given a value: ``x = 2y + 1``. ``names`` are those on the right side."""

    name: str
    names: frozenset[str]


def passages(text: str) -> list[Passage]:
    """The lines of ``text`` that are not blank."""
    found, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            found.append(Passage(at, line))
        at += len(line) + 1
    return found


def plain_signs(text: str) -> str:
    """Arithmetic signs in their plain forms, blanks at most single."""
    for written, plain in _LATEX:
        text = text.replace(written, plain)
    return re.sub(r"[^\S\n]+", " ", text.translate(_SIGNS))


def equations(text: str) -> list[Equation]:
    """The equations in ``text`` in their order."""
    return [Equation(_canonical(m[1].replace(" ", "")), m[2])
            for m in _EQUATION.finditer(plain_signs(text))]


def assignments(text: str) -> list[Assignment]:
    """The named values in ``text`` in their order."""
    return [Assignment(m[1], frozenset(_NAME.findall(m[2])) - {m[1]})
            for m in _ASSIGNED.finditer(plain_signs(text))]


def states(text: str) -> list[str]:
    """The states in ``text`` in their order, each in one form: ``92:12,65``."""
    found = [(m.start(), f"{m[1] or ''}:{_ordered(m[2].split(','))}")
             for m in _BRACKETS.finditer(text)]
    found += [(m.start(), f":{_ordered(m[1].split())}") for m in _LISTED.finditer(text)]
    return [state for _, state in sorted(found)]


def numbers(text: str) -> frozenset[str]:
    """The numbers in ``text``, as they are written."""
    return frozenset(_TERMS.findall(text))


def _canonical(left: str) -> str:
    """A pure sum or product has its operands in order; anything else stays as it is."""
    for sign in "+*":
        terms = left.split(sign)
        if len(terms) > 1 and all(_TERMS.fullmatch(t) for t in terms):
            return sign.join(sorted(terms))
    return left


def _ordered(items: list[str]) -> str:
    return ",".join(sorted((i.strip() for i in items), key=lambda n: (len(n), n)))
