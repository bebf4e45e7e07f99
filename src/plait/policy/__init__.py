"""Whether to go parallel, with which method, and how wide. Pure: load is passed in."""

from plait.policy.admit import BRANCHING, UNKNOWN, Step
from plait.policy.breaker import Breaker, BreakerSettings, Standing
from plait.policy.choose import choose
from plait.policy.decide import POLICIES, Decision, History, Situation, decide
from plait.policy.file import Expected, PolicyFile, read_policy
from plait.policy.signals import Signals, read_signals

__all__ = [
    "BRANCHING",
    "POLICIES",
    "UNKNOWN",
    "Breaker",
    "BreakerSettings",
    "Decision",
    "Expected",
    "History",
    "PolicyFile",
    "Signals",
    "Situation",
    "Standing",
    "Step",
    "choose",
    "decide",
    "read_policy",
    "read_signals",
]
