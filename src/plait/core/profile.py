"""What was found out about an engine once and is kept: what it can do, and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. ``holds`` None: it could not be told. ``why`` is one clause."""

    holds: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One engine and model as `plait engine check` found them.

    ``server`` is the engine as it is named (a server's address without a password, ``nano``),
    ``kind`` what kind of server it is (empty where that does not apply). ``checked``: when, as an
    ISO date and time in UTC. ``window``: tokens of one context. ``slots``: streams served at once
    without queueing. ``kv_tokens``: tokens that all contexts together may hold. ``step_seconds``:
    streams at once -> median seconds of a step, in which each of them gets one token; empty if it
    was not measured. None: not known.
    """

    server: str
    model: str
    checked: str
    window: int | None = None
    slots: int | None = None
    kv_tokens: int | None = None
    step_seconds: Mapping[int, float] = field(default_factory=dict)
    prefill_tokens_per_second: float | None = None
    kind: str = ""
    version: str = ""
    """The server's own version, empty where it does not say."""
    plait: str = ""
    """The version of plait that looked."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """Name of a check -> its outcome."""

    def can(self, name: str) -> bool | None:
        """Whether the check ``name`` held; None where that could not be told, or nobody looked."""
        found = self.findings.get(name)
        return None if found is None else found.holds
