"""Frozen values that everything else speaks in. No I/O, no clock, no randomness."""

from plait.core.outcome import Outcome, Result, Status
from plait.core.part import Part, Verdict
from plait.core.request import Budget, Directions, Plan, Request, Sampling
from plait.core.text import (
    Author,
    Chunk,
    Finish,
    Message,
    Prompt,
    Segment,
    Stops,
    Usage,
    estimate_tokens,
)
from plait.core.thinking import after_thinking

__all__ = [
    "Author",
    "Budget",
    "Chunk",
    "Directions",
    "Finish",
    "Message",
    "Outcome",
    "Part",
    "Plan",
    "Prompt",
    "Request",
    "Result",
    "Sampling",
    "Segment",
    "Status",
    "Stops",
    "Usage",
    "Verdict",
    "after_thinking",
    "estimate_tokens",
]
