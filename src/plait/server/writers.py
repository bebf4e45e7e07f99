"""What the endpoints that answer with plait have in common when they write."""

from __future__ import annotations

from typing import Protocol

from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.jobs import Job
from plait.server.narrate import Piece
from plait.server.runs import Answer, Tokens, perform
from plait.server.streaming import EventSender

RUN = "x-plait-run"
METHOD = "x-plait-method"


class Writer(Protocol):
    """One API's stream."""

    @property
    def sender(self) -> EventSender: ...

    async def take(self, pieces: list[Piece]) -> None:
        """Send what is to be told now."""
        ...

    async def finish(self, answer: Answer) -> None:
        """Send how it ended, and what it took."""
        ...

    async def fail(self, error: ApiError) -> None:
        """Send that it failed; something was sent before."""
        ...


async def stream(gateway: Gateway, exchange: Exchange, job: Job, writer: Writer) -> None:
    """Answer ``job`` through ``writer``; what goes wrong once the stream has begun ends it with
    an event. Raises `ApiError` for what goes wrong before."""
    failed: ApiError | None = None
    async with writer.sender.beating(gateway.settings.heartbeat):
        try:
            await writer.finish(await perform(gateway, exchange, job, writer.take))
        except ApiError as error:
            failed = error
    if failed is not None:
        if not exchange.started:
            raise failed
        await writer.fail(failed)


def usage_json(tokens: Tokens) -> dict[str, object]:
    """Tokens as chat and text completions report them."""
    return {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.generated,
            "total_tokens": tokens.prompt + tokens.generated,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning}}
