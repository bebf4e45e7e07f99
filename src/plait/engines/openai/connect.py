"""HTTP to one server: the address, the session, one attempt at a call, and when to try again.

A call is tried again only while nothing of its answer has been seen, at most `retries` times,
with waits that double from 0.25 s to 8 s or are what the server asked for, and never past the
deadline of the scope it runs in: if the wait would pass it, the error is raised at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import anyio
import orjson
from yarl import URL

from plait.engines.openai import errors
from plait.errors import EngineError, EngineOverloaded, UsageError

CONNECT_SECONDS = 5.0
FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
MOST_ASKED_WAIT = 60.0
"""A server that asks for more patience than this gets none: the caller is told instead."""
CONNECTIONS = 4096
SESSION = ("X-Session-ID", "X-SMG-Routing-Key")
"""By what these say routers choose a server where they hash: SGLang's by the second, vLLM's and
others by the first."""
STALE_CONNECTIONS = 3
"""Connections in a row that may turn out to be closed."""
KEYS = ("PLAIT_API_KEY", "OPENAI_API_KEY")


def server_root(url: str) -> str:
    """``url`` without a trailing slash or ``/v1``. Raises `UsageError` if it is no web address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not the address of a server",
                         hint="Give it like http://localhost:8000 or https://host/v1.")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def without_password(url: str) -> str:
    """``url`` as it may be shown: no user name, no password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _timeout(idle: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)


class Patience:
    """When to try a call again. ``retries``: how often at most."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._waits = 0

    async def pause(self, error: EngineError, attempt: int) -> None:
        """Wait before attempt number ``attempt`` + 1; raise ``error`` if there shall be none."""
        if not error.retryable or attempt >= self._retries:
            error.exhausted = attempt > 0
            raise error
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
        # Callers that failed together must not come back together; spread them over the last
        # quarter of the wait, evenly, in the order of their failures (golden ratio).
        self._waits += 1
        wait *= 0.75 + 0.25 * (self._waits * 0.6180339887 % 1)
        if isinstance(error, EngineOverloaded) and error.retry_after is not None:
            if error.retry_after > MOST_ASKED_WAIT:
                raise error
            wait = max(error.retry_after, wait if error.retry_after else 0)
        if anyio.current_time() + wait > anyio.current_effective_deadline():
            raise error
        await anyio.sleep(wait)


class Link:
    """The way to one server. ``idle``: seconds without a byte after which it counts as gone."""

    def __init__(
        self, base_url: str, *, key: str | None = None, idle: float = 120.0, retries: int = 3
    ) -> None:
        self._root = server_root(base_url)
        self.where = without_password(self._root)
        self.idle = idle
        self._key = key or next((v for k in KEYS if (v := os.environ.get(k))), None)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pause = Patience(retries).pause

    def __repr__(self) -> str:
        return f"Link({self.where!r})"

    # --- one attempt ---------------------------------------------------------------------------

    async def open(
        self, path: str, body: Mapping[str, object], session: str = ""
    ) -> aiohttp.ClientResponse:
        """POST ``body`` and give the reply once its headers are there; close it in the end.

        ``session`` goes into the header by which routers keep calls together. Raises `EngineError`
        for anything but a success.
        """
        try:
            response = await self._send(path, body, session)
            if response.status >= 300:
                async with response:
                    raise await self._refusal(response)
        except errors.NETWORK as error:
            raise errors.from_network(error, self.where, self.idle) from error
        return response

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The next bytes of a reply, ``b""`` at its end. Raises `EngineError` if it breaks."""
        try:
            return await response.content.readany()
        except errors.NETWORK as error:
            raise errors.from_network(error, self.where, self.idle) from error

    async def call(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """GET ``path``, or POST ``body`` to it; the reply's JSON (or its text if it is none).

        One attempt. Raises `EngineError`.
        """
        try:
            async with await self._send(path, body) as response:
                if response.status >= 300:
                    raise await self._refusal(response)
                content = await response.read()
        except errors.NETWORK as error:
            raise errors.from_network(error, self.where, self.idle) from error
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return content.decode("utf-8", "replace")

    async def _send(
        self, path: str, body: Mapping[str, object] | None, session: str = ""
    ) -> aiohttp.ClientResponse:
        """One request, up to the headers of its reply."""
        if body is None:
            return await self.send("GET", path)
        headers = {"Content-Type": "application/json"}
        if session:
            headers |= dict.fromkeys(SESSION, session)
        return await self.send("POST", path, orjson.dumps(body), headers)

    async def send(
        self, method: str, path: str, data: bytes | None = None,
        headers: Mapping[str, str] | None = None, *, idle: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Any request, as it is, with our key; up to the headers of its reply, whatever they say.

        A server may have closed a pooled connection in the moment in which we take it; then the
        next one is taken, a few times. Nothing has been answered, so nothing is done twice.
        ``idle`` replaces the link's own. Raises what `errors.NETWORK` lists.
        """
        session = await self._current_session()
        url = URL(self._root + path, encoded=True)
        timeout = _timeout(self.idle if idle is None else idle)
        for left in reversed(range(STALE_CONNECTIONS)):
            try:
                return await session.request(method, url, data=data, headers=headers,
                                             timeout=timeout, allow_redirects=False)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _refusal(self, response: aiohttp.ClientResponse) -> EngineError:
        body = await response.read()
        return errors.from_status(response.status, body, response.headers, self.where)

    # --- trying again --------------------------------------------------------------------------

    async def patient_call(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """`call`, tried again as `pause` allows."""
        attempt = 0
        while True:
            try:
                return await self.call(path, body)
            except EngineError as error:
                await self.pause(error, attempt)
                attempt += 1

    # --- the session ---------------------------------------------------------------------------

    async def _current_session(self) -> aiohttp.ClientSession:
        """The session of the running event loop; one of a loop that is over is let go."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            old = self._session
            keyed = self._key and "@" not in urlsplit(self._root).netloc
            self._session = session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=_timeout(self.idle),
                headers={"Authorization": f"Bearer {self._key}"} if keyed else {})
            self._loop = loop
            if old is not None:
                await old.close()
            return session
        return self._session

    async def aclose(self) -> None:
        """Close every connection. The link may be used again."""
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()
