"""``/v1/chat/completions``: read, decided, answered whole or as a stream."""

from __future__ import annotations

from typing import Any

from plait.server.choosing import choose
from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.fitting import chat_misfit
from plait.server.gateway import Gateway
from plait.server.jobs import Job, make_job
from plait.server.narrate import Piece, Words
from plait.server.passing import pass_on
from plait.server.reading import read_chat, wants_usage
from plait.server.runs import Answer, facts, perform
from plait.server.single import one_thread
from plait.server.streaming import DONE, EventSender
from plait.server.trials import assigned
from plait.server.writers import METHOD, RUN, stream, usage_json


async def chat(gateway: Gateway, exchange: Exchange) -> None:
    """The endpoint."""
    body = await exchange.json()
    choice = choose(body)
    if misfit := chat_misfit(body):
        await pass_on(gateway, exchange, misfit, body, choice, "chat")
        return
    choice = assigned(gateway, exchange, body, choice)
    request = read_chat(body, choice, gateway.settings.most)
    alone = await one_thread(gateway, choice, request)
    if alone is not None and not choice.experiment:
        await pass_on(gateway, exchange, alone, body, choice, "chat")
        return
    runtime = await gateway.models.runtime(choice.model)
    job = make_job(gateway, exchange, body, choice, runtime, request, "chat")
    if alone is not None:
        await pass_on(gateway, exchange, alone, body, choice, "chat", job)
        return
    exchange.extra[RUN] = job.run
    if job.stream:
        writer = ChatStream(job, EventSender(exchange), wants_usage(body))
        await exchange.while_connected(lambda: stream(gateway, exchange, job, writer))
    else:
        await exchange.while_connected(lambda: _whole(gateway, exchange, job))


async def _whole(gateway: Gateway, exchange: Exchange, job: Job) -> None:
    thoughts: list[str] = []

    async def take(pieces: list[Piece]) -> None:
        thoughts.extend(p.text for p in pieces if not isinstance(p, Words))

    answer = await perform(gateway, exchange, job, take)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if thoughts:
        message |= dict.fromkeys(("reasoning", "reasoning_content"), "".join(thoughts))
    await exchange.reply_json({
        "id": f"chatcmpl-{job.run}", "object": "chat.completion", "created": job.created,
        "model": job.model,
        "choices": [{"index": 0, "message": message, "logprobs": None,
                     "finish_reason": answer.finish}],
        "usage": usage_json(answer.tokens), "plait": facts(answer, job.run),
    }, headers={METHOD: answer.result.method})


class ChatStream:
    """A chat completion as a stream of chunks. ``usage``: the client asked for it."""

    def __init__(self, job: Job, sender: EventSender, usage: bool) -> None:
        self.sender = sender
        self._usage = usage
        self._base: dict[str, Any] = {
            "id": f"chatcmpl-{job.run}", "object": "chat.completion.chunk",
            "created": job.created, "model": job.model}
        self._run = job.run
        self._opened = False

    async def take(self, pieces: list[Piece]) -> None:
        """Send what is to be told now."""
        await self.sender.send(*self._opening(), *map(self._piece, pieces))

    async def finish(self, answer: Answer) -> None:
        """Send how it ended, and what it took."""
        last = [*self._opening(),
                self._chunk({}, answer.finish, plait=facts(answer, self._run))]
        if self._usage:
            last.append({**self._base, "choices": [], "usage": usage_json(answer.tokens)})
        await self.sender.send(*last)
        await self.sender.end(DONE)

    async def fail(self, error: ApiError) -> None:
        """Send that it failed."""
        await self.sender.fail(error)

    def _opening(self) -> list[dict[str, object]]:
        """The first chunk, once."""
        if self._opened:
            return []
        self._opened = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _piece(self, piece: Piece) -> dict[str, object]:
        if isinstance(piece, Words):
            return self._chunk({"content": piece.text})
        return self._chunk({"reasoning": piece.text, "reasoning_content": piece.text},
                           plait={"thread": piece.thread, "label": piece.label})

    def _chunk(
        self, delta: dict[str, object], finish: str | None = None, **more: object
    ) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._usage else {}
        return {**self._base, "choices": [choice], **usage, **more}
