"""The first policy: fork where the model knows how to."""

from __future__ import annotations

from plait.core import Plan
from plait.interfaces import Capabilities


def choose(
    capabilities: Capabilities, *, method: str | None, protocol: str | None
) -> Plan:
    """A plan from what the caller insists on and what the engine's model can do.

    ``method`` and ``protocol`` are the caller's words, None where it leaves the choice. A model
    that is known to write a wire format is driven natively and decides for itself whether to
    fork; others answer sequentially. How many of its threads run at once is decided at each fork,
    by how busy the engine is then (`plait.policy.admit`).
    """
    if method == "sequential":
        return Plan("sequential", reason="asked for")
    if method not in (None, "auto", "native"):
        return Plan(method, protocol, reason="asked for")
    if protocol is not None:
        return Plan("native", protocol, reason="protocol asked for")
    if capabilities.protocols:
        known = capabilities.protocols[0]
        return Plan("native", known, reason=f"the model writes {known}")
    return Plan("sequential", reason="the model is not known to fork; name its protocol if it does")
