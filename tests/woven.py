"""A scripted model that writes ThreadWeaver's format, and one that does not know where to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from plait.core import Chunk, Prompt, Sampling
from plait.testing import Play, ScriptedEngine

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


class Rambler(ScriptedEngine):
    """The same model on an engine that does not stop where it is told to: it has to be left."""

    def __init__(self, every: float) -> None:
        super().__init__(lambda p, s: f"{text} and on" if (text := str(weaver(p, s))).endswith(">")
                         else text, every=every)

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return super().stream(prompt, replace(sampling, stop=()))
