"""Why parallel reasoning gave way, in one word of a short list.

Reasons are written for people and may quote what a model wrote; metrics, logs and records without
texts get the word. The first line whose phrase is found counts.
"""

from __future__ import annotations

_WORDS = (
    ("breaker", ("is switched off",)),
    ("overloaded", ("overloaded", "waiting at the engine")),
    ("declined", ("would not split", "one part", "not worth")),
    ("no_plan", ("no valid plan", "the plan was cut off", "no skeleton", "no outline",
                 "no points")),
    ("contradiction", ("contradict",)),
    ("rejected", ("says wrong", "rejected", "was refused")),
    ("budget", ("cut off", "limit on", "budget", "rounds")),
    ("merge", ("merge", "the judge")),
    ("no_answer", ("no answer", "no end", "nothing", "no part can be used")),
    ("unsupported", ("needs a model",)),
    ("engine", ("engine", "server", "connection", "HTTP")),
)
OTHER = "other"
REASONS = ("time", *(word for word, _ in _WORDS), OTHER)
"""Every word that `reason_word` gives."""


def reason_word(reason: str | None) -> str:
    """The word for ``reason``; empty for None. Always one of `REASONS` otherwise."""
    if reason is None:
        return ""
    if reason in ("seconds", "the time is up"):
        return "time"
    return next((word for word, phrases in _WORDS if any(p in reason for p in phrases)), OTHER)
