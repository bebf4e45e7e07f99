"""May one more branch of a request run now? By what it costs the others, and what it brings.

A request's first stream is never asked about here: it comes before anybody's branches. A branch is
a stream beside another one of the same request. With n streams in flight a step of the engine
takes ``T(n) = fixed + each * n`` seconds (see `Step`) and gives each stream one token. A branch
makes every one of the m requests slower by ``T(n+1) / T(n)``, and its own request, which has w
streams, wider by ``(w+1) / w``. It runs if the sum over the requests of the logarithms of their
speeds grows by it:

    log(1 + 1/w)  >  m * log(T(n+1) / T(n))

and if nobody's steps become more than `MOST` times as long as if every request had one stream,
``T(n+1) <= MOST * T(m)``, so that many who fork do not outvote the few who do not.

The first is proportional fairness (Kelly, Maulloo, Tan, "Rate control for communication networks",
1998); that others pay for a branch, and that branches are therefore admitted one by one, is from
TAPER (arXiv 2605.06914). Wide where a step costs the same for all (each = 0) and alone (m = 1), one
stream a request where the engine is full (fixed = 0: with two requests 0.69 < 0.81); in between
each request gets up to ``T / (m * each)`` streams. A decision to admit raises n and w, which makes
the next one harder, and nothing that runs is ever stopped: there is nothing that could swing.

A deadline may ask for more than that, the smallest width at which what is open ends in time:

    ceil(open / w) * length * T(n - width + w)  <=  seconds left

(rounds of ``length`` tokens; what a fallback would need is set aside and leaves time for the join).
What no width can meet gets no more than others.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import NamedTuple

BRANCHING = ("load", "eager", "off")
"""Who starts branches: this rule, whoever has a slot, or nobody while the request has a stream."""

MOST = 2.0
"""So many times longer than without branches may a step become."""


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of an engine's step with n streams: ``fixed + each * n``. Both 0: not known, so
    that a branch is taken to cost nothing."""

    fixed: float = 0.0
    each: float = 0.0

    def seconds(self, streams: float) -> float:
        return self.fixed + self.each * streams

    def slower(self, streams: float) -> float:
        """By how much one more stream makes a step longer: 0.1 is 10 %."""
        now = self.seconds(streams)
        return self.each / now if now > 0 else 0.0


UNKNOWN = Step()


@dataclass(frozen=True, slots=True)
class State:
    """How the engine is. ``streams`` in flight (ours and others'); ``requests`` that have any, or
    had in the mean of the last seconds, if that is more: who comes next finds the branches there,
    too. ``room``: the most that it works on without queueing, ``memory``: context tokens that
    its KV still holds (None: not known); ``length``: tokens that a stream writes, in the mean."""

    streams: int
    requests: float
    step: Step = UNKNOWN
    room: float | None = None
    memory: int | None = None
    length: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A branch that wants to run. ``width``: streams of its request in flight, at least 1;
    ``open``: these and all that wait; ``seconds`` until its deadline, None if it has none;
    ``tokens`` of context that it adds to what the engine holds."""

    width: int
    open: int = 1
    seconds: float | None = None
    tokens: int = 0


class Verdict(NamedTuple):
    """Whether the branch runs now, and why."""

    runs: bool
    why: str


ALONE = Verdict(True, "no other request runs")
WORTH = Verdict(True, "it gains more than the others lose")


def admit(state: State, ask: Ask) -> Verdict:
    """Whether the branch may run now; see the module's docstring."""
    if state.memory is not None and ask.tokens > state.memory:
        return Verdict(False, f"it needs about {ask.tokens} tokens of the engine's memory, where"
                              f" {max(0, state.memory)} are free")
    if state.requests <= 1:
        return ALONE
    if state.room is not None and state.streams >= state.room:
        return Verdict(False, f"the engine queues beyond about {state.room:.0f} streams")
    slower = state.step.slower(state.streams)
    worth = log(1 + 1 / ask.width) > state.requests * log(1 + slower)
    longest = MOST * state.step.seconds(state.requests)
    if worth and state.step.seconds(state.streams + 1) <= longest:
        return WORTH
    needed = width_for(state, ask)
    if needed is not None and needed > ask.width:
        return Verdict(True, f"its deadline needs {needed} streams")
    if worth:
        return Verdict(False, f"a step with {state.streams} streams is about {MOST:g} times as long"
                              f" as with the {state.requests:.1f} requests' first ones")
    return Verdict(False, f"{state.requests:.1f} requests with {state.streams} streams would each"
                          f" be slower by {slower:.0%}")


def width_for(state: State, ask: Ask) -> int | None:
    """The fewest streams with which what is open of the request ends by its deadline; None if it
    has none, or cannot be met."""
    if ask.seconds is None:
        return None
    others = state.streams - ask.width
    for width in range(1, ask.open + 1):
        rounds = -(-ask.open // width)
        if rounds * state.length * state.step.seconds(others + width) <= ask.seconds:
            return width
    return None
