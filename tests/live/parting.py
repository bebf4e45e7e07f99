"""Where two runs of one question part. Whether they may there, `agreement.gap` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plait.core import Result
from plait.core.events import Appended, Ended, Event, Rewrote, Wrote
from plait.engines.nano import NanoEngine


@dataclass(frozen=True)
class Ran:
    """``texts``: what stands in each thread's context at its end, by its name; ``wrote``: for each
    chunk that its model wrote, the context before it and the chunk."""

    result: Result
    texts: dict[str, str]
    wrote: dict[str, list[tuple[str, str]]]


def read_run(result: Result, events: Iterable[Event]) -> Ran:
    """A run by its trace. Every thread of it has to have ended well."""
    before: dict[str, str] = {}
    wrote: dict[str, list[tuple[str, str]]] = {}
    for event in events:
        match event:
            case Appended(thread=thread, text=text):
                before[thread] = before.get(thread, "") + text
            case Rewrote(thread=thread, text=gone):
                before[thread] = before[thread].removesuffix(gone)
            case Wrote(thread=thread, text=text):
                wrote.setdefault(thread, []).append((before[thread], text))
                before[thread] += text
            case Ended(thread=thread, status=status):
                assert status == "done", (thread, status)
    return Ran(result, before, wrote)


def where_they_part(ours: Ran, theirs: Ran, engine: NanoEngine) -> list[str | None]:
    """For each thread that differs: the context whose continuation does, None where the model only
    reads what differs (a join of threads that did)."""
    found: list[str | None] = []
    for name, text in ours.texts.items():
        other = theirs.texts.get(name, "")
        if text == other:
            continue
        place = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b),
                     min(len(text), len(other)))
        chunk = next((c for c in ours.wrote[name] if 0 <= place - len(c[0]) < len(c[1])), None)
        found.append(None if chunk is None else before_token(*chunk, place, engine))
    return found


def before_token(context: str, chunk: str, place: int, engine: NanoEngine) -> str:
    """``context`` and the tokens of ``chunk`` before the one that covers ``place``."""
    end = len(context)
    for cut in range(1, len(chunk) + 1):
        if len(context) + cut > place:
            break
        if engine.encode(chunk[:cut]) + engine.encode(chunk[cut:]) == engine.encode(chunk):
            end = len(context) + cut
    return (context + chunk)[:end]
