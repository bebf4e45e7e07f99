"""plait: the runtime for adaptive parallel reasoning.

    from plait import solve_sync
    print(solve_sync("Make 92 from 46, 39, 29 and 20").answer)

The pieces below are the public API; everything else may move.
"""

from plait.core import Budget, Message, Request, Result, Sampling
from plait.errors import EngineError, PlaitError, UsageError
from plait.interfaces import Engine, Method
from plait.solve import Runtime, solve, solve_stream, solve_sync

__all__ = [
    "Budget",
    "Engine",
    "EngineError",
    "Message",
    "Method",
    "PlaitError",
    "Request",
    "Result",
    "Runtime",
    "Sampling",
    "UsageError",
    "solve",
    "solve_stream",
    "solve_sync",
]
