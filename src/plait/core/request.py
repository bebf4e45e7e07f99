"""What a caller asks for: request, sampling, budget; and the plan that a policy makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import ClassVar

from plait.core.text import Message
from plait.errors import UsageError

UNSAID = 1.0
"""What an unsaid temperature is taken for: OpenAI's default."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; ``max_tokens`` None is "what fits"."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    logprobs: bool = False
    ignore_eos: bool = False
    schema: Mapping[str, object] | None = field(default=None, hash=False)
    """The reply is wanted as JSON of this schema. Engines that can constrain it do; from the others
    it comes as the model likes, so whoever asks has to be able to read that, too."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields passed to the engine as they are (an OpenAI server's request body)."""
    session: str = ""
    """Calls of one session read much of the same; a router may keep them on one server."""
    unsaid: bool = False
    """Nobody asked for this ``temperature``: a server's own default is wanted."""

    @property
    def engine_default(self) -> bool:
        """The server's own temperature holds: nobody, no method either, asked for another."""
        return self.unsaid and self.temperature == UNSAID

    def __post_init__(self) -> None:
        checks = (
            ("temperature", self.temperature >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "at least 0 (0: off)"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("max_tokens", self.max_tokens is None or self.max_tokens > 0, "above 0, or None"),
        )
        for name, good, want in checks:
            if not good:
                raise UsageError(f"`{name}` is {getattr(self, name)!r} but must be {want}")


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs per million tokens, in any currency. ``cached``: prompt tokens that the
    engine had in its cache; None: as much as others."""

    prompt: float
    generated: float
    cached: float | None = None

    PER: ClassVar[float] = 1e6

    def __post_init__(self) -> None:
        for name, value in (("prompt", self.prompt), ("generated", self.generated),
                            ("cached", self.cached or 0.0)):
            if not (value >= 0 and isfinite(value)):
                raise UsageError(f"the price `{name}` is {value!r} but must be at least 0")

    @classmethod
    def parse(cls, text: str) -> Price:
        """``PROMPT/GENERATED`` or ``PROMPT/GENERATED/CACHED``. Raises `ValueError`."""
        values = [float(part) for part in text.split("/")]
        if len(values) not in (2, 3):
            raise ValueError(text)
        return cls(*values)

    def of(self, *, prompt: int = 0, generated: int = 0, cached: int = 0) -> float:
        """The price of so many tokens."""
        known = self.prompt if self.cached is None else self.cached
        return (prompt * self.prompt + generated * self.generated + cached * known) / self.PER


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one request over its whole tree of threads. None: no limit of this kind.

    Tokens count what models generate. ``critical_tokens`` limits the longest causal path
    (see `plait.trace.metrics`), ``seconds`` the wall clock, ``width`` the threads that one
    thread has open at once, ``depth`` the levels below the root, ``threads`` all threads ever
    started, ``live_tokens`` the context tokens that the engine must hold at one moment,
    ``window`` the context of each thread, ``cost`` all requests by the prices of their models
    (see `Price`).
    """

    total_tokens: int | None = None
    critical_tokens: int | None = None
    seconds: float | None = None
    width: int | None = 64
    depth: int | None = 4
    threads: int | None = 4096
    live_tokens: int | None = None
    window: int | None = None
    cost: float | None = None
    rounds: int | None = 32
    """Forks and joins that one thread may go through, one after the other."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and value <= 0:
                raise UsageError(f"budget `{item.name}` is {value!r} but must be above 0, or None")

    def limits(self) -> tuple[str, ...]:
        """What is limited, ``name=value`` each."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        return tuple(f"{name}={value}" for name, value in values if value is not None)


@dataclass(frozen=True, slots=True)
class Room:
    """What a thread may still use, the ring-fences for joins and for the fallback set aside.

    ``tokens`` that threads below it may generate in all, ``path``: on the longest path; ``seconds``
    until the parallel attempt is given up; ``levels`` and ``threads`` that may still be started;
    ``window``: the context of each thread in tokens. None: no limit of this kind.
    """

    tokens: int | None = None
    path: int | None = None
    seconds: float | None = None
    levels: int | None = None
    threads: int | None = None
    window: int | None = None


DEFAULT_WINDOW = 4096
"""Tokens of context that a thread or a merger is taken to make good use of where nobody says
otherwise. Where accuracy begins to fall differs by model; this is far on the safe side of all."""
LEAST_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Directions:
    """How a method that directs a model is to work. None: the method's own default.

    ``attempts``: threads that `explore` makes at most, `fixed` exactly. ``merge`` and ``verify``
    are names (see `plait.registry`), ``prompts`` the name of a prompt set or a folder with one.
    ``rounds``: threads in each round of `refine`. ``window``: the effective window of every thread
    and merger in tokens (see `plait.context`); where it is not said, attempts at the whole question
    are written as one thread would write them. ``plan``: options of `plan`, as
    `plait.methods.PlanOptions.parse` reads them. ``threshold``: tokens of an answer in one thread
    above which the policy `threshold` considers to plan.
    """

    attempts: int | None = None
    merge: str | None = None
    verify: str | None = None
    prompts: str | None = None
    rounds: tuple[int, ...] = (8, 4, 1)
    window: int | None = None
    threshold: int | None = None
    plan: str = ""

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts <= 0:
            raise UsageError(f"`attempts` is {self.attempts!r} but must be above 0")
        if self.window is not None and self.window < LEAST_WINDOW:
            raise UsageError(f"`window` is {self.window!r} but must be at least {LEAST_WINDOW}")
        if self.threshold is not None and self.threshold < 0:
            raise UsageError(f"`threshold` is {self.threshold!r} but must be at least 0")
        if not self.rounds or min(self.rounds) <= 0 or self.rounds[-1] != 1:
            raise UsageError(f"`rounds` is {self.rounds!r} but must end in a round of 1 thread",
                             hint="Say 8, 4, 1, for example.")


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Give ``prompt``, or ``messages`` for a conversation; not both."""

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    budget: Budget = Budget()
    seed: int = 0
    directions: Directions = Directions()

    def __post_init__(self) -> None:
        if bool(self.prompt.strip()) == bool(self.messages):
            raise UsageError("a request needs either a prompt or messages",
                             hint="Pass the question as text, or as a list of messages.")

    @property
    def question(self) -> str:
        """The text of the question: the prompt, or the last user message."""
        if self.prompt:
            return self.prompt
        users = [m.content for m in self.messages if m.role == "user"]
        return users[-1] if users else self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy decided: the method, its protocol if it drives one, and how far to go."""

    method: str = "sequential"
    protocol: str | None = None
    width: int | None = None
    early_stop: bool = False
    """Join as soon as the protocol says that the outcomes so far are enough; cancel the rest."""
    gain: bool = False
    """Split only where that shortens the longest path, by the planner's own estimate."""
    retries: int = 1
    """How often a failed child is tried again, alone."""
    reason: str = ""
