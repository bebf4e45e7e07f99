"""Where each subtask of a plan stands. Pure: who starts what is decided in `crew`.

Subtasks become *units*, and a unit is what one thread does. Most units are one subtask; subtasks
that are too small to be worth a thread of their own (`least` tokens) are gathered in one unit
until they are worth it together, which is also how a plan of trifles ends up with one thread. A
larger one joins them only if it needs one of them. A unit gathers only what cannot make it wait
for itself.

    waiting --(all it needs is done)--> ready --> running --> done | failed
                                          ^          |
                                          +----------+   it turned out to need something

A subtask that needs one that has not been named yet waits for it: plans in the wrong order are
repaired by that. At the end of the plan (`close`) needs that nobody serves are taken out, with a
note, and subtasks that need each other in a circle make the plan invalid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from plait.methods.plan.independence import find_cycle, late_needs, undeclared_needs
from plait.methods.plan.subtask import Subtask

State = Literal["waiting", "running", "done", "failed"]


@dataclass(slots=True, eq=False)
class Unit:
    """What one thread does: one subtask, or several small ones."""

    subtasks: list[Subtask]
    state: State = "waiting"
    needs: set[str] = field(default_factory=set)
    """Ids of subtasks outside the unit whose results it has to be given."""
    moves: int = 0
    """How often it was put off because it lacked something."""
    text: str = ""
    """Its result, once it is done; why there is none, once it has failed."""

    @property
    def name(self) -> str:
        return "+".join(s.id for s in self.subtasks)

    @property
    def ids(self) -> set[str]:
        return {s.id for s in self.subtasks}

    @property
    def tokens(self) -> int:
        """How long it is estimated to be."""
        return sum(s.tokens for s in self.subtasks)

    @property
    def task(self) -> str:
        """What it is to do; several subtasks as a list."""
        if len(self.subtasks) == 1:
            return self.subtasks[0].task
        return "\n".join(f"- {s.id}: {s.task}" for s in self.subtasks)

    @property
    def must_contain(self) -> str:
        return "; ".join(s.must_contain for s in self.subtasks if s.must_contain)


class Board:
    """The units of one plan, in the order of the plan.

    ``least``: tokens below which a subtask gets no thread of its own. ``most``: units at most;
    whatever comes beyond is gathered in the last one.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.units: list[Unit] = []
        self.subtasks: dict[str, Subtask] = {}
        self.notes: list[str] = []
        """What was found odd and repaired; whoever reads them clears the list."""
        self.closed = False
        self._small: Unit | None = None
        self._unit_of: dict[str, Unit] = {}

    def add(self, subtask: Subtask) -> list[Unit]:
        """Take a subtask; the units that were running and have to be put off because of it."""
        if subtask.id in self.subtasks:
            self.notes.append(f"the plan names `{subtask.id}` twice; the second one is left out")
            return []
        before = list(self.subtasks.values())
        needs = set(subtask.needs)
        if subtask.id in needs:
            self.notes.append(f"`{subtask.id}` says it needs itself")
            needs.discard(subtask.id)
        if found := undeclared_needs(subtask, before):
            self.notes.append(f"`{subtask.id}` speaks of {_list(found)} and now waits for it")
            needs |= found
        self.subtasks[subtask.id] = subtask
        self._place(subtask, needs)
        return [unit for name in late_needs(subtask, before)
                if (unit := self.depend(name, {subtask.id})) is not None]

    def _place(self, subtask: Subtask, needs: set[str]) -> None:
        small = self._small
        crowded = len(self.units) >= self.most - (small is None)
        alone = subtask.tokens >= self.least and (small is None or not needs & small.ids)
        if alone and not crowded:
            self._open(subtask, needs)
            return
        if small is not None and not self._fits(small, needs) and not crowded:
            self._release()
            small = None
        if small is None:
            small = self._small = self._open(subtask, needs)
        else:
            small.subtasks.append(subtask)
            self._unit_of[subtask.id] = small
            small.needs = (small.needs | needs) - small.ids
        if small.tokens >= self.least and len(self.units) < self.most:
            self._release()

    def _open(self, subtask: Subtask, needs: set[str]) -> Unit:
        unit = Unit([subtask], needs=needs)
        self.units.append(unit)
        self._unit_of[subtask.id] = unit
        return unit

    def _fits(self, small: Unit, needs: set[str]) -> bool:
        """May a subtask with ``needs`` join ``small`` without making it wait for itself?"""
        return not any(self._reaches(name, small) for name in (needs | small.needs) - small.ids)

    def _reaches(self, name: str, unit: Unit) -> bool:
        """Does the subtask ``name`` depend on ``unit``, or may it, since it is not known yet?"""
        seen: set[str] = set()
        open_names = [name]
        while open_names:
            at = open_names.pop()
            if at in seen:
                continue
            seen.add(at)
            if at in unit.ids or at not in self._unit_of:
                return True
            open_names += self._unit_of[at].needs
        return False

    def _release(self) -> None:
        self._small = None

    def depend(self, name: str, needs: set[str]) -> Unit | None:
        """The subtask ``name`` needs ``needs`` as well. Its unit, if that was running or done.

        A dependence that would close a circle is not taken: the other direction was there first.
        """
        unit = self._unit_of[name]
        fresh = {n for n in needs - unit.ids - unit.needs
                 if n in self._unit_of and not self._reaches(n, unit)}
        if not fresh:
            return None
        unit.needs |= fresh
        self.notes.append(f"`{unit.name}` depends on {_list(fresh)}, which was found out late")
        if unit.state in ("running", "done"):
            unit.state, unit.text = "waiting", ""
            return unit
        return None

    def close(self) -> list[str]:
        """The plan is complete. Subtasks that need each other in a circle, if there are any."""
        self._release()
        self.closed = True
        for unit in self.units:
            if unknown := {n for n in unit.needs if n not in self._unit_of}:
                self.notes.append(f"`{unit.name}` needs {_list(unknown)}, which the plan does not"
                                  " have; taken out")
                unit.needs -= unknown
        return find_cycle({u.name: {self._unit_of[n].name for n in u.needs} for u in self.units})

    @property
    def ready(self) -> list[Unit]:
        """Units that may start now. One that is still gathering, and one that needs a subtask
        that has not been named or has failed, is not among them."""
        return [u for u in self.units if u.state == "waiting" and u is not self._small
                and all(n in self._unit_of and self._unit_of[n].state == "done" for n in u.needs)]

    @property
    def stuck(self) -> list[Unit]:
        """Waiting units that need one that has failed."""
        return [u for u in self.units if u.state == "waiting"
                and any(n in self._unit_of and self._unit_of[n].state == "failed"
                        for n in u.needs)]

    def given(self, unit: Unit) -> list[Unit]:
        """The units whose results ``unit`` is to be given, in the order of the plan."""
        wanted = {self._unit_of[n].name for n in unit.needs if n in self._unit_of}
        return [u for u in self.units if u.name in wanted]

    def of(self, state: State) -> list[Unit]:
        """The units in ``state``."""
        return [u for u in self.units if u.state == state]

    def mentioned(self, text: str) -> set[str]:
        """Ids of subtasks that ``text`` names as a word."""
        words = set(text.replace("`", " ").replace(",", " ").replace(".", " ").split())
        return {name for name in self.subtasks if name in words or f"${name}" in words}

    def path(self) -> int:
        """The longest chain of estimated tokens that depend on each other."""
        length: dict[str, int] = {}
        for unit in self._in_order():
            before = (length[self._unit_of[n].name] for n in unit.needs)
            length[unit.name] = unit.tokens + max(before, default=0)
        return max(length.values(), default=0)

    def _in_order(self) -> Iterable[Unit]:
        """Units, each behind all that it needs. Only for a board without circles."""
        done: set[str] = set()
        rest = list(self.units)
        while rest:
            now = [u for u in rest if u.needs <= done]
            if not now:
                return
            yield from now
            done |= {i for u in now for i in u.ids}
            rest = [u for u in rest if u not in now]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
