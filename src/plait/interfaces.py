"""Every seam of plait on one page.

    method  --(Thread, Child)-->  scheduler  --(Engine)-->  tokens
    method  --(WireProtocol)-->   fork, wait, amend, end    (pure text, no I/O)

A *method* answers a request by moving `Thread` handles; it never sees an engine, a task or a
lease. A *wire protocol* is a pure state machine over the text of one thread: the same text cut in
any way into chunks gives the same events. An *engine* turns a prompt into a stream of chunks and
knows nothing of threads. Positions in a thread's text are characters counted from the end of its
opening prompt; model text, appended text and rewritten text all count, so a machine that knows
what it was fed and what it asked to be spliced always knows where it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from plait.core.events import Event as TraceEvent
from plait.core.events import Family, Role
from plait.core.outcome import Outcome, Status
from plait.core.part import Part, Verdict
from plait.core.reading import LiveAnswer
from plait.core.request import Plan, Request, Room, Sampling
from plait.core.text import Chunk, Finish, Message, Prompt, Stops

# --- engines -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. ``window`` is its context length in tokens, None if unknown."""

    token_ids: bool = False
    """Prompts may be token ids, and chunks carry them."""
    chat: bool = False
    """Prompts may hold messages."""
    logprobs: bool = False
    cache_report: bool = False
    exact_counts: bool = False
    json_schema: bool | None = None
    """Replies can be constrained to a JSON schema (`Sampling.schema`); None: unknown."""
    window: int | None = None
    slots: int | None = None
    """Streams that it serves at once without queueing, None if unknown."""
    server: str = ""
    """What kind of server it is on, as far as that is known; empty for an embedded engine."""
    shows_special: bool = True
    """Special tokens stay in the text, as far as it is up to us."""
    protocols: tuple[str, ...] = ()
    """Wire formats that its model is known to write; `Engine.protocols` has those for a request."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is; None where it does not say. ``cache``: share of its KV in use."""

    running: int | None = None
    waiting: int | None = None
    cache: float | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a request is put to this engine's model.

    ``read`` takes the root's text (after the prompt) and gives the answer in it, or None.
    ``early_stop``: the model was trained for joins in which unfinished children are missing.
    ``live`` makes what reads the same answer while it is written, up to any of the given stops;
    None where only the whole text tells.
    """

    prompt: Prompt
    read: Callable[[str], str | None]
    early_stop: bool = False
    live: Callable[[Sequence[str]], LiveAnswer] | None = None


class Engine(Protocol):
    """Prompt + sampling -> chunks. Leaving the stream's context closes the request."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...

    def encode(self, text: str, *, opening: bool = False) -> Sequence[int] | None:
        """Token ids of ``text``; None if the engine's tokenizer is not at hand.

        ``opening``: the text opens a context, so a begin-of-text token goes in front if the
        model has one.
        """
        ...

    def stream(
        self, prompt: Prompt, sampling: Sampling
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Stream the continuation of ``prompt``. The last chunk has ``finish`` and ``usage``.

        Raises `EngineError`s, before or in the middle of the stream.
        """
        ...

    def protocols(self, request: Request) -> Sequence[str]:
        """Wire formats that its model is known to write for ``request``, the preferred one first;
        none where it is not known to fork."""
        ...

    async def open(self, request: Request, protocol: str | None) -> Opening:
        """The opening prompt of ``request`` in the form that the engine's model expects.

        Raises `UsageError` when the model cannot be asked this.
        """
        ...

    async def load(self) -> Load: ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Served(Protocol):
    """An engine behind a server of its own, seen from who wants to know what is served."""

    async def connect(self) -> object:
        """Look at the server, once. Raises `EngineError`, or `UsageError` if it has to be told
        which model is meant."""
        ...

    async def token_counts(self, texts: Sequence[str]) -> list[int | None]:
        """Into how many tokens the model's tokenizer cuts each text; None where nobody tells.
        Each text is asked for once. Raises what `connect` raises, nothing else."""
        ...


# --- wire protocols ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fork:
    """The model asked for a child; its instructions are complete at character ``at``."""

    item: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The model wants the children ``items`` joined now (None: all that are open)."""

    items: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Splice:
    """What the runtime puts into a context: in place of everything since ``since``, or at the
    end when ``since`` is None. A part that is an `Outcome` quotes that thread's own text, token
    for token where the engine has tokens."""

    parts: tuple[str | Outcome, ...]
    since: int | None = None

    @property
    def text(self) -> str:
        """The parts as text."""
        return "".join(p if isinstance(p, str) else p.text for p in self.parts)


@dataclass(frozen=True, slots=True)
class Amend:
    """The stream must be left, the context changed, and writing go on. ``why`` is noted as a
    warning; it is empty where this belongs to the format."""

    splice: Splice
    why: str


@dataclass(frozen=True, slots=True)
class Oddity:
    """Malformed output that is survived; it goes to the trace."""

    what: str


@dataclass(frozen=True, slots=True)
class End:
    """The thread is over."""

    status: Status = "done"
    value: str | None = None
    reason: str = ""


Halt = Wait | Amend | End
"""An event for which the stream is left; none follows it."""
Event = Fork | Oddity | Halt


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child's context is made.

    ``fork``: the parent's context as it stands, then ``text`` (a header by the runtime).
    ``spawn``: a fresh context that holds ``text``, or ``prompt`` if that is given.
    """

    family: Family
    text: str = ""
    prompt: Prompt | None = None
    label: str = ""
    role: Role = "thread"
    limit: int | None = None
    """Tokens that the child may generate in all, its own children not counted."""
    at: int | None = None
    """Tokens that the parent had generated when the instructions were complete (default: now)."""
    after: tuple[str, ...] = ()
    temperature: float | None = None
    """Used where the request is greedy: siblings that differ by their seeds alone need one."""


class WireProtocol(Protocol):
    """A wire format seen from one thread: a pure state machine. One instance a thread."""

    def begin(self) -> Sequence[Event]:
        """What is wanted before the model writes at all; for formats that fork at the prompt."""
        ...

    def stops(self) -> Stops:
        """What should end the stream that is about to start."""
        ...

    def feed(self, text: str) -> Sequence[Event]:
        """Take model text. Any chunking of a text gives the same events in the same order."""
        ...

    def close(self, finish: Finish) -> Sequence[Event]:
        """The stream ended. Ends in `Wait`, `Amend` or `End`, unless `feed` did already."""
        ...

    def child(self, fork: Fork) -> tuple[ChildSpec, WireProtocol]:
        """The child that ``fork`` asks for, and its own machine."""
        ...

    def join(self, forks: Sequence[Fork], outcomes: Sequence[Outcome | None]) -> Splice:
        """What the parent's context holds once its children ended (None: cancelled early)."""
        ...

    def enough(self, outcomes: Sequence[Outcome | None]) -> bool:
        """May the join be made although some children (None) are still at work?"""
        ...


# --- threads -----------------------------------------------------------------------------------


class Child(Protocol):
    """A started thread, seen from its parent."""

    @property
    def name(self) -> str: ...

    def peek(self) -> Outcome | None:
        """The outcome if the child has ended, else None. Does not wait."""
        ...

    def cancel(self, why: str) -> None:
        """Stop it and all below it. Its outcome becomes ``cancelled``. Harmless when ended."""
        ...


class Thread(Protocol):
    """The handle by which a method moves one thread. Hides engine, leases, retries, trace."""

    @property
    def name(self) -> str:
        """Place in the tree: ``0`` is the root, ``0.2`` its third child."""
        ...

    @property
    def text(self) -> str:
        """Everything in the context after the opening prompt."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens that the model has generated in this thread."""
        ...

    @property
    def finish(self) -> Finish | None:
        """Why the last `write` ended; None before the first."""
        ...

    @property
    def held(self) -> int:
        """Tokens that the context holds now, the opening prompt included."""
        ...

    def count(self, text: str) -> int:
        """Tokens of ``text``: exact if the engine's tokenizer is at hand, else estimated."""
        ...

    @property
    def room(self) -> Room:
        """What is left of the budgets for this thread and what it starts."""
        ...

    def write(
        self, until: Stops = ..., limit: int | None = None, sampling: Sampling | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Let the model go on, live. Leaving the context early cancels the request.

        Raises `EngineError` if the engine fails; running out of budget or window is no error but
        the stream's ``finish``.
        """
        ...

    def append(self, *parts: str | Outcome) -> None:
        """Put runtime text, or another thread's text, at the end of the context."""
        ...

    def rewrite(self, since: int, *parts: str | Outcome, reset: bool = False) -> None:
        """Replace everything from character ``since`` on by ``parts``.

        ``reset``: the parts say what was found out in what goes, so its tokens are not wasted.
        """
        ...

    def turn(self, said: Message, *replies: Message) -> None:
        """Close the model's turn in a conversation and put ``replies`` behind it.

        ``said`` stands for what was written since the last turn; the thread's own text keeps that
        as it was. Nothing of a closed turn can be rewritten.
        """
        ...

    def start(self, spec: ChildSpec, body: Body) -> Child:
        """Start a child. Returns at once; a child that no budget allows has ended at once."""
        ...

    async def wait(
        self,
        children: Sequence[Child],
        enough: Callable[[Sequence[Outcome | None]], bool] | None = None,
        rest: Literal["cancel", "keep"] = "cancel",
    ) -> list[Outcome | None]:
        """Wait for ``children``; when ``enough`` says so before all ended, cancel the others, or
        let them go on (``rest="keep"``) to be waited for later."""
        ...

    async def any_ended(self, children: Sequence[Child]) -> None:
        """Wait until at least one of ``children`` has ended. Joins nothing: the clock of this
        thread stays where it is until `wait` is called for what it uses."""
        ...

    async def ask(self, spec: ChildSpec, sampling: Sampling | None = None) -> Outcome:
        """One call to a model (planner, judge, merger...) as a child with its own context."""
        ...

    def note(self, what: str, *, warning: bool = False) -> None:
        """Record something that a person should know."""
        ...

    @property
    def proposed(self) -> str | None:
        """What was last proposed; None if nothing."""
        ...

    def propose(self, answer: str) -> None:
        """Keep ``answer`` as the best one so far: it comes back if the request's time runs out
        before the method has ended. Only the root's counts."""
        ...

    def commit(self, text: str) -> None:
        """Give a piece of the final answer to the client; it is never taken back."""
        ...


Body = Callable[[Thread], Awaitable[Outcome]]
"""What a child does with its thread. Engine errors may pass through; the scheduler retries."""


class Method(Protocol):
    """A way to answer a request. Returns the root's outcome; ``value`` is the answer."""

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome: ...


# --- joins of directed methods ------------------------------------------------------------------


class Merge(Protocol):
    """Several parts -> one outcome; ``value`` is the merged text."""

    @property
    def name(self) -> str: ...

    async def merge(self, thread: Thread, request: Request, parts: Sequence[Part]) -> Outcome:
        """Merge the parts that are ok. Models are asked through children of ``thread``.

        Never raises for what a model or an engine did: an outcome without a value says why.
        How it was decided is noted in the trace.
        """
        ...


class Verifier(Protocol):
    """Is a part right? Called for each part on its own, many at once, and for what a merge wrote.
    `Part.task` says which part of the question it answers; it is empty for the whole."""

    @property
    def name(self) -> str: ...

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        """A verdict; ``ok`` None, with the reason, where it cannot be told. Judges are asked
        through children of ``thread``. Never raises for what a model or an engine did."""
        ...


# --- traces ------------------------------------------------------------------------------------

Sink = Callable[[TraceEvent], None]
"""Takes each trace event as it happens. Must not block; one that raises is dropped."""
