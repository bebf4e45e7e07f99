"""One request to the server: begin, read, and set right what can be set right before the text.

Everything before the first token may be tried again: a refused connection, 429, 5xx, a stream
that breaks before it says anything (`Link.pause` decides). Three refusals are answered by asking
differently, once: a limit beyond the window is replaced by what fits; a server that wants
``max_completion_tokens`` gets that; and a chat template that cannot take up the beginning of an
answer (it may rewrite the thoughts in it) is rendered without, and the text put behind it. Once
text has come, every failure is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import anyio
import orjson

from plait.core import Chunk, Prompt, Sampling, Usage
from plait.engines.openai import errors
from plait.engines.openai.assemble import Assembler
from plait.engines.openai.connect import Link
from plait.engines.openai.probe import Server
from plait.engines.openai.sse import Decoder, Event, NotEvents
from plait.engines.openai.wire import Body, Piece
from plait.errors import EngineError, EngineRefused

DRAIN_SECONDS = 0.05
"""Wait for the end of a finished reply, so that its connection can serve another request."""

MOST_ADAPTED = 2
"""Refusals that are answered by asking differently: the limit's name, and one more."""
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent where, and how the answer's objects are read."""

    path: str
    body: Body
    read: Callable[[Mapping[str, Any]], Piece]
    prompt: Prompt
    sampling: Sampling
    otherwise: Callable[[EngineRefused], Awaitable[Question]] | None = None
    """Gives the same question put in another way, for a server that refuses this one; raises what
    it is given if that would be of no use."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a call needs of its engine.

    ``word``: the text of a token id. ``count``: the length of a prompt in tokens. Both give None
    where the server does not tell. ``learn_limit``: takes what the server calls its limit.
    ``settle``: the ids of the end of a stream that a stop has ended (see `Tokenizer.settle`).
    """

    link: Link
    server: Server
    word: Callable[[int], Awaitable[str | None]]
    count: Callable[[Prompt], Awaitable[int | None]]
    learn_limit: Callable[[str], None]
    settle: Callable[[Sequence[int], str, Sequence[int]], Awaitable[tuple[int, ...] | None]]


class Call:
    """An async iterator over the chunks of one request. `close` it in the end, at any time."""

    def __init__(self, desk: Desk, question: Question) -> None:
        self._desk = desk
        self._question = question
        self._body = question.body
        self._attempt = 0
        self._adapted = 0
        self._over = False
        self._response: aiohttp.ClientResponse | None = None
        self._reset()

    def _reset(self) -> None:
        self.close()
        question, server = self._question, self._desk.server
        self._assembler = Assembler(
            question.prompt.text, question.sampling, server.dialect, server.eos)
        self._decoder = Decoder()
        self._events: deque[Event] = deque()
        self._at_end = False

    def close(self) -> None:
        """Leave the request: the connection is closed at once unless the reply is complete."""
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> Chunk:
        while not self._over:
            try:
                data = await self._next()
                if data is None:
                    self._over = True
                    return self._assembler.last()
                chunk = await self._take(data)
            except EngineError as error:
                self.close()
                if self._assembler.ended:  # the text is complete, only its usage is missing
                    self._over = True
                    return self._assembler.last()
                if self._assembler.started:
                    self._over = True
                    raise
                chunk = await self._recover(error)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    # --- reading -------------------------------------------------------------------------------

    async def _next(self) -> Mapping[str, Any] | None:
        """The next object of the stream; None when it is complete."""
        link = self._desk.link
        while not self._events:
            if self._at_end:
                if not self._assembler.ended:
                    raise errors.broken_off(link.where)
                return None
            if self._response is None:
                self._response = await link.open(
                    self._question.path, self._body, self._question.sampling.session)
                if self._response.content_type == "application/json":
                    raise await self._not_streamed(self._response)
            data = await link.read(self._response)
            self._at_end = not data
            try:
                self._events.extend(self._decoder.feed(data) if data else self._decoder.close())
            except NotEvents as error:
                raise errors.from_network(error, link.where, link.idle) from error
        event = self._events.popleft()
        if event.data.strip() == "[DONE]":
            await self._drain()
            return None
        return self._object(event)

    def _object(self, event: Event) -> Mapping[str, Any]:
        where = self._desk.link.where
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError as error:
            raise EngineError(f"{where} sent broken JSON: {event.data[:80]!r}") from error
        if event.name == "error" and isinstance(data, Mapping) and "error" not in data:
            data = {"error": data}
        if (failure := errors.from_stream(data, where)) is not None:
            raise failure
        found: Mapping[str, Any] = data
        return found

    async def _take(self, data: Mapping[str, Any]) -> Chunk | None:
        try:
            piece = self._question.read(data)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise EngineError(
                f"{self._desk.link.where} sent an object of an unknown shape: {error!r}") from error
        closing = self._assembler.closing_id(piece)
        eos = await self._desk.word(closing) if closing is not None else None
        chunk = self._assembler.take(piece, eos)
        if chunk is not None and (open_end := self._assembler.unsettled) is not None:
            chunk = replace(chunk, ids=await self._desk.settle(*open_end))
        if self._assembler.cut:
            self.close()
            self._events.clear()
            self._at_end = True
        return chunk

    async def _drain(self) -> None:
        """Read the reply to its end, which is due, so that its connection is free again."""
        if self._response is None:
            return
        with anyio.move_on_after(DRAIN_SECONDS):
            try:
                while await self._desk.link.read(self._response):
                    pass
            except EngineError:
                return  # the text is complete; how the connection ends does not matter

    async def _not_streamed(self, response: aiohttp.ClientResponse) -> EngineError:
        """A success that is no stream: an error in disguise, or a server that cannot stream."""
        link = self._desk.link
        parts = []
        while data := await link.read(response):
            parts.append(data)
        try:
            found = errors.from_stream(orjson.loads(b"".join(parts)), link.where)
        except orjson.JSONDecodeError:
            found = None
        return found or EngineError(f"{link.where} does not stream its replies")

    # --- before the first token ----------------------------------------------------------------

    async def _recover(self, error: EngineError) -> Chunk | None:
        """Get ready for another attempt. A chunk if the answer is known without one.

        Raises ``error`` if another attempt is of no use.
        """
        self._over = True  # unless we come to the end of this function
        last = None
        if isinstance(error, EngineRefused):
            if self._adapted == MOST_ADAPTED:
                raise error
            self._adapted += 1
            if isinstance(error, errors.TooLong):
                last = await self._fit(error)
            elif self._question.otherwise is not None and NEW_LIMIT not in str(error):
                self._question = await self._question.otherwise(error)
                self._body = self._question.body
            else:
                self._rename_limit(error)
        else:
            await self._desk.link.pause(error, self._attempt)
            self._attempt += 1
        self._reset()
        self._over = last is not None
        return last

    async def _fit(self, error: EngineError) -> Chunk | None:
        """Ask for no more than the window has left; the end of the text if nothing is left."""
        server, question = self._desk.server, self._question
        if server.dialect.native:  # it refuses only prompts that do not fit by themselves
            return Chunk(finish="window", usage=Usage(server.window or 0, estimated=True))
        used = await self._desk.count(question.prompt)
        if used is None or server.window is None:
            raise error
        if used >= server.window:
            return Chunk(finish="window", usage=Usage(used))
        name = NEW_LIMIT if NEW_LIMIT in self._body else OLD_LIMIT
        wanted = self._body.get(name)
        room = server.window - used
        self._body = {**self._body, name: min(wanted, room) if isinstance(wanted, int) else room}
        return None

    def _rename_limit(self, error: EngineError) -> None:
        if OLD_LIMIT not in self._body or NEW_LIMIT not in str(error):
            raise error
        self._desk.learn_limit(NEW_LIMIT)
        body = dict(self._body)
        body[NEW_LIMIT] = body.pop(OLD_LIMIT)
        self._body = body
