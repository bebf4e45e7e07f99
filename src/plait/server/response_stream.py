"""The events of a streamed response, in OpenAI's order, each with its ``sequence_number``.

    response.created, response.in_progress
    output_item.added, part added, deltas, text done, part done, output_item.done    thoughts
    the same once more                                                               the answer
    response.completed | response.incomplete | response.failed

What is thought once the answer has begun is left out: its item is closed by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plait.server.errors import ApiError
from plait.server.jobs import Job
from plait.server.narrate import Piece, Words
from plait.server.response_objects import (
    finished,
    message_item,
    reasoning_item,
    text_part,
    thought_part,
)
from plait.server.runs import Answer
from plait.server.streaming import EventSender

Ended = Callable[[dict[str, Any], Answer], None]


class ResponseStream:
    """One response as it is made. ``ended`` is told the whole of it."""

    def __init__(
        self, job: Job, sender: EventSender, data: dict[str, Any], ended: Ended
    ) -> None:
        self.sender = sender
        self._job = job
        self._data = data
        self._ended = ended
        self._number = 0
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._thoughts: list[str] | None = None
        self._text: list[str] | None = None

    async def take(self, pieces: list[Piece]) -> None:
        """Send what is to be told now."""
        await self.begin()
        for piece in pieces:
            if isinstance(piece, Words):
                await self._say(piece.text)
            elif self._text is None:
                await self._think(piece.text, {"thread": piece.thread, "label": piece.label})

    async def begin(self) -> None:
        """Send that it has begun, once."""
        if not self._begun:
            self._begun = True
            await self.event("response.created", response=self._data)
            await self.event("response.in_progress", response=self._data)

    async def finish(self, answer: Answer) -> None:
        """Send the whole of it."""
        await self.begin()
        if self._text is None:
            await self._open_text()
        await self._close_text()
        data = finished(self._data, self._job, answer, self._output)
        self._ended(data, answer)
        await self.event(f"response.{data['status']}", response=data)
        await self.sender.end()

    async def event(self, kind: str, **more: object) -> None:
        """Send an event of the kind ``kind``."""
        number, self._number = self._number, self._number + 1
        await self.sender.send({"type": kind, "sequence_number": number, **more}, kind)

    async def fail(self, error: ApiError) -> None:
        """Send that it failed."""
        said = {"code": error.code or "server_error", "message": str(error)}
        status = "cancelled" if error.code == "cancelled" else "failed"
        await self.begin()
        await self.event("response.failed", response={
            **self._data, "status": status, "error": said, "output": self._output})
        await self.sender.end()

    # --- thoughts ------------------------------------------------------------------------------

    @property
    def _kind(self) -> tuple[str, str, str]:
        """Which part of the item holds the thoughts, and what its events are called."""
        if self._job.thoughts == "summary":
            return "summary_index", "response.reasoning_summary_part", (
                "response.reasoning_summary_text")
        return "content_index", "response.content_part", "response.reasoning_text"

    async def _think(self, text: str, named: dict[str, str]) -> None:
        index, part, kind = self._kind
        where: dict[str, Any] = {"item_id": f"rs_{self._job.run}", "output_index": 0, index: 0}
        if self._thoughts is None:
            self._thoughts = []
            await self.event("response.output_item.added", output_index=0,
                             item=reasoning_item(self._job, None, "in_progress"))
            await self.event(f"{part}.added", **where, part=thought_part(self._job, ""))
        self._thoughts.append(text)
        await self.event(f"{kind}.delta", **where, delta=text, plait=named)

    async def _close_thoughts(self) -> None:
        if self._thoughts is None:
            return
        index, part, kind = self._kind
        text = "".join(self._thoughts)
        where: dict[str, Any] = {"item_id": f"rs_{self._job.run}", "output_index": 0, index: 0}
        await self.event(f"{kind}.done", **where, text=text)
        await self.event(f"{part}.done", **where, part=thought_part(self._job, text))
        item = reasoning_item(self._job, text)
        self._output.append(item)
        await self.event("response.output_item.done", output_index=0, item=item)

    # --- the answer ----------------------------------------------------------------------------

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._job.run}", "output_index": len(self._output),
                "content_index": 0}

    async def _open_text(self) -> None:
        await self._close_thoughts()
        self._text = []
        await self.event("response.output_item.added", output_index=len(self._output),
                         item=message_item(self._job, None, "in_progress"))
        await self.event("response.content_part.added", **self._place, part=text_part(""))

    async def _say(self, text: str) -> None:
        if self._text is None:
            await self._open_text()
        assert self._text is not None
        self._text.append(text)
        await self.event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    async def _close_text(self) -> None:
        text = "".join(self._text or ())
        await self.event("response.output_text.done", **self._place, text=text, logprobs=[])
        await self.event("response.content_part.done", **self._place, part=text_part(text))
        item = message_item(self._job, text)
        await self.event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
