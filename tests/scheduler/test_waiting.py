"""Waiting for some of the children: the rest is cancelled, or goes on to be waited for later."""

from plait.core import Outcome, Plan, Request
from plait.core.events import Ended, Joined
from plait.interfaces import ChildSpec, Opening, Thread
from plait.testing import Play
from plait.trace import measure
from tests.methods.play import Ran, run


class Race:
    """Three children of different lengths; waits for the first, then for all."""

    def __init__(self, rest: str) -> None:
        self.rest = rest

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        async def body(thread: Thread) -> Outcome:
            async with thread.write() as stream:
                async for _ in stream:
                    pass
            return Outcome("done", thread.text, thread.text)

        children = [root.start(ChildSpec("spawn", f"{n}"), body) for n in (3, 1, 2)]
        first = await root.wait(children, any, rest=self.rest)  # type: ignore[arg-type]
        still = [c for c, o in zip(children, first, strict=True) if o is None]
        later = await root.wait(still)
        found = [o.status if o else "open" for o in (*first, *later)]
        return Outcome("done", "", " ".join(found))


def race(rest: str) -> Ran:
    def script(prompt: str, sampling: object) -> Play:
        return Play(("word " * 10 * int(prompt)).strip(), every=0.1)

    return run(Race(rest), script, Request("q"), plan=Plan("race"))


def test_by_default_the_others_are_cancelled() -> None:
    ran = race("cancel")
    assert ran.result.answer == "open done open cancelled cancelled"
    assert ran.engine.calls.left == 2


def test_kept_children_go_on_and_are_joined_later() -> None:
    ran = race("keep")
    assert ran.result.answer == "open done open done done"
    assert ran.engine.calls.left == 0
    assert [e.children for e in ran.of(Joined)] == [("0.1",), ("0.0", "0.2")]
    longest = max(e.t for e in ran.of(Ended) if e.thread == "0.0")
    assert ran.result.wall_seconds == longest
    assert measure(ran.trace.events).critical_path_tokens == ran.result.critical_path_tokens == 30
