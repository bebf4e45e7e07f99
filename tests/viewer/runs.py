"""Hand-made runs for the viewer's tests."""

from __future__ import annotations

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Ended,
    Event,
    Joined,
    Noted,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)

HEADER = RunStarted(0.0, "r", "Make 92 from 46, 39, 29 and 20", "nano", "plait-nano", "native",
                    "apr", 7)
ROOT = Started(0.0, "0", None, "root", "thread", 0)


def child(index: int, t: float = 1.0) -> list[Event]:
    """A child that has begun to write."""
    name = f"0.{index}"
    return [Started(t, name, "0", "spawn", "thread", 2, f"#0,{index}"),
            Asked(t, name, 9, None), Wrote(t + 0.5, name, "ab", 2)]


def over(index: int, status: str, value: str | None = None, reason: str = "", t: float = 2.0
         ) -> list[Event]:
    return [Answered(t, f"0.{index}", "eos", 9, 3, 2),
            Ended(t, f"0.{index}", status, reason, value)]


def whole_run(children: int = 4) -> list[Event]:
    """A run of 4 seconds: child 1 finds the answer, child 2 fails, the rest finds nothing."""
    events: list[Event] = [HEADER, ROOT, Appended(0.0, "0", "prompt", "q", 9),
                           Asked(0.0, "0", 9, None), Wrote(0.5, "0", "xy", 2),
                           Answered(1.0, "0", "stop", 9, 0, 2)]
    for index in range(children):
        events += child(index)
    for index in range(children):
        if index == 2:
            events += over(index, "failed", None, "the server closed the connection")
        else:
            events += over(index, "done", "<b>\n46+46=92\n</b>" if index == 1 else None)
    return [*events, Joined(2.0, "0", tuple(f"0.{i}" for i in range(children))),
            Appended(2.0, "0", "runtime", "join", 5), Asked(2.0, "0", 16, None),
            Wrote(3.0, "0", "z", 1), Answered(4.0, "0", "eos", 16, 9, 1),
            Noted(4.0, "0", "node #0,3 is called twice", warning=True),
            Ended(4.0, "0", "done", "", "46+46=92"),
            RunEnded(4.0, "answered", "46+46=92", True, "native", None)]
