"""A gateway on a real socket, in the loop of the test, before plait's fake upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio
import orjson

from plait.core import Result
from plait.core.events import Event
from plait.engines.openai import OpenAIEngine
from plait.interfaces import Engine
from plait.server.app import make_app
from plait.server.gateway import Gateway
from plait.server.serving import Server, listen
from plait.server.settings import GatewaySettings
from plait.server.watch import Ending, RunInfo
from plait.solve import Runtime
from plait.testing.upstream import Upstream

ASK = [{"role": "user", "content": "What is six times seven?"}]
ANSWER = "The answer is 42."


@dataclass
class Seen:
    """A watcher that keeps what it was told."""

    infos: list[RunInfo] = field(default_factory=list)
    endings: list[tuple[RunInfo, Ending]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def started(self, info: RunInfo) -> None:
        self.infos.append(info)

    def event(self, info: RunInfo, event: Event) -> None:
        self.events.append(event)

    def ended(self, info: RunInfo, ending: Ending) -> None:
        self.endings.append((info, ending))

    @property
    def result(self) -> Result:
        """That of the last run."""
        found = self.endings[-1][1].result
        assert found is not None
        return found


@dataclass
class Served:
    """A gateway that is up. ``session`` is a client of it."""

    url: str
    gateway: Gateway
    session: aiohttp.ClientSession
    seen: Seen

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        """POST ``body`` (JSON, or bytes as they are)."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(self.url + path, data=data, headers=_named(headers)) as reply:
            return Reply(reply.status, dict(reply.headers), await reply.read())

    async def get(self, path: str, **headers: str) -> Reply:
        async with self.session.get(self.url + path, headers=_named(headers)) as reply:
            return Reply(reply.status, dict(reply.headers), await reply.read())

    async def chat(self, model: str = "tiny", /, **fields: Any) -> Reply:
        """A chat completion. Fields in capitals, with ``_`` for ``-``, are headers."""
        headers = {name: fields.pop(name) for name in list(fields) if name.isupper()}
        return await self.post("/v1/chat/completions", {"model": model, "messages": ASK, **fields},
                               **headers)

    @asynccontextmanager
    async def streaming(
        self, model: str = "tiny", path: str = "/v1/chat/completions", /, **fields: Any
    ) -> AsyncIterator[Events]:
        """A stream, left when the block is."""
        body = {"model": model, "stream": True, **fields}
        if path.startswith("/v1/chat"):
            body.setdefault("messages", ASK)
        async with self.session.post(self.url + path, data=orjson.dumps(body)) as reply:
            yield Events(reply)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Reply:
    """A whole reply."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> Any:
        """The answer of a chat completion."""
        return self.json["choices"][0]["message"]["content"]

    @property
    def error(self) -> Any:
        return self.json["error"]

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), None)


class Events:
    """The events of a stream as they come. ``raw`` is what came so far."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.reply = reply
        self.raw = b""
        self.done = False
        self._rest = b""
        self._waiting: list[Any] = []

    async def next(self) -> Any:
        """The next JSON object; None at the end."""
        while not self._waiting:
            data = await self.reply.content.readany()
            if not data:
                return None
            self.raw += data
            *events, self._rest = (self._rest + data).split(b"\n\n")
            for event in events:
                for line in event.split(b"\n"):
                    if line == b"data: [DONE]":
                        self.done = True
                    elif line.startswith(b"data: "):
                        self._waiting.append(orjson.loads(line[6:]))
        return self._waiting.pop(0)

    async def rest(self) -> list[Any]:
        """All objects that are to come."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for what no event tells of."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


def content(events: list[Any], name: str = "content") -> str:
    """The text of the chunks of a chat."""
    return "".join(e["choices"][0]["delta"].get(name) or "" for e in events if e.get("choices"))


@asynccontextmanager
async def serving(engine: Engine | str, settings: GatewaySettings | None = None, **parts: Any
                  ) -> AsyncIterator[Served]:
    """A gateway before ``engine`` (or the one of that name)."""
    seen = Seen()
    async with Runtime(engine) as runtime:
        gateway = Gateway(runtime, settings, watchers=[seen], **parts)
        sock = listen("127.0.0.1", 0)
        began = anyio.Event()
        server = Server(make_app(gateway), gateway, began.set)
        task = asyncio.create_task(server.serve([sock]))
        try:
            await began.wait()
            async with gateway, aiohttp.ClientSession() as session:
                yield Served(f"http://127.0.0.1:{sock.getsockname()[1]}", gateway, session, seen)
        finally:
            server.should_exit = True
            await task
            sock.close()


@asynccontextmanager
async def before(upstream: Upstream, settings: GatewaySettings | None = None, **parts: Any
                 ) -> AsyncIterator[Served]:
    """A gateway before ``upstream``, which is up already."""
    engine = OpenAIEngine(upstream.url, retries=parts.pop("retries", 0))
    try:
        async with serving(engine, settings, **parts) as served:
            yield served
    finally:
        await engine.aclose()
