"""Prompts in which what is common comes first, byte for byte.

Engines reuse what they computed for a prefix that they have seen. All prompts of a directed method
begin with the opening of the request itself, unchanged; what tells a planner from a worker, and
one worker from another, stands behind it. So siblings differ only in their tails, and even the
sequential fallback finds its prompt in the cache.
"""

from __future__ import annotations

from dataclasses import replace

from plait.core import Message, Prompt

GAP = "\n\n"


def asking(opening: Prompt, instructions: str) -> Prompt:
    """``opening`` with ``instructions`` behind the question, in the user's last turn.

    An opening without messages is text, and gets them as text. Token ids are dropped: they would
    not cover the new text.
    """
    if not opening.messages:
        return Prompt(text=opening.text.rstrip("\n") + GAP + instructions + "\n")
    *before, last = opening.messages
    if last.role == "user":
        asked = replace(last, content=last.content + GAP + instructions)
        return replace(opening, text="", ids=None, messages=(*before, asked))
    told = Message("user", instructions)
    return replace(opening, text="", ids=None, messages=(*before, last, told))

