"""The tokenizer of a server's model, asked from here.

Contexts are spliced as token ids where a server takes them: what the model wrote is what it reads
back, and only text that has no ids yet (headers, joins) is encoded. Nothing here raises for the
server: what it does not tell is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from plait.engines.openai.connect import Link
from plait.engines.openai.errors import NotThere, WrongKey
from plait.engines.openai.probe import Server
from plait.engines.openai.rendering import detokenize, tokenize
from plait.errors import EngineError

PATIENCE_SECONDS = 3.0
"""For all lengths that are asked for at once; those that are left are asked for another time."""
MOST_KEPT = 4_000_000
"""Characters and ids of the texts that are kept, about; the oldest ones go."""
_OVERHANG = 2
"""Tokens at the end of a text that a stop may have cut into."""


class Tokenizer:
    """Asks one server, once for each text of late. A server that has no tokenizer for us is asked
    no more; a failure that may pass costs the text its ids, and the next one is asked for again."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._held = 0
        self._tells = True

    async def counts(self, server: Server, texts: Sequence[str]) -> list[int | None]:
        """The length of each text in tokens."""
        found: dict[str, int] = {}
        with anyio.move_on_after(PATIENCE_SECONDS):
            for text in texts:
                if (ids := await self.encode(server, text)) is not None:
                    found[text] = len(ids)
        return [found.get(text) for text in texts]

    async def encode(
        self, server: Server, text: str, *, opening: bool = False
    ) -> tuple[int, ...] | None:
        """The ids of ``text``; ``opening``: with the begin-of-text that the server would add."""
        key = text, opening
        if key in self._known:
            return self._known[key]
        if not self._tells or not (server.dialect.native or server.dialect.tokenizes):
            return None
        body: dict[str, object] = {
            "model": server.model, "prompt": text, "add_special_tokens": opening}
        if server.dialect.native:
            body = {"content": text, "add_special": opening, "parse_special": True}
        try:
            ids = tuple(await tokenize(self._link, body))
        except (NotThere, WrongKey):
            self._tells = False
            return None
        except EngineError:
            return None
        self._keep(key, ids)
        return ids

    def _keep(self, key: tuple[str, bool], ids: tuple[int, ...]) -> None:
        """Keep ``ids``, and of the others as many of the latest as there is room for."""
        size = len(key[0]) + len(ids)
        if key in self._known or size > MOST_KEPT:
            return
        self._known[key] = ids
        self._held += size
        while self._held > MOST_KEPT:
            oldest = next(iter(self._known))
            self._held -= len(oldest[0]) + len(self._known.pop(oldest))

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
