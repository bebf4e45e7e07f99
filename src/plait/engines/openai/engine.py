"""`OpenAIEngine`: any server that speaks OpenAI's HTTP API, as an `plait.interfaces.Engine`.

    engine = OpenAIEngine("http://localhost:8000")
    async with engine.stream(Prompt("2 + 2 ="), Sampling(max_tokens=8)) as chunks:
        async for chunk in chunks:
            print(chunk.text, end="")
    await engine.aclose()

The server is looked at once, on first use: which kind it is (`dialects`), which model it serves,
how long its window is. The key comes from ``PLAIT_API_KEY`` or ``OPENAI_API_KEY`` unless it is
given; it appears in no message, log or representation. An engine belongs to whichever event loop
uses it; used from a new one, it opens new connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio

from plait.core import Chunk, Message, Prompt, Request, Sampling
from plait.core.reading import THINK, LiveAnswer
from plait.engines.openai import opening, wire
from plait.engines.openai.call import OLD_LIMIT, Call, Desk, Question
from plait.engines.openai.connect import Link
from plait.engines.openai.dialects import BY_NAME, GENERIC, Name
from plait.engines.openai.errors import NotThere
from plait.engines.openai.load import LoadGauge
from plait.engines.openai.probe import Server, find_out
from plait.engines.openai.tokens import Tokenizer
from plait.errors import EngineError, EngineRefused, UsageError
from plait.interfaces import Capabilities, Load, Opening

_MOST_RENDERED = 256


class OpenAIEngine:
    """See the module's docstring.

    ``model``: which one to ask for; found out if the server has just one. ``dialect``: what kind
    of server it is; found out if not given. ``idle``: seconds of silence after which a server
    counts as gone. ``retries``: how often a call is tried again before its first token. ``link``: a
    way to the server that is there already.
    """

    name = "openai"

    def __init__(
        self, base_url: str, model: str | None = None, *, key: str | None = None,
        dialect: Name | None = None, idle: float = 120.0, retries: int = 3,
        link: Link | None = None,
    ) -> None:
        if dialect is not None and dialect not in BY_NAME:
            raise UsageError(f"unknown dialect {dialect!r}",
                             hint=f"Known: {', '.join(BY_NAME)}.")
        self._link = link or Link(base_url, key=key, idle=idle, retries=retries)
        self._wanted = model
        self._dialect = BY_NAME[dialect] if dialect else None
        self._server: Server | None = None
        self._looking = anyio.Lock()
        self._gauge = LoadGauge(self._link)
        self._tokenizer = Tokenizer(self._link)
        self._limit_name = OLD_LIMIT
        self._words: dict[int, str] = {}
        self._rendered: dict[tuple[Message, ...], str] = {}
        self._can_render = True
        self._takes_schemas = True
        self._thinks: bool | None = None

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._link.where!r}, {self.model!r})"

    @property
    def base_url(self) -> str:
        """The server's address without ``/v1`` and without a password."""
        return self._link.where

    @property
    def link(self) -> Link:
        """The way to the server, for requests that are none of an engine's."""
        return self._link

    def for_model(self, model: str) -> OpenAIEngine:
        """Another model of the same server, over the same connections; close only one of them."""
        name = self._server.dialect.name if self._server else None
        return OpenAIEngine(self._link.where, model, dialect=name, link=self._link)

    @property
    def model(self) -> str:
        """The model's name; ``""`` while it has to be found out."""
        return self._server.model if self._server else self._wanted or ""

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do; the least of it before `connect`."""
        server = self._server or Server(self._dialect or GENERIC, "")
        dialect = server.dialect
        return Capabilities(
            token_ids=dialect.token_ids, chat=server.has_template, logprobs=True,
            cache_report=dialect.reports_cache, exact_counts=dialect.exact_counts,
            json_schema=dialect.schemas if self._takes_schemas else False,
            window=server.window, slots=server.slots, server=dialect.name,
            shows_special=dialect is not GENERIC)

    async def connect(self) -> Server:
        """Look at the server, once. `stream` and `open` do it by themselves.

        Raises `EngineUnreachable`, `EngineRefused` (a wrong key) or `UsageError` (several models
        and none named).
        """
        if self._server is not None:
            return self._server
        async with self._looking:  # all that come at once wait for the first one's look
            if self._server is None:
                self._server = await find_out(self._link, self._wanted, self._dialect)
            return self._server

    def encode(self, text: str, *, opening: bool = False) -> Sequence[int] | None:
        """None: the tokenizer is on the server, which `stream` asks for the parts of a prompt
        that have no ids yet."""
        return None

    @asynccontextmanager
    async def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Stream the continuation of ``prompt``; leaving closes the connection at once.

        On a generic server a chat's ``prompt.text`` goes as a last assistant message, which some
        continue and others answer. Raises `EngineError`s.
        """
        server = await self.connect()
        if prompt.tools and not (prompt.messages and server.has_template):
            raise EngineRefused("a model without a chat template can be offered no tools")
        if sampling.stop_ids and not (server.dialect.stop_ids or server.dialect.native):
            raise UsageError(f"{self.base_url} cannot stop at token ids", hint="Stop at a string.")
        desk = Desk(self._link, server, self._word, self._count, self._learn_limit,
                    partial(self._tokenizer.settle, server))
        call = Call(desk, await self._question(server, prompt, sampling))
        try:
            yield call
        finally:
            call.close()

    def protocols(self, request: Request) -> tuple[str, ...]:
        """None: a server does not say how its model forks."""
        return ()

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Messages for our own methods, text in the chat template for a protocol."""
        server = await self.connect()
        made = await opening.make_opening(request, protocol, server, self._render_tokens_or_text)
        if protocol is not None or not server.has_template:
            return made
        return replace(made, live=partial(LiveAnswer, await self._opens_thoughts()))

    async def token_counts(self, texts: Sequence[str]) -> list[int | None]:
        """Into how many tokens the model cuts each text, special tokens counted as one; None
        where the server does not tell. One short request a text, once. Raises what `connect`
        raises."""
        return await self._tokenizer.counts(await self.connect(), texts)

    async def load(self) -> Load:
        """How busy the server says it is. Never raises; what is unknown is None."""
        try:
            return await self._gauge.read(await self.connect())
        except (EngineError, UsageError):
            return Load()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._link.aclose()

    # --- questions -----------------------------------------------------------------------------

    async def _question(self, server: Server, prompt: Prompt, sampling: Sampling) -> Question:
        dialect = server.dialect
        if prompt.text or not self._takes_schemas:  # what goes on is no whole JSON
            sampling = replace(sampling, schema=None)
        if prompt.messages and dialect.native and self._can_render and not prompt.tools:
            prompt = await self._as_text(prompt)
        if prompt.messages:
            body = wire.chat_body(server.model, prompt, sampling, dialect, self._limit_name)
            otherwise = None
            if prompt.text and dialect.tokenizes and not prompt.tools:
                otherwise = partial(self._chat_as_completion, server, prompt, sampling)
            if sampling.schema is not None and dialect.schemas is None:
                otherwise = partial(self._without_schema, server, prompt, sampling)
            return Question(
                "/v1/chat/completions", body, wire.read_chat, prompt, sampling, otherwise)
        if dialect.native:
            body = wire.native_body(server.model, prompt, sampling)
            return Question("/completion", body, wire.read_native, prompt, sampling)
        if prompt.parts and dialect.token_ids and dialect.tokenizes:
            prompt = replace(prompt, ids=await self._tokenizer.splice(server, prompt.parts))
        body = wire.completion_body(server.model, prompt, sampling, dialect)
        if dialect.unlimited == "number" and "max_tokens" not in body and server.window:
            used = await self._count(prompt)
            if used is not None:
                body["max_tokens"] = max(1, server.window - used)
        return Question("/v1/completions", body, wire.read_completion, prompt, sampling)

    async def _without_schema(
        self, server: Server, prompt: Prompt, sampling: Sampling
    ) -> Question:
        """A reply in whatever form the model likes, from a server that knows no schemas."""
        self._takes_schemas = False
        return await self._question(server, prompt, sampling)

    async def _chat_as_completion(
        self, server: Server, prompt: Prompt, sampling: Sampling
    ) -> Question:
        """A chat whose answer is begun, as text in the chat template."""
        rendered = await opening.render_tokens(self._link, server.model, prompt.messages)
        return await self._question(server, Prompt(rendered.text + prompt.text), sampling)

    async def _as_text(self, prompt: Prompt) -> Prompt:
        """A chat as text for llama.cpp, whose chat endpoint does not say which stop was hit."""
        text = self._rendered.get(prompt.messages)
        if text is None:
            try:
                text = (await opening.render_llamacpp(self._link, prompt.messages)).text
            except EngineRefused as error:
                self._can_render = not isinstance(error, NotThere)
                return prompt
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            self._rendered[prompt.messages] = text
        return Prompt(text + prompt.text)

    async def _render_tokens_or_text(self, messages: Sequence[Message]) -> Prompt:
        server = await self.connect()
        if server.dialect.native:
            return await opening.render_llamacpp(self._link, messages)
        if server.dialect.tokenizes:
            return await opening.render_tokens(self._link, server.model, messages)
        raise EngineRefused(f"{self.base_url} does not apply chat templates to text")

    async def _opens_thoughts(self) -> bool:
        """Does the chat template open the model's thoughts by itself? Asked once; False where the
        server does not show its template."""
        if self._thinks is None:
            try:
                shown = await self._render_tokens_or_text((Message("user", "?"),))
                self._thinks = shown.text.rstrip().endswith(THINK)
            except EngineError:
                self._thinks = False
        return self._thinks

    # --- what calls ask ------------------------------------------------------------------------

    async def _word(self, token: int) -> str | None:
        """The text of a token; asked once a token."""
        if token not in self._words:
            server = await self.connect()
            if not server.dialect.tokenizes:
                return None
            try:
                self._words[token] = await opening.detokenize(self._link, server.model, [token])
            except EngineError:
                return None
        return self._words[token]

    async def _count(self, prompt: Prompt) -> int | None:
        """The length of a prompt in tokens; None if the server does not count."""
        server = await self.connect()
        if prompt.ids is not None:
            return len(prompt.ids)
        if not server.dialect.tokenizes:
            return None
        body: dict[str, object] = {"model": server.model, "prompt": prompt.text}
        if prompt.messages:
            chat = wire.chat_body(server.model, prompt, Sampling(), server.dialect, OLD_LIMIT)
            names = ("model", "messages", "tools", *server.dialect.prefill)
            body = {n: chat[n] for n in names if n in chat}
        try:
            return len(await opening.tokenize(self._link, body))
        except EngineError:
            return None

    def _learn_limit(self, name: str) -> None:
        self._limit_name = name
