"""Responses that are kept for a while: to be fetched, continued, or cancelled by their id."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from plait.core import Message


@dataclass(slots=True)
class KeptResponse:
    """A response as it was given out, whose it is, and the conversation that it ends."""

    owner: str
    data: dict[str, Any]
    messages: tuple[Message, ...] = ()


class KeptResponses:
    """The latest ``most`` of them. Keys see their own only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, KeptResponse] = OrderedDict()

    def keep(self, name: str, response: KeptResponse) -> None:
        """Keep ``response``, in the place of what was kept by this name."""
        self._kept[name] = response
        self._kept.move_to_end(name)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def find(self, name: str, owner: str) -> KeptResponse | None:
        """The response ``name`` of ``owner``; None if there is none."""
        found = self._kept.get(name)
        return found if found is not None and found.owner == owner else None

    def drop(self, name: str) -> None:
        """Forget a response. Harmless if there is none."""
        self._kept.pop(name, None)
