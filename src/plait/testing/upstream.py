"""A fake OpenAI-compatible server in this process, for tests of whatever talks to one.

    async with Upstream("Paris.", dialect="vllm") as upstream:
        engine = OpenAIEngine(upstream.url)
        ...
    assert upstream.calls.cancelled == 0

It behaves like vLLM, SGLang, llama.cpp or a plain server in everything that differs between them:
which fields it understands, whether stop texts and special tokens stay in the text, what it says
of the stop, of token ids and of caches. What it writes is a `Reply` a call: text cut in pieces
(its tokens, one an event), failures on cue, and gates at which it waits until the test opens
them; only a reply that is given ``seconds`` sleeps. Every call is counted by how it ended, and its
body is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import anyio
import orjson
from aiohttp import web

from plait.testing.replies import EOS, Body, Dialect, Reply, Writing, by_choice, nonsense
from plait.testing.scripted import cut_pieces
from plait.testing.slots import Slots

Script = Callable[[Body], Reply | str]


@dataclass(slots=True)
class Calls:
    """Calls so far by how they ended. ``cancelled``: the client went away before the end."""

    started: int = 0
    finished: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0


class Upstream:
    """See the module's docstring.

    ``script``: one reply for all calls, a list of them (the last one repeats), or a function of
    the request's body. ``template`` False: the model has no chat template. ``slots``: calls that
    are written at once, others wait (None: all are). ``hears`` False: a client that leaves is not
    noticed before something is sent to it.
    """

    def __init__(  # noqa: PLR0913 - what servers differ in
        self, script: Script | Reply | str | Sequence[Reply | str], *, dialect: Dialect = "vllm",
        models: Sequence[str] = ("tiny",), window: int = 4096, template: bool = True,
        known_by_owner: bool = True, key: str | None = None, slots: int | None = None,
        hears: bool = True,
    ) -> None:
        self.script = script
        """What is written on the next calls; may be set anew between them."""
        self._dialect = dialect
        self._models = models
        self._window = window
        self._template = template
        self._authorization = f"Bearer {key}" if key else None
        self._owner = dialect if known_by_owner and dialect != "generic" else "somebody"
        self._ids: dict[str, int] = {}
        self._words: list[str] = []
        self._changed = anyio.Event()
        self._slots = Slots(slots)
        self._hears = hears
        self._replies = 0
        self._runner: web.AppRunner | None = None
        self.calls = Calls()
        self.bodies: list[dict[str, Any]] = []
        """The body of every call that asked for text, in order."""
        self.usages: list[dict[str, object]] = []
        """The usage of every call that was written to its end, whether it was sent or not."""
        self.paths: list[str] = []
        """Every path that was asked for, in order."""
        self.headers: list[Mapping[str, str]] = []
        self.metrics: str | None = None
        """What ``/metrics`` says; None: it is not there."""
        self.tools = True
        """False: it refuses tools, as vLLM does when it was started without a parser of calls."""
        self.spelled: set[str] = set()
        """Tags that the model's tokenizer does not know: it cuts them into letters."""
        self.hidden: set[str] = set()
        """Paths that are not there."""
        self.failing: dict[str, int] = {}
        """Paths that answer with this status."""
        self.ignored: set[str] = set()
        """Fields of a question that it does not know, and reads over."""
        self.refused: set[str] = set()
        """Fields of a question that it refuses."""
        self.strict = False
        """True: a model that is not among those it serves is refused."""
        self.answers: dict[str, object] = {}
        """What further paths answer, each one JSON value; what was sent there is in `others`."""
        self.others: list[tuple[str, bytes]] = []
        """Path and body of every call that `answers` answered, in order."""
        self.url = ""

    async def __aenter__(self) -> Upstream:
        await self.listen()
        return self

    async def listen(self, port: int = 0) -> None:
        """Begin to serve; ``port`` 0: a free one."""
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=self._hears, access_log=None,
                                     shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Cut all connections and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def drop_connections(self) -> None:
        """Close all connections, without a word; go on listening."""
        server = self._runner.server if self._runner is not None else None
        for connection in server.connections if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def until(self, condition: Callable[[Calls], bool]) -> None:
        """Wait until the counts of calls are as wanted."""
        while not condition(self.calls):
            await self._changed.wait()

    def _count(self, name: str, change: int = 1) -> None:
        setattr(self.calls, name, getattr(self.calls, name) + change)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def token(self, piece: str) -> int:
        """The id of a piece of text."""
        if piece not in self._ids:
            self._ids[piece] = len(self._words)
            self._words.append(piece)
        return self._ids[piece]

    def word(self, token: int) -> str:
        """The text of a token; something for those that no text has been cut into yet."""
        return self._words[token] if token < len(self._words) else f" {token}"

    def render(self, messages: Sequence[Body], open_end: bool = False) -> str:
        """``messages`` in this model's chat template."""
        text = "".join(f"<|{m['role']}|>{m.get('content')}{_called(m)}{EOS}" for m in messages)
        return text.removesuffix(EOS) if open_end else f"{text}<|assistant|>"

    # --- endpoints -----------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.paths.append(path)
        if (refusal := self._turned_away(request)) is not None:
            return refusal
        if path in self.answers:
            self.others.append((request.path_qs, await request.read()))
            return web.json_response(self.answers[path])
        try:
            body = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            return _refuse(400, "no JSON")
        if not isinstance(body, dict):
            return _refuse(400, "no object")
        if path in ("/v1/completions", "/v1/chat/completions") or (
            path == "/completion" and self._dialect == "llamacpp"
        ):
            return await self._generate(request, body)
        known = self.metrics if path == "/metrics" else self._facts(path, body)
        if known is None:
            return _refuse(404, "File Not Found")
        if isinstance(known, web.Response):
            return known
        if isinstance(known, str):
            return web.Response(text=known)
        return web.json_response(known)

    def _turned_away(self, request: web.Request) -> web.Response | None:
        """Why a call gets nowhere, whatever it asks; None if it does."""
        if self._authorization not in (None, request.headers.get("Authorization")):
            return _refuse(401, "wrong key")
        if request.path in self.hidden:
            return _refuse(404, "File Not Found")
        if request.path in self.failing:
            return _refuse(self.failing[request.path], "it fails")
        return None

    def _facts(self, path: str, body: Body) -> object:
        match (self._dialect, path):
            case (_, "/v1/models"):
                window = {"max_model_len": self._window}
                if self._dialect in ("llamacpp", "generic"):
                    window = {}
                entry = {"object": "model", "created": 1_750_000_000, "owned_by": self._owner}
                return {"object": "list",
                        "data": [{"id": m, **entry, **window} for m in self._models]}
            case ("vllm", "/version"):
                return {"version": "0.32.0"}
            case ("sglang", "/server_info"):
                return {"model_path": self._models[0]}
            case ("llamacpp", "/props"):
                return {"default_generation_settings": {"n_ctx": self._window},
                        "total_slots": self._slots.size or 4,
                        "eos_token": EOS, "chat_template": "some" if self._template else ""}
            case ("llamacpp", "/slots"):
                return [{"id": i, "is_processing": i < self.calls.open}
                        for i in range(self._slots.size or 4)]
            case ("llamacpp", "/apply-template"):
                return {"prompt": self.render(body["messages"])}
            case ("vllm" | "sglang" | "llamacpp", "/tokenize"):
                return self._tokenize(body)
            case ("vllm" | "sglang", "/detokenize"):
                name = "prompt" if self._dialect == "vllm" else "text"
                return {name: "".join(self._words[i] for i in body["tokens"])}
        return None

    def _tokenize(self, body: Body) -> object:
        text = body.get("content" if self._dialect == "llamacpp" else "prompt")
        if text is None and not self._template:
            return _refuse(400, "no chat template")
        if text is None:
            text = self.render(body["messages"], bool(body.get("continue_final_message")))
        return {"tokens": [self.token(p) for p in self._cut(text)]}

    def _cut(self, text: str) -> list[str]:
        return list(text) if text in self.spelled else cut_pieces(text)

    # --- text ----------------------------------------------------------------------------------

    def _reply(self, body: Body, number: int) -> Reply:
        script = self.script
        if callable(script):
            if isinstance(body.get("prompt"), list):  # a script reads text
                body = {**body, "prompt": "".join(map(self.word, body["prompt"]))}
            found = script(body)
        elif isinstance(script, (str, Reply)):
            found = script
        else:
            found = script[min(number, len(script) - 1)]
        return Reply(found) if isinstance(found, str) else found

    async def _generate(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        number = len(self.bodies)
        self.bodies.append(body)
        self.headers.append(request.headers)
        self._count("open")
        self._count("started")
        how = "failed"
        try:
            refusal = self._refusal(request.path, body)
            if refusal is not None:
                how = "refused"
                return refusal
            body = {name: value for name, value in body.items() if name not in self.ignored}
            async with self._slots.taken(body.get("priority") or 0):
                how, response = await self._answer(request, body, number)
                return response
        except (asyncio.CancelledError, ConnectionError):
            how = "cancelled"
            raise
        finally:
            self._count(how)
            self._count("open", -1)

    async def _answer(
        self, request: web.Request, body: Body, number: int
    ) -> tuple[str, web.StreamResponse]:
        """How a call ended, and the answer to it."""
        reply = self._reply(body, number)
        if reply.status != 200:
            return "refused", web.Response(status=reply.status, headers=dict(reply.headers),
                                           body=orjson.dumps(reply.error))
        if not body.get("stream"):
            return "finished", await self._whole(request, reply, body)
        response = web.StreamResponse(
            headers={"Content-Type": reply.content_type, **reply.headers})
        await response.prepare(request)
        whole = await self._write(request, response, reply, body)
        return "finished" if whole else "failed", response

    def _refusal(self, path: str, body: Body) -> web.Response | None:
        if refused := self.refused & body.keys():
            return _refuse(400, f"unknown field: {min(refused)}")
        if body.get("tools") and not self.tools:
            return _refuse(400, NO_TOOLS)
        if wrong := nonsense(body, chat="chat" in path):
            return _refuse(400, wrong)
        limit = body.get("max_tokens")
        if not (limit is None or (isinstance(limit, int) and limit > 0)):
            return _refuse(400, "max_tokens: a positive number is wanted")
        model = body.get("model")
        if self.strict and model not in self._models:
            return web.json_response({"error": {
                "message": f"The model `{model}` does not exist.", "type": "NotFoundError",
                "param": "model", "code": "model_not_found"}}, status=404)
        return None

    async def _whole(self, request: web.Request, reply: Reply, body: Body) -> web.Response:
        """The answer in one piece."""
        if reply.gate is not None:
            await reply.gate.wait()
        await asyncio.sleep(reply.seconds)
        if reply.break_after is not None:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("broken off on purpose")
        if reply.raw is not None:
            return web.Response(body=b"".join(reply.raw), content_type=reply.content_type)
        writing = Writing(self, reply, body, self._dialect)
        chat = request.path == "/v1/chat/completions"
        whole = writing.whole_chat() if chat else writing.whole_completion()
        kind = "chat.completion" if chat else "text_completion"
        self.usages.append(writing.usage())
        return web.json_response({**self._envelope(body, kind), **whole}, headers=reply.headers)

    def _envelope(self, body: Body, kind: str) -> dict[str, object]:
        """What is around every answer of the OpenAI endpoints."""
        self._replies += 1
        return {"id": f"upstream-{self._replies}", "object": kind, "created": 1_750_000_000,
                "model": body.get("model") or self._models[0],
                "system_fingerprint": "fp_upstream"}

    async def _write(
        self, request: web.Request, response: web.StreamResponse, reply: Reply, body: Body
    ) -> bool:
        """Send the stream; False if it was broken off on purpose."""
        async def gate(sent: int) -> None:
            if reply.gate is not None and sent == reply.gate_after:
                await reply.gate.wait()

        sent = 0
        loop = asyncio.get_running_loop()
        await asyncio.sleep(reply.first)
        began, pieces = loop.time(), max(1, len(cut_pieces("".join(reply.text))))
        events = self._events(request.path, reply, body) if reply.raw is None else reply.raw
        for event in events:
            if reply.break_after is not None and sent >= reply.break_after:
                if request.transport is not None:
                    request.transport.abort()
                return False
            await gate(sent)
            if reply.error is not None and sent >= reply.fail_after:
                await response.write(b"data: " + orjson.dumps(reply.error) + b"\n\n")
                return False
            if reply.seconds:  # by the clock, so that late wake-ups do not add up
                due = began + reply.seconds * min(1.0, sent / pieces)
                await asyncio.sleep(max(0.0, due - loop.time()))
            await response.write(event)
            sent += 1
        await gate(sent)
        await response.write_eof()
        return True

    def _events(self, path: str, reply: Reply, body: Body) -> Iterator[bytes]:
        writing = Writing(self, reply, body, self._dialect)
        around: dict[str, object] = {}
        if path == "/completion":
            objects = writing.native()
        elif path == "/v1/completions":
            objects, around = writing.completion(), self._envelope(body, "text_completion")
        else:
            objects, around = writing.chat(), self._envelope(body, "chat.completion.chunk")
        for data in objects:
            for one in by_choice(data, body):
                yield b"data: " + orjson.dumps({**around, **one}) + b"\n\n"
        self.usages.append(writing.usage())
        if reply.done and path != "/completion":
            yield b"data: [DONE]\n\n"


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"error": {"message": why, "type": "invalid_request_error",
                                        "param": None, "code": status}}, status=status)


def _called(message: Body) -> str:
    """The calls of a message, in this model's chat template."""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return "".join(f"<|call|>{f['name']} {f['arguments']}" for f in functions)


NO_TOOLS = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
