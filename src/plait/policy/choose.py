"""The first policy: fork where the model knows how to, narrow when the engine is busy."""

from __future__ import annotations

from collections.abc import Sequence

from plait.core import Plan
from plait.interfaces import Load


def choose(
    known: Sequence[str], load: Load, *, method: str | None, protocol: str | None
) -> Plan:
    """A plan from what the caller insists on and what the engine's model can do.

    ``known`` are the wire formats that the model writes for this request, the best one first;
    ``method`` and ``protocol`` are the caller's words, None where it leaves the choice. A model
    that is known to write a wire format is driven natively and decides for itself whether to
    fork; others answer sequentially. While requests queue at the engine a branch would only wait
    and slow others, so the width is 1 then.
    """
    busy = bool(load.waiting)
    width = 1 if busy else None
    if method == "sequential":
        return Plan("sequential", reason="asked for")
    if method not in (None, "auto", "native"):
        return Plan(method, protocol, width=width, reason="asked for")
    if protocol is not None:
        return Plan("native", protocol, width=width, reason="protocol asked for")
    if known:
        return Plan("native", known[0], width=width, reason=f"the model writes {known[0]}")
    return Plan("sequential", reason="the model is not known to fork; name its protocol if it does")
