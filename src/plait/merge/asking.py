"""Merges that read: `Concat` asks nobody, `Synthesize` one merger, `Best` a verifier or a judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from plait.core import CHARS, DEFAULT_WINDOW, Outcome, Part, Request
from plait.interfaces import Thread
from plait.prompts import (
    Prompts,
    ask,
    defuse,
    excerpt,
    load_prompts,
    numbered,
    one_line,
    split,
    unquoted,
)

_BEST = re.compile(r"best(?: answer)?(?: is)?\W{0,8}(\d{1,4})\b", re.IGNORECASE)


def room(window: int, request: Request | None = None) -> int:
    """Characters of parts that a merger may be shown: half its window, the other half being for
    the question, the instructions and the answer. ``request`` may allow less (`Budget.window`)."""
    allowed = request.budget.window if request is not None else None
    return max(200, min(window, allowed or window) * CHARS // 2)


def shown(parts: Sequence[Part], characters: int, word: str = "Part") -> str:
    """Parts as numbered quotations that take up about ``characters`` at most; what is too long is
    cut in its middle, and says so."""
    share = max(100, characters // max(1, len(parts)))
    spare = sum(max(0, share - len(p.text)) for p in parts)
    long = sum(len(p.text) > share for p in parts)
    most = share + spare // long if long else share
    titles = [p.task or p.label for p in parts] if any(p.task for p in parts) else ()
    return numbered([excerpt(p.text, most) for p in parts], word, titles)


def nothing() -> Outcome:
    """The outcome where there is nothing to merge."""
    return Outcome("failed", reason="no part can be used")


class Concat:
    """All usable parts, one after the other, a blank line between them. ``titled``: each under its
    label. Asks no model."""

    name = "concat"

    def __init__(self, *, titled: bool = False) -> None:
        self._titled = titled

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        usable = [p for p in parts if p.usable]
        if not usable:
            return nothing()
        texts = [defuse(p.text).strip() for p in usable]
        if self._titled:
            texts = [f"**{one_line(p.label)}**\n{text}" if p.label else text
                     for p, text in zip(usable, texts, strict=True)]
        text = "\n\n".join(texts)
        return Outcome("done", text, text)


class Synthesize:
    """One prompt over all parts: a merger reads them and writes the answer.

    ``window``: tokens that the merger can make use of; parts that do not fit are shown in part
    (`plait.merge.Hierarchical` reads all of them).
    """

    name = "synthesize"

    def __init__(self, prompts: Prompts | None = None, window: int = DEFAULT_WINDOW) -> None:
        self._prompts = prompts or load_prompts()
        self._window = window

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        usable = [p for p in parts if p.usable]
        if not usable:
            return nothing()
        before, question = split(request)
        values = {"question": question, "parts": shown(usable, room(self._window, request))}
        return await ask(thread, self._prompts["synthesize"], values, role="merger",
                         label=f"synthesize {len(usable)} parts", before=before)


class Best:
    """The one part that verifiers rate highest; where they rate none, or several alike, the one
    that a judge picks.

    The judge sees them in an order drawn from the request's seed, since judges favour places.
    A judge that fails or names none makes the merge fail.
    """

    name = "best"

    def __init__(self, prompts: Prompts | None = None, window: int = DEFAULT_WINDOW) -> None:
        self._prompts = prompts or load_prompts()
        self._window = window

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        usable = [p for p in parts if p.usable]
        scores = [p.verdict.score if p.verdict and p.verdict.ok else -1.0 for p in usable]
        top = max(scores, default=-1.0)
        usable = [p for p, score in zip(usable, scores, strict=True) if score == top]
        if not usable:
            return nothing()
        if len({p.text for p in usable}) == 1:
            thread.note(f"best: {'one answer is rated highest' if top >= 0 else 'only one answer'}")
            return usable[0].chosen()
        Random(f"{request.seed}/best").shuffle(usable)
        before, question = split(request)
        values = {"question": question,
                  "parts": shown(usable, room(self._window, request), "Answer")}
        outcome = await ask(thread, self._prompts["choose"], values, role="judge",
                            label=f"choose among {len(usable)}", before=before)
        if outcome.value is None:
            return Outcome("failed", reason=f"the judge failed: {outcome.reason or outcome.status}")
        number = read_choice(outcome.value, len(usable))
        if number is None:
            return Outcome("failed", reason="the judge named none of the answers")
        thread.note(f"best: the judge chose {usable[number].label or f'answer {number + 1}'}")
        return usable[number].chosen()


def read_choice(reply: str, count: int) -> int | None:
    """The index of the answer that a judge's reply names last, counted from 0; None if none."""
    found = [int(n) for n in _BEST.findall(unquoted(reply))]
    if not found and reply.strip().isascii() and reply.strip().isdigit():
        found = [int(reply.strip()[:4])]
    return found[-1] - 1 if found and 1 <= found[-1] <= count else None
