"""A policy as a file: when to go parallel, how, and how far. `plait tune` writes such files.

    # plait policy
    policy = 1                 # the version of this form
    method = "native"
    protocol = "apr"
    threshold = 180            # go parallel from so many expected tokens on; 0: always
    width = 8
    depth = 2
    early_stop = true          # join as soon as the answer is there
    # attempts = 6, merge = "vote": for methods that direct a model

    [expected_tokens]          # of a sequential answer: exp(constant + word * words + ...)
    constant = 2.1
    word = 0.0
    number = 0.9

Unknown names are errors. What is not there is left to the method and the budget.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from plait.core import Plan, Request
from plait.core.files import read_toml
from plait.errors import UsageError
from plait.interfaces import Load
from plait.policy.decide import Decision

VERSION = 1
HIGHEST = 30.0
"""Logarithms of expected tokens are cut here: nobody waits for e**30 tokens."""
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Expected:
    """How many tokens a sequential answer to a question takes: exp(a + b * words + c * numbers).

    ``word`` counts all words of the question, numbers included; ``number`` its numbers.
    """

    constant: float
    word: float = 0.0
    number: float = 0.0

    def tokens(self, question: str) -> float:
        """The expected tokens for ``question``."""
        words, numbers = features(question)
        return math.exp(min(HIGHEST, self.constant + self.word * words + self.number * numbers))


def features(question: str) -> tuple[int, int]:
    """How many words, numbers included, and how many numbers ``question`` has."""
    return len(_WORD.findall(question)), len(_NUMBER.findall(question))


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The settings of a policy file. ``method`` is what runs when it goes parallel.

    Raises `UsageError` for values out of range, and for a threshold without ``expected``.
    """

    method: str = "sequential"
    protocol: str | None = None
    threshold: int = 0
    width: int | None = None
    depth: int | None = None
    early_stop: bool = False
    attempts: int | None = None
    merge: str | None = None
    expected: Expected | None = None

    def __post_init__(self) -> None:
        for name in ("width", "depth", "attempts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"policy: `{name}` is {value} but must be above 0")
        if self.threshold < 0:
            raise UsageError(f"policy: `threshold` is {self.threshold} but must be 0 or more")
        if self.threshold and self.expected is None:
            raise UsageError("policy: a threshold needs the table `expected_tokens`",
                             hint="`plait tune` writes one; threshold = 0 goes without.")
        if self.method == "native" and self.protocol is None:
            raise UsageError("policy: the method `native` needs a protocol",
                             hint='Write protocol = "apr", for example.')

    def decide(self, question: str, load: Load | None = None) -> Decision:
        """The decision for ``question``. While requests queue at the engine nothing is directed to
        go parallel; a model that forks by itself may, and its threads run as there is room."""
        waiting = (load.waiting or 0) if load is not None else 0
        inputs = [f"waiting={waiting}", f"threshold={self.threshold}"]
        if self.method == "sequential":
            return self._decision(Plan("sequential", reason="the policy file says so"), inputs)
        if self.expected is not None:
            tokens = round(self.expected.tokens(question))
            inputs.append(f"estimated_cost={tokens}")
            if tokens < self.threshold:
                return self._decision(Plan("sequential", reason=(
                    f"about {tokens} tokens in one thread are below the threshold of"
                    f" {self.threshold}")), inputs)
        if waiting and self.method != "native":
            return self._decision(Plan("sequential", reason=(
                f"{waiting} requests are waiting at the engine")), inputs)
        return self._decision(Plan(
            self.method, self.protocol, width=self.width,
            early_stop=self.early_stop, reason="the policy file says so"), inputs)

    def _decision(self, plan: Plan, inputs: Sequence[str]) -> Decision:
        return Decision("file", plan, tuple(inputs))

    def apply(self, request: Request, load: Load | None = None) -> tuple[Request, Decision]:
        """The decision for ``request``, and the request with the limits and directions that go
        with it. Limits that are narrower already stay."""
        decision = self.decide(request.question, load)
        if decision.plan.method == "sequential":
            return request, decision
        budget, directions = request.budget, request.directions
        if self.depth is not None:
            budget = replace(budget, depth=min(self.depth, budget.depth or self.depth))
        directions = replace(directions, attempts=directions.attempts or self.attempts,
                             merge=directions.merge or self.merge)
        return replace(request, budget=budget, directions=directions), decision

    def text(self, comment: str = "") -> str:
        """The file's text, with ``comment`` in front of it."""
        lines = [f"# {line}".rstrip() for line in ("plait policy", *comment.splitlines())]
        lines += [f"policy = {VERSION}", f'method = "{self.method}"']
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("method", "expected") or value is None or value == item.default:
                continue
            lines.append(f"{item.name} = {_toml(value)}")
        if self.expected is not None:
            lines += ["", "[expected_tokens]"]
            lines += [f"{f.name} = {getattr(self.expected, f.name)!r}"
                      for f in fields(self.expected)]
        return "\n".join(lines) + "\n"


_TYPES: dict[str, type | tuple[type, ...]] = {
    "method": str, "protocol": str, "merge": str, "threshold": int, "width": int, "depth": int,
    "attempts": int, "early_stop": bool}


def read_policy(path: str | Path) -> PolicyFile:
    """The policy in a file. Raises `UsageError` with what is wrong."""
    table = read_toml(Path(path), f"the policy {path}",
                      hint="`plait tune` and `plait analyze --policy` write one.")
    version = table.pop("policy", None)
    if version != VERSION:
        raise UsageError(f"the policy {path} is of version {version!r}, this plait reads"
                         f" {VERSION}", hint=f"A policy file says policy = {VERSION}.")
    expected = _expected(table.pop("expected_tokens", None), path)
    for name, value in table.items():
        if name not in _TYPES:
            near = get_close_matches(name, list(_TYPES), n=1, cutoff=0.0)[0]
            raise UsageError(f"`{name}` in the policy {path} is not a setting",
                             hint=f"The nearest known one is `{near}`.")
        if type(value) is not _TYPES[name]:
            raise UsageError(f"`{name}` in the policy {path} cannot be {value!r:.60}")
    return PolicyFile(**table, expected=expected)


def _expected(table: object, path: str | Path) -> Expected | None:
    if table is None:
        return None
    names = {f.name for f in fields(Expected)}
    good = isinstance(table, dict) and "constant" in table and table.keys() <= names and all(
        type(v) in (int, float) and math.isfinite(v) for v in table.values())
    if not good:
        raise UsageError(f"`expected_tokens` in the policy {path} must be a table of the numbers"
                         " constant, word and number")
    return Expected(**{n: float(v) for n, v in cast("dict[str, float]", table).items()})


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
