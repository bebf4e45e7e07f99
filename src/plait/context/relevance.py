"""What of a long text a thread gets to see: the stretches that concern its task.

Pure and without a model, so it costs nothing: lengths are estimated, relevance is shared words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log

from plait.core import CHARS, estimate_tokens
from plait.prompts import excerpt

OVERLAP = 8
"""The share of a slice (1/8) that the next one repeats, so that no sentence is cut in both."""
_WORD = re.compile(r"\w{3,}")


def slices(text: str, tokens: int) -> list[str]:
    """A sliding window over ``text``: overlapping slices of at most about ``tokens``.

    Cut at ends of lines where there is one in the last quarter of a slice. Without their overlaps
    they are the text again.
    """
    size = max(CHARS, tokens * CHARS)
    found: list[str] = []
    start = 0
    while True:
        end = start + size
        if end >= len(text):
            found.append(text[start:])
            return found
        line = text.rfind("\n", start + size * 3 // 4, end)
        end = end if line < 0 else line + 1
        found.append(text[start:end])
        start = max(start + 1, end - size // OVERLAP)


def relevant(text: str, task: str, tokens: int) -> str:
    """The slices of ``text`` that share most words with ``task``, in order, in about ``tokens``.

    Words that stand in every slice count nothing, rare ones most. All of it if it fits.
    """
    if estimate_tokens(text) <= tokens:
        return text
    pieces = slices(text, max(1, tokens // 4))
    chosen = sorted(_best(pieces, task)[:3])
    return excerpt("\n[...]\n".join(pieces[i] for i in chosen), tokens * CHARS)


def _best(pieces: Sequence[str], task: str) -> list[int]:
    """The places of ``pieces``, the one most to the point of ``task`` first."""
    words = [Counter(_WORD.findall(piece.lower())) for piece in pieces]
    wanted = set(_WORD.findall(task.lower()))
    weight = {w: log(len(pieces) / found) for w in wanted
              if (found := sum(w in counts for counts in words))}
    scores = [sum(weight[w] for w in weight if w in counts) for counts in words]
    return sorted(range(len(pieces)), key=lambda i: (-scores[i], i))
