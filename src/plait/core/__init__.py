"""Frozen values that everything else speaks in. No I/O, no clock, no randomness."""

from plait.core.outcome import Outcome, Result, Status
from plait.core.request import Budget, Plan, Request, Sampling
from plait.core.text import (
    Author,
    CallDelta,
    Chunk,
    Finish,
    Message,
    Prompt,
    Segment,
    Stops,
    Tool,
    ToolCall,
    Usage,
)

__all__ = [
    "Author",
    "Budget",
    "CallDelta",
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
    "Tool",
    "ToolCall",
    "Usage",
]
