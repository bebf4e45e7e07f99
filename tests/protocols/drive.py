"""Drive a machine over a text in given chunks, as the native method does, without an engine."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from plait.core import Finish
from plait.interfaces import Event, Halt, WireProtocol


def events_of(
    machine: WireProtocol, chunks: Sequence[str], finish: Finish = "eos"
) -> list[Event]:
    """All events up to the first that halts the stream, or to the end of the text."""
    events: list[Event] = []
    for chunk in chunks:
        for event in machine.feed(chunk):
            events.append(event)
            if isinstance(event, Halt):
                return events
    for event in machine.close(finish):
        events.append(event)
        if isinstance(event, Halt):
            return events
    return events


def cuts(text: str, places: Sequence[int]) -> list[str]:
    """``text`` cut at ``places``."""
    ends = sorted({p % (len(text) + 1) for p in places} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(ends)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)
