"""Whether to go parallel, with which method, and how wide. Pure: load is passed in."""

from plait.policy.admit import BRANCHING
from plait.policy.breaker import Breaker, BreakerSettings, Standing
from plait.policy.choose import choose
from plait.policy.decide import POLICIES, Decision, History, Situation, decide
from plait.policy.file import Expected, PolicyFile, read_policy
from plait.policy.signals import Signals, read_signals

__all__ = [
    "BRANCHING",
    "POLICIES",
    "Breaker",
    "BreakerSettings",
    "Decision",
    "Expected",
    "History",
    "PolicyFile",
    "Signals",
    "Situation",
    "Standing",
    "choose",
    "decide",
    "read_policy",
    "read_signals",
]
