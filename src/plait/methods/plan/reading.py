"""A plan is read while it is written: each subtask counts from its closing brace on.

As long as the JSON is sound it is parsed as it streams (ijson). Where it is not, what came before
the fault counts already, and at the end the whole text is repaired (json-repair) and the subtasks
that the stream did not give are taken from there. Only text that *begins* with JSON, behind
thoughts and a code fence, is read in the stream: braces in prose are no plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import ijson
import json_repair

from plait.core.reading import END_THINK as CLOSE
from plait.core.reading import THINK as OPEN
from plait.methods.plan.subtask import Subtask, read_subtask

_FENCES = ("```json", "```JSON", "```")


@dataclass(frozen=True, slots=True)
class PlanEnd:
    """What is known when the plan is complete: subtasks that the stream did not give, and whether
    the planner ``declined`` to split (its reason; None: it did not)."""

    subtasks: tuple[Subtask, ...]
    declined: str | None


class PlanReader:
    """Takes a planner's text in any pieces. ``problems``: items that are no subtasks."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._text = ""
        self._taken = 0
        self._begun = self._broken = False
        self._items = ijson.sendable_list()
        self._parser: object = None

    def feed(self, text: str) -> list[Subtask]:
        """The subtasks that are complete with ``text``."""
        self._text += text
        if self._broken:
            return []
        if not self._begun:
            json = _json_in(self._text)
            if json is None:
                return []
            self._begun = True
            self._parser = ijson.items_coro(
                self._items, "item" if json.startswith("[") else "subtasks.item", use_float=True)
            text = json
        try:
            self._parser.send(text.encode("utf-8", "replace"))  # type: ignore[attr-defined]
        except (ijson.JSONError, StopIteration):
            self._broken = True
        found = list(self._items)
        del self._items[:]
        return self._read(found)

    def close(self) -> PlanEnd:
        """The text is complete. Never raises: a text without a plan has no subtasks."""
        answer = self._text.rpartition(CLOSE)[2]
        at = min((i for i in map(answer.find, "{[") if i >= 0), default=-1)
        whole = json_repair.loads(answer[at:]) if at >= 0 else None
        items: object = whole
        declined = None
        if isinstance(whole, dict):
            items = whole.get("subtasks")
            if whole.get("split") is False:
                declined = str(whole.get("why") or "no reason given")
            elif items is None and "task" in whole:
                items = [whole]
        elif isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], dict) and (
            "subtasks" in whole[0]
        ):
            items = whole[0]["subtasks"]
        rest = items[self._taken :] if isinstance(items, list) else []
        return PlanEnd(tuple(self._read(rest)), declined)

    def _read(self, items: list[object]) -> list[Subtask]:
        found = []
        for item in items:
            self._taken += 1
            subtask = read_subtask(item)
            if isinstance(subtask, Subtask):
                found.append(subtask)
            else:
                self.problems.append(subtask)
        return found


def _json_in(text: str) -> str | None:
    """The JSON that ``text`` begins with, behind thoughts and a fence; None while it has none."""
    thoughts, closed, text = text.rpartition(CLOSE)
    if not closed and OPEN in text:
        return None
    del thoughts
    text = text.lstrip()
    for fence in _FENCES:
        if text.startswith(fence):
            text = text.removeprefix(fence).lstrip()
            break
    return text if text.startswith(("{", "[")) else None
