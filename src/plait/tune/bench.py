"""One problem under one policy: answered, graded, and remembered.

What a policy does to a problem is often what another one does to it (below their thresholds all
are sequential), so outcomes are kept by what was really done. They are appended to a file as they
come, so that a search that was stopped goes on without answering anything twice. Problems are
answered one at a time: what is measured is the latency of one request, not of a busy engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from plait.core import Request
from plait.core.request import Plan
from plait.errors import UsageError
from plait.evals import Arm, Sample, Score, Task
from plait.policy import PolicyFile
from plait.solve import Runtime, solve

Grade = Callable[[Sample, str | None], Awaitable[Score]]
SEQUENTIAL = PolicyFile("sequential")
_ARM = Arm("policy")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a problem took. ``tokens`` are all generated ones, ``path`` those on the longest
    path."""

    sample: str
    right: bool
    seconds: float
    tokens: int
    path: int
    method: str


class Bench:
    """Answers samples on ``runtime``. ``request`` holds sampling and limits for all of them;
    ``store`` is the file of outcomes, None to forget them at the end.

    Raises `UsageError` if the store cannot be read or written.
    """

    def __init__(
        self, runtime: Runtime, grade: Grade, *, request: Request | None = None,
        store: Path | None = None,
    ) -> None:
        self._runtime = runtime
        self._grade = grade
        self._request = request or Request("?")
        self._store = store
        self._known = _read(store) if store is not None else {}
        self.answered = 0
        """Problems that were really answered, not remembered."""

    async def take(self, policy: PolicyFile, sample: Sample) -> Taken:
        """``sample`` under ``policy``. Raises `UsageError` if nothing can grade its answer, and
        `EngineError` if the engine fails."""
        seed = Task(sample, _ARM).seed(self._request.seed)
        request, decision = policy.apply(
            replace(self._request, prompt=sample.question, seed=seed))
        plan = decision.plan
        key = _key(sample, request, plan)
        if key in self._known:
            return self._known[key]
        result = await solve(request, runtime=self._runtime, plan=plan)
        right = (await self._grade(sample, result.answer)).right
        if right is None:
            raise UsageError(f"nothing can grade the answer to `{sample.id}`",
                             hint="Tuning needs a suite whose grader says right or wrong.")
        self.answered += 1
        taken = Taken(sample.id, right, result.wall_seconds, result.total_tokens,
                      result.critical_path_tokens, result.method)
        self._known[key] = taken
        if self._store is not None:
            _append(self._store, key, taken)
        return taken


def _key(sample: Sample, request: Request, plan: Plan) -> str:
    """What was done, as text: all that can change the outcome."""
    parts = [sample.id, sample.question, request.seed, plan.method]
    if plan.method != "sequential":
        parts += [plan.protocol, plan.width, plan.early_stop, request.budget.depth,
                  request.directions.attempts, request.directions.merge]
    return orjson.dumps(parts).decode()


def _read(store: Path) -> dict[str, Taken]:
    """The outcomes of before. A last line that was cut off is taken out of the file."""
    known: dict[str, Taken] = {}
    try:
        data = store.read_bytes() if store.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with store.open("r+b") as file:
                file.truncate(whole)
    except OSError as error:
        raise UsageError(f"cannot read {store}: {error.strerror}") from None
    for place, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            entry = orjson.loads(line)
            key = entry.pop("key")
            known[key] = Taken(**entry)
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            raise UsageError(f"{store}, line {place} is no outcome of a search",
                             hint="Name another folder.") from None
    return known


def _append(store: Path, key: str, taken: Taken) -> None:
    try:
        with store.open("ab") as file:
            file.write(orjson.dumps({"key": key, **asdict(taken)}) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {store}: {error.strerror}") from None
