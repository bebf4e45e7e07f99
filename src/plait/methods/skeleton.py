"""Skeleton-of-Thought (arXiv 2307.15337): an outline, its points written side by side, and no
further call.

What differs from the original, and why:

- *A gate.* Points that need each other's results cannot be written apart, so mathematics, proofs,
  programs and stories go to sequential reasoning: first by plain signs in the question
  (`declines`), then by the planner's own word that it has no outline. The original needs a
  trained router.
- *Points are read at the beginning of a line only*, with ASCII digits, so that years, decimals and
  ``1.1.`` are no points; an empty title is none; equal numbers count once.
- *No begun answer.* The original lets each worker continue ``3. Title``, which chat servers treat
  in different ways; here the title is named in the prompt and put in front by us, and taken off
  where the worker repeats it.
- *A point that fails is written once more, alone.* If more than a third stay unwritten the answer
  would be a torso: the method gives up and sequential reasoning answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from plait import puzzles
from plait.core import Outcome, Part, Plan, Request
from plait.interfaces import Opening, Thread, Verifier
from plait.merge import Concat
from plait.methods.work import Work, check_merged
from plait.prompts import Prompts, ask, load_prompts, make_spec, note_prompt, one_line, split

MOST_POINTS = 20
LOST_SHARE = 1 / 3
_POINT = re.compile(r"[ \t]{0,3}(?:\*\*)?([0-9]{1,2})[.)](?![0-9])[ \t]*(\S.*)")
_MATHS, _STEPS = "it asks for mathematics", "it asks for steps that build on each other"
_SIGNS = (
    (r"[0-9)\]]\s*[-+*/^=×÷]\s*[0-9(\[]|\\frac|\\int|\\sum|\$[^$]+\$", "it has formulas"),
    (r"\b(?:calculate|compute|solve|prove|derive|evaluate|simplify|integral|derivative|equation"
     r"|probability|how (?:many|much|far|long|old)|remainder|divisible)\b", _MATHS),
    (r"```|\b(?:(?:write|implement|fix|debug|refactor)\b.{0,40}\b(?:code|function|program|script"
     r"|class|query|regex|algorithm)|step by step)\b", _STEPS),
    (r"\b(?:story|poem|essay|translate|rewrite|summari[sz]e)\b", "it asks for one connected text"),
)
_GATE = tuple((re.compile(sign, re.IGNORECASE), why) for sign, why in _SIGNS)


@dataclass(frozen=True, slots=True)
class Point:
    """A line of the outline."""

    number: int
    title: str


def declines(question: str) -> str | None:
    """Why a question is not for this method, as far as plain signs tell; None if nothing speaks
    against it."""
    if puzzles.parse(question) is not None:
        return "it is a puzzle"
    head = question[:4000]
    return next((why for sign, why in _GATE if sign.search(head)), None)


def read_outline(text: str) -> list[Point]:
    """The points of an outline, in their order; at most `MOST_POINTS`."""
    points: dict[int, Point] = {}
    for line in text.splitlines():
        if found := _POINT.match(line):
            title = one_line(found[2], 120).strip(" *_:.-")
            if title:
                points.setdefault(int(found[1]), Point(int(found[1]), title))
    return list(points.values())[:MOST_POINTS]


class Skeleton:
    """See the module's docstring. For models that chat. ``window``: the effective window of a point
    in tokens (see `Work`)."""

    def __init__(
        self, *, verifier: Verifier | None = None, prompts: Prompts | None = None,
        window: int | None = None,
    ) -> None:
        self._verifier = verifier
        self._window = window
        self._prompts = prompts or load_prompts()

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        if why := declines(request.question):
            return Outcome("failed", reason=f"no skeleton for this question: {why}")
        if not opening.prompt.messages:
            return Outcome("failed", reason="a skeleton needs a model that chats")
        before, question = split(request)
        outline = await ask(root, self._prompts["outline"], {"question": question},
                            role="planner", label="outline", before=before)
        if not outline.ok or outline.value is None:
            return Outcome("failed", reason=f"no outline: {outline.reason or outline.status}")
        points = read_outline(outline.value)
        if len(points) < 2:
            return Outcome("failed", reason="the planner found no points that stand alone")
        parts = await self._expand(root, request, plan, opening, points)
        lost = [p for p in parts if not p.usable]
        if len(lost) > LOST_SHARE * len(parts):
            return Outcome("failed", reason=f"{len(lost)} of {len(parts)} points could not be"
                                            f" written ({lost[0].reason or 'rejected'})")
        for part in lost:
            root.note(f"the point {part.label!r} is missing: {part.reason or 'rejected'}",
                      warning=True)
        outcome = await Concat(titled=True).merge(root, request, parts)
        if all(p.verdict is not None and p.verdict.ok for p in parts):
            return replace(outcome, verified=True)
        return await check_merged(self._verifier, root, request, outcome, parts)

    async def _expand(
        self, root: Thread, request: Request, plan: Plan, opening: Opening, points: list[Point]
    ) -> list[Part]:
        """All points side by side; a part for each, in their order."""
        note_prompt(root, self._prompts["point"])
        work = Work(request, plan, opening, self._prompts, self._verifier, retries=1,
                    window=self._window)
        before, question = split(request)
        outline = "\n".join(f"{p.number}. {p.title}" for p in points)
        specs = [(make_spec(self._prompts["point"], {
            "question": question, "outline": outline, "number": str(point.number),
            "point": point.title}, role="worker", label=f"{point.number}. {point.title}",
            before=before), point.title) for point in points]
        parts = await work.write_all(root, specs)
        return [replace(part, text=without_title(part.text, point))
                for part, point in zip(parts, points, strict=True)]


def without_title(text: str, point: Point) -> str:
    """``text`` without the point's own number and title, where a worker repeats them in front."""
    pattern = (rf"[\s#*_]*(?:{point.number}[.)][\s*_]*)?{re.escape(point.title)}[*_]*\s*"
               rf"(?:[:.–—-][\s*_]*|\n\s*)")
    found = re.match(pattern, text, re.IGNORECASE)
    if found is None:
        found = re.match(rf"\s*{point.number}[.)]\s+", text)
    rest = text[found.end():] if found else text
    return rest if rest.strip() else text
