"""Responses that are kept for a while: to be fetched, continued, or cancelled by their id."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import orjson

from plait.core import Message


@dataclass(slots=True)
class KeptResponse:
    """A response as it was given out, whose it is, and the conversation that it ends."""

    owner: str
    data: dict[str, Any]
    messages: tuple[Message, ...] = ()
    size: int = field(init=False)
    """Bytes of it, about: of all that it repeats of its request, too."""

    def __post_init__(self) -> None:
        self.size = len(orjson.dumps(self.data)) + sum(len(m.content) for m in self.messages)


ALL_BYTES = 64 << 20
"""Of all conversations that are kept, together."""


class KeptResponses:
    """The latest ``most`` of them. Keys see their own only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[str, KeptResponse] = OrderedDict()

    def keep(self, name: str, response: KeptResponse) -> None:
        """Keep ``response``, in the place of what was kept by this name."""
        self.drop(name)
        self._kept[name] = response
        self._size += response.size
        while self._kept and (len(self._kept) > self._most or self._size > ALL_BYTES):
            self.drop(next(iter(self._kept)))

    def find(self, name: str, owner: str) -> KeptResponse | None:
        """The response ``name`` of ``owner``; None if there is none."""
        found = self._kept.get(name)
        return found if found is not None and found.owner == owner else None

    def drop(self, name: str) -> None:
        """Forget a response. Harmless if there is none."""
        found = self._kept.pop(name, None)
        self._size -= found.size if found is not None else 0
