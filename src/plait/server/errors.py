"""Everything that a client can be told went wrong, in OpenAI's shape. The only place for it.

    {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}

A refusal before any work was done may be tried again by the client's library; a failure after
that, and one that was tried again here already, says ``x-should-retry: false``, since trying again
would pay for all of it once more.
"""

from __future__ import annotations

from math import ceil

import orjson

from plait.engines.openai.errors import NotThere, TooLong, WrongKey
from plait.errors import (
    BudgetExhausted,
    EngineError,
    EngineOverloaded,
    EngineRefused,
    PlaitError,
    UsageError,
)

GONE = 499
"""The client left, or had its request cancelled; nobody reads it, it is for records."""
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
          404: "not_found_error", 429: "rate_limit_error"}


class ClientGone(Exception):
    """The client has closed the connection."""


class ApiError(Exception):
    """A refusal or failure as the client gets it.

    ``retry``: what ``x-should-retry`` says, None to leave that to the client's own rules;
    ``retry_after``: seconds.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None,
        retry: bool | None = None, retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry = retry
        self.retry_after = retry_after
        self._headers = headers or {}

    @property
    def type(self) -> str:
        """OpenAI's word for this kind of error."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return _TYPES.get(self.status, kind)

    def data(self) -> dict[str, object]:
        """The error object."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param,
                          "code": self.code}}

    def body(self) -> bytes:
        return orjson.dumps(self.data())

    def headers(self) -> dict[str, str]:
        """What its reply says beside the body."""
        found = dict(self._headers)
        if self.retry is not None:
            found["x-should-retry"] = "true" if self.retry else "false"
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, ceil(self.retry_after)))
        return found


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """The request makes no sense; ``param`` is the field that is wrong."""
    return ApiError(400, message, param=param, code=code)


def cancelled() -> ApiError:
    """Somebody asked for the request to be cancelled."""
    return ApiError(GONE, "the request was cancelled", code="cancelled", retry=False)


def from_plait(error: PlaitError, *, spent: bool) -> ApiError:
    """An error of plait's own tree. ``spent``: much was done when it was raised."""
    status, code = _meaning(error)
    after = error.retry_after if isinstance(error, EngineOverloaded) else None
    if isinstance(error, EngineOverloaded) and after is None:
        after = 1.0
    retry: bool | None = None
    if spent:
        retry, after = False, None
    elif isinstance(error, EngineError):
        retry = error.retryable
    return ApiError(status, error.line, code=code, retry=retry, retry_after=after)


def _meaning(error: PlaitError) -> tuple[int, str | None]:
    """The status and the code of an error."""
    kinds: tuple[tuple[type[PlaitError], int, str | None], ...] = (
        (UsageError, 400, None),
        (BudgetExhausted, 400, "budget_exhausted"),
        (WrongKey, 502, "upstream_key_refused"),
        (NotThere, 404, "not_found"),
        (TooLong, 400, "context_length_exceeded"),
        (EngineRefused, 400, "refused_by_engine"),
        (EngineOverloaded, 503, "engine_overloaded"),
        (EngineError, 502, "engine_failed"),
    )
    for kind, status, code in kinds:
        if isinstance(error, kind):
            return status, code
    return 500, "internal_error"


def internal(error: Exception) -> ApiError:
    """A fault of plait's own. Says no more than what kind it is: the log has the rest."""
    return ApiError(500, f"internal error: {type(error).__name__}; this is a bug in plait",
                    code="internal_error", retry=False)
