"""A scripted instruct model that plans, works, judges and merges, and what a run of it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.core import Budget, Message, Plan, Request, Result, Sampling
from plait.core.events import Ended, Event, Noted, Started
from plait.methods import PlanMethod, PlanOptions
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace

Reply = str | Play
QUESTION = "How do I build a house?"


def item(name: str, *needs: str, task: str = "", tokens: int = 200) -> dict[str, Any]:
    return {"id": name, "task": task or f"Work out {name}.", "needs": list(needs),
            "tokens": tokens}


def plan(*items: dict[str, Any]) -> str:
    return json.dumps({"split": True, "why": "parts", "subtasks": list(items)})


@dataclass
class Model:
    """``plans``: replies of the planner, one a call, the last one repeats. ``work``: by task, a
    reply or a function of the prompt. ``other``: replies of judges by a phrase of their prompt."""

    plans: list[Reply]
    work: Mapping[str, Reply | Callable[[str], Reply]] = field(default_factory=dict)
    merge: Reply | Callable[[str], Reply] = "the merged answer"
    other: Mapping[str, Reply | Callable[[str], Reply]] = field(default_factory=dict)
    alone: Reply = "the sequential answer"
    planned: int = 0
    asked: list[str] = field(default_factory=list)

    def __call__(self, prompt: str, sampling: Sampling) -> Reply:
        self.asked.append(prompt)
        for phrase, reply in self.other.items():
            if phrase in prompt:
                return reply(prompt) if callable(reply) else reply
        if "Plan how several people" in prompt:
            self.planned += 1
            return self.plans[min(self.planned, len(self.plans)) - 1]
        if (task := re.search(r"nothing of the others:\n(.*)", prompt)) is not None:
            name = task[1].removeprefix("Work out ").removesuffix(".")
            reply = self.work.get(name, Play(f"{name} is ready", every=0.5))
            return reply(prompt) if callable(reply) else reply
        if "was worked on in parts" in prompt:
            return self.merge(prompt) if callable(self.merge) else self.merge
        return self.alone

    def prompts(self, phrase: str) -> list[str]:
        """Prompts that hold ``phrase``."""
        return [p for p in self.asked if phrase in p]


@dataclass
class Show:
    """What came of it."""

    result: Result
    trace: Trace
    model: Model
    engine: ScriptedEngine

    def of(self, kind: type[Event]) -> list[Any]:
        return [e for e in self.trace.events if isinstance(e, kind)]

    def started(self, role: str) -> list[Any]:
        return [e for e in self.of(Started) if e.role == role]

    def ended(self, label: str) -> list[str]:
        """How the threads with this label ended, in the order of their start."""
        names = [e.thread for e in self.of(Started) if e.label == label]
        by_name = {e.thread: e.status for e in self.of(Ended)}
        return [by_name[n] for n in names]

    def noted(self, what: str) -> bool:
        return any(what in e.what for e in self.of(Noted))


def show(
    model: Model, options: PlanOptions | None = None, *, budget: Budget | None = None,
    question: str = QUESTION, gain: bool = False, every: float = 0.01, window: int | None = None,
    method: PlanMethod | None = None,
) -> Show:
    """Run the method on the scripted engine, in virtual time."""
    trace = Trace()
    engine = ScriptedEngine(model, every=every, window=window)

    async def main() -> Result:
        async with Runtime(engine) as runtime:
            request = Request(messages=(Message("user", question),), budget=budget or Budget())
            result = await solve(request, runtime=runtime, plan=Plan("plan", gain=gain),
                                 method=method or PlanMethod(options), trace=trace)
            assert runtime.limiter.state.running == 0
            return result

    result = run_virtual(main)
    assert engine.calls.open == 0
    return Show(result, trace, model, engine)
