"""What a gateway is told when it starts. The command line fills it; tests fill it by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from plait.core import Budget
from plait.policy import PolicyFile
from plait.server.choosing import Thoughts
from plait.server.keys import Key

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """``method``, ``protocol`` and ``policy`` answer requests that choose nothing themselves;
    ``most`` caps the budget of every run."""

    method: str | None = None
    protocol: str | None = None
    policy: str | PolicyFile | None = None
    most: Budget = field(default_factory=Budget)
    keys: tuple[Key, ...] = ()
    no_keys: bool = False
    """Everybody who reaches it may use it. Otherwise, where there are no ``keys``, only what comes
    from this machine is answered (`plait.server.local`)."""
    thoughts: Thoughts = "full"
    """How thoughts are streamed to clients that do not say."""
    running: int = 512
    """Requests at work."""
    waiting: int = 1024
    """Requests in the queue behind them."""
    queue_seconds: float = 30.0
    heartbeat: float = 10.0
    """Seconds of silence after which a stream gets a comment."""
    patience: float = 60.0
    """Seconds that a client may take to read what it was sent."""
    body_bytes: int = 32 * MEGABYTE
    drain_seconds: float = 30.0
    """How long requests may go on after SIGTERM."""
    responses: int = 1000
    """Responses that are kept, to be fetched and continued."""
    idempotent: int = 1000
    """Replies that are kept, to be given again for the same idempotency key."""
    idempotent_seconds: float = 600.0
