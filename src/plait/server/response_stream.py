"""The events of a streamed response, in OpenAI's order, each with its ``sequence_number``.

    response.created, response.in_progress
    output_item.added, deltas, output_item.done       thoughts, the answer, calls: one by one
    response.completed | response.incomplete | response.failed

One item is open at a time; another one closes it.
"""

from __future__ import annotations

from typing import Any, Literal

from plait.server.errors import ApiError
from plait.server.response_objects import (
    call_item,
    message_item,
    reasoning_item,
    text_part,
    thought_part,
)
from plait.server.streaming import EventSender

Kind = Literal["thought", "text", "call"]


class ResponseEvents:
    """One response as it is made. ``summary``: its thoughts are one."""

    def __init__(
        self, sender: EventSender, run: str, data: dict[str, Any], *, summary: bool = False
    ) -> None:
        self.sender = sender
        self.output: list[dict[str, Any]] = []
        """Items that are complete."""
        self._run = run
        self._data = data
        self._summary = summary
        self._number = 0
        self._begun = False
        self._open: tuple[Kind, int] | None = None
        self._pieces: list[str] = []
        self._called = ("", "")
        self._calls = 0

    async def begin(self) -> None:
        """Send that it has begun, once."""
        if not self._begun:
            self._begun = True
            await self._event("response.created", response=self._data)
            await self._event("response.in_progress", response=self._data)

    async def think(self, text: str, **named: object) -> None:
        """A piece of thought; ``named`` goes along."""
        await self._turn("thought")
        self._pieces.append(text)
        await self._event(f"{self._thoughts}.delta", **self._where, delta=text, **named)

    async def say(self, text: str) -> None:
        """A piece of the answer."""
        await self._turn("text")
        self._pieces.append(text)
        await self._event("response.output_text.delta", **self._where, delta=text, logprobs=[])

    async def call(self, index: int, name: str, function: str, arguments: str) -> None:
        """A piece of the call ``index``; ``name`` (its id) and ``function`` come with the first."""
        if self._open != ("call", index):
            await self.close()
            self._called = (name, function)
        await self._turn("call", index)
        self._pieces.append(arguments)
        await self._event("response.function_call_arguments.delta", **self._where,
                          delta=arguments)

    async def end(self, data: dict[str, Any]) -> None:
        """Send the whole of it, which is ``data``."""
        await self.begin()
        await self._event(f"response.{data['status']}", response=data)
        await self.sender.end()

    async def fail(self, error: ApiError) -> None:
        """Send that it failed."""
        said = {"code": error.code or "server_error", "message": str(error)}
        status = "cancelled" if error.code == "cancelled" else "failed"
        await self.begin()
        await self._event("response.failed", response={
            **self._data, "status": status, "error": said, "output": self.output})
        await self.sender.end()

    async def close(self) -> None:
        """Complete the item that is open, if one is."""
        if self._open is None:
            return
        kind, text, where = self._open[0], "".join(self._pieces), self._where
        if kind == "thought":
            await self._event(f"{self._thoughts}.done", **where, text=text)
        elif kind == "text":
            await self._event("response.output_text.done", **where, text=text, logprobs=[])
        else:
            await self._event("response.function_call_arguments.done", **where, arguments=text,
                              name=self._called[1])
        if (part := self._part(text)) is not None:
            await self._event(f"{self._part_name}.done", **where, part=part)
        item = self._item(text)
        await self._event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)
        self._calls += kind == "call"
        self._open = None

    # --- one item ------------------------------------------------------------------------------

    async def _turn(self, kind: Kind, index: int = 0) -> None:
        """Open an item of ``kind``, unless it is open."""
        await self.begin()
        if self._open == (kind, index):
            return
        await self.close()
        self._open, self._pieces = (kind, index), []
        await self._event("response.output_item.added", output_index=len(self.output),
                          item=self._item(None))
        if (part := self._part("")) is not None:
            await self._event(f"{self._part_name}.added", **self._where, part=part)

    @property
    def _thoughts(self) -> str:
        return "response.reasoning_summary_text" if self._summary else "response.reasoning_text"

    @property
    def _is_summary(self) -> bool:
        return self._summary and self._open is not None and self._open[0] == "thought"

    @property
    def _part_name(self) -> str:
        return "response.reasoning_summary_part" if self._is_summary else "response.content_part"

    @property
    def _where(self) -> dict[str, Any]:
        """The place of the open item, and of its only part."""
        assert self._open is not None
        place = {"item_id": self._item(None)["id"], "output_index": len(self.output)}
        if self._open[0] == "call":
            return place
        return {**place, "summary_index" if self._is_summary else "content_index": 0}

    def _item(self, text: str | None) -> dict[str, Any]:
        """The open item, with ``text`` in it; None: nothing yet."""
        assert self._open is not None
        status = "in_progress" if text is None else "completed"
        match self._open[0]:
            case "thought":
                return reasoning_item(self._run, text, summary=self._summary, status=status)
            case "text":
                return message_item(self._run, text, status)
            case "call":
                return call_item(self._run, self._calls, (*self._called, text or ""), status)

    def _part(self, text: str) -> dict[str, Any] | None:
        """The only part of the open item; None: it has none."""
        assert self._open is not None
        if self._open[0] == "call":
            return None
        if self._open[0] == "text":
            return text_part(text)
        return thought_part(text, summary=self._summary)

    async def _event(self, kind: str, **more: object) -> None:
        number, self._number = self._number, self._number + 1
        await self.sender.send({"type": kind, "sequence_number": number, **more}, name=kind)
