"""Live experiments: who gets which policy, what is repeated in the shadow, what came of it.

    assigned = experiments.assign(run=..., model=..., user=...)   # before the run: its policy
    info = RunInfo(..., experiment=assigned.experiment, arm=assigned.arm)
    ...                                                           # the run, watched by experiments
    repeated = experiments.take_shadow(info)                      # after it: B's policy, or None

Who gets what depends on a hash of the experiment's name and the unit alone, so it is the same in
every process and after every restart. What was seen before a restart comes back from the store.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from plait.core.events import Event
from plait.policy import PolicyFile
from plait.server.experiments.counting import Counting, Place, Seen
from plait.server.experiments.settings import Arm, ExperimentSettings, Unit
from plait.server.feedback import Feedback
from plait.server.redact import pseudonym
from plait.server.store import RunFilter, RunRecord, Store
from plait.server.watch import Ending, RunInfo

HOUR = 3600.0
MOST_DUE = 1000
"""Runs that wait for somebody to ask whether they are to be repeated."""
ANSWERS = ("answered", "budget")
"""Outcomes with an answer; at the end of a budget it is the best one so far."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which policy a run gets. None: the gateway's own."""

    experiment: str
    arm: Arm
    policy: str | PolicyFile | None


@dataclass(slots=True, eq=False)
class _State:
    """An experiment, and what of it is under way."""

    counting: Counting
    units: set[str] = field(default_factory=set)
    rated: set[str] = field(default_factory=set)
    due: dict[str, Seen] = field(default_factory=dict)
    """Runs of A that B may repeat."""
    pairs: dict[str, tuple[Place, Seen]] = field(default_factory=dict)
    """Runs of A that B repeats just now."""
    places: dict[str, Place] = field(default_factory=dict)
    recent: deque[float] = field(default_factory=deque)
    skipped: int = 0
    """Runs that B should have repeated, had there been room."""

    @property
    def settings(self) -> ExperimentSettings:
        return self.counting.settings


class Experiments:
    """A watcher that knows the experiments. ``idle`` says whether the engine has room to repeat
    runs in the shadow."""

    def __init__(
        self, settings: Sequence[ExperimentSettings], *, idle: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._states = {s.name: _State(Counting(s)) for s in settings}
        self._idle = idle
        self._now = now

    def __iter__(self) -> Iterator[tuple[Counting, int]]:
        """Each experiment, and how many runs B should have repeated but had no room to."""
        return ((state.counting, state.skipped) for state in self._states.values())

    # --- who gets what ---------------------------------------------------------------------------

    def assign(
        self, *, run: str, model: str, user: str = "", session: str = "", key: str = ""
    ) -> Assignment | None:
        """The policy of a request that leaves the choice; None if no experiment is on for it. A
        request without the experiment's unit (no user, say) is a unit of its own."""
        for state in self._states.values():
            settings = state.settings
            if settings.models and model not in settings.models:
                continue
            if settings.mode == "shadow":
                return Assignment(settings.name, "A", settings.a)
            unit = _unit(settings.by, run, pseudonym(user), pseudonym(session), key)
            if draw(settings.name, unit) < settings.share:
                return Assignment(settings.name, "B", settings.b)
            return Assignment(settings.name, "A", settings.a)
        return None

    def take_shadow(self, info: RunInfo) -> Assignment | None:
        """The policy under which the run ``info``, which has ended, is to be repeated now; None if
        it is not. Who takes it runs it, with ``shadow_of`` and the same ``experiment``."""
        state = self._states.get(info.experiment)
        seen = state.due.pop(info.run, None) if state is not None else None
        if state is None or seen is None:
            return None
        settings, now = state.settings, self._now()
        while state.recent and state.recent[0] <= now - HOUR:
            state.recent.popleft()
        busy = len(state.pairs) >= settings.at_once or len(state.recent) >= settings.per_hour
        if busy or not self._idle():
            state.skipped += 1
            return None
        state.recent.append(now)
        state.pairs[info.run] = (state.counting.begin(), seen)
        return Assignment(settings.name, "B", settings.b)

    # --- watching --------------------------------------------------------------------------------

    def started(self, info: RunInfo) -> None:
        state = self._states.get(info.experiment)
        if state is None or state.settings.mode == "shadow" or not info.arm:
            return
        unit = _unit(state.settings.by, info.run, pseudonym(info.user), pseudonym(info.session),
                     info.key)
        if unit not in state.units and not state.counting.full:
            state.units.add(unit)
            state.places[info.run] = state.counting.begin(info.arm)

    def event(self, info: RunInfo, event: Event) -> None:
        pass

    def ended(self, info: RunInfo, ending: Ending) -> None:
        state = self._states.get(info.experiment)
        if state is None:
            return
        answer = ending.result.answer if ending.result is not None else None
        seen = Seen(ending.outcome in ANSWERS, ending.seconds, ending.metrics.total_tokens, answer)
        if info.shadow_of:
            if info.shadow_of in state.pairs:
                place, one = state.pairs.pop(info.shadow_of)
                if ending.outcome == "cancelled":  # nobody cancels a shadow but the gateway's end
                    state.counting.drop(place)
                else:
                    state.counting.end(place, one, seen)
        elif info.run in state.places:
            state.counting.end(state.places.pop(info.run), seen)
        elif (state.settings.mode == "shadow" and ending.outcome != "cancelled"
              and not state.counting.full
              and draw(state.settings.name, info.run) < state.settings.share):
            state.due[info.run] = seen
            if len(state.due) > MOST_DUE:
                state.due.pop(next(iter(state.due)))

    def rated(self, said: Feedback, record: RunRecord) -> None:
        """Somebody rated the run of ``record``; the first rating of each unit counts."""
        state = self._states.get(record.experiment)
        if state is None or said.rating is None or state.settings.metric != "rating":
            return
        unit = _unit_of(state.settings.by, record)
        if unit not in state.rated and record.arm in ("A", "B"):
            state.rated.add(unit)
            state.counting.rate("B" if record.arm == "B" else "A", said.rating)

    def replay(self, records: Iterable[RunRecord]) -> None:
        """Count runs of before, in the order in which they came."""
        first: dict[str, Seen] = {}
        for record in records:
            state = self._states.get(record.experiment)
            if state is None or state.counting.full or record.state in ("running", "lost"):
                continue
            seen = Seen(record.state in ANSWERS, record.seconds or 0.0, record.total_tokens,
                        record.answer)
            if state.settings.mode == "shadow":
                if not record.shadow_of:
                    first[record.run] = seen
                elif record.shadow_of in first and record.state != "cancelled":
                    counting = state.counting
                    counting.end(counting.begin(), first.pop(record.shadow_of), seen)
                continue
            unit = _unit_of(state.settings.by, record)
            if unit not in state.units and record.arm in ("A", "B"):
                state.units.add(unit)
                arm: Arm = "B" if record.arm == "B" else "A"
                state.counting.end(state.counting.begin(arm), seen)
            if record.rating is not None:
                self.rated(Feedback(record.run, record.rating), record)


async def recall(experiments: Experiments, store: Store, names: Sequence[str]) -> None:
    """Count what the store still has of the experiments ``names``."""
    for name in names:
        records: list[RunRecord] = []
        before: int | None = None
        while True:
            page = await store.runs(RunFilter(experiment=name, shadows=True), limit=1000,
                                    before=before)
            records += page.runs
            before = page.next
            if before is None:
                break
        experiments.replay(reversed(records))


def draw(name: str, unit: str) -> float:
    """A number in [0, 1) that depends on the experiment's name and the unit alone."""
    digest = hashlib.sha256(f"{name}\x00{unit}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _unit(by: Unit, run: str, user: str, session: str, key: str) -> str:
    """What stays with one policy. Users and sessions come as pseudonyms, as stores may have
    them."""
    value = {"user": user, "session": session, "key": key, "request": ""}[by]
    return f"{by}:{value}" if value else f"request:{run}"


def _unit_of(by: Unit, record: RunRecord) -> str:
    named = pseudonym if record.texts == "keep" else str
    return _unit(by, record.run, named(record.user), named(record.session), record.key)
