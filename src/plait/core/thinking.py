"""Thoughts and answers apart. Engines put what a server sends as ``reasoning`` between the same
tags that reasoning models write themselves, so there is one form to read."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def after_thinking(text: str) -> str | None:
    """What stands after the last ``</think>``; None if the model never came to an answer."""
    _, mark, answer = text.rpartition(CLOSE)
    if not mark and OPEN in text:
        return None
    return answer.strip() or None
