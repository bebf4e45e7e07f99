"""A plan that streams: subtasks start while the planner still writes its JSON lines; one turns out
to depend on another and is requeued; parts are judged in parallel; one is written again."""

import json

from plait.core import Outcome, Plan, Request, Result
from plait.interfaces import Child, ChildSpec, Opening, Thread
from plait.solve import solve
from plait.testing import ScriptedEngine, run_virtual
from plait.trace import Trace


async def work(thread: Thread) -> Outcome:
    """A worker: write, have it judged, write once more if the judge says no."""
    for _ in range(2):
        start = len(thread.text)
        async with thread.write() as stream:
            async for _chunk in stream:
                pass
        part = thread.text[start:]
        if part.startswith("NEEDS"):
            return Outcome("malformed", part, reason=part)
        verdict = await thread.ask(ChildSpec("spawn", f"Is this right? {part}", role="judge"))
        if verdict.value == "yes":
            return Outcome("done", part, part)
        thread.rewrite(start, "\nTry again.\n")
    return Outcome("failed", part, reason="the judge said no twice")


class StreamedPlan:
    """Plan, work, requeue, merge."""

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        tasks: dict[str, str] = {}
        running: dict[str, Child] = {}
        line = ""
        async with root.write() as stream:
            async for chunk in stream:
                *lines, line = (line + chunk.text).split("\n")
                for item in map(json.loads, filter(str.strip, lines)):
                    tasks[item["id"]] = item["task"]
                    spec = ChildSpec("spawn", item["task"], label=item["id"], role="worker")
                    running[item["id"]] = root.start(spec, work)
        parts = await root.wait(list(running.values()))
        for name, part in zip(running, parts, strict=True):
            if part is not None and part.status == "malformed":
                needed = part.reason.split()[1]
                given = (running[needed].peek() or Outcome("failed")).value
                spec = ChildSpec("spawn", f"{tasks[name]} given {given}", label=name,
                                 role="worker", after=(running[needed].name,))
                running[name] = root.start(spec, work)
        parts = await root.wait(list(running.values()))
        answer = " | ".join(o.value or o.reason for o in parts if o is not None)
        return Outcome("done", root.text, answer)


def script(prompt: str, sampling: object) -> str:
    """Planner, workers and judge in one."""
    plan = ["walls", "roof", "paint"]
    judged = prompt.startswith("Is this right?")
    first = "paint blue" not in prompt and prompt.endswith("paint") and "again" not in prompt
    replies = {"House": "\n".join(json.dumps({"id": t, "task": t}) for t in plan) + "\n",
               "roof": "NEEDS walls before it can be said", "paint": "paint blue wrongly",
               "roof given four walls": "a roof on four walls", "walls": "four walls"}
    if judged:
        return "no" if "wrongly" in prompt else "yes"
    return replies.get(prompt, "paint it white" if not first else replies["paint"])


async def main(engine: ScriptedEngine, trace: Trace) -> Result:
    """Run the method on one request."""
    return await solve(Request(prompt="House"), engine=engine, plan=Plan("plan"),
                       method=StreamedPlan(), trace=trace)


if __name__ == "__main__":
    print(run_virtual(main, ScriptedEngine(script), Trace()).answer)
