"""A run with as many threads as wanted: three levels, seeded, with texts, notes and retries."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

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

WORDS = ("so ", "the ", "sum ", "of ", "both ", "is ", "even, ", "hence ", "we ", "try ", "7 + 4 ")


def big_run(threads: int = 1000, chunks: int = 20, tokens: int = 3) -> list[Event]:
    """A root, about a tenth of the threads below it, the rest below those, and one join each."""
    dice = Random(7)
    middle = max(1, threads // 10)
    names = [f"0.{i}" for i in range(middle)]
    leaves = [f"0.{i % middle}.{i // middle}" for i in range(threads - 1 - middle)]
    queue: list[tuple[float, int, Event]] = []

    def put(t: float, event: Event) -> None:
        heappush(queue, (t, len(queue) + len(events), event))

    def write(name: str, t: float, pace: float) -> float:
        put(t, Asked(t, name, 40, None))
        for _ in range(chunks):
            t += pace
            put(t, Wrote(t, name, "".join(dice.choices(WORDS, k=tokens)), tokens))
        put(t + 0.001, Answered(t + 0.001, name, "eos", 40, 32, chunks * tokens))
        return t + 0.001

    events: list[Event] = []
    question = "How many even sums are there?"
    put(0.0, RunStarted(0.0, "big", question, "scripted", "tiny", "plan", None, 7,
                        ("total_tokens=200000", "threads=4096", "depth=4")))
    put(0.0, Started(0.0, "0", None, "root", "thread", 0))
    put(0.0, Appended(0.0, "0", "prompt", question, 8))
    end = write("0", 0.01, 0.02)
    last: dict[str, float] = {}
    for name in names:
        t = end + dice.random()
        put(t, Started(t, name, "0", "spawn", "worker", chunks * tokens, "one part of it"))
        put(t, Appended(t, name, "prompt", "Do this part.", 4))
        last[name] = write(name, t + 0.01, 0.02 + dice.random() / 50)
    for name in leaves:
        parent = name.rpartition(".")[0]
        t = last[parent] + dice.random() / 10
        put(t, Started(t, name, parent, "fork", "thread", chunks * tokens, f"case {name[2:]}"))
        over = write(name, t + 0.01, 0.02 + dice.random() / 25)
        lost = dice.random() < 0.1
        put(over, Ended(over, name, "failed" if lost else "done",
                        "the server closed the connection" if lost else "", None if lost else "4"))
        last[name] = over
    for name in names:
        below = [leaf for leaf in leaves if leaf.rpartition(".")[0] == name]
        t = max([last[name], *(last[leaf] for leaf in below)]) + 0.01
        put(t, Joined(t, name, tuple(below)))
        put(t, Ended(t, name, "done", value="40"))
        last[name] = t
    t = max(last[name] for name in names) + 0.01
    put(t, Joined(t, "0", tuple(names)))
    put(t, Noted(t, "0", "merge: concat, since the parts do not overlap"))
    t = write("0", t, 0.02)
    put(t, Ended(t, "0", "done", value="4000"))
    put(t, RunEnded(t, "answered", "4000", None, "plan", None))
    while queue:
        events.append(heappop(queue)[2])
    return events
