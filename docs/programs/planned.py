"""A plan on a server: `plait solve --method plan` against a fake upstream that plays an instruct
model, and the same question answered sequentially beside it. The model takes 0.4 s for its plan,
2 s for each of six parts, 0.6 s to put them together, and 12 s to do it all in one go."""

import json
import sys
from collections.abc import Mapping
from subprocess import PIPE
from typing import Any

import anyio

from plait.testing.replies import Reply
from plait.testing.upstream import Upstream

QUESTION = "What does it take to build a house?"
PARTS = ("the ground", "the walls", "the roof", "the windows", "the heating", "the garden")
PLAN = {"split": True, "why": "six trades", "subtasks": [
    {"id": f"s{n}", "task": f"Say what {part} takes.", "needs": [], "difficulty": "medium",
     "tokens": 200, "must_contain": "work and material"} for n, part in enumerate(PARTS)]}


def model(body: Mapping[str, Any]) -> Reply:
    """Planner, workers and merger in one."""
    asked = "".join(m["content"] for m in body["messages"])
    if "Plan how several people" in asked:
        return Reply(json.dumps(PLAN), seconds=0.4)
    if "Do this part" in asked:
        return Reply("It takes work and material. " * 6, seconds=2.0)
    if "was worked on in parts" in asked:
        return Reply("It takes six trades, and patience.", seconds=0.6)
    return Reply("It takes work and material. " * 40, seconds=12.0)


async def ask(url: str, method: str) -> dict[str, Any]:
    """What the command says, run as a user would."""
    command = [sys.executable, "-m", "plait.cli", "solve", QUESTION, "--engine", url, "--model",
               "tiny", "--method", method, "--json"]
    done = await anyio.run_process(command, stderr=PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def main(methods: tuple[str, ...] = ("plan", "sequential")) -> dict[str, dict[str, Any]]:
    """The results by method."""
    async with Upstream(model) as upstream:
        return {method: await ask(upstream.url, method) for method in methods}


if __name__ == "__main__":
    for method, result in anyio.run(main, tuple(sys.argv[1:]) or ("plan", "sequential")).items():
        print(f"{method:<11} {result['wall_seconds']:5.2f} s  {result['threads']} threads, "
              f"longest path {result['critical_path_tokens']} of {result['total_tokens']} tokens: "
              f"{result['answer'][:40]}")
