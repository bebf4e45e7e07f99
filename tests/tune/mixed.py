"""A scripted model on a mixed set: forking pays on hard problems and costs on easy ones.

    seconds (a piece takes 0.01 s)      right
            in one thread    forked     in one thread    forked
    easy    0.2              about 1.0  always           always
    hard    4.0              about 1.2  50 %             75 %

With fewer than four threads at once a forked answer takes longer. Which problems come out right is
drawn once, from their numbers.
"""

from __future__ import annotations

from random import Random

from plait.core import Prompt, Request, Sampling
from plait.evals import Sample, Score
from plait.interfaces import Opening
from plait.testing import ScriptedEngine
from plait.tune.space import Space, Way

RIGHT = {("easy", False): 1.0, ("easy", True): 1.0, ("hard", False): 0.5, ("hard", True): 0.75}
ALONE = {"easy": 20, "hard": 400}
IN_THREAD = {"easy": 60, "hard": 80}
SPACE = Space((Way("native", "threadweaver"),), widths=(2, 4, 8), depths=(1, 2))


def samples(count: int) -> list[Sample]:
    """Half easy, half hard."""
    made = []
    for number in range(count):
        kind = "hard" if number % 2 else "easy"
        words = "make 92 from 46 39 29 and 20" if kind == "hard" else "add 3"
        made.append(Sample(f"{kind}-{number}", f"{kind} {number} : {words}", str(number), kind))
    return made


class Mixed(ScriptedEngine):
    """Marks the prompts of requests that are to be forked."""

    def __init__(self, every: float = 0.01) -> None:
        super().__init__(_script, every=every)

    async def open(self, request: Request, protocol: str | None) -> Opening:
        opening = await super().open(request, protocol)
        mark = "fork " if protocol else "alone "
        return Opening(Prompt(text=f"{mark}{request.question}\n"), read=opening.read)


def _script(prompt: str, sampling: Sampling) -> str:
    mark, kind, number, *_ = prompt.split(maxsplit=3)
    forked = mark == "fork"
    lucky = Random(f"{kind}/{number}/{forked}").random() < RIGHT[kind, forked]
    answer = f"</think> {number if lucky else 'wrong'}"
    if not forked:
        return "word " * ALONE[kind] + answer
    if prompt.rstrip().endswith(("1:", "2:", "3:", "4:")):
        return " word" * IN_THREAD[kind] + "</Thread>"
    if prompt.endswith("</Thread>\n"):
        return "</Parallel>\n" + answer
    outlines = "".join(f"<Outline>{n}: part</Outline>\n" for n in range(1, 5))
    return f"<Parallel>\n<Outlines>\n{outlines}</Outlines>"


async def grade(sample: Sample, answer: str | None) -> Score:
    return Score("right" if answer == sample.target else "wrong")
