"""A scripted model that writes ThreadWeaver's format."""

from __future__ import annotations

from plait.core import Sampling
from plait.testing import Play

BLOCK = (
    "<think>\n<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>"
)


def weaver(prompt: str, sampling: Sampling) -> Play | str:
    """It forks into two threads."""
    if prompt.endswith("1:"):
        return " one</Thread>"
    if prompt.endswith("2:"):
        return " two</Thread>"
    if prompt.endswith("</Thread>\n"):
        return "</Parallel>\n</think>\n3"
    return BLOCK
