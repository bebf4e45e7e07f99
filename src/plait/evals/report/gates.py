"""Conditions for a build: ``native.accuracy >= 0.8``, ``native.wall_speedup.low > 1.2``.

    METHOD.MEASURE[.low|.high|.verdict] OPERATOR VALUE

Measures of a method: ``accuracy``, ``seconds``, ``tokens``, ``path``, ``activation``, ``errors``,
``wrong``, ``no_answer``, ``cost``. Against the base: ``accuracy_gain``, ``wall_speedup``,
``wall_speedup_median``, ``token_speedup``, ``token_speedup_median``, which have an interval and a
verdict; ``attainable_speedup``, which has an interval; and ``attained``. A condition on something
that was not measured is not met: a build should not pass for want of data.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from plait.errors import UsageError
from plait.evals.stats import Comparison, Interval
from plait.evals.summary import Summary

Value = float | str | None
_GATE = re.compile(r"\s*(.+?)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "!=": operator.ne}


@dataclass(frozen=True, slots=True)
class Met:
    """A condition, whether it is met, and the value that was found."""

    condition: str
    met: bool
    found: Value


def measures(summary: Summary) -> dict[str, Value]:
    """Everything that a condition may name."""
    values: dict[str, Value] = {}
    for arm in summary.arms:
        accuracy = arm.accuracy
        values |= {f"{arm.name}.{key}": value for key, value in {
            "accuracy": accuracy.estimate, "accuracy.low": accuracy.low,
            "accuracy.high": accuracy.high, "seconds": arm.seconds, "tokens": arm.tokens,
            "path": arm.path, "activation": arm.activation, "errors": float(arm.errors),
            "wrong": float(arm.wrong), "no_answer": float(arm.no_answer), "cost": arm.cost,
            "problems": float(arm.problems)}.items()}
    for versus in summary.versus:
        found: dict[str, Comparison | None] = {
            "accuracy_gain": versus.accuracy, "wall_speedup": versus.wall,
            "wall_speedup_median": versus.wall_median, "token_speedup": versus.tokens,
            "token_speedup_median": versus.tokens_median}
        for key, comparison in found.items():
            name = f"{versus.arm}.{key}"
            values |= _interval(name, comparison.effect if comparison else None)
            values[f"{name}.verdict"] = comparison.verdict if comparison else None
        values |= _interval(f"{versus.arm}.attainable_speedup", versus.attainable)
        values[f"{versus.arm}.attained"] = versus.attained
    return values


def _interval(name: str, found: Interval | None) -> dict[str, Value]:
    return {name: found.estimate if found else None, f"{name}.low": found.low if found else None,
            f"{name}.high": found.high if found else None}


def check(condition: str, values: dict[str, Value]) -> Met:
    """Is it met? Raises `UsageError` if it cannot be read, or names what does not exist."""
    parts = _GATE.fullmatch(condition)
    if parts is None:
        raise UsageError(f"the condition {condition!r:.80} cannot be read",
                         hint='Say "native.accuracy >= 0.8", for example.')
    name, sign, wanted = parts.groups()
    if name not in values:
        raise UsageError(f"the condition {condition!r:.80} names no measure",
                         hint=f"There are {', '.join(sorted(values))}.")
    found = values[name]
    if name.endswith(".verdict"):
        if sign not in ("==", "!=") or wanted not in ("better", "worse", "tied"):
            raise UsageError(f"the condition {condition!r:.80} compares a verdict",
                             hint="Say == or != and better, worse or tied.")
        return Met(condition, found is not None and (found == wanted) == (sign == "=="), found)
    try:
        limit = float(wanted)
    except ValueError:
        raise UsageError(f"the condition {condition!r:.80} has no number at its end") from None
    met = isinstance(found, float) and found == found and _OPERATORS[sign](found, limit)
    return Met(condition, met, found)
