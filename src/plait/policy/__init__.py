"""Whether to go parallel, with which method, and how wide. Pure: load is passed in."""

from plait.policy.choose import choose
from plait.policy.decide import POLICIES, Decision, History, Situation, decide
from plait.policy.signals import Signals, read_signals

__all__ = [
    "POLICIES",
    "Decision",
    "History",
    "Signals",
    "Situation",
    "choose",
    "decide",
    "read_signals",
]
