"""From the pieces of a stream to plait's chunks. Pure; one `Assembler` a request.

What it sees to:

- **The stop is in the text.** Where a server cuts it off it is put back, once it is known which
  one it was. A generic server does not say; see `guess_stop`.
- **The end-of-text token is not.** Asked to leave special tokens in, servers show it as well.
- **Every token is counted once.** Exactly where the server sends ids, log probabilities or a
  running count, else one a chunk, marked estimated. What the final usage has on top goes to the
  last chunk, so that the chunks' tokens add up to the engine's own number.
- **Thoughts are visible.** Servers with a reasoning parser send them in a field of their own; in
  our text they stand between ``<think>`` and ``</think>``.
- **Calls of tools go beside the text**, piece by piece as they come.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from plait.core import Chunk, Finish, Sampling, Usage
from plait.core.reading import END_THINK, THINK
from plait.engines.openai.dialects import Dialect
from plait.engines.openai.wire import Piece

_CLOSING = re.compile(r"<(?:/|End )(.+)>", re.DOTALL)


def guess_stop(stops: Sequence[str], before: str) -> str | None:
    """Which of ``stops`` ended a text, when the server says only that something did.

    ``before`` is everything the model has read and written, without the stop. A closing tag
    (``</X>``, ``<End X>``) was hit if its opening tag stands open; the one opened last wins. If
    the only stop is no closing tag, it is taken to be the one: who asks for a stop mostly meets
    it. Otherwise it is taken for the model's own end (None), since nothing may be put into the
    text that the model perhaps never wrote.
    """
    opened = []
    for stop in stops:
        if tag := _CLOSING.fullmatch(stop):
            opening = before.rfind(f"<{tag[1]}>")
            if opening >= 0 and opening > before.rfind(stop):
                opened.append((opening, stop))
    if opened:
        return max(opened)[1]
    if len(stops) == 1 and not _CLOSING.fullmatch(stops[0]):
        return stops[0]
    return None


class Assembler:
    """Takes `Piece`s, gives `Chunk`s. ``before`` is the text that the model continues; ``eos`` is
    how the end-of-text token looks on this server, if it is known beforehand."""

    def __init__(
        self, before: str, sampling: Sampling, dialect: Dialect, eos: str | None = None
    ) -> None:
        self._sampling = sampling
        self._dialect = dialect
        self._eos = eos
        self._texts = [before]
        self._generated = 0
        self._exact = True
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._stop: str | int | None = None
        self._held: Chunk | None = None
        self.cut = False
        """It was ended by us; the server would go on."""
        self.unsettled: tuple[tuple[int, ...], str, tuple[int, ...]] | None = None
        """All ids, all text and the last chunk's ids of a text that a stop has ended perhaps in
        the middle of a token; only the server's tokenizer can tell."""
        self._ids: list[int] = []
        self._thinking = before.rfind(THINK) > before.rfind(END_THINK)
        self._wrapping = False
        self._called = False

    @property
    def ended(self) -> bool:
        """The text is complete; only usage may follow."""
        return self._finish is not None

    @property
    def started(self) -> bool:
        """Something of the text has been seen."""
        return self._generated > 0 or len(self._texts) > 1 or self._called

    def closing_id(self, piece: Piece) -> int | None:
        """The token that ended the text by itself, if ``piece`` tells: its text is no answer."""
        if piece.finish != "stop" or isinstance(piece.stop, str):
            return None
        if isinstance(piece.stop, int):
            return None if piece.stop in self._sampling.stop_ids else piece.stop
        return piece.ids[-1] if piece.stop_reported and piece.ids else None

    def take(self, piece: Piece, eos: str | None = None) -> Chunk | None:
        """The chunk that ``piece`` makes, None if it adds nothing.

        ``eos``: the text of `closing_id`.
        """
        if piece.usage is not None:
            self._usage = piece.usage
        if self.ended:
            return None
        chunk = self._chunk(piece)
        if self._held is not None:
            chunk, self._held = joined(self._held, chunk), None
        if piece.finish is not None:
            chunk = self._end(chunk, piece, eos or self._eos)
        elif not self._watch_ids(piece) and self._eos and chunk.text.endswith(self._eos):
            self._held = chunk
            return None
        if chunk.text:
            self._texts.append(chunk.text)
        return chunk if chunk.text or chunk.tokens or chunk.calls else None

    def last(self) -> Chunk:
        """The closing chunk: finish, stop, usage, and the tokens that no other chunk has."""
        finish, usage = self._finish or "eos", self._usage
        text = END_THINK if self._wrapping and finish == "eos" else ""
        missing = 0
        if usage is None:
            read = max(1, len(self._texts[0]) // 4)
            usage = Usage(read, 0, self._generated, estimated=True)
        else:
            missing = max(0, usage.generated - self._generated)
        most = self._sampling.max_tokens
        counted = self._exact or not usage.estimated
        if finish == "length" and counted and (most is None or self._generated + missing < most):
            finish = "window"
        return Chunk(text, missing, finish=finish, stop=self._stop, usage=usage)

    # --- one piece -----------------------------------------------------------------------------

    def _chunk(self, piece: Piece) -> Chunk:
        tokens, guessed = self._tokens(piece)
        self._generated += tokens
        self._exact &= not guessed
        ids = piece.ids if self._dialect.token_ids else None
        self._ids += ids or ()
        logprobs = piece.logprobs if self._sampling.logprobs else None
        self._called |= bool(piece.calls)
        return Chunk(self._spoken(piece), tokens, ids, logprobs, calls=piece.calls,
                     estimated=guessed)

    def _tokens(self, piece: Piece) -> tuple[int, bool]:
        """How many tokens a piece has, and whether that is a guess."""
        if piece.count is not None:
            return max(0, piece.count - self._generated), False
        if piece.ids is not None:
            return len(piece.ids), False
        if piece.logprobs is not None:
            return len(piece.logprobs), False
        some = bool(piece.text or piece.reasoning or piece.calls)
        return int(some), some

    def _spoken(self, piece: Piece) -> str:
        """Text and thoughts of a piece, with the tags that tell them apart."""
        text = ""
        if piece.reasoning:
            if not self._thinking:
                text = THINK
            self._thinking = self._wrapping = True
            text += piece.reasoning
        if piece.text or piece.calls:
            if self._wrapping:
                text += END_THINK
                self._thinking = self._wrapping = False
            text += piece.text
        return text

    def _watch_ids(self, piece: Piece) -> bool:
        """End at a stop token by ourselves where the server cannot."""
        if self._dialect.stop_ids or not self._sampling.stop_ids:
            return False
        hit = next((i for i in piece.ids or () if i in self._sampling.stop_ids), None)
        if hit is not None:
            self._finish, self._stop, self.cut = "stop", hit, True
        return hit is not None

    # --- the end -------------------------------------------------------------------------------

    def _end(self, chunk: Chunk, piece: Piece, eos: str | None) -> Chunk:
        """The last piece of text: find out what ended it, and set that right in the text."""
        self._finish, self._stop = self._why(chunk, piece)
        if isinstance(self._stop, str):
            return self._with_stop(chunk, self._stop)
        if self._finish == "eos":
            ids = chunk.ids
            if ids and piece.stop_reported:
                ids = ids[:-1]  # the end-of-text token is counted, but is no part of the text
            text = chunk.text.removesuffix(eos) if eos else chunk.text
            return replace(chunk, text=text, ids=ids)
        return chunk

    def _why(self, chunk: Chunk, piece: Piece) -> tuple[Finish, str | int | None]:
        if piece.finish == "length":
            return "length", None
        if piece.finish == "content_filter":
            return "filter", None
        if piece.finish != "stop":
            return "eos", None
        if piece.stop is not None:
            by_id = isinstance(piece.stop, int) and piece.stop not in self._sampling.stop_ids
            return ("eos", None) if by_id else ("stop", piece.stop)
        if (piece.stop_reported and self._dialect.name != "generic") or not self._sampling.stop:
            return "eos", None
        text = "".join(self._texts) + chunk.text
        kept = [s for s in self._sampling.stop if chunk.text.endswith(s)]
        stop = max(kept, key=len) if kept else guess_stop(self._sampling.stop, text)
        return ("eos", None) if stop is None else ("stop", stop)

    def _with_stop(self, chunk: Chunk, stop: str) -> Chunk:
        """``chunk`` with its text ending in ``stop``, neither before nor after it."""
        tail = "".join(self._texts[1:])[-len(stop):] if self._dialect.keeps_stop else ""
        place = (tail + chunk.text).rfind(stop) if self._keeps(chunk, stop) else -1
        if place < 0:
            return replace(chunk, text=chunk.text + stop, ids=None)
        text = chunk.text[: max(0, place + len(stop) - len(tail))]
        if chunk.ids is None or (text == chunk.text == stop and len(chunk.ids) == 1):
            return replace(chunk, text=text)
        # A stop may end inside a token; then ids and text say different things.
        self.unsettled = tuple(self._ids), "".join(self._texts[1:]) + text, chunk.ids
        return replace(chunk, text=text, ids=None)

    def _keeps(self, chunk: Chunk, stop: str) -> bool:
        """Did the server leave the stop in the text?"""
        return self._dialect.keeps_stop or (
            self._dialect.name == "generic" and chunk.text.endswith(stop))


def joined(first: Chunk, then: Chunk) -> Chunk:
    """Two chunks as one."""
    def both(a: tuple[float, ...] | None, b: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if a is None and b is None else (*(a or ()), *(b or ()))

    ids = (*first.ids, *(then.ids or ())) if first.ids is not None else None
    if then.tokens and then.ids is None:
        ids = None
    return Chunk(first.text + then.text, first.tokens + then.tokens, ids,
                 both(first.logprobs, then.logprobs), calls=(*first.calls, *then.calls),
                 estimated=first.estimated or then.estimated)
