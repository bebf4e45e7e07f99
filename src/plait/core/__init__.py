"""Frozen values that everything else speaks in. No I/O, no clock, no randomness."""

from plait.core.outcome import Outcome, Result, Status
from plait.core.part import Part, Verdict
from plait.core.profile import EngineProfile, Finding
from plait.core.reading import after_thinking
from plait.core.request import (
    DEFAULT_WINDOW,
    LEAST_WINDOW,
    Budget,
    Directions,
    Plan,
    Price,
    Request,
    Room,
    Sampling,
)
from plait.core.text import (
    CHARS,
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
    estimate_tokens,
)

__all__ = [
    "CHARS",
    "DEFAULT_WINDOW",
    "LEAST_WINDOW",
    "Author",
    "Budget",
    "CallDelta",
    "Chunk",
    "Directions",
    "EngineProfile",
    "Finding",
    "Finish",
    "Message",
    "Outcome",
    "Part",
    "Plan",
    "Price",
    "Prompt",
    "Request",
    "Result",
    "Room",
    "Sampling",
    "Segment",
    "Status",
    "Stops",
    "Tool",
    "ToolCall",
    "Usage",
    "Verdict",
    "after_thinking",
    "estimate_tokens",
]
