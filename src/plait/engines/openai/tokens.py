"""The tokenizer of a server's model, asked from here.

Contexts are spliced as token ids where a server takes them: what the model wrote is what it reads
back, and only text that has no ids yet (headers, joins) is encoded. Nothing here raises for the
server: what it does not tell is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from plait.engines.openai.connect import Link
from plait.engines.openai.opening import detokenize, tokenize
from plait.engines.openai.probe import Server
from plait.errors import EngineError

PATIENCE_SECONDS = 3.0
"""For all lengths that are asked for at once; those that are left are asked for another time."""
_MOST_KEPT = 4096
_OVERHANG = 2
"""Tokens at the end of a text that a stop may have cut into."""


class Tokenizer:
    """Asks one server, once a text. After a refusal it asks no more."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._tells = True

    async def counts(self, server: Server, texts: Sequence[str]) -> list[int | None]:
        """The length of each text in tokens."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            for text in texts:
                await self.encode(server, text)
        found = [self._known.get((text, False)) for text in texts]
        return [None if ids is None else len(ids) for ids in found]

    async def encode(
        self, server: Server, text: str, *, opening: bool = False
    ) -> tuple[int, ...] | None:
        """The ids of ``text``; ``opening``: with the begin-of-text that the server would add."""
        key = text, opening
        if key not in self._known and self._tells:
            body: dict[str, object]
            if server.dialect.native:
                body = {"content": text, "add_special": opening, "parse_special": True}
            elif server.dialect.tokenizes:
                body = {"model": server.model, "prompt": text, "add_special_tokens": opening}
            else:
                self._tells = False
                return None
            try:
                ids = await tokenize(self._link, body)
            except EngineError:
                self._tells = False
                return None
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = tuple(ids)
        return self._known.get(key)

    async def splice(
        self, server: Server, parts: Sequence[str | tuple[int, ...]]
    ) -> tuple[int, ...] | None:
        """The ids of a prompt whose parts are text or ids; the first part opens the context."""
        whole: list[int] = []
        for number, part in enumerate(parts):
            ids = part if not isinstance(part, str) else await self.encode(
                server, part, opening=number == 0)
            if ids is None:
                return None
            whole += ids
        return tuple(whole)

    async def settle(
        self, server: Server, ids: Sequence[int], text: str, last: Sequence[int]
    ) -> tuple[int, ...] | None:
        """The ids of the end of ``text``, a stream that a stop has ended.

        ``ids``: all that the model wrote; ``last``: those of them that came with the last chunk.
        A stop may lie inside a token, which the text then holds only a piece of. That piece is
        encoded anew; everything before it stays as the model wrote it.
        """
        for cut in range(min(_OVERHANG, len(last)) + 1):
            whole = len(ids) - cut
            try:
                head = await detokenize(self._link, server.model, ids[:whole]) if whole else ""
            except EngineError:
                return None
            if cut == 0 and head == text:
                return tuple(last)
            if cut and text.startswith(head):
                tail = await self.encode(server, text[len(head) :])
                return None if tail is None else (*last[: len(last) - cut], *tail)
        return None
