"""An engine that plays a script: exact texts, exact chunks, exact times, failures on cue.

    def script(prompt: str, sampling: Sampling) -> Play | str: ...
    engine = ScriptedEngine(script)

The script is asked once a request, with everything that the model would have read, and says what
the model writes next. The text is cut into *pieces*, the engine's tokens: a tag, a line break, or
a word with the blanks before it. Stops, ``max_tokens`` and leaving early work as on a real
engine, and every request is counted, so that a test can ask whether all of them were ended.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from plait.core import CallDelta, Chunk, Finish, Prompt, Request, Sampling, Usage
from plait.core.reading import after_thinking
from plait.errors import EngineError
from plait.interfaces import Capabilities, Load, Opening

_PIECE = re.compile(r"<[^<>\n]{1,60}>|\n|[^\S\n]*[^\s<]+|[^\S\n]+|<")


@dataclass(frozen=True, slots=True)
class Play:
    """What the model writes on one request, and when.

    ``every``: seconds a piece; ``first``: seconds before the first. ``chunk``: pieces a chunk.
    ``logprob``: of every piece, for requests that ask for them.
    ``calls`` of tools, each a name and its arguments, follow the text.
    ``error`` is raised after ``error_after`` pieces instead of going on. ``finish``: how the
    text ends when no stop and no limit ends it.
    """

    text: str
    every: float = 0.01
    first: float = 0.0
    chunk: int = 1
    error: EngineError | None = None
    error_after: int = 0
    finish: Finish = "eos"
    logprob: float | None = None
    calls: Sequence[tuple[str, str]] = ()


Script = Callable[[str, Sampling], Play | str]


@dataclass(slots=True)
class Calls:
    """Requests so far, by how they ended; ``open`` now, and the most that were open at once."""

    started: int = 0
    finished: int = 0
    failed: int = 0
    left: int = 0
    open: int = 0
    most: int = 0


class ScriptedEngine:
    """See the module's docstring. ``ids``: speak token ids as well, like an embedded engine.
    ``pieces``: how text is cut into tokens (``list``: a character each, so no tag is one)."""

    name = "scripted"
    model = "script"

    def __init__(
        self, script: Script, *, ids: bool = False, window: int | None = None, every: float = 0.01,
        pieces: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._script = script
        self._cut = pieces or cut_pieces
        self._every = every
        self._vocabulary: dict[str, int] | None = {} if ids else None
        self._pieces: list[str] = []
        self.calls = Calls()
        self.prompts: list[str] = []
        self.capabilities = Capabilities(
            token_ids=ids, chat=True, exact_counts=True, cache_report=True, window=window)

    def encode(self, text: str, *, opening: bool = False) -> Sequence[int] | None:
        if self._vocabulary is None:
            return None
        return [self._id(piece) for piece in self._cut(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` as `encode` gave them."""
        return "".join(self._pieces[i] for i in ids)

    def _id(self, piece: str) -> int:
        assert self._vocabulary is not None
        if piece not in self._vocabulary:
            self._vocabulary[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._vocabulary[piece]

    @asynccontextmanager
    async def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        calls = self.calls
        calls.started += 1
        calls.open += 1
        calls.most = max(calls.most, calls.open)
        ended = False

        async def pieces() -> AsyncIterator[Chunk]:
            nonlocal ended
            try:
                async for chunk in self._play(prompt, sampling):
                    if chunk.finish is not None:
                        ended = True
                        calls.finished += 1
                    yield chunk
            except EngineError:
                ended = True
                calls.failed += 1
                raise

        try:
            yield pieces()
        finally:
            calls.open -= 1
            if not ended:
                calls.left += 1

    async def _play(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Chunk]:
        text = self.decode(prompt.ids) if prompt.ids is not None else prompt.text
        text = "".join(f"{m.role}: {m.content}\n" for m in prompt.messages) + text
        self.prompts.append(text)
        play = self._script(text, sampling)
        if isinstance(play, str):
            play = Play(play, every=self._every)
        body, stop, finish = _until_stop(play, sampling)
        pieces: list[str | CallDelta] = [*self._cut(body)]
        if stop is None:
            pieces += _cut_calls(play.calls)
        if sampling.max_tokens is not None and len(pieces) > sampling.max_tokens:
            pieces, stop, finish = pieces[: sampling.max_tokens], None, "length"
        await anyio.sleep(play.first)
        size = max(1, play.chunk)
        prompt_tokens = len(self._cut(text))
        for start in range(0, len(pieces), size):
            if play.error is not None and start >= play.error_after:
                raise play.error
            group = pieces[start : start + size]
            await anyio.sleep(play.every * len(group))
            words = [p for p in group if isinstance(p, str)]
            calls = tuple(p for p in group if isinstance(p, CallDelta))
            known = self._vocabulary is not None and not calls
            ids = tuple(self._id(p) for p in words) if known else None
            sure = None if play.logprob is None or not sampling.logprobs else play.logprob
            logprobs = None if sure is None else (sure,) * len(group)
            yield Chunk("".join(words), len(group), ids, logprobs, calls=calls)
        if play.error is not None:
            raise play.error
        await anyio.lowlevel.checkpoint()
        usage = Usage(prompt_tokens, 0, len(pieces))
        yield Chunk(finish=finish, stop=stop, usage=usage)

    def protocols(self, request: Request) -> tuple[str, ...]:
        return ()

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """Messages or prompt as they are; the answer is what follows the last ``</think>``."""
        prompt = Prompt(text=request.prompt, messages=request.messages)
        return Opening(prompt, read=after_thinking)

    async def load(self) -> Load:
        return Load(running=self.calls.open, waiting=0)

    async def aclose(self) -> None:
        """Nothing to close."""


def cut_pieces(text: str) -> list[str]:
    """The pieces (this engine's tokens) of ``text``; joined they are the text again."""
    return _PIECE.findall(text)


def _cut_calls(calls: Sequence[tuple[str, str]]) -> list[CallDelta]:
    """Calls as their tokens: the name, then the pieces of the arguments."""
    found = []
    for index, (name, arguments) in enumerate(calls):
        found.append(CallDelta(index, f"call_{index}", name))
        found += [CallDelta(index, arguments=piece) for piece in cut_pieces(arguments)]
    return found


def _until_stop(play: Play, sampling: Sampling) -> tuple[str, str | None, Finish]:
    """The text up to and including the first stop string in it, that stop, and the finish."""
    hits = [(play.text.find(s), s) for s in sampling.stop if s in play.text]
    if not hits:
        return play.text, None, play.finish
    place, stop = min(hits)
    return play.text[: place + len(stop)], stop, "stop"
