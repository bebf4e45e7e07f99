"""What a stream has brought so far, and how another replica goes on with it. Pure.

A replica that goes in the middle of its text has lost what it was about to write and nothing
else: the prompt with what was received behind it, put to another one, is continued with the very
next token. So that nothing is lost or doubled:

- A chunk that has tokens but no text (the first half of a character) waits for the next one, and
  is forgotten if the stream breaks before.
- A stop that was half written before the break is looked for across it (`plait.core.seam`).
- A text whose limit is reached, or which ends with a stop, is not continued but ended.

Greedy, the whole is the text that one replica would have written, as far as all of them compute
the same; where the prompt goes as text, as far as the tokenizer cuts what was received as the model
wrote it. Drawn at random it is a text of the same distribution, but not the same text: the
continuation has a seed of its own, made of the stream's and of the place of the break, since the
same seed would draw the first draws again. The same seed and break give the same text.

Not everything can be continued (`Received.can_go_on`): not a reply that is bound to a grammar or a
schema, which would begin anew; nor calls of tools; nor what depends on fields that we do not know;
nor a prompt that is ids alone where the text has none.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from plait.core import Chunk, Prompt, Sampling, Usage
from plait.core.seam import Seam
from plait.engines.openai.assemble import joined

HARMLESS = frozenset(("cache_salt", "logit_bias", "priority", "user"))
"""Further fields of a request that mean the same in its middle."""


class Received:
    """One stream, over all the replicas that write it."""

    def __init__(self, prompt: Prompt, sampling: Sampling) -> None:
        self._prompt = prompt
        self._sampling = sampling
        self._texts: list[str] = []
        self._ids: list[int] | None = []
        """None where those of some text are not known."""
        self._tokens = 0
        self._estimated = False
        self._called = False
        self._held: Chunk | None = None
        self._starts = [0]
        """Tokens that were there when each of the calls began."""
        self._seam = Seam(sampling.stop)

    @property
    def begun(self) -> bool:
        """Something has been received."""
        return bool(self._texts or self._tokens or self._called)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def can_go_on(self) -> bool:
        """Would another replica go on with the same text, as far as the request tells?"""
        bound = self._sampling.schema is not None and self._prompt.messages
        blind = self._prompt.ids is not None and not self._prompt.text and self._ids is None
        return not (self._called or bound or blind or self._sampling.extra.keys() - HARMLESS)

    def take(self, chunk: Chunk) -> Chunk | None:
        """The chunk to be given on; None if it has to wait for the next."""
        if self._held is not None:
            chunk, self._held = replace(
                joined(self._held, chunk), finish=chunk.finish, stop=chunk.stop,
                usage=chunk.usage), None
        if chunk.finish is None and chunk.tokens and not (chunk.text or chunk.calls):
            self._held = chunk
            return None
        if across := self._seam.take(chunk.text):
            end, stop = across
            ids = chunk.ids if end == len(chunk.text) else None
            chunk = replace(chunk, text=chunk.text[:end], ids=ids, finish="stop", stop=stop)
        self._note(chunk)
        if chunk.finish is None:
            return chunk
        return replace(chunk, usage=self._usage(chunk.usage))

    def _note(self, chunk: Chunk) -> None:
        if chunk.text:
            self._texts.append(chunk.text)
        if chunk.text and chunk.ids is None:
            self._ids = None
        if self._ids is not None:
            self._ids += chunk.ids or ()
        self._tokens += chunk.tokens
        self._estimated |= chunk.estimated
        self._called |= bool(chunk.calls)

    def _usage(self, last: Usage | None) -> Usage:
        """Of all calls together. That of one that broke is known by the last one's: each read the
        same prompt, and what had been received by then."""
        start = self._starts[-1]
        if last is None:
            last = Usage(self._prompt.tokens + start, estimated=True)
        base = max(0, last.prompt - start)
        read = last.prompt + sum(base + begun for begun in self._starts[:-1])
        return Usage(read, last.cached, self._tokens, last.estimated or self._estimated)

    # --- a break ---------------------------------------------------------------------------------

    def cross(self) -> Chunk | None:
        """The stream broke off. The chunk that ends it, if nothing is left to be written."""
        self._held = None
        if not self.begun:
            return None
        self._seam.cross()
        sampling, text = self._sampling, self.text
        stop: str | int | None = next((s for s in sampling.stop if text.endswith(s)), None)
        if stop is None and self._ids and self._ids[-1] in sampling.stop_ids:
            stop = self._ids[-1]
        if stop is not None:
            return Chunk(finish="stop", stop=stop, usage=self._usage(None))
        if sampling.max_tokens is not None and self._tokens >= sampling.max_tokens:
            return Chunk(finish="length", usage=self._usage(None))
        self._starts.append(self._tokens)
        return None

    def rest(self) -> tuple[Prompt, Sampling]:
        """What is asked of the next replica."""
        if not self.begun:
            return self._prompt, self._sampling
        sampling = self._sampling
        if sampling.max_tokens is not None:
            sampling = replace(sampling, max_tokens=sampling.max_tokens - self._tokens)
        if sampling.seed is not None:
            sampling = replace(sampling, seed=later_seed(sampling.seed, self._tokens))
        ids = None if self._ids is None else tuple(self._ids)
        return continued(self._prompt, self.text, ids), sampling


def continued(prompt: Prompt, text: str, ids: tuple[int, ...] | None) -> Prompt:
    """``prompt`` with ``text`` behind it; ``ids`` are its tokens, if all of them are known."""
    whole = prompt.text + text
    if prompt.messages:
        return replace(prompt, text=whole)
    if prompt.ids is not None and ids is not None:
        return replace(prompt, text=whole if prompt.text else "", ids=prompt.ids + ids, parts=())
    before = prompt.parts or ((prompt.text,) if prompt.ids is None else (prompt.ids,))
    parts = () if ids is None and prompt.ids is None and not prompt.parts else (
        *before, text if ids is None else ids)
    return replace(prompt, text=whole, ids=None, parts=tuple(part for part in parts if part))


def later_seed(seed: int, tokens: int) -> int:
    """The seed for what follows ``tokens`` of a stream that began with ``seed``."""
    return int.from_bytes(blake2b(f"{seed}/{tokens}".encode(), digest_size=4).digest()) >> 1
