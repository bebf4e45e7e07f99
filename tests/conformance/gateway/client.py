"""A client that shows what came off the wire: statuses, headers, events, comments, the end.

Every request has a connection of its own, so that leaving it is seen by the server at once.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
import orjson


@dataclass(frozen=True)
class Answer:
    """A whole reply. ``json`` is None if it is none."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any

    @property
    def choice(self) -> Mapping[str, Any]:
        """Its first choice; {} if it has none."""
        choices = self.json.get("choices") if isinstance(self.json, dict) else None
        return choices[0] if choices else {}

    @property
    def content(self) -> str | None:
        """The text of its first choice."""
        return (self.choice.get("message") or {}).get("content")

    @property
    def usage(self) -> Mapping[str, Any]:
        """Its usage; {} if it has none."""
        return (self.json.get("usage") if isinstance(self.json, dict) else None) or {}


@dataclass
class Stream:
    """A stream of events as it comes in."""

    status: int
    headers: Mapping[str, str]
    source: aiohttp.StreamReader
    events: list[dict[str, Any]] = field(default_factory=list)
    """The JSON of every event so far."""
    names: list[str | None] = field(default_factory=list)
    """The name (``event:``) of each."""
    comments: int = 0
    done: int = 0
    """How often ``[DONE]`` was said."""
    broken: str = ""
    """How the connection broke, if it did."""

    async def next(self) -> dict[str, Any] | None:
        """The next event; None at the end. Comments are counted, not shown."""
        name: str | None = None
        data: list[str] = []
        while True:
            line = await self._line()
            if line is None and not data:
                return None
            if line:
                if line.startswith(":"):
                    self.comments += 1
                    continue
                key, _, value = line.partition(":")
                if key == "event":
                    name = value.strip()
                elif key == "data":
                    data.append(value.removeprefix(" "))
                continue
            if not data:
                continue
            text, data = "\n".join(data), []
            if text == "[DONE]":
                self.done += 1
                continue
            event = orjson.loads(text)
            self.events.append(event)
            self.names.append(name)
            return event

    async def _line(self) -> str | None:
        try:
            line = await self.source.readline()
        except (aiohttp.ClientError, ConnectionError) as error:
            self.broken = repr(error)
            return None
        return line.decode().rstrip("\r\n") if line else None

    async def read(self) -> None:
        """Read to the end."""
        while await self.next() is not None:
            pass

    async def until(self, field_name: str) -> str:
        """Read until a choice's delta has this field, not empty; gives what is in it."""
        while (event := await self.next()) is not None:
            for choice in event.get("choices") or ():
                found = (choice.get("delta") or {}).get(field_name)
                if found:
                    return str(found)
        return ""

    def deltas(self, index: int = 0) -> list[Mapping[str, Any]]:
        """The deltas of one choice."""
        return [choice.get("delta") or {} for event in self.events
                for choice in event.get("choices") or () if choice.get("index") == index]

    def text(self, name: str = "content", index: int = 0) -> str:
        """The joined text of a field of the deltas."""
        return "".join(delta.get(name) or "" for delta in self.deltas(index))

    def finishes(self, index: int = 0) -> list[str]:
        """Every finish reason of one choice."""
        return [choice["finish_reason"] for event in self.events
                for choice in event.get("choices") or ()
                if choice.get("index") == index and choice.get("finish_reason")]

    def error(self) -> Mapping[str, Any] | None:
        """The error that the stream tells of, in OpenAI's shape."""
        for event in self.events:
            if isinstance(event.get("error"), dict):
                return event["error"]
        return None


class Client:
    """Use as ``async with Client() as client``."""

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        # The case has its own time limit; a client's would only hide who gave up.
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**22)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # the transports' own closing

    async def post(
        self, url: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send ``body``: bytes as they are, anything else as JSON."""
        data = io.BytesIO(body if isinstance(body, bytes) else orjson.dumps(body))
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self._session.post(url, data=data, headers=sent) as response:
            return await _answer(response)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Get ``url``."""
        async with self._session.get(url, headers=headers) as response:
            return await _answer(response)

    @asynccontextmanager
    async def stream(
        self, url: str, body: object, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """Ask for a stream; leaving early closes the connection."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        response = await self._session.post(url, data=orjson.dumps(body), headers=sent)
        try:
            yield Stream(response.status, response.headers, response.content)
        finally:
            response.close()


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    raw = await response.read()
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = None
    return Answer(response.status, response.headers, raw.decode(errors="replace"), value)
