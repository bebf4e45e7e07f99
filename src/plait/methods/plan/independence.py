"""What a subtask depends on without saying so: found in its words, without a model.

Three kinds of words give a dependence away:

- it names another subtask by its id (``$walls``, "result of subtask 2", "the answer to `walls`");
- it uses a name that another one is told to give ("compute the area and call it A1");
- it points back ("the result above", "the previous step", "these results").

Plain mentions of a word that is also an id ("paint the walls") are no dependence: two subtasks may
well speak of one thing. Nor are parts and values of something else ("the parts of the engine",
"the last part of the book"). A dependence that is seen wrongly costs some parallelism, one that is
missed costs the answer, so the patterns lean towards seeing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from plait.methods.plan.subtask import Subtask

_NAMES = re.compile(
    r"\b(?:call(?:ed)?(?:\s+(?:it|this|that|them|the\s+\w+))?|denoted?(?:\s+(?:it|this))?(?:\s+(?:by|as))?"
    r"|named?(?:\s+(?:it|this))?|label(?:led)?(?:\s+(?:it|this))?(?:\s+as)?|as\s+variable|let)"
    r"\s+[`\"'$]?(?P<name>[A-Za-z][A-Za-z0-9_]{0,30})\b[`\"'$]?")
_NO_NAMES = frozenset((
    "a", "an", "i", "it", "its", "the", "this", "that", "them", "these", "those", "as", "by", "is",
    "be", "to", "of", "in", "on", "at", "us", "we", "you", "he", "she", "they", "result",
    "results", "answer", "value", "out", "each", "every", "all", "for", "and", "or", "so"))
_RESULTS = r"(?:results|answers|values|parts|findings)"
_OWN = r"(?!\s+(?:of|in|for|that|which|from)\b)"
"""Whose they are is said behind them: not those of other subtasks."""
_BACK_ONE = re.compile(
    r"\b(?:(?:the|this|that)\s+(?:result|answer|value|number|output|sum|total|figure)\s+"
    r"(?:above|from\s+(?:above|before)|(?:just\s+)?(?:computed|found|obtained|derived))"
    r"|(?:the\s+)?(?:previous|preceding|prior|last)\s+"
    rf"(?:step|subtask|task|part|result|answer|value)\b{_OWN}"
    r"|(?:computed|calculated|found|derived|obtained|determined)\s+(?:above|earlier|before|previously)"
    r"|from\s+(?:the\s+)?above)\b", re.IGNORECASE)
_BACK_ALL = re.compile(
    rf"\b(?:(?:these|those)\s+{_RESULTS}"
    rf"|(?:the|all)\s+{_RESULTS}\s+(?:above|so\s+far|from\s+(?:above|before))"
    r"|(?:add(?:\s+up)?|sum(?:\s+up)?|combine|compare|collect|merge|use|average|put\s+together)"
    rf"\s+(?:up\s+)?(?:all\s+)?(?:the\s+)?{_RESULTS}\b{_OWN}"
    r"|(?:all|each)\s+of\s+the\s+(?:above|previous|preceding|other)"
    r"|(?:the\s+)?(?:previous|preceding|other|earlier)\s+"
    rf"(?:steps|subtasks|tasks|parts|results|answers)\b{_OWN}"
    r")\b", re.IGNORECASE)
_LEAD = (r"(?:sub-?task|task|step|part|item|result|answer|output|value|outcome)s?"
         r"(?:\s+(?:of|from|to|for|in|by))?(?:\s+(?:sub-?task|task|step|part|item))?\s*[#`\"'$({\[]*")


def defined_names(subtask: Subtask) -> set[str]:
    """Names that ``subtask`` is told to give to what it finds."""
    found = {m["name"] for m in _NAMES.finditer(subtask.text)}
    return {name for name in found if name.lower() not in _NO_NAMES}


def names_used(subtask: Subtask, other: Subtask) -> bool:
    """Does ``subtask`` speak of what ``other`` is to give: its id as a result, or a name?"""
    if refers_to_id(subtask.text, other.id):
        return True
    own = defined_names(subtask)
    return any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", subtask.text)
               for name in defined_names(other) - own)


def refers_to_id(text: str, name: str) -> bool:
    """Does ``text`` speak of the result of the subtask ``name``?"""
    wanted = re.escape(name)
    pattern = (rf"\$\{{?{wanted}\b|\{{{wanted}\}}|\b{_LEAD}{wanted}\b"
               rf"|[`\"']{wanted}[`\"']\s*(?:'s)?\s*(?:result|answer|output)")
    return re.search(pattern, text, re.IGNORECASE) is not None


def undeclared_needs(subtask: Subtask, before: Sequence[Subtask]) -> set[str]:
    """Ids of subtasks ``before`` it, in order, that ``subtask`` depends on and does not declare."""
    found = {other.id for other in before if names_used(subtask, other)}
    if before and _BACK_ALL.search(subtask.task) and not subtask.needs:
        found |= {other.id for other in before}
    elif before and _BACK_ONE.search(subtask.task) and not subtask.needs:
        found.add(before[-1].id)
    return found - set(subtask.needs) - {subtask.id}


def late_needs(subtask: Subtask, before: Sequence[Subtask]) -> set[str]:
    """Ids of subtasks ``before`` it that turn out to depend on ``subtask``, which came later."""
    return {other.id for other in before if names_used(other, subtask)}


def find_cycle(needs: Mapping[str, set[str]]) -> list[str]:
    """Ids that need each other in a circle, in order; empty if there are none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done or name not in needs:
            return []
        path.append(name)
        for other in sorted(needs[name]):
            if cycle := visit(other):
                return cycle
        path.pop()
        done.add(name)
        return []

    for name in needs:
        if cycle := visit(name):
            return cycle
    return []
