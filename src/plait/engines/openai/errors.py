"""What goes wrong between us and a server, said in plait's own errors. The only place for it.

    no connection, broken connection               EngineUnreachable   retryable
    silence                                        EngineUnreachable
    429, 503                                       EngineOverloaded    retryable, ``retry_after``
    408, 500, 504 and other 5xx                    EngineError         retryable
    502                                            EngineUnreachable   retryable
    401, 403                                       WrongKey            an EngineRefused
    404, 405, 501                                  NotThere            an EngineRefused
    400 that speaks of the context's length        TooLong             an EngineRefused
    422                                            WrongShape          an EngineRefused
    other 4xx                                      EngineRefused       the server's own words
    an error object inside a stream                by its ``code``, else EngineError
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
import orjson

from plait.engines.openai.sse import NotEvents
from plait.errors import EngineError, EngineOverloaded, EngineRefused, EngineUnreachable

NETWORK = (aiohttp.ClientError, TimeoutError, OSError, NotEvents)
"""What aiohttp raises, before or in the middle of a reply."""

_MOST_WORDS = 500
_LENGTH = re.compile(
    r"context.(length|size|window)|context_(length|size)|max_model_len|maximum.*length",
    re.IGNORECASE)


class WrongKey(EngineRefused):
    """The server wants a key, or another one."""


class NotThere(EngineRefused):
    """The server has no such endpoint or model, or has it switched off."""


class WrongShape(EngineRefused):
    """A typed parser, such as a router's, does not take a field as it was given."""


class TooLong(EngineRefused):
    """Prompt and limit together do not fit the model's window."""


def from_network(error: Exception, where: str, idle: float) -> EngineError:
    """The connection to ``where`` failed, broke, or was silent for ``idle`` seconds."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return EngineUnreachable(
            f"cannot connect to {where}: {error.strerror or error.os_error}",
            hint="Check that the server is running and that the address is right.")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return EngineUnreachable(
            f"cannot connect to {where}: no reply to the attempt",
            hint="Check that the server is running and that the address is right.")
    if isinstance(error, TimeoutError):
        silent = EngineUnreachable(
            f"{where} was silent for {idle:g} s",
            hint="Give the engine a longer `idle` time if its replies may take that long.")
        silent.retryable = False  # it would be silent for as long again
        return silent
    if isinstance(error, NotEvents):
        return EngineError(f"{where} did not reply with a stream of events: {error}")
    words = " ".join(str(error).split()) or type(error).__name__
    return EngineUnreachable(f"the connection to {where} broke: {words}")


def broken_off(where: str) -> EngineUnreachable:
    """The stream ended before the text did."""
    return EngineUnreachable(f"the connection to {where} broke off in the middle of the text")


def from_status(
    status: int, body: bytes, headers: Mapping[str, str], where: str
) -> EngineError:
    """The server replied with an HTTP status that is no success."""
    words = " ".join(_words(body).split()) or f"HTTP {status}"
    return _by_code(status, words, where, retry_after(headers))


def from_stream(data: object, where: str) -> EngineError | None:
    """The error that an object of a stream reports; None if it is none."""
    if not isinstance(data, Mapping):
        return EngineError(f"{where} sent something else than an object: {str(data)[:80]!r}")
    found = data.get("error")
    if found is None and data.get("object") == "error":
        found = data
    if found is None:
        return None
    code = found.get("code") if isinstance(found, Mapping) else None
    words = said_in(data) or "it did not say why"
    return _by_code(code if isinstance(code, int) else 0, words, where, None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait; None if it does not say."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            continue
    return None


def _by_code(code: int, words: str, where: str, wait: float | None) -> EngineError:
    if code in (429, 503):
        return EngineOverloaded(f"{where} has too much to do: {words}", retry_after=wait)
    if code == 502:
        return EngineUnreachable(f"{where} does not reach its own server: {words}")
    if code in (401, 403):
        return WrongKey(f"{where} refused the key: {words}",
                             hint="Set PLAIT_API_KEY or OPENAI_API_KEY.")
    if code in (404, 405, 501):
        return NotThere(f"{where} does not know this: {words}",
                             hint="Check the address and the model's name.")
    if 400 <= code < 500 and code != 408:
        kind = TooLong if _LENGTH.search(words) else (
            WrongShape if code == 422 else EngineRefused)
        return kind(f"{where} refused the request: {words}")
    error = EngineError(f"{where} failed: {words}")
    error.retryable = code >= 500 or code == 408
    return error


def _words(body: bytes) -> str:
    """What an error reply says: OpenAI's shape, FastAPI's, or plain text."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text[:_MOST_WORDS]
    return said_in(data)[:_MOST_WORDS]


def said_in(data: object) -> str:
    """The message inside any of the known shapes of an error object, else ``""``."""
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return "; ".join(filter(None, map(said_in, data)))
    if not isinstance(data, Mapping):
        return ""
    for key in ("error", "message", "detail", "msg"):
        if said := said_in(data.get(key)):
            field = data.get("loc") if key == "msg" else None
            return f"{'.'.join(map(str, field))}: {said}" if isinstance(field, list) else said
    return ""
