"""What stands in each thread, by whom, and what its requests took: kept up to date by events."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Ended,
    Event,
    Rewrote,
    Started,
    Wrote,
)
from plait.core.text import Author


@dataclass(slots=True)
class Piece:
    """A run of text by one author. ``gone``: a rewrite took it out of the context later;
    ``kept``: what it found lives on in a state that the thread wrote down."""

    author: Author
    parts: list[str]
    tokens: int = 0
    gone: bool = False
    kept: bool = False

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(slots=True)
class Call:
    """One request to the engine. Times in seconds since the run began; None: not yet."""

    asked: float
    context: int
    limit: int | None
    first: float | None = None
    answered: Answered | None = None


@dataclass(slots=True)
class Try:
    """One attempt at a thread."""

    started: Started
    pieces: list[Piece] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ended: Ended | None = None
    counts: list[int] = field(default_factory=list)
    begins: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Chunk ``i`` took from ``begins[i]`` to ``times[i]``; then there were ``counts[i]`` tokens."""

    def span(self, begin: int, end: int) -> tuple[float, float]:
        """When the tokens from ``begin`` to ``end`` were written."""
        first, last = bisect_left(self.counts, begin + 1), bisect_left(self.counts, end)
        return self.begins[first], self.times[last]


class Journal:
    """The attempts at every thread, in order. ``feed`` takes the events of a run."""

    def __init__(self) -> None:
        self.threads: dict[str, list[Try]] = {}

    def feed(self, event: Event) -> None:
        """Take in what happened. The thread must have started (`Scene.feed` sees to that)."""
        match event:
            case Wrote():
                self._wrote(event)
            case Started():
                self.threads.setdefault(event.thread, []).append(Try(event))
            case Appended():
                self._add(event.thread, event.author, event.text, event.tokens)
            case Asked():
                self._now(event.thread).calls.append(Call(event.t, event.context, event.limit))
            case Answered():
                self._answered(event)
            case Rewrote():
                _cut(self._now(event.thread).pieces, event)
            case Ended():
                self._now(event.thread).ended = event
            case _:
                pass

    def _now(self, thread: str) -> Try:
        return self.threads[thread][-1]

    def _wrote(self, event: Wrote) -> None:
        now = self._now(event.thread)
        new = bool(now.calls) and now.calls[-1].first is None
        if new:
            now.calls[-1].first = event.t
        if event.tokens:
            now.begins.append(now.times[-1] if now.times and not new else event.t)
            now.counts.append(event.tokens + (now.counts[-1] if now.counts else 0))
            now.times.append(event.t)
        self._add(event.thread, "model", event.text, event.tokens)

    def _answered(self, event: Answered) -> None:
        """The last chunk of a request took until the request's end."""
        now = self._now(event.thread)
        if now.calls:
            now.calls[-1].answered = event
            if now.times and now.calls[-1].first is not None:
                now.times[-1] = event.t

    def _add(self, thread: str, author: Author, text: str, tokens: int) -> None:
        pieces = self._now(thread).pieces
        if pieces and pieces[-1].author == author and not pieces[-1].gone:
            pieces[-1].parts.append(text)
            pieces[-1].tokens += tokens
        elif text or tokens:
            pieces.append(Piece(author, [text], tokens))


def _cut(pieces: list[Piece], event: Rewrote) -> None:
    """Mark the last ``len(event.text)`` characters as gone. Their tokens are shared out by length,
    since a rewrite says only how many were lost in all."""
    left = len(event.text)
    for index in range(len(pieces) - 1, -1, -1):
        piece = pieces[index]
        if left <= 0:
            break
        if piece.gone or (not piece.tokens and not piece.text):
            continue
        text = piece.text
        if len(text) > left:
            share = round(piece.tokens * left / len(text))
            pieces[index:index + 1] = [
                Piece(piece.author, [text[:-left]], piece.tokens - share),
                Piece(piece.author, [text[-left:]], share, gone=True, kept=event.reset)]
        else:
            piece.gone, piece.kept = True, event.reset
        left -= len(text)
