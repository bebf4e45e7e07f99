"""What a thread's model has read and written: a persistent list of segments.

A fork is O(1): the parts so far are frozen into a `_Node` that parent and child share, and each
goes on with a list of its own. Contexts are never copied as strings; they are flattened only when
a request is made. Where every part has token ids the prompt is made of ids, so what the model
wrote is exactly what it reads back (text could be cut into other tokens when encoded again).

A closed turn of a conversation stays in the thread's own text, and reaches the engine as messages
(`turn`). Positions are characters counted from the end of the opening prompt (`mark_opening`). A
rewrite may reach back into frozen parts; they are then taken over as this context's own, the other
contexts that share them keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from plait.core import Author, Message, Prompt, Segment, Tool, estimate_tokens
from plait.errors import Bug

Encode = Callable[[str], Sequence[int] | None]


@dataclass(frozen=True, slots=True)
class _Node:
    """A frozen stretch of segments with everything before it."""

    before: _Node | None
    parts: list[Segment]


class Context:
    """One thread's context. See the module's docstring for its rules.

    What the model writes comes in chunks of a token or so; they are gathered (``_chunks``) and
    become one segment when somebody looks, so that a long thread is few objects.
    """

    __slots__ = (
        "_base", "_chars", "_chunk_ids", "_chunk_tokens", "_chunks", "_closed", "_messages",
        "_opening", "_parts", "_tokens", "_tools",
    )

    def __init__(self, messages: tuple[Message, ...] = (), tools: tuple[Tool, ...] = ()) -> None:
        self._base: _Node | None = None
        self._parts: list[Segment] = []
        self._chunks: list[str] = []
        self._chunk_ids: list[int] | None = []
        self._chunk_tokens = 0
        self._messages = messages
        self._tools = tools
        self._chars = 0
        self._opening = 0
        self._closed = 0
        self._tokens = Prompt(messages=messages).tokens

    def add(self, segment: Segment) -> None:
        """Put ``segment`` at the end."""
        self._gather()
        self._parts.append(segment)
        self._chars += len(segment.text)
        self._tokens += segment.tokens

    def write(self, text: str, ids: tuple[int, ...] | None, tokens: int) -> None:
        """Put a chunk of the model's at the end."""
        self._chunks.append(text)
        self._chunk_tokens += tokens
        self._chars += len(text)
        self._tokens += tokens
        if ids is None:
            self._chunk_ids = None
        elif self._chunk_ids is not None:
            self._chunk_ids.extend(ids)

    def _gather(self) -> None:
        """Make one segment of the chunks so far."""
        if self._chunks:
            ids = None if self._chunk_ids is None else tuple(self._chunk_ids)
            text = "".join(self._chunks)
            self._parts.append(Segment("model", text, ids, self._chunk_tokens))
            self._chunks, self._chunk_ids, self._chunk_tokens = [], [], 0

    def turn(self, messages: Sequence[Message]) -> None:
        """Close the turn: what came since the last one goes to the engine as ``messages``.

        Raises `Bug` where the opening is text: that has no turns.
        """
        if not self._messages:
            raise Bug("a turn was closed in a context that is no conversation")
        self._gather()
        self._messages += tuple(messages)
        self._closed = self._chars

    def mark_opening(self) -> None:
        """What is there now is the opening prompt; positions count from here."""
        self._opening = self._chars

    def fork(self) -> Context:
        """A context that continues this one; neither sees what the other adds. O(1)."""
        self._gather()
        if self._parts:
            self._base = _Node(self._base, self._parts)
            self._parts = []
        child = Context(self._messages, self._tools)
        child._base = self._base
        child._chars, child._tokens, child._closed = self._chars, self._tokens, self._closed
        child._opening = self._opening
        return child

    @property
    def tokens(self) -> int:
        """Length in tokens; that of messages is estimated."""
        return self._tokens

    @property
    def length(self) -> int:
        """Characters since the opening prompt."""
        return self._chars - self._opening

    @property
    def own_text(self) -> str:
        """Everything since the opening prompt."""
        return "".join(s.text for s in self.own_segments())

    def own_segments(self) -> list[Segment]:
        """The segments since the opening prompt."""
        wanted = self.length
        found: list[Segment] = []
        for segment in self._backwards():
            if wanted <= 0:
                break
            found.append(segment)
            wanted -= len(segment.text)
        found.reverse()
        return found

    def cut(self, since: int, encode: Encode) -> list[Segment]:
        """Remove everything from position ``since`` on; returns what was removed, in order.

        A segment that straddles the cut is split; the part that stays is encoded again.
        Raises `Bug` when ``since`` lies outside this thread's own text, or in a closed turn.
        """
        if not max(0, self._closed - self._opening) <= since <= self.length:
            raise Bug(f"cut at {since}, but the thread's own text has {self.length} characters,"
                      f" of which {max(0, self._closed - self._opening)} are closed")
        self._gather()
        excess = self.length - since
        removed: list[Segment] = []
        while excess > 0:
            if not self._parts:
                if self._base is None:
                    raise Bug("a context is shorter than it says")
                self._parts = list(self._base.parts)
                self._base = self._base.before
            last = self._parts.pop()
            self._chars -= len(last.text)
            self._tokens -= last.tokens
            if len(last.text) <= excess:
                removed.append(last)
                excess -= len(last.text)
                continue
            keep, gone = last.text[:-excess], last.text[-excess:]
            kept = make_segment(last.author, keep, encode, like=last)
            self.add(kept)
            removed.append(Segment(last.author, gone, None, max(0, last.tokens - kept.tokens)))
            excess = 0
        removed.reverse()
        return removed

    def prompt(self) -> Prompt:
        """The whole context as an engine wants it."""
        segments = list(self._open_segments())
        segments.reverse()
        text = "".join(s.text for s in segments)
        if self._messages:
            return Prompt(text, None, self._messages, self._tools)
        if all(s.ids is not None or not (s.text or s.tokens) for s in segments):
            return Prompt(text, tuple(i for s in segments for i in s.ids or ()), (), self._tools)
        return Prompt(text, None, (), self._tools, _parts(segments))

    def _open_segments(self) -> Iterator[Segment]:
        """Those of the turn that is not closed, the last one first."""
        wanted = self._chars - self._closed
        for segment in self._backwards():
            if self._closed and wanted <= 0:
                return
            wanted -= len(segment.text)
            yield segment

    def _backwards(self) -> Iterator[Segment]:
        self._gather()
        yield from reversed(self._parts)
        node = self._base
        while node is not None:
            yield from reversed(node.parts)
            node = node.before


def _parts(segments: Sequence[Segment]) -> tuple[str | tuple[int, ...], ...]:
    """Ids where there are any, text between; nothing where there are none at all."""
    if all(s.ids is None for s in segments):
        return ()
    parts: list[str | tuple[int, ...]] = []
    for known, run in groupby(segments, key=lambda s: s.ids is not None):
        alike = list(run)
        parts.append(tuple(i for s in alike for i in s.ids or ()) if known
                     else "".join(s.text for s in alike))
    return tuple(part for part in parts if part)


def make_segment(
    author: Author, text: str, encode: Encode, like: Segment | None = None
) -> Segment:
    """A segment with ids where the tokenizer is at hand, else with an estimated length.

    ``like``: the segment it is a piece of; without ids its tokens are shared by length.
    """
    ids = encode(text)
    if ids is not None:
        return Segment(author, text, tuple(ids), len(ids))
    if like is not None and like.text:
        return Segment(author, text, None, round(like.tokens * len(text) / len(like.text)))
    return Segment(author, text, None, estimate_tokens(text))
