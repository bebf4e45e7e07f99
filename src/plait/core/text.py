"""Text as it travels between threads and engines: segments, prompts, chunks, calls, usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Author = Literal["prompt", "model", "runtime"]
Finish = Literal["eos", "stop", "length", "filter", "budget", "window", "error", "left"]
"""Why a stream ended: the model ended it (``eos``), a stop was hit (``stop``), ``max_tokens`` was
reached (``length``), the server's content filter cut it (``filter``), a budget of the request ran
out (``budget``), the context is full (``window``), the engine failed (``error``), or the reader
left early (``left``)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call. ``parameters``: JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, object] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model made. ``arguments`` is an object in JSON; ``id`` is what the result
    names."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a call while it is written. ``index``: which call of the turn; ``id`` and
    ``name`` come with its first piece; ``arguments`` are cut anywhere."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def shown(self) -> str:
        """How it stands in a thread's text, for people; nothing reads it back."""
        return f"\n{CALLS}{self.name} {self.arguments}" if self.name else self.arguments


CALLS, RETURNS = "\N{RIGHTWARDS ARROW} ", "\N{LEFTWARDS ARROW} "
"""Open, at the start of a line of a thread's text, what it called and what came back."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. An assistant's may hold ``calls`` and the ``thoughts`` that led
    to it; one of the role ``tool`` is the result of the call ``call_id``. ``extra``: fields passed
    to an OpenAI server as they are."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    thoughts: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text by one author. ``ids`` are its token ids where the engine has them."""

    author: Author
    text: str
    ids: tuple[int, ...] | None = None
    tokens: int = 0
    """Length in tokens: exact where ``ids`` or the engine's count exist, else estimated."""


CHARS = 4
"""Characters a token, about: what lengths are estimated by where nobody counts tokens."""


def estimate_tokens(text: str) -> int:
    """About how many tokens ``text`` has when nobody can count them."""
    return -(-len(text) // CHARS)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine is asked to continue.

    ``messages`` (if any) come first, rendered by the engine's chat template; ``text`` continues
    the assistant's turn after them, or is the whole prompt when there are none. ``ids`` replace
    ``text`` where all of it is known as token ids; where only some of it is, ``parts`` are the
    same text piece by piece. ``tools`` may be called by the model; they need messages.
    """

    text: str = ""
    ids: tuple[int, ...] | None = None
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    parts: tuple[str | tuple[int, ...], ...] = ()

    @property
    def tokens(self) -> int:
        """Its length: exact where there are ids, else estimated; messages are always estimated."""
        own = estimate_tokens(self.text) if self.ids is None else len(self.ids)
        return own + sum(estimate_tokens(m.content) for m in self.messages)


@dataclass(frozen=True, slots=True)
class Stops:
    """What ends a stream besides the model's own end: strings and token ids."""

    strings: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one engine request. ``estimated``: the engine did not report them."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a stream.

    ``text`` holds everything the model wrote, *including* the stop string that ended it: engines
    that cut it off have it put back. Calls of tools are not in it but in ``calls``, piece by
    piece. ``tokens`` is the number of tokens of this chunk, those of calls included. The last
    chunk (and only it) has ``finish`` set, and ``stop`` if a stop was hit; it also carries
    ``usage``.
    """

    text: str = ""
    tokens: int = 0
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finish: Finish | None = None
    stop: str | int | None = None
    usage: Usage | None = None
    calls: tuple[CallDelta, ...] = ()
    estimated: bool = field(default=False)
    """``tokens`` was guessed, because the engine sends neither ids nor one chunk a token."""
    by: tuple[str, ...] = ()
    """The replicas that have written the text so far, one after the other: said when one begins,
    and with the last chunk. Empty where there is but one server."""
