"""One HTTP request and its reply, as the endpoints see it: read once, written once, left early.

The body is kept as the bytes that came, so that it can be passed on untouched. A client that goes
away is noticed at once, in every phase: `while_connected` cancels what is done for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from plait.server.errors import GONE, ApiError, ClientGone, invalid
from plait.server.keys import Key
from plait.server.patience import within
from plait.server.replays import Replay

JSON = "application/json"
_CLOSE = {"connection": "close"}
"""For a body that was not read to its end."""
_LONGEST_ID = 128
_BREAKS = dict.fromkeys(map(ord, "\r\n\0"), " ")
"""What would end a header: some hold words of clients and engines."""


def request_id(headers: Headers) -> str:
    """The client's own ``x-request-id`` if it is fit to be sent back, else a new one."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable():
        return given
    return f"req_{uuid.uuid4().hex}"


class Exchange:
    """See the module's docstring. ``patience``: seconds that a client may take to read what it
    was sent before it counts as gone, and to send more of its body."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, most_bytes: int, patience: float
    ) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.request_id = request_id(self.headers)
        self.run = uuid.uuid4().hex[:24]
        """What a run on behalf of this request is called."""
        self.key = Key("")
        self.started = False
        self.status = GONE
        """Of the reply; what it is until there is one says that the client left."""
        self.extra: dict[str, str] = {"x-request-id": self.request_id}
        """Headers of the reply, whatever it will be."""
        self._receive, self._send = receive, send
        self._most = most_bytes
        self._patience = patience
        self._body: bytes | None = None

    # --- the request ---------------------------------------------------------------------------

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parts of the path that its route names."""
        found: Mapping[str, str] = self.scope.get("path_params", {})
        return found

    @property
    def target(self) -> str:
        """Path and query as they came."""
        raw = self.scope.get("raw_path") or self.path.encode()
        query = self.scope.get("query_string", b"")
        return (raw + (b"?" + query if query else b"")).decode("latin-1")

    async def body(self) -> bytes:
        """The whole body. Raises `ApiError` 408 if it stops coming, 413 if it is too large;
        `ClientGone`."""
        if self._body is None:
            pieces: list[bytes] = []
            size = 0
            more = True
            while more:
                message = await self._next_piece()
                piece = message.get("body", b"")
                size += len(piece)
                if size > self._most:
                    raise ApiError(413, f"the body is larger than {self._most} bytes",
                                   code="too_large", headers=_CLOSE)
                pieces.append(piece)
                more = message.get("more_body", False)
            self._body = b"".join(pieces)
        return self._body

    async def _next_piece(self) -> Message:
        try:
            with anyio.fail_after(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, f"no more of the body came within {self._patience:g} s",
                           code="timeout", headers=_CLOSE) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `ApiError` for anything else."""
        try:
            data = orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise invalid(f"the body is not valid JSON: {error}") from None
        if not isinstance(data, dict):
            raise invalid("the body must be a JSON object")
        return data

    # --- the reply -----------------------------------------------------------------------------

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of the reply."""
        self.started, self.status = True, status
        merged = {**{k.lower(): v for k, v in headers.items()}, **self.extra}
        raw = [(k.encode("latin-1"), v.translate(_BREAKS).encode("latin-1", "replace"))
               for k, v in merged.items()]
        await self._deliver({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; ``more`` False for the last one. Raises `ClientGone` when the
        client does not take it in time."""
        await self._deliver({"type": "http.response.body", "body": data, "more_body": more})

    async def _deliver(self, message: dict[str, Any]) -> None:
        try:
            await within(self._patience, self._send(message))
        except (TimeoutError, OSError) as error:
            raise ClientGone from error

    async def reply(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole reply, JSON unless ``headers`` say otherwise."""
        await self.start(status, {"content-type": JSON, **(headers or {}),
                                  "content-length": str(len(body))})
        await self.write(body, more=False)

    async def reply_json(
        self, data: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        await self.reply(status, orjson.dumps(data), headers)

    async def refuse(self, error: ApiError) -> None:
        """Reply with ``error``."""
        await self.reply(error.status, error.body(), error.headers())

    def record(self, replay: Replay) -> None:
        """Let ``replay`` see what is sent from now on."""
        self._send = replay.recording(self._send)

    async def replayed(self, replay: Replay) -> None:
        """Give the reply that ``replay`` knows."""
        self.started, self.status = True, replay.status
        await replay.play(self._send)

    # --- the client ----------------------------------------------------------------------------

    async def while_connected(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work``; cancel it the moment the client is gone, and raise `ClientGone` then.

        The body has to be read before. What ``work`` raises is raised here.
        """
        await self.body()
        failure: Exception | None = None
        done = False
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                await work()
                done = True  # a server reports a disconnection behind every reply
            except Exception as error:  # noqa: BLE001 - carried out of the task group, then raised
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if not done:
            raise ClientGone
