"""Into how many tokens a server's model cuts a text. Unknown is None, never an error."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from plait.engines.openai.connect import Link
from plait.engines.openai.opening import tokenize
from plait.engines.openai.probe import Server
from plait.errors import EngineError

PATIENCE_SECONDS = 3.0
"""For all texts that are asked for at once; those that are left are asked for another time."""


class Speller:
    """Asks one server, once a text. After a refusal it asks no more."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[str, int] = {}
        self._tells = True

    async def counts(self, server: Server, texts: Sequence[str]) -> list[int | None]:
        """The length of each text in tokens."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            for text in texts:
                if text not in self._known and self._tells:
                    await self._ask(server, text)
        return [self._known.get(text) for text in texts]

    async def _ask(self, server: Server, text: str) -> None:
        body: dict[str, object]
        if server.dialect.native:
            body = {"content": text, "add_special": False, "parse_special": True}
        elif server.dialect.tokenizes:
            body = {"model": server.model, "prompt": text, "add_special_tokens": False}
        else:
            self._tells = False
            return
        try:
            self._known[text] = len(await tokenize(self._link, body))
        except EngineError:
            self._tells = False
