"""How a request wants to be answered: its model's name, its ``plait`` object, or the default.

    plait/plan:NAME         the method `plan` with the model NAME
    plait/native+apr:NAME   the wire format apr
    plait/threshold:NAME    the policy `threshold` decides
    plait/auto:NAME         the server's policy decides
    NAME                    the same, but what needs one thread only goes to the engine untouched

The ``plait`` object of the body (``extra_body`` of a client's library) says the same and more; its
names are those of ``plait solve``'s settings. It wins over the model's name. What it may not do is
reach into the server: no files, no modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal, cast

from plait.core import Budget, Directions
from plait.errors import UsageError
from plait.policy import POLICIES, PolicyFile
from plait.protocols import look_up
from plait.registry import AUTO, METHODS
from plait.server.errors import invalid

PREFIX = "plait/"
FIELD = "plait"
Thoughts = Literal["full", "summary", "none"]
THOUGHTS = ("full", "summary", "none")
WAYS = (AUTO, *METHODS, *(p for p in POLICIES if p not in (*METHODS, AUTO)))
"""What may stand behind ``plait/``: methods, and policies."""
_WHOLE = ("total_tokens", "critical_tokens", "width", "depth", "threads", "live_tokens", "window",
          "rounds")
_BUDGET = (*_WHOLE, "seconds", "cost")
_BESIDE = tuple(name for name in _BUDGET if name not in ("window", "rounds"))
"""Budgets that may stand in the object itself; `window` and `rounds` of it are directions."""
_TEXTS = ("method", "protocol", "policy", "merge", "verify", "prompts", "thoughts")
_OTHERS = ("attempts", "threshold", "window", "rounds", "budget")
MOST, MOST_ROUNDS = 1 << 20, 64
"""The largest number that a client may write, and the longest list of rounds."""
_REMOTE_VERIFIERS = ("auto", "none", "judge", "exact", "math")

NO_DIRECTIONS = Directions()


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for. ``model``: the engine's name, empty for its only one. ``explicit``: plait
    was asked for, so the request is no mere pass-through. ``thoughts``: how they are streamed.
    ``experiment`` and ``arm``: what a live experiment drew for a request that left the choice."""

    model: str = ""
    explicit: bool = False
    method: str | None = None
    protocol: str | None = None
    policy: str | PolicyFile | None = None
    directions: Directions = NO_DIRECTIONS
    budget: Mapping[str, int | float] = field(default_factory=dict)
    thoughts: Thoughts | None = None
    experiment: str = ""
    arm: Literal["", "A", "B"] = ""

    @property
    def free(self) -> bool:
        """The way to answer was left to the server."""
        return self.method is None and self.protocol is None and self.policy is None

    def capped(self, most: Budget) -> Budget:
        """The budget that was asked for, as far as the server's limits allow it."""
        limits = {name: value for name in _BUDGET
                  if (value := _least(self.budget.get(name), getattr(most, name))) is not None}
        return Budget(**limits)  # type: ignore[arg-type]


def _least(*values: int | float | None) -> int | float | None:
    return min((v for v in values if v is not None), default=None)


def choose(body: Mapping[str, Any]) -> Choice:
    """What the body of a request asks for. Raises `ApiError` 400 for what makes no sense."""
    name = body.get("model")
    if name is not None and not isinstance(name, str):
        raise invalid("`model` must be text", "model")
    choice = _by_name(name or "")
    asked = body.get(FIELD)
    if asked is None:
        return choice
    if not isinstance(asked, Mapping):
        raise invalid("`plait` must be an object, such as {\"method\": \"plan\"}", FIELD)
    return _by_object(choice, asked)


def _by_name(name: str) -> Choice:
    if not name.startswith(PREFIX):
        return Choice(name)
    way, _, model = name.removeprefix(PREFIX).partition(":")
    way, plus, protocol = way.partition("+")
    if way not in WAYS:
        raise invalid(f"`{PREFIX}{way}` is no way to answer. {_known(way, WAYS)}", "model",
                      "model_not_found")
    chosen = _way(Choice(model, explicit=True), way)
    return replace(chosen, protocol=_protocol(protocol)) if plus else chosen


def _way(choice: Choice, way: str) -> Choice:
    if way == AUTO:
        return choice
    if way in METHODS:
        return replace(choice, method=way)
    return replace(choice, policy=way)


def _by_object(choice: Choice, asked: Mapping[str, Any]) -> Choice:
    known = (*_TEXTS, *_OTHERS, *_BESIDE)
    for name, value in asked.items():
        if name not in known:
            raise invalid(f"`plait.{name}` is not known. {_known(name, known)}", f"plait.{name}")
        if name in _TEXTS and not isinstance(value, str):
            raise invalid(f"`plait.{name}` must be text", f"plait.{name}")
    given = dict(asked)
    beside = {name: value for name, value in given.items() if name in _BESIDE}
    budget = {**_numbers(beside), **_nested(given.get("budget"))}
    thoughts = given.get("thoughts", choice.thoughts)
    if thoughts not in (None, *THOUGHTS):
        raise invalid(f"`plait.thoughts` is {thoughts!r}. Known: {', '.join(THOUGHTS)}.",
                      "plait.thoughts")
    method, policy = given.get("method"), given.get("policy")
    if method not in (None, AUTO, *METHODS):
        raise invalid(f"there is no method `{method}`. {_known(method, METHODS)}", "plait.method")
    if policy not in (None, *POLICIES):
        raise invalid(f"there is no policy `{policy}`. {_known(policy, POLICIES)}", "plait.policy")
    protocol = _protocol(given["protocol"]) if "protocol" in given else choice.protocol
    return replace(
        choice, explicit=True, thoughts=cast(Thoughts | None, thoughts), protocol=protocol,
        method=method if method is not None else None if policy else choice.method,
        policy=policy or choice.policy, budget=budget, directions=_directions(given))


def _numbers(given: Mapping[str, Any]) -> dict[str, int | float]:
    found: dict[str, int | float] = {}
    for name in _BUDGET:
        value = given.get(name)
        if value is None:
            continue
        kinds = (int,) if name in _WHOLE else (int, float)
        if type(value) not in kinds or not 0 < value < 1 << 62:
            raise invalid(f"`plait.{name}` is {value!r:.40} but must be a"
                          f" {'whole ' if name in _WHOLE else ''}number above 0", f"plait.{name}")
        found[name] = value
    return found


def _nested(budget: object) -> dict[str, int | float]:
    """The budget in an object of its own, which reads better in some programs."""
    if budget is None:
        return {}
    if not isinstance(budget, Mapping) or (odd := next((n for n in budget if n not in _BUDGET),
                                                       None)) is not None:
        what = "must be an object" if not isinstance(budget, Mapping) else f"has no `{odd}`"
        raise invalid(f"`plait.budget` {what}. Known: {', '.join(_BUDGET)}.", "plait.budget")
    return _numbers(budget)


def _directions(given: Mapping[str, Any]) -> Directions:
    """Raises `ApiError` for values out of range, and for what would reach into the server."""
    verify, prompts, rounds = given.get("verify"), given.get("prompts"), given.get("rounds")
    if verify is not None and verify.partition(":")[0] not in _REMOTE_VERIFIERS:
        raise invalid(f"`plait.verify` cannot be `{verify:.40}` here. Known:"
                      f" {', '.join(_REMOTE_VERIFIERS)}.", "plait.verify")
    if prompts is not None and prompts not in ("instruct", "reasoning"):
        raise invalid("`plait.prompts` must be `instruct` or `reasoning`", "plait.prompts")
    wanted: dict[str, Any] = {"merge": given.get("merge"), "verify": verify, "prompts": prompts}
    for name in ("attempts", "threshold", "window"):
        value = given.get(name)
        if value is not None and (type(value) is not int or value > MOST):
            raise invalid(f"`plait.{name}` must be a whole number, at most {MOST}", f"plait.{name}")
        wanted[name] = value
    if rounds is not None:
        if not isinstance(rounds, list) or not all(
                type(n) is int and n <= MOST for n in rounds) or len(rounds) > MOST_ROUNDS:
            raise invalid("`plait.rounds` must be a short list of whole numbers", "plait.rounds")
        wanted["rounds"] = tuple(rounds)
    try:
        return Directions(**wanted)
    except UsageError as error:
        raise invalid(error.line, FIELD) from None


def _protocol(name: str) -> str:
    """``name`` if it is a wire format of the catalogue. Clients name no modules."""
    if name != AUTO and look_up(name) is None:
        raise invalid(f"there is no protocol `{name:.40}`; `plait protocols` lists them",
                      "plait.protocol")
    return name


def _known(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean `{near[0]}`? {listed}" if near else listed
