"""Keys of clients: who may ask, how often, and how much.

    [keys.alice]                     # a name for logs and metrics; the key itself is nowhere
    sha256 = "9f86d081884c7d65..."   # `plait key` makes a key and prints these lines
    requests_per_minute = 60
    tokens_per_minute = 100000       # prompt and generated tokens together
    tokens_per_day = 5000000
    concurrent = 8                   # requests at once
    admin = true                     # may see everybody's runs

Keys are long and random, so one round of SHA-256 keeps them safe at rest. A presented key is
compared with every stored one in constant time. What was used is counted in this process and is
forgotten when it ends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from plait.core.files import read_toml
from plait.errors import UsageError
from plait.server.errors import ApiError

PREFIX = "plait-"
MINUTE, DAY = 60.0, 86400.0
_DIGEST = 64
_HOW = "`plait key NAME` makes a key and says what to write there."


@dataclass(frozen=True, slots=True)
class Key:
    """A client's key: its hash and what it allows. None: no limit of this kind."""

    name: str
    sha256: str = field(default="", repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent: int | None = None
    admin: bool = False

    def __post_init__(self) -> None:
        for item in fields(self)[2:6]:
            value = getattr(self, item.name)
            if value is not None and (type(value) is not int or value <= 0):
                raise UsageError(f"key `{self.name}`: `{item.name}` is {value!r} but must be a"
                                 " whole number above 0")


def new_key() -> str:
    """A new random key."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file. Raises `UsageError` if it cannot be read or says something unknown."""
    table = read_toml(path, f"the keys {path}", "are", hint=_HOW)
    known = {f.name for f in fields(Key)} - {"name"}
    found = []
    entries = table.pop("keys", None)
    if table or not isinstance(entries, dict) or not entries:
        raise UsageError(f"the keys {path} must hold tables [keys.NAME], and nothing else")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or (odd := set(entry) - known):
            what = "is no table" if not isinstance(entry, dict) else f"has `{min(odd)}`"
            raise UsageError(f"`keys.{name}` in {path} {what}",
                             hint=f"Known: {', '.join(sorted(known))}.")
        digest = str(entry.get("sha256", "")).lower()
        if len(digest) != _DIGEST or set(digest) - set("0123456789abcdef"):
            raise UsageError(f"`keys.{name}` in {path} has no SHA-256 of a key",
                             hint=_HOW)
        if type(entry.get("admin", False)) is not bool:
            raise UsageError(f"`keys.{name}`: `admin` must be true or false")
        found.append(Key(name, **{**entry, "sha256": digest}))
    return tuple(found)


class KeyRing:
    """The keys of a server, and what each has used. No keys at all: everybody may ask."""

    def __init__(
        self, keys: Iterable[Key] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = tuple(keys)
        self._use = {key.name: Use(key, clock) for key in self._keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def identify(self, headers: Mapping[str, str], *, browser: bool = False) -> Key:
        """Whose request it is. Raises `ApiError` 401. ``browser``: see `presented`."""
        if not self._keys:
            return Key("", admin=True)
        given = presented(headers, browser=browser)
        if given is None:
            raise ApiError(401, "a key is needed: send it as `Authorization: Bearer KEY`",
                           code="missing_api_key", headers=_ASK)
        digest = hash_key(given)
        found = None
        for key in self._keys:  # all of them, so that time tells nothing
            if hmac.compare_digest(digest, key.sha256):
                found = key
        if found is None:
            raise ApiError(401, "the key is not known here", code="invalid_api_key", headers=_ASK)
        return found

    def use(self, key: Key) -> Use | None:
        """What ``key`` has used; None where nothing is counted."""
        return self._use.get(key.name)


_ASK = {"www-authenticate": "Bearer"}


def presented(headers: Mapping[str, str], *, browser: bool) -> str | None:
    """The key that a request comes with: as a bearer token, or as ``x-api-key``.

    With ``browser`` also as the password of basic authentication. A browser sends that along with
    every request, those of strangers' pages too, so it is for pages that are read, never for what
    costs or changes something.
    """
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if browser and scheme.lower() == "basic":
        try:
            _, mark, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return password if mark and password else None
    return headers.get("x-api-key") or None


class Use:
    """What one key has used lately."""

    def __init__(self, key: Key, clock: Callable[[], float]) -> None:
        self.key = key
        self._clock = clock
        self._requests = Window(MINUTE)
        self._minute = Window(MINUTE)
        self._day = Window(DAY)

    def enter(self) -> None:
        """Count a request. Raises `ApiError` 429 when the key has no right to it now."""
        now, key = self._clock(), self.key
        limits = ((self._requests, key.requests_per_minute, "requests a minute"),
                  (self._minute, key.tokens_per_minute, "tokens a minute"),
                  (self._day, key.tokens_per_day, "tokens a day"))
        for window, most, what in limits:
            if most is not None and window.total(now) >= most:
                raise ApiError(429, f"the key `{key.name}` has used its {most} {what}",
                               code="rate_limit_exceeded", retry=True,
                               retry_after=window.until_below(most, now))
        self._requests.add(1, now)

    def charge(self, tokens: int) -> None:
        """Count the tokens of a request that has ended."""
        now = self._clock()
        self._minute.add(tokens, now)
        self._day.add(tokens, now)

    @property
    def tokens_left(self) -> int | None:
        """Tokens that may still be used now; None: no limit."""
        now, key = self._clock(), self.key
        left = [most - window.total(now) for window, most in
                ((self._minute, key.tokens_per_minute), (self._day, key.tokens_per_day))
                if most is not None]
        return max(1, min(left)) if left else None

    def headers(self) -> dict[str, str]:
        """The ``x-ratelimit-`` headers, as OpenAI names them."""
        now, found = self._clock(), dict[str, str]()
        for name, window, most in (("requests", self._requests, self.key.requests_per_minute),
                                   ("tokens", self._minute, self.key.tokens_per_minute)):
            if most is not None:
                found[f"x-ratelimit-limit-{name}"] = str(most)
                found[f"x-ratelimit-remaining-{name}"] = str(max(0, most - window.total(now)))
                found[f"x-ratelimit-reset-{name}"] = f"{window.until_below(1, now):.1f}s"
        return found


class Window:
    """A sum over the last ``seconds``, kept in at most `PARTS` + 1 slices."""

    PARTS = 60

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._slices: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, amount: int, now: float) -> None:
        self._forget(now)
        self._sum += amount
        if self._slices and now - self._slices[-1][0] < self._seconds / self.PARTS:
            since, there = self._slices[-1]
            self._slices[-1] = since, there + amount
        else:
            self._slices.append((now, amount))

    def total(self, now: float) -> int:
        """The sum at ``now``."""
        self._forget(now)
        return self._sum

    def until_below(self, limit: int, now: float) -> float:
        """Seconds until the sum is below ``limit``, if nothing is added; at least 0."""
        total, wait = self.total(now), 0.0
        for since, amount in self._slices:
            if total < limit:
                break
            total -= amount
            wait = max(0.0, since + self._seconds - now)
        return wait

    def _forget(self, now: float) -> None:
        while self._slices and self._slices[0][0] + self._seconds <= now:
            self._sum -= self._slices.popleft()[1]
