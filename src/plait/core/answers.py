"""When are two short answers the same? Pure text; nothing is evaluated.

`canonical` maps an answer to a key, and equal keys are equal answers: ``0.5``, ``1/2``,
``\\boxed{\\frac{1}{2}}`` and ``x = .50`` have one key, so have ``(B)`` and ``b.``, and for a puzzle
that plait can check all right solutions do. It is deliberately shy: ``5 m`` and ``5`` stay apart,
and so do expressions that only algebra shows equal (`plait.verify.Math` is for those), since a
vote that joins different answers is worse than one that splits equal ones.
"""

from __future__ import annotations

import re
from fractions import Fraction

from plait import puzzles

LONGEST = 200
"""Longer texts are no short answers: nobody votes on them."""
_MARK = re.compile(
    r"[\W_]{0,20}(?:(?:so )?(?:the|my) )?(?:final )?(?:answer|result|solution)[ *_]{0,4}"
    r"(?:is\b[ *_]{0,4}[:=：]?|[:=：])[ *_]{0,4}(.+)", re.IGNORECASE)
_NUMBER = re.compile(
    r"([+-]?)(\d{1,3}(?:,\d{3})+|\d{1,400})?(?:\.(\d{1,400}))?(?:e([+-]?\d{1,3}))?")
_FRACTION = re.compile(r"([+-]?)\s*\\[dt]?frac\s*\{\s*(-?\d{1,400})\s*\}\s*\{\s*(\d{1,400})\s*\}")
_CHOICE = re.compile(r"(?:option |choice )?\(?([a-z])\)?[.:)]?")
_NAMED = re.compile(r"[a-z](?:_\w{1,8})?\s*=\s*(?!=)")
_WRAPS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"),
          ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"))
_SIGNS = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "×": "*", "·": "*", "÷": "/"})


def read_value(text: str) -> str | None:
    """The short answer in a text without thoughts: what stands in its last ``\\boxed{}`` or behind
    its last ``Answer:``, or all of it where it is one short line. None if there is no such thing.
    """
    boxed = _last_box(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        found = _MARK.match(line) if len(line) <= 2 * LONGEST else None
        if found and (value := _undress(found[1].strip())).strip(". …"):
            return value if len(value) <= LONGEST else None
    if boxed is not None:
        return boxed
    return lines[0] if len(lines) == 1 and len(lines[0]) <= LONGEST // 2 else None


def _undress(value: str) -> str:
    """Without the end of bold print that began before it: ``**Answer: 5**``, ``Answer: **5**.``"""
    return re.sub(r"\*\*(?=\W*$)", "", value) if value.count("**") % 2 else value


def canonical(value: str, question: str = "") -> str:
    """The key of an answer. ``question`` lets puzzles be told: every right answer has one key."""
    if question and len(value) <= 10 * LONGEST and puzzles.check(question, value):
        return "right"
    text = _bare(value)
    number = read_number(text)
    if number is not None:
        return f"number {number}"
    if choice := _CHOICE.fullmatch(text):
        return f"choice {choice[1]}"
    text = re.sub(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:left|right|,|;|!|quad)(?![a-z])|~", " ", text)
    text = " ".join(text.split())
    return "text " + re.sub(r"(?<=\W) | (?=\W)", "", text)


def read_number(text: str) -> Fraction | None:
    """The number that ``text`` is: whole, decimal, with thousands separators, with an exponent of
    at most three digits, or a fraction of two whole numbers; else None."""
    text = text.translate(_SIGNS).strip()
    if found := _FRACTION.fullmatch(text):
        over = int(found[3])
        value = Fraction(int(found[2]), over) if over else None
        return -value if value is not None and found[1] == "-" else value
    top, mark, bottom = text.partition("/")
    if not mark:
        return _decimal(top)
    above, below = _decimal(top.strip()), _decimal(bottom.strip())
    return above / below if above is not None and below else None


def _decimal(text: str) -> Fraction | None:
    found = _NUMBER.fullmatch(text)
    if found is None or (found[2] is None and found[3] is None):
        return None
    sign, whole, part, power = found.groups()
    digits = (whole or "").replace(",", "") + (part or "")
    value = Fraction(int(digits)) * Fraction(10) ** (int(power or 0) - len(part or ""))
    return -value if sign == "-" else value


def _bare(value: str) -> str:
    """Lower case, without the dress: boxes, dollar signs, bold, final full stops, ``x =``."""
    text = value.translate(_SIGNS).strip().lower()
    for _ in range(8):  # dresses may be worn over each other, but not without end
        before = text
        text = text.removesuffix("\\.").rstrip(".;, \t\n") if len(text) > 1 else text
        for left, right in _WRAPS:
            if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
                text = text[len(left) : -len(right)].strip()
        if (inner := _last_box(text)) is not None and text.startswith("\\boxed"):
            text = inner
        if named := _NAMED.match(text):
            text = text[named.end() :].strip()
        if text == before:
            break
    return text


def _last_box(text: str) -> str | None:
    """What stands in the last ``\\boxed{...}``, braces within it balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for at in range(start + len("\\boxed"), len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            inner = text[start + len("\\boxed{") : at].strip()
            return inner if inner and len(inner) <= LONGEST else None
    return None
