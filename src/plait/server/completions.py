"""``/v1/completions``: the prompt is a question where plait was asked for; else the engine's."""

from __future__ import annotations

from typing import Any

from plait.server.choosing import choose
from plait.server.errors import ApiError, invalid
from plait.server.exchange import Exchange
from plait.server.fitting import Misfit, completion_misfit
from plait.server.gateway import Gateway
from plait.server.jobs import Job, make_job
from plait.server.narrate import Piece, Words
from plait.server.passing import pass_on
from plait.server.reading import read_completion, wants_usage
from plait.server.runs import Answer, facts, perform
from plait.server.streaming import DONE, EventSender
from plait.server.writers import METHOD, RUN, stream, usage_json

ALONE = Misfit("text", "a text completion that does not ask for plait is the engine's")


async def completions(gateway: Gateway, exchange: Exchange) -> None:
    """The endpoint."""
    body = await exchange.json()
    choice = choose(body)
    if not isinstance(body.get("prompt"), str | list):
        raise invalid("`prompt` must be text, or a list", "prompt")
    plain = not choice.explicit and gateway.models.server is not None
    if misfit := completion_misfit(body) or (ALONE if plain else None):
        await pass_on(gateway, exchange, misfit, body, choice, "completions")
        return
    request = read_completion(body, choice, gateway.settings.most)
    runtime = await gateway.models.runtime(choice.model)
    job = make_job(gateway, exchange, body, choice, runtime, request, "completions")
    exchange.extra[RUN] = job.run
    if job.stream:
        writer = CompletionStream(job, EventSender(exchange), wants_usage(body))
        await exchange.while_connected(lambda: stream(gateway, exchange, job, writer))
    else:
        await exchange.while_connected(lambda: _whole(gateway, exchange, job))


async def _whole(gateway: Gateway, exchange: Exchange, job: Job) -> None:
    async def take(pieces: list[Piece]) -> None:
        """A text completion has no place for thoughts."""

    answer = await perform(gateway, exchange, job, take)
    await exchange.reply_json(
        {**_object(job), **_choices(answer.text, answer.finish),
         "usage": usage_json(answer.tokens), "plait": facts(answer, job.run)},
        headers={METHOD: answer.result.method})


def _object(job: Job) -> dict[str, Any]:
    return {"id": f"cmpl-{job.run}", "object": "text_completion", "created": job.created,
            "model": job.model}


def _choices(text: str, finish: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}


class CompletionStream:
    """A text completion as a stream. ``usage``: the client asked for it."""

    def __init__(self, job: Job, sender: EventSender, usage: bool) -> None:
        self.sender = sender
        self._usage = usage
        self._job = job

    async def take(self, pieces: list[Piece]) -> None:
        """Send what there is of the answer."""
        words = [self._chunk(_choices(p.text, None)) for p in pieces if isinstance(p, Words)]
        if words:
            await self.sender.send(*words)

    async def finish(self, answer: Answer) -> None:
        """Send how it ended, and what it took."""
        last = {**_choices("", answer.finish), "plait": facts(answer, self._job.run)}
        usage = {**_object(self._job), "choices": [], "usage": usage_json(answer.tokens)}
        await self.sender.send(self._chunk(last), *([usage] if self._usage else ()))
        await self.sender.end(DONE)

    async def fail(self, error: ApiError) -> None:
        """Send that it failed."""
        await self.sender.fail(error)

    def _chunk(self, more: dict[str, Any]) -> dict[str, Any]:
        return {**_object(self._job), **({"usage": None} if self._usage else {}), **more}
