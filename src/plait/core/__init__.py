"""Frozen values that everything else speaks in. No I/O, no clock, no randomness."""

from plait.core.outcome import Outcome, Result, Status
from plait.core.request import Budget, Plan, Request, Sampling
from plait.core.text import Author, Chunk, Finish, Message, Prompt, Segment, Stops, Usage

__all__ = [
    "Author",
    "Budget",
    "Chunk",
    "Finish",
    "Message",
    "Outcome",
    "Plan",
    "Prompt",
    "Request",
    "Result",
    "Sampling",
    "Segment",
    "Status",
    "Stops",
    "Usage",
]
