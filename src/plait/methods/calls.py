"""Calls of tools while they are written, and the tools by which a model forks. Pure.

A turn's calls come in pieces that are cut anywhere. `Calls` puts them together, and tells of each
task of a ``spawn_threads`` the moment its text is complete, while the list it stands in is still
written. What such a call comes to as a whole is known at the end of the turn only: `tasks_in`.

Odd servers are forgiven: an index that several calls share (told apart by their ids), no index or
id at all, a name that comes again with every piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from plait.core import CallDelta, Tool, ToolCall

SPAWN, JOIN = "spawn_threads", "join_threads"
MOST = 64
"""Tasks of one call."""

TOOLS = (
    Tool(SPAWN, (
        "Start threads that work on parts of the problem side by side, each on one task. A thread"
        " sees nothing but its task, so put into it all that is needed. The threads are named t1,"
        " t2, ... in the order in which you start them. This returns at once: go on with work of"
        " your own, and call join_threads when you need what they found. Do small steps yourself."),
        {"type": "object", "required": ["tasks"], "properties": {"tasks": {
            "type": "array", "minItems": 1, "maxItems": MOST,
            "items": {"type": "object", "required": ["task"], "properties": {
                "task": {"type": "string", "description": "What to do, complete in itself."},
                "context": {"type": "string", "description": "Facts that the thread needs."},
            }}}}}),
    Tool(JOIN, (
        "Wait for threads and get what they found. Join every thread that you started before you"
        " give the answer."),
        {"type": "object", "properties": {"ids": {
            "type": "array", "items": {"type": "string"},
            "description": "Names such as t1; leave it out for all that are not joined yet."}}}),
)


@dataclass(frozen=True, slots=True)
class Task:
    """One item of a ``spawn_threads``. ``place`` counts from 1."""

    place: int
    text: str
    context: str = ""


@dataclass(slots=True)
class _Open:
    """A call that is being written."""

    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    items: ItemReader | None = None


class Calls:
    """The calls of one turn, put together from their pieces."""

    def __init__(self) -> None:
        self._open: list[_Open] = []

    def feed(self, delta: CallDelta) -> list[tuple[int, Task]]:
        """The tasks that ``delta`` completes, each with the number of its call in the turn."""
        number = self._find(delta)
        call = self._open[number]
        call.id = call.id or delta.id
        if not call.name and delta.name:
            call.name = delta.name
            call.items = ItemReader() if call.name == SPAWN else None
        call.pieces.append(delta.arguments)
        if call.items is None:
            return []
        found = [read_task(place, value) for place, value in call.items.feed(delta.arguments)]
        return [(number, task) for task in found if isinstance(task, Task) and task.place <= MOST]

    def _find(self, delta: CallDelta) -> int:
        for number in reversed(range(len(self._open))):
            call = self._open[number]
            if call.index == delta.index and not (call.id and delta.id and call.id != delta.id):
                return number
        self._open.append(_Open(delta.index))
        return len(self._open) - 1

    def close(self, turn: int) -> list[ToolCall]:
        """All calls as they were written; the arguments may be no JSON. ``turn`` goes into the ids
        of those that have none, or one that is taken."""
        closed: list[ToolCall] = []
        for number, call in enumerate(self._open):
            taken = not call.id or any(c.id == call.id for c in closed)
            name = f"call_{turn}_{number}" if taken else call.id
            closed.append(ToolCall(name, call.name, "".join(call.pieces)))
        return closed


class ItemReader:
    """Reads the items of the list ``tasks`` out of a JSON object that comes in pieces.

    Texts and objects are given as soon as they end. What is no JSON is passed over here: the
    whole is judged when it is complete. Every character is looked at once.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._stack = ""
        self._string: int | None = None
        self._escaped = False
        self._word = self._key = ""
        self._item: int | None = None
        self._place = 1

    def feed(self, piece: str) -> list[tuple[int, object]]:
        """The items that ``piece`` completes, each with its place in the list (from 1)."""
        self._text += piece
        found: list[tuple[int, object]] = []
        for at in range(self._at, len(self._text)):
            sign = self._text[at]
            if self._string is not None:
                self._inside(sign, at, found)
            elif sign == '"':
                self._string = at
            elif sign in "{[":
                if sign == "{" and self._in_list:
                    self._item = at
                self._stack += sign
            elif sign in "}]":
                self._leave(at, found)
            elif sign == ":" and self._stack == "{":
                self._key = self._word
            elif sign == "," and self._in_list:
                self._place += 1
        self._at = len(self._text)
        return found

    @property
    def _in_list(self) -> bool:
        return self._stack == "{[" and self._key == "tasks"

    def _inside(self, sign: str, at: int, found: list[tuple[int, object]]) -> None:
        """One character of a string."""
        if self._escaped:
            self._escaped = False
        elif sign == "\\":
            self._escaped = True
        elif sign == '"':
            assert self._string is not None
            start, self._string = self._string, None
            if self._stack == "{":
                self._word = str(_loads(self._text[start : at + 1]))
            elif self._in_list:
                self._give(start, at, found)

    def _leave(self, at: int, found: list[tuple[int, object]]) -> None:
        self._stack = self._stack[:-1]
        if self._item is not None and self._in_list:
            start, self._item = self._item, None
            self._give(start, at, found)

    def _give(self, start: int, at: int, found: list[tuple[int, object]]) -> None:
        value = _loads(self._text[start : at + 1])
        if value is not None:
            found.append((self._place, value))


def _loads(text: str) -> object:
    """The value of a piece of JSON; None if it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def read_object(arguments: str) -> dict[str, object] | str:
    """The arguments of a call (none at all: an empty object), or what is wrong with them."""
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError as error:
        return f"the arguments are not valid JSON ({error})"
    return value if isinstance(value, dict) else "the arguments are not a JSON object"


def read_task(place: int, value: object) -> Task | str:
    """The task that an item describes, or what is wrong with it."""
    fields = value if isinstance(value, dict) else {"task": value}
    text, context = fields.get("task"), fields.get("context") or ""
    if not isinstance(text, str) or not isinstance(context, str):
        return f"task {place} is neither a text nor an object with the text `task`"
    if not text.strip():
        return f"task {place} is empty"
    return Task(place, text.strip(), context.strip())


def tasks_in(arguments: str) -> tuple[list[Task], list[str]]:
    """The tasks of a complete ``spawn_threads``, and everything that is wrong with it."""
    found = read_object(arguments)
    if isinstance(found, str):
        return [], [found]
    items = found.get("tasks")
    if not isinstance(items, list):
        return [], ["`tasks` must be a list of tasks"]
    if not items:
        return [], ["`tasks` is empty"]
    read = [read_task(place, item) for place, item in enumerate(items[:MOST], 1)]
    faults = [r for r in read if isinstance(r, str)]
    if len(items) > MOST:
        faults.append(f"a call starts at most {MOST} threads; tasks {MOST + 1} to {len(items)}"
                      " were not started")
    return [r for r in read if isinstance(r, Task)], faults


def ids_in(arguments: str) -> list[str] | str | None:
    """The names in a ``join_threads``, each once; None for all; or what is wrong with it."""
    found = read_object(arguments)
    if isinstance(found, str):
        return found
    ids = found.get("ids")
    if isinstance(ids, str):
        ids = [ids]
    if ids is None or ids == []:
        return None
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        return "`ids` must be a list of names such as t1"
    return list(dict.fromkeys(ids))
