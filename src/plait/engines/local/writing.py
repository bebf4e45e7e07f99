"""What one request writes: its text, token by token, and when it ends.

Text is held back only while its last bytes are an incomplete UTF-8 character. Stops are looked
for after every token, so none is computed beyond the one that completes a stop.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from plait.core import Finish, Sampling, Usage


class Vocabulary(Protocol):
    """The tokens of a model. ``pieces[id]`` are a token's bytes, ``texts[id]`` is their text (None
    where they are only part of a character), ``eos`` are the tokens that end a text."""

    @property
    def eos(self) -> frozenset[int]: ...
    @property
    def pieces(self) -> Sequence[bytes]: ...
    @property
    def texts(self) -> Sequence[str | None]: ...

    def encode(self, text: str, *, opening: bool = False) -> list[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        ...


def whole(piece: bytes) -> str | None:
    """The text of a token; None for bytes that are only part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None


class Piece(NamedTuple):
    """What a step added to a request's stream. ``tokens``: how many; ``ids`` lack a final
    end token, since ``text`` does."""

    text: str
    tokens: int
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish | None = None
    stop: str | int | None = None
    usage: Usage | None = None


class Detokenizer:
    """The text of one stream, token by token, and the stop strings in it."""

    __slots__ = ("_decoder", "_keep", "_stops", "_tail", "_vocabulary", "holds")

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(s for s in stops if s)
        self._keep = max(map(len, self._stops), default=1) - 1
        self._tail = ""
        self.holds = False
        """Is the start of a character held back?"""

    def feed(self, token: int) -> tuple[str, str | None, int]:
        """The new text, the stop string that is now complete (the one that ends first), and how
        many of the new text's last characters come after that stop string."""
        text = self._vocabulary.texts[token]
        if text is None or self.holds:
            text = self._decoder.decode(self._vocabulary.pieces[token])
            self.holds = bool(self._decoder.getstate()[0])
        if not self._stops or not text:
            return text, None, 0
        window = self._tail + text
        best, end = None, len(window) + 1
        for stop in self._stops:
            at = window.find(stop)
            if at >= 0 and at + len(stop) < end:
                best, end = stop, at + len(stop)
        if best is not None:
            return text, best, len(window) - end
        self._tail = window[-self._keep :] if self._keep else ""
        return text, None, 0

    def flush(self) -> str:
        """What was held back; bytes that are no character become U+FFFD."""
        self.holds = False
        return self._decoder.decode(b"", final=True)


class Writing:
    """One request of a batch. ``prompt``: its length in tokens; ``listener`` is the caller's."""

    __slots__ = ("_detokenizer", "_held", "_limit", "_vocabulary", "_window", "cached", "ends",
                 "generated", "listener", "number", "prompt", "sampling")

    def __init__(self, prompt: int, sampling: Sampling, listener: object = None) -> None:
        self.prompt = prompt
        self.sampling = sampling
        self.listener = listener
        self.ends: frozenset[int] = frozenset(sampling.stop_ids)
        """Tokens that end it."""
        self.number = -1
        self.generated = 0
        self.cached: int | None = None
        self._limit = sampling.max_tokens
        self._held: list[tuple[int, float]] = []
        """Tokens whose text is still an incomplete character."""

    def begin(self, number: int, vocabulary: Vocabulary, window: int | None) -> None:
        """Its place in a batch is known, and what its tokens mean."""
        self.number = number
        self._vocabulary = vocabulary
        self._window = window
        self._detokenizer = Detokenizer(vocabulary, self.sampling.stop)
        if not self.sampling.ignore_eos:
            self.ends |= vocabulary.eos

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt, self.cached or 0, self.generated)

    def take(self, token: int, logprob: float) -> Piece | None:
        """Add a token; None while its text is an incomplete character. A piece with ``finish`` is
        the last one."""
        self.generated += 1
        if token in self.ends:
            self._held.append((token, logprob))
            if token in self.sampling.stop_ids:
                text = self._detokenizer.feed(token)[0]
                return self.close("stop", text=text, stop=token)
            return self.close("eos")
        text, stop, beyond = self._detokenizer.feed(token)
        over = stop is not None or self.generated == self._limit or self._is_full
        if not over and not self._held and not self._detokenizer.holds:
            return Piece(text, 1, (token,), (logprob,))
        self._held.append((token, logprob))
        if stop is not None:
            return self.close("stop", text=text, stop=stop, beyond=beyond)
        if over:
            return self.close("length" if self.generated == self._limit else "window", text=text)
        return self._piece(text) if text else None

    def close(self, finish: Finish, *, text: str = "", stop: str | int | None = None,
              beyond: int = 0) -> Piece:
        """The last piece. ``beyond``: characters of ``text`` that come after ``stop``."""
        if isinstance(stop, str):
            text = text[: len(text) - beyond]
        else:
            text += self._detokenizer.flush()
        piece = self._piece(text)
        ids = piece.ids
        if finish == "eos":
            ids = ids[:-1]
        elif beyond:  # the last token reaches beyond the stop: ids of what is kept of the text
            ids = tuple(self._vocabulary.encode(text))
        return piece._replace(ids=ids, finish=finish, stop=stop, usage=self.usage)

    @property
    def _is_full(self) -> bool:
        return self._window is not None and self.prompt + self.generated >= self._window

    def _piece(self, text: str) -> Piece:
        held, self._held = self._held, []
        return Piece(text, len(held), tuple([t for t, _ in held]), tuple([p for _, p in held]))


Output = Sequence[tuple[Writing, Piece]]
"""What a step of a batch wrote, and who wrote it."""
