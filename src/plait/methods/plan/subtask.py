"""What a planner writes: subtasks as JSON, their schema, and how an item of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plait.prompts import defuse, one_line

DIFFICULTY = {"easy": 120, "medium": 360, "hard": 900}
"""Tokens that a subtask is taken to need where the planner only names its difficulty."""
LARGEST = 100_000

SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "split": {"type": "boolean"},
        "why": {"type": "string"},
        "subtasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "task": {"type": "string"},
                    "needs": {"type": "array", "items": {"type": "string"}},
                    "difficulty": {"type": "string", "enum": list(DIFFICULTY)},
                    "tokens": {"type": "integer"},
                    "must_contain": {"type": "string"},
                },
                "required": ["id", "task", "needs", "difficulty", "tokens", "must_contain"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["split", "why", "subtasks"],
    "additionalProperties": False,
}
"""A plan. ``split`` false: the planner would not divide the problem, ``why`` says the reason."""


@dataclass(frozen=True, slots=True)
class Subtask:
    """One item of a plan. ``tokens``: how long its answer is estimated to be, thoughts included.

    ``needs``: ids of the subtasks whose results it has to be given; ``must_contain``: what its
    answer has to hold.
    """

    id: str
    task: str
    needs: tuple[str, ...] = ()
    tokens: int = DIFFICULTY["medium"]
    must_contain: str = ""

    @property
    def text(self) -> str:
        """All that says what it is about."""
        return f"{self.task} {self.must_contain}"


def read_subtask(item: object) -> Subtask | str:
    """The subtask that a JSON value describes, or what is wrong with it in a few words.

    Numbers are taken for ids, one id for a list of one, and an estimate that is no sensible number
    is replaced by that of the difficulty: models get these wrong without meaning anything by it.
    Ids are one line, and no tag in a text acts: a planner may copy what a question brought in.
    """
    if not isinstance(item, Mapping):
        return f"a subtask is no object but {item!r:.40}"
    name, task = _name(item.get("id")), item.get("task")
    if not name:
        return f"a subtask has no id: {item!r:.80}"
    if not isinstance(task, str) or not task.strip():
        return f"subtask `{name}` has no task"
    needs = item.get("needs") or ()
    if isinstance(needs, str | int):
        needs = (needs,)
    if not isinstance(needs, list | tuple):
        return f"subtask `{name}` needs something that is no list: {needs!r:.40}"
    wanted = tuple(dict.fromkeys(filter(None, map(_name, needs))))
    contain = item.get("must_contain")
    return Subtask(name, defuse(task).strip(), wanted, _tokens(item),
                   defuse(contain).strip() if isinstance(contain, str) else "")


def _name(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return one_line(str(value).strip().removeprefix("$"), 60)


def _tokens(item: Mapping[str, object]) -> int:
    given = item.get("tokens")
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given <= LARGEST:
        return max(1, int(given))
    return DIFFICULTY.get(str(item.get("difficulty", "")).lower(), DIFFICULTY["medium"])
