"""Every error plait raises, in one tree.

    PlaitError
    ├── UsageError            the caller's: bad input, unknown setting     (exit status 2)
    ├── EngineError           the engine's, or the network's before it
    │   ├── EngineUnreachable   no connection, or it broke off     (exit status 3)
    │   ├── EngineOverloaded    429 / 503: try later (``retry_after`` seconds)
    │   └── EngineRefused       the engine understood and said no (4xx)
    ├── BudgetExhausted       the request's: nothing is left to spend
    ├── TraceError            a trace file that cannot be read
    └── Bug                   ours: an invariant does not hold

What a *model* writes is never an error: malformed output becomes an `Outcome` with a reason.
Each error has a one-line message that says what is wrong, a ``hint`` that says what to do, and
``retryable``: whether the same call may succeed if made again.
"""

from __future__ import annotations


class PlaitError(Exception):
    """The root of the tree. ``str(error)`` is one line; ``hint`` says what to do about it."""

    retryable = False
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def line(self) -> str:
        """Message and hint as one line, as a command prints it."""
        return f"{self}. {self.hint}" if self.hint else str(self)


class UsageError(PlaitError):
    """The caller asked for something that makes no sense or does not exist."""

    exit_status = 2


class EngineError(PlaitError):
    """An engine failed. ``retryable`` tells whether asking again may help; ``exhausted`` that it
    was asked again already, as often as its link does."""

    exhausted = False


class EngineUnreachable(EngineError):
    """No connection to the engine, or it broke off and could not be made again."""

    retryable = True
    exit_status = 3


class EngineOverloaded(EngineError):
    """The engine has too much to do (HTTP 429 or 503)."""

    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class EngineRefused(EngineError):
    """The engine understood the request and refused it: a wrong field, model or length."""


class BudgetExhausted(PlaitError):
    """A budget of the request has nothing left; ``what`` names it as in `Budget`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the budget `{what}` is used up")
        self.what = what


class TraceError(PlaitError):
    """A trace file is broken, or of a version that this plait does not know."""

    exit_status = 2


class Bug(PlaitError):
    """An invariant of plait's own does not hold. Please report it."""
